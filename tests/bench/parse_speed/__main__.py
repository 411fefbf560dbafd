"""What reading one event of a streamed answer costs, beside the official SDKs and litellm.

    python3 build.py bench --parse [--events 4000] [--rounds 7] [--piece-bytes 0]

Each reader has a process of its own; they read the same bytes in turns, and must all find the same text, arguments and
tokens. The peers get a virtual environment of their own in `build/peers` (about 420 MB, at the first run). Prints
medians as a Markdown table; judges nothing.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tooling import node

from .. import lines
from .streams import STREAMS

ROOT = Path(__file__).resolve().parents[3]
PEERS = ROOT / "build" / "peers"
PINS = ("anthropic==2.14.0", "litellm==1.110.2", "openai==3.57.0")


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


def measure(options: argparse.Namespace) -> dict[tuple[Row, str], list[float]]:
    """Read in turns; the first round warms up and is not counted."""
    numbers = [str(options.events), str(options.piece_bytes)]
    folder = Path(__file__).parent
    times: dict[tuple[Row, str], list[float]] = {}
    found: set[str] = set()
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(lines.start([*words, *numbers]))
            for name, words in {
                "ours": [sys.executable, "-m", "tests.bench.parse_speed.serve_ours"],
                "pyodide": [node.node(), *lines.PYODIDE, folder / "serve_pyodide.mjs"],
                "peers": [lines.make_peers(PEERS, PINS), "-m", "tests.bench.parse_speed.serve_peers"],
            }.items()
        }
        for number in range(options.rounds + 1):
            for row in ROWS:
                for stream in row.streams:
                    answer = processes[row.process].ask([row.reader, stream])
                    found.add(json.dumps(answer["found"]))
                    if number:
                        times.setdefault((row, stream), []).append(float(answer["us"]))
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
    print(f"CPython {platform.python_version()}, {', '.join(PINS)}; {options.events} events, {lines.load()}")
    print_table(times)


if __name__ == "__main__":
    main()
