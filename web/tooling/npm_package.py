"""`build/npm`: what is published for npm. The element, the client and their types, with all that they load.

A folder that can be served as it is: `limpet.js` finds its worker, Pyodide and our Python beside itself.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from . import node
from .site_folder import runtime_files

FOLDER = "build/npm"
ENTRIES = ("limpet", "ai-sdk")
SPECIFIER = re.compile(r"""((?:from|import\() ?["']\./[\w./-]+)\.ts(["'])""")
README = """\
# limpet-web

Python agents in a browser tab: `<limpet-chat>` and `createAgent()`. Python, the agent's runtime and ONNX Runtime are in
this package; nothing comes from elsewhere.

Copy the package's folder to where your site's static files are, since workers are fetched from there:

    cp -r node_modules/limpet-web public/limpet

In a page, without a bundler:

```html
<script type="module" src="/limpet/limpet.js"></script>
<limpet-chat src="/agent.py"></limpet-chat>
```

Bundled, say where that folder is (on the element it is the attribute `assets="/limpet/"`):

```ts
import { createAgent } from "limpet-web";

const agent = createAgent({ src: "/agent.py", baseUrl: "/limpet/" });
for await (const event of agent.sendMessage("ten minutes for the eggs")) console.log(event);
```

`limpet-web/ai-sdk` has `createChatTransport(agent)` for the AI SDK's `useChat`. A site's policy has to allow
`script-src 'self' 'wasm-unsafe-eval'` and `worker-src 'self'`.
"""


def make(root: Path) -> None:
    """Put the package together from the bundles of `build/site`. Raises `BuildError`."""
    fresh = root / f"{FOLDER}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for path, origin in runtime_files(root / "build" / "site", is_local=True):
        _put(origin, fresh / path)
    for name in ("sw.js", "icon.svg"):
        _put(root / "build" / "site" / name, fresh / name)
    _put(root / "LICENSE", fresh / "LICENSE")
    (fresh / "README.md").write_text(README, "utf-8")
    (fresh / "package.json").write_text(json.dumps(_manifest(root), indent=2) + "\n", "utf-8")
    for script in fresh.rglob("*.js"):
        # The maps are not part of it.
        script.write_text(re.sub(r"\n//# sourceMappingURL=.*", "", script.read_text("utf-8")), "utf-8", newline="\n")
    _write_types(root, fresh / "types")
    shutil.rmtree(root / FOLDER, ignore_errors=True)
    fresh.rename(root / FOLDER)


def _put(origin: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(origin, target)


def _manifest(root: Path) -> dict[str, object]:
    ours = json.loads((root / "web" / "package.json").read_text("utf-8"))
    return {
        "name": "limpet-web",
        "version": ours["version"],
        "description": "Python agents in a browser tab: an element, a client, and all that they load",
        "license": ours["license"],
        "type": "module",
        "sideEffects": ["./limpet.js"],
        "exports": {
            ".": {"types": "./types/limpet.d.ts", "default": "./limpet.js"},
            "./ai-sdk": {"types": "./types/ai-sdk.d.ts", "default": "./ai-sdk.js"},
            "./*": "./*",
        },
        "peerDependencies": {"ai": ">=7"},
        "peerDependenciesMeta": {"ai": {"optional": True}},
    }


def _write_types(root: Path, types: Path) -> None:
    """Have TypeScript write the declarations, and keep those that the entries lead to."""
    written = types.with_name(f".{types.name}")
    tsc = root / "web/node_modules/typescript/bin/tsc"
    node.run(root, tsc, "-p", root / "web/tsconfig.types.json", "--outDir", written, log="types")
    waiting = [written / f"{name}.d.ts" for name in ENTRIES]
    while waiting:
        path = waiting.pop()
        target = types / path.relative_to(written)
        if not target.exists():
            text = path.read_text("utf-8")
            waiting += [
                (path.parent / name).with_suffix(".d.ts") for name in re.findall(r"""["'](\./[^"']+\.ts)["']""", text)
            ]
            target.parent.mkdir(parents=True, exist_ok=True)
            # TypeScript leaves these names as they stand in the source.
            target.write_text(SPECIFIER.sub(r"\1.js\2", text), "utf-8", newline="\n")
    shutil.rmtree(written)
