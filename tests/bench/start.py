"""Measure how soon a page is ready, beside `loadPyodide` with the files of npm and a framework in it.

    python3 build.py bench --start [-- ROUNDS]

In each round, one after the other, each in a browser of its own, as a first visit and as a later one (the third of a
profile): `loadPyodide` and `import limpet` (stock), the same with the wheels of `pydantic-ai-slim[openai]` and its
import (framework), and ours, from the snapshot and from files as on a slow line. All comes from 127.0.0.1 and is not
compressed, so no network is in the numbers. Printed are medians in milliseconds from navigation, and their ratios.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "web")]

from tooling.browser import find  # noqa: E402  # the path is set above
from tooling.packages import WHEEL  # noqa: E402
from tooling.server import serve  # noqa: E402
from tooling.site_folder import write_site  # noqa: E402

FRAMEWORK = ("pydantic-ai-slim[openai]==1.38.0", "httpx2-jsfetch==1.0")
"""The second is what its HTTP library needs in a browser."""
WHEELS = ROOT / "build/cache/bench-wheels"
UNUSED = ("colorama", "griffe", "griffecli", "truststore")
"""What pip brings and the import does without; not installed, in the framework's favour."""
IDLE_MS = 3000
PAGE = """
window.ready = new Promise((resolve, reject) => {
  const worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = ({ data }) => data === "ready" ? resolve(performance.now()) : reject(new Error(data));
});
"""
WORKER = """
import { loadPyodide } from "./stock/pyodide.mjs";
try {
  const pyodide = await loadPyodide();
  const wheels = WHEELS.map((name) => new URL(`./stock/${name}`, self.location.href).href);
  await pyodide.loadPackage(wheels, { messageCallback() {} });
  pyodide.runPython(PROGRAM);
  self.postMessage("ready");
} catch (error) {
  self.postMessage(String(error.message).slice(-500));
}
"""
PROGRAMS = {
    "stock": "import limpet",
    "framework": "from pydantic_ai import Agent\nfrom pydantic_ai.models.openai import OpenAIChatModel",
}
AGENT = "from limpet import Agent\nagent = Agent(model='openai:gpt-5-mini', name='plain')\n"
OURS = """async () => {
    await customElements.whenDefined("limpet-chat");
    const element = document.querySelector("limpet-chat");
    const { milliseconds } = await element.agent.ready;
    return [performance.now(), milliseconds];
}"""


def main(rounds: int) -> None:
    """Measure and print."""
    program = find(ROOT)
    if program is None:
        raise SystemExit("no Chromium on this machine")
    wheels = {"stock": [ROOT / "build/wheel" / WHEEL], "framework": _framework()}
    times: dict[tuple[str, str], list[float]] = {}
    phases: dict[str, dict[str, list[float]]] = {"snapshot": {}, "files": {}}
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright, ExitStack() as stack:
        folder = Path(name)
        (folder / "agent.py").write_text(AGENT)
        for label in phases:
            write_site(ROOT / "build/site", folder / "agent.py", folder / label)
        (snapshot,) = (folder / "files").glob("files-*/python/snapshot.bin")
        snapshot.write_bytes(b"")
        for label, files in wheels.items():
            _write_stock(folder / label, files, PROGRAMS[label])
        urls = {label: stack.enter_context(serve(folder / label)).url for label in ("stock", "framework", *phases)}
        for number in range(rounds):
            for label, url in urls.items():
                context = playwright.chromium.launch_persistent_context(
                    folder / f"{label}{number}", executable_path=str(program), args=["--no-sandbox"]
                )
                page = context.new_page()
                page.set_default_timeout(LIMIT_MS)
                times.setdefault((label, "first"), []).append(_visit(page, url, phases.get(label)))
                page.wait_for_timeout(IDLE_MS)
                _visit(page, url, None)
                times.setdefault((label, "later"), []).append(_visit(page, url, None))
                context.close()
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    print(f"rounds: {rounds}")
    print("| start | visit | median ms | best | all | times ours from the snapshot |")
    print("|---|---|---|---|---|---|")
    for (label, when), values in times.items():
        ratio = statistics.median(values) / statistics.median(times["snapshot", when])
        median = statistics.median(values)
        print(f"| {label} | {when} | {median:.0f} | {min(values):.0f} | {_line(values)} | {ratio:.1f} |")
    for label, taken in phases.items():
        medians = {name: round(statistics.median(values), 1) for name, values in taken.items()}
        print(f"phases of a first visit, {label}: {medians}")


LIMIT_MS = 180_000


def _visit(page: Page, url: str, phases: dict[str, list[float]] | None) -> float:
    page.goto(url)
    if page.evaluate("'ready' in window"):
        return float(page.evaluate("() => ready"))
    took, milliseconds = page.evaluate(OURS)
    if phases is not None:
        for name, value in milliseconds.items():
            phases.setdefault(name, []).append(value)
    return float(took)


def _framework() -> list[Path]:
    """Fetch the framework's wheels for Pyodide, once."""
    mark = WHEELS / "complete"
    if not mark.is_file():
        platforms = ["--platform", "pyemscripten_2026_0_wasm32", "--platform", "any", "--python-version", "3.14"]
        words = ["pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--only-binary=:all:"]
        command = [sys.executable, "-m", *words, *platforms, "--dest", str(WHEELS), *FRAMEWORK]
        subprocess.run(command, check=True, timeout=600)
        mark.write_text("\n".join(FRAMEWORK))
    return [path for path in sorted(WHEELS.glob("*.whl")) if path.name.split("-")[0] not in UNUSED]


def _write_stock(folder: Path, wheels: Sequence[Path], program: str) -> None:
    source = ROOT / "web/node_modules/pyodide"
    (folder / "stock").mkdir(parents=True)
    for name in ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json"):
        (folder / "stock" / name).write_bytes((source / name).read_bytes())
    for wheel in wheels:
        (folder / "stock" / wheel.name).write_bytes(wheel.read_bytes())
    # The policy of our server allows no script in a page.
    (folder / "page.js").write_text(PAGE)
    (folder / "index.html").write_text('<!doctype html><script src="page.js"></script>')
    names = json.dumps([wheel.name for wheel in wheels])
    (folder / "worker.js").write_text(WORKER.replace("WHEELS", names).replace("PROGRAM", json.dumps(program)))


def _line(values: list[float]) -> str:
    return " ".join(f"{value:.0f}" for value in values)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
