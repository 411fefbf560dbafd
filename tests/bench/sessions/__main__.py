"""Many sessions in one interpreter, on CPython and in Pyodide (Node).

    python3 build.py bench --sessions [--rounds 5] [--idle 10000] [--running 1000]

Bytes of a session beside its history of six messages: between two runs (the last run is kept), and with a run that
waits for its model. Then so many runs at once, each with a tool call and twenty words; their model waits before each
delta. CPython's bytes are of resident memory, Pyodide's what malloc has given out. Prints medians; judges nothing.
"""

from __future__ import annotations

import argparse
import platform
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.bench.lines import PYODIDE, load, start
from tooling import node

HOSTS = {
    "CPython": [sys.executable, "-m", "tests.bench.sessions.ours"],
    "Pyodide in Node": [node.node(), *PYODIDE, Path(__file__).parent / "pyodide.mjs"],
}
TIMES = (
    "all",
    "events per second",
    "first event, median",
    "first event, 99 %",
    "first word, median",
    "first word, 99 %",
    "longest wait for an event",
)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="build.py bench --sessions", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--running", type=int, default=1000)
    options = parser.parse_args(words)
    weights: dict[str, dict[str, float]] = {}
    times: dict[str, dict[str, list[float]]] = {host: {name: [] for name in TIMES} for host in HOSTS}
    for host, command in HOSTS.items():  # in fresh processes: what was used before hides what is used now
        with start(command) as process:
            weights[host] = process.ask(["weigh", options.idle])
    with ExitStack() as stack:
        processes = {host: stack.enter_context(start(command)) for host, command in HOSTS.items()}
        for number in range(options.rounds + 1):
            for host, process in processes.items():
                taken = process.ask(["run", options.running])
                for name in TIMES if number else ():  # the first round warms up
                    times[host][name].append(taken[name])
    print(f"CPython {platform.python_version()}, {options.rounds} rounds, {load()}")
    print(f"\n| bytes each of {options.idle} sessions | history | beside it, between runs | beside it, waiting |")
    print("|---|---|---|---|")
    for host, weight in weights.items():
        beside = " | ".join(f"{weight[name] - weight['history']:.0f}" for name in ("idle", "open"))
        print(f"| {host} | {weight['history']:.0f} | {beside} |")
    print(f"\n| {options.running} runs at once, ms | {' | '.join(HOSTS)} |\n|---|{'---|' * len(HOSTS)}")
    for name in TIMES:
        print(f"| {name} | {' | '.join(f'{median(times[host][name]):.0f}' for host in HOSTS)} |")
    ratios = [median(times[host]["first event, 99 %"]) / median(times[host]["first event, median"]) for host in HOSTS]
    print(f"| first event, 99 % / median | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
