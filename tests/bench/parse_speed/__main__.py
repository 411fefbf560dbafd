"""What reading one event of a streamed answer costs, beside the official SDKs and litellm.

    python3 build.py bench --parse [--events 4000] [--rounds 7] [--piece-bytes 0]

Each reader has a process of its own; they read the same bytes in turns, and must all find the same text, arguments and
tokens. The peers get a virtual environment of their own in `build/peers` (about 420 MB, at the first run). Prints
medians as a Markdown table; judges nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import venv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tooling import node

from .streams import STREAMS

ROOT = Path(__file__).resolve().parents[3]
PEERS = ROOT / "build" / "peers"
PINS = ("anthropic==2.14.0", "litellm==1.110.2", "openai==3.57.0")
INSTALL_LIMIT_SECONDS = 600.0
RUN_LIMIT_SECONDS = 900.0


@dataclass(frozen=True)
class Row:
    """One reader in one process, and the streams that it can read."""

    name: str
    process: str
    reader: str
    streams: Sequence[str] = tuple(STREAMS)


ROWS = (
    Row("limpet, wire format, CPython", "ours", "limpet, wire format"),
    Row("limpet, whole model, CPython", "ours", "limpet, whole model"),
    Row("limpet, wire format, Pyodide", "pyodide", "limpet, wire format"),
    Row("limpet, whole model, Pyodide", "pyodide", "limpet, whole model"),
    Row("openai", "peers", "openai", ("chat completions",)),
    Row("anthropic", "peers", "anthropic", ("anthropic messages",)),
    Row("litellm", "peers", "litellm"),
)


def make_peers() -> Path:
    """Make the peers' virtual environment if it isn't there; give its Python."""
    python = PEERS / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = PEERS / "pins.txt"
    if not stamp.is_file() or stamp.read_text("utf-8") != "\n".join(PINS):
        print(f"installing {', '.join(PINS)} into {PEERS.relative_to(ROOT)}", file=sys.stderr)
        venv.create(PEERS, with_pip=True)
        words = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PINS]
        subprocess.run(words, check=True, timeout=INSTALL_LIMIT_SECONDS)
        stamp.write_text("\n".join(PINS), "utf-8")
    return python


@contextmanager
def start(words: Sequence[str | Path]) -> Iterator[subprocess.Popen[str]]:
    """Start one process of the benchmark, and end it afterwards."""
    paths = os.pathsep.join([str(ROOT / "runtime"), str(ROOT)])
    environment = node.environment({"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore"})
    process = subprocess.Popen(
        words, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    limit = threading.Timer(RUN_LIMIT_SECONDS, process.kill)
    limit.start()
    try:
        yield process
    finally:
        limit.cancel()
        process.kill()
        process.wait(10)


def ask(process: subprocess.Popen[str], row: Row, stream: str) -> tuple[float, str]:
    """Let a reader read a stream once; give the microseconds per event and what it found."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps([row.reader, stream]) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"the process of {row.name} ended (code {process.wait(10)})")
    answer = json.loads(line)
    return float(answer["us"]), json.dumps(answer["found"])


def measure(options: argparse.Namespace) -> dict[tuple[Row, str], list[float]]:
    """Read in turns; the first round warms up and is not counted."""
    numbers = [str(options.events), str(options.piece_bytes)]
    folder = Path(__file__).parent
    times: dict[tuple[Row, str], list[float]] = {}
    found: set[str] = set()
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(start([*words, *numbers]))
            for name, words in {
                "ours": [sys.executable, "-m", "tests.bench.parse_speed.serve_ours"],
                "pyodide": [node.node(), "--experimental-wasm-jspi", folder / "serve_pyodide.mjs"],
                "peers": [make_peers(), "-m", "tests.bench.parse_speed.serve_peers"],
            }.items()
        }
        for number in range(options.rounds + 1):
            for row in ROWS:
                for stream in row.streams:
                    microseconds, what = ask(processes[row.process], row, stream)
                    found.add(what)
                    if number:
                        times.setdefault((row, stream), []).append(microseconds)
    if len(found) != 1:
        raise SystemExit(f"the readers did not find the same: {sorted(found)}")
    return times


def print_table(times: dict[tuple[Row, str], list[float]]) -> None:
    """Print medians, and how many times as long as a whole model of ours each takes."""
    for stream in STREAMS:
        print(f"\n| {stream} | us per event (best) | times ours | times ours in Pyodide |\n|---|---|---|---|")
        ours, pyodide = (median(times[ROWS[place], stream]) for place in (1, 3))
        for row in ROWS:
            if stream in row.streams:
                taken = times[row, stream]
                middle = median(taken)
                ratios = f"{middle / ours:.2f} | {middle / pyodide:.2f}"
                print(f"| {row.name} | {middle:.1f} ({min(taken):.1f}) | {ratios} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--piece-bytes", type=int, default=0, help="cut into pieces of so many bytes; 0: an event each")
    options = parser.parse_args()
    times = measure(options)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"CPython {platform.python_version()}, {', '.join(PINS)}; {options.events} events, load {load}")
    print_table(times)


if __name__ == "__main__":
    main()
