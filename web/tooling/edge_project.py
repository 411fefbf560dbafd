"""Make a project for Cloudflare's Python Workers from an agent file: the folder that `wrangler deploy` uploads.

    DIR/wrangler.jsonc    bindings, flags, variables
    DIR/src/              entry.py, and the agent file as agent.py
    DIR/python_modules/   our wheels and Cloudflare's SDK, unpacked: what `pywrangler sync` would vendor
    DIR/onnx/             a second Worker with the agent's local models, if it names some that an isolate can hold

Each `wrangler.jsonc` is the user's once it is there; all else is written anew.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import node
from .packages import WHEELS
from .progress import BuildError, run_logged, say, size
from .site_folder import local_models

SDK = "workers-runtime-sdk==1.9.5"
SDK_FOLDER = "build/cache/workers-sdk"
PLATFORM, PYTHON = "pyemscripten_2026_0_wasm32", "3.14"
DOWNLOAD_LIMIT_SECONDS = 120.0
TEMPLATE = "web/edge"
ONNX = "onnx"
ONNX_PARTS = "build/edge-onnx"
"""What does not depend on the models: the bundle of the second Worker and ONNX Runtime's wasm."""
ONNX_MEMORY_BYTES = 115_000_000
"""What the second Worker gives its models together, as `LIMIT_BYTES` of its `worker.ts` says."""
ONNX_FILE_BYTES = 25 * 1024 * 1024
"""How large a file of a Worker's static assets may be."""
BUNDLE_LIMIT_SECONDS = 120.0
_SERVICES = """\
  // The Worker of the folder onnx/, which runs the agent's local models. Deploy it first.
  "services": [{ "binding": "ONNX", "service": "limpet-agent-onnx" }],
"""


def download_sdk(root: Path) -> None:
    """Fetch the wheel of Cloudflare's SDK for Python Workers. Raises `BuildError`."""
    target = root / SDK_FOLDER
    shutil.rmtree(target, ignore_errors=True)
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--platform", PLATFORM, "--python-version", PYTHON]
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", *options]
    run_logged(
        [*command, "--dest", target, SDK],
        log=root / "build" / "log" / "workers-sdk.log",
        cwd=root,
        time_limit_seconds=DOWNLOAD_LIMIT_SECONDS,
    )


def bundle_onnx(root: Path) -> None:
    """Bundle the Worker of local models."""
    script = root / TEMPLATE / ONNX / "bundle.mjs"
    node.run(root, script, root / ONNX_PARTS, log="edge-onnx", time_limit_seconds=BUNDLE_LIMIT_SECONDS)


def models_of(root: Path, agent: Path, out: Path) -> tuple[list[str], dict[str, str]]:
    """Give the local models that a project needs and an isolate can hold, and why the others can't be there.

    They are named in the agent's file, or in the variables of a `wrangler.jsonc` that is there already.
    """
    config = out / "wrangler.jsonc"
    texts = [agent.read_text("utf-8", "replace")]
    if config.exists():
        # In a variable JSON stands inside of JSON.
        texts.append(config.read_text("utf-8", "replace").replace('\\"', '"'))
    known: dict[str, Any] = json.loads((root / "models" / "manifest.json").read_text("utf-8"))["models"]
    fitting: list[str] = []
    others: dict[str, str] = {}
    for name in sorted({name for text in texts for name in local_models(text)}):
        model = known.get(name)
        if model is None:
            others[name] = "models/manifest.json does not have it"
        elif model["memory_bytes"] > ONNX_MEMORY_BYTES:
            others[name] = f"it needs {size(model['memory_bytes'])}, an isolate has {size(ONNX_MEMORY_BYTES)} for it"
        elif any(file["size_bytes"] > ONNX_FILE_BYTES for file in model["files"]):
            others[name] = f"a file of it is larger than {size(ONNX_FILE_BYTES)}"
        else:
            fitting.append(name)
    return fitting, others


def make_project(root: Path, agent: Path, out: Path) -> None:
    """Write the project. Raises `BuildError` when the agent file is not Python, or the folder is somebody's else.

    The models that `models_of` gives, and what `bundle_onnx` makes when there are some, must be there.
    """
    try:
        source = agent.read_bytes()
        compile(source, str(agent), "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError) as error:
        raise BuildError(f"the agent file {agent}: {error}") from error
    if out.exists() and any(out.iterdir()) and not (out / "wrangler.jsonc").exists():
        raise BuildError(f"{out} is no project of ours: there is no wrangler.jsonc in it, and it is not empty")
    template = root / TEMPLATE
    for name in ("src", "python_modules"):
        shutil.rmtree(out / name, ignore_errors=True)
    (out / "src").mkdir(parents=True)
    shutil.copyfile(template / "src" / "entry.py", out / "src" / "entry.py")
    (out / "src" / "agent.py").write_bytes(source)
    models, others = models_of(root, agent, out)
    for name, reason in others.items():
        say(f"local:{name} is not in the project: {reason}. The agent's next model answers in its place")
    if not (out / "wrangler.jsonc").exists():
        text = (template / "wrangler.jsonc").read_text("utf-8")
        mark = '  "vars": {'
        (out / "wrangler.jsonc").write_text(text.replace(mark, _SERVICES + mark) if models else text, "utf-8")
    _add_onnx(root, models, out)
    _vendor(root, out / "python_modules")
    check_project(out)
    files = [path for path in out.rglob("*") if path.is_file()]
    say(f"{out}: {len(files)} files, {size(sum(path.stat().st_size for path in files))}")


def _add_onnx(root: Path, models: Sequence[str], out: Path) -> None:
    """Write the second Worker, or take it away when no model is left for it."""
    folder = out / ONNX
    for path in folder.iterdir() if folder.exists() else ():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "wrangler.jsonc" or not models:
            path.unlink()
    if not models:
        if folder.exists():
            folder.rmdir()
        return
    shutil.copytree(root / ONNX_PARTS, folder / "src")
    if not (folder / "wrangler.jsonc").exists():
        shutil.copyfile(root / TEMPLATE / ONNX / "wrangler.jsonc", folder / "wrangler.jsonc")
    for name in models:
        shutil.copytree(root / "build" / "models" / name, folder / "models" / name)
    if not any(service.get("binding") == "ONNX" for service in read_config(out).get("services", [])):
        say(f"{out / 'wrangler.jsonc'} lacks what the agent needs for {', '.join(models)}:\n{_SERVICES.rstrip()}")


def _vendor(root: Path, target: Path) -> None:
    """Unpack the wheels; what no host at the edge imports is left out."""
    wheels = [root / "build" / "wheel" / name for name in WHEELS]
    wheels += sorted((root / SDK_FOLDER).glob("*.whl"))
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if not name.endswith((".pyi", "/RECORD")):
                    archive.extract(name, target)
    # By this file wrangler knows that the folder holds packages.
    (target / "pyvenv.cfg").touch()


def read_config(project: Path) -> dict[str, Any]:
    """Read `wrangler.jsonc`. Raises `BuildError`."""
    path = project / "wrangler.jsonc"
    try:
        config: dict[str, Any] = json.loads(without_comments(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise BuildError(f"{path} cannot be read: {error}") from error
    return config


def without_comments(text: str) -> str:
    """Take the comments and the last commas out of JSONC.

    >>> without_comments('{"a": "//", /* b */ "c": [1, 2,], // d')
    '{"a": "//",  "c": [1, 2], '
    """
    kept = re.sub(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', lambda match: match[1] or "", text, flags=re.DOTALL)
    return re.sub(r'("(?:\\.|[^"\\])*")|,(?=\s*[\]}])', lambda match: match[1] or "", kept)


def class_names(config: dict[str, Any]) -> list[str]:
    """Give the classes of Durable Objects that a configuration names."""
    return [binding["class_name"] for binding in config.get("durable_objects", {}).get("bindings", [])]


def check_project(project: Path) -> None:
    """Look at what `wrangler deploy --dry-run` does not: that all is Python, and each class exists."""
    config = read_config(project)
    entry = project / config["main"]
    if (project / ONNX).exists():
        _check_onnx(project / ONNX)
    for path in [*(project / "src").rglob("*.py"), *(project / "python_modules").rglob("*.py")]:
        try:
            compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            raise BuildError(f"{path} is no Python: {error}") from error
    source = entry.read_text("utf-8")
    missing = [name for name in (*class_names(config), "Default") if not re.search(rf"^class {name}\b", source, re.M)]
    if missing:
        raise BuildError(f"{entry} has no class {', '.join(missing)}, which wrangler.jsonc names")
    migrated = {name for step in config.get("migrations", []) for name in step.get("new_sqlite_classes", [])}
    if forgotten := sorted(set(class_names(config)) - migrated):
        raise BuildError(f"wrangler.jsonc needs a migration with new_sqlite_classes of {', '.join(forgotten)}")


def _check_onnx(folder: Path) -> None:
    config = read_config(folder)
    text = (folder / config["main"]).read_text("utf-8")
    exported = re.findall(r"\w+(?: as (\w+))?", "".join(re.findall(r"export\s*\{([^}]*)\}", text)))
    if missing := [name for name in (*class_names(config), "default") if name not in exported]:
        raise BuildError(f"{folder / config['main']} has no class {', '.join(missing)}")
