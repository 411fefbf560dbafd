"""`build.py bench --edge-start [--rounds N] [AGENT.py]`: what a project weighs, and what its start costs by modules.

Three tables: what is uploaded and what its imports cost, in the Pyodide that Cloudflare runs; the modules that take
longest; and the start of workerd until its first answers, with the snapshot and without, in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.fake_server import FakeServer
from tests.hosts.workerd import serving
from tooling import edge, edge_host, edge_project, node
from tooling.progress import run_logged

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).parent
UPLOAD_LIMIT = 64 * 1024 * 1024
"""Of a Worker, uncompressed, on every plan since September 2026."""
START_LIMIT_MS = 1000
"""Of a Worker's global scope."""
IMPORTS_LIMIT_SECONDS = 600.0
LARGEST = 12


@dataclass(frozen=True)
class Start:
    """One start: processor milliseconds and milliseconds on the clock until both answers, and the most memory."""

    ready_cpu: float
    ready: float
    chat_cpu: float
    chat: float
    most_bytes: int


def measure_imports(project: Path, rounds: int) -> tuple[float, Mapping[str, float]]:
    """Give the processor time of all imports, and the time of each module."""
    pyodide = ROOT / "web" / "edge" / "node_modules" / "pyodide"
    words = [pyodide, ROOT / edge_host.PARTS / "python_stdlib.zip", project, str(rounds)]
    text = run_logged(
        [node.node(), "--experimental-wasm-jspi", HERE / "imports.mjs", *words],
        log=ROOT / "build" / "log" / "edge-start.log",
        cwd=ROOT,
        env=node.environment(),
        time_limit_seconds=IMPORTS_LIMIT_SECONDS,
    )
    found = json.loads(text.strip().splitlines()[-1])
    return float(found["cpu"]), found["modules"]


def source_sizes(project: Path) -> dict[str, int]:
    """Give the bytes of each module of a project, by its name."""
    sizes: dict[str, int] = {}
    for folder in (project / "src", project / "python_modules"):
        for path in folder.rglob("*.py"):
            name = ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
            sizes[name] = path.stat().st_size
    return sizes


def group_of(name: str, ours: Iterable[str]) -> str:
    """Give the row of the table that a module belongs to."""
    parts = name.split(".")
    if parts[0] == "limpet":
        return "limpet." + (parts[1] if len(parts) > 2 else "*")
    if name in ours:
        return (
            "entry, agent" if len(parts) == 1 and parts[0] in ("entry", "agent") else f"{parts[0]} (Cloudflare's SDK)"
        )
    return "standard library, Pyodide"


def print_modules(project: Path, rounds: int) -> float:
    """Print the first two tables; give the processor time of the imports."""
    cpu, modules = measure_imports(project, rounds)
    sizes = source_sizes(project)
    upload = sum(path.stat().st_size for path in project.rglob("*") if path.is_file() and "onnx" not in path.parts)
    print(f"\nupload {upload / 1e6:.2f} MB: {upload / UPLOAD_LIMIT:.1%} of the 64 MiB that a Worker may have")
    print(f"all imports {cpu:.0f} ms of processor time, medians of {rounds}\n")
    groups: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0, 0])
    for name, size in sizes.items():
        row = groups[group_of(name, sizes)]
        row[0] += 1
        row[1] += size
    for name, milliseconds in modules.items():
        row = groups[group_of(name, sizes)]
        row[2] += 1
        row[3] += milliseconds
    print("| modules | uploaded | bytes | imported at the start | ms |\n|---|---|---|---|---|")
    for group, (count, size, imported, milliseconds) in sorted(groups.items(), key=lambda item: -item[1][3]):
        print(f"| {group} | {count or ''} | {size or ''} | {imported} | {milliseconds:.1f} |")
    print(f"\n| the {LARGEST} that take longest | bytes | ms |\n|---|---|---|")
    for name, milliseconds in sorted(modules.items(), key=lambda item: -item[1])[:LARGEST]:
        print(f"| {name} | {sizes.get(name, '')} | {milliseconds:.1f} |")
    return cpu


def start_once(project: serving.Project, state: Path, provider: FakeServer) -> Start:
    """Start workerd, wait for Python's first answer, and have the agent say something."""
    began = time.monotonic()
    settings = {"LIMPET_ACCESS": "open", "LIMPET_MODEL": "openai_compatible:fake", "LIMPET_BASE_URL": provider.base_url}
    with edge.serving(
        ROOT, project.folder, project.packed, port=edge.free_port(), vars=settings, state=state
    ) as server:
        ready = time.monotonic() - began
        ready_cpu = processor_ms(server.process.pid)
        body = json.dumps(serving.chat("first", "hello")).encode()
        with urllib.request.urlopen(f"{server.url}chat", body, timeout=60) as reply:
            reply.read()
        chat = time.monotonic() - began
        chat_cpu = processor_ms(server.process.pid)
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        most = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return Start(ready_cpu, ready * 1000, chat_cpu, chat * 1000, most * 1024)


def processor_ms(process_id: int) -> float:
    """Give the processor time that a process has used."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def print_starts(project: serving.Project, folder: Path, rounds: int) -> None:
    """Print the third table."""
    plain = serving.Project(project.folder, folder / "without")
    shutil.copytree(project.packed, plain.packed)
    (plain.packed / "snapshot.mjs").write_text("export const snapshot = undefined;\n")
    (plain.packed / "snapshot.bin").unlink(missing_ok=True)
    starts: dict[str, list[Start]] = {"with the snapshot": [], "without": []}
    with FakeServer("text:Hello.", lifetime_seconds=900) as provider:
        for number in range(rounds + 1):
            for name, which in (("with the snapshot", project), ("without", plain)):
                found = start_once(which, folder / f"state-{name.split()[0]}-{number}", provider)
                if number > 0:  # the first pair fills the system's file cache
                    starts[name].append(found)
    title = f"start, medians of {rounds} (least)"
    print(f"\n| {title} | CPU ms to ready | ms | CPU ms to the agent's answer | ms | most memory |")
    print("|---|---|---|---|---|---|")
    for name, found in starts.items():
        cells = []
        for field in ("ready_cpu", "ready", "chat_cpu", "chat"):
            values = [getattr(start, field) for start in found]
            cells.append(f"{median(values):.0f} ({min(values):.0f})")
        print(f"| {name} | {' | '.join(cells)} | {median(start.most_bytes for start in found) / 1e6:.0f} MB |")
    for field, what in (("ready_cpu", "to ready"), ("chat_cpu", "to the agent's answer")):
        ratio = [median(getattr(start, field) for start in found) for found in starts.values()]
        print(f"with the snapshot {ratio[0] / ratio[1]:.2f} of the processor time without, {what}")
    ready = median(start.ready_cpu for start in starts["with the snapshot"])
    print(f"with the snapshot {ready:.0f} ms; Cloudflare gives a start {START_LIMIT_MS} ms")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="build.py bench --edge-start")
    parser.add_argument("agent", nargs="?", type=Path, default=ROOT / "examples" / "kitchen.py")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-start-") as name:
        folder = Path(name)
        project = serving.make(folder, options.agent.resolve())
        print_modules(project.folder, options.rounds)
        for path in sorted((project.folder / edge_project.ONNX / "src").glob("*")):
            print(f"onnx/src/{path.name}: {path.stat().st_size} bytes")
        print_starts(project, folder, options.rounds)


if __name__ == "__main__":
    main()
