"""The package for npm: what is in it, and that its types are of use to somebody who has only that."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tooling import node, npm_package

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / npm_package.FOLDER
LIMIT_SECONDS = 110.0
PROGRAM = """
import { createAgent, domTools, type EventWire, type LimpetChatElement } from "limpet-web";
import { createChatTransport } from "limpet-web/ai-sdk";

const agent = createAgent({ src: "/agent.py", baseUrl: "/limpet/", tools: domTools(document.body) });
const run = agent.sendMessage("ten minutes for the eggs");
export async function words(): Promise<string[]> {
  const said: string[] = [];
  for await (const event of run) if (event.type === "text_delta") said.push(event.text);
  return said;
}
export const transport = createChatTransport(agent);
export const isEnd = (event: EventWire): boolean => event.type === "run_end";
const element: LimpetChatElement | null = document.querySelector("limpet-chat");
export const status: "submitted" | "streaming" | "ready" | "error" | undefined = element?.agent.status;
"""
WRONG = """
import { createAgent } from "limpet-web";

createAgent({ src: "/agent.py", colour: "teal" });
"""


@pytest.fixture(autouse=True)
def _package() -> None:
    if not (PACKAGE / "package.json").is_file():
        pytest.fail("the package is not made: python3 build.py all")


def _run(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [node.node(), *words],
        cwd=folder,
        env=node.environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


def test_all_that_a_page_loads_is_packed_and_nothing_else() -> None:
    npm = node.npm()
    (listing,) = json.loads(_run(npm, "pack", "--dry-run", "--json", "--offline", folder=PACKAGE).stdout)
    packed = {file["path"] for file in listing["files"]}

    assert listing["name"] == "limpet-web"
    assert {
        *("package.json", "README.md", "LICENSE", "limpet.js", "ai-sdk.js", "sw.js", "assets/worker.js"),
        *("assets/inference-worker.js", "pyodide/pyodide.asm.wasm", "python/snapshot.bin", "types/limpet.d.ts"),
        *("types/ai-sdk.d.ts", "types/generated/wire.d.ts", "ort/ort-wasm-simd-threaded.wasm"),
    } <= packed
    assert [path for path in packed if path.endswith((".map", ".py", ".onnx"))] == []
    assert [path for path in packed if path.endswith(".ts") and not path.endswith(".d.ts")] == []


def _project(folder: Path, program: str) -> Path:
    modules = folder / "node_modules"
    modules.mkdir()
    (modules / "limpet-web").symlink_to(PACKAGE)
    # Where the package is installed for real, its peer is found beside it.
    (modules / "ai").symlink_to(ROOT / "web/node_modules/ai")
    options = {
        "target": "es2022",
        "module": "esnext",
        "moduleResolution": "bundler",
        "lib": ["es2023", "dom", "dom.iterable", "dom.asynciterable"],
        "types": [],
        "strict": True,
        "exactOptionalPropertyTypes": True,
        "preserveSymlinks": True,
        "noEmit": True,
        "skipLibCheck": True,
    }
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "files": ["program.ts"]}))
    (folder / "program.ts").write_text(program)
    return folder


def test_the_types_can_be_used(tmp_path: Path) -> None:
    tsc = ROOT / "web/node_modules/typescript/bin/tsc"

    done = _run(tsc, "-p", ".", folder=_project(tmp_path, PROGRAM))

    assert done.stdout == ""
    assert done.returncode == 0


def test_the_types_refuse_what_is_no_option(tmp_path: Path) -> None:
    tsc = ROOT / "web/node_modules/typescript/bin/tsc"

    done = _run(tsc, "-p", ".", folder=_project(tmp_path, WRONG))

    assert "'colour' does not exist in type 'AgentOptions'" in done.stdout
