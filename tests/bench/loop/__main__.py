"""What the loop costs, beside pydantic-ai and openai-agents; a switch of tasks; a token on its way to the page.

    python3 build.py bench --loop [--rounds 7] [--count 300] [--tokens 20000] [--no-page]

A run is one question: the model calls a tool twice, then says a word. All have a fake model of their own that never
waits. The peers run on CPython, whole (their cheapest way) and streamed (as ours always is), in a virtual environment
in `build/peers-loop`. A token is a `data:` line of chat completions in a stream that comes as fast as the socket gives
it, up to the `text_delta` that the page reads; the time is from the first one to the last. Prints medians; judges
nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.bench.lines import PYODIDE, ROOT, load, make_peers, start
from tests.bench.page import open_page
from tooling import node

from .upstream import Upstream

PINS = ("pydantic-ai-slim==2.68.0", "openai-agents==0.24.0")
PEERS = ROOT / "build" / "peers-loop"
SWITCHES = ("create_task and await", "sleep(0)", "queue, one way")
AGENT = 'from limpet import Agent\nagent = Agent(model="openai:gpt-5-mini")\n'


@dataclass
class Row:
    """One thing that is measured in one process, and its microseconds."""

    name: str
    process: str
    question: list[str]
    count: int
    times: list[float] = field(default_factory=list)


def rows(count: int) -> list[Row]:
    """Give all that is asked, the run of ours in Pyodide second."""
    runs = [
        Row("limpet, CPython", "ours", ["run"], count),
        Row("limpet, Pyodide in Node", "pyodide", ["ours", "run"], count),
        *(
            Row(f"{name}{mode}, CPython", "peers", [name + mode], count)
            for name in ("pydantic-ai", "openai-agents")
            for mode in ("", ", streamed")
        ),
    ]
    switches = [Row(f"{name}, CPython", "ours", [name], 20 * count) for name in SWITCHES]
    for loop in ("ours", "stock"):
        label = "our loop" if loop == "ours" else "stock loop"
        switches += [Row(f"{name}, Pyodide, {label}", "pyodide", [loop, name], 10 * count) for name in SWITCHES]
    return runs + switches


def measure(rounds: int, count: int) -> list[Row]:
    """Ask all in turns; the first round warms up and is not counted."""
    found = rows(count)
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(start(words))
            for name, words in {
                "ours": [sys.executable, "-m", "tests.bench.loop.ours"],
                "pyodide": [node.node(), *PYODIDE, Path(__file__).parent / "pyodide.mjs"],
                "peers": [make_peers(PEERS, PINS), "-m", "tests.bench.loop.peers"],
            }.items()
        }
        for number in range(rounds + 1):
            for row in found:
                taken = processes[row.process].ask([*row.question, row.count])
                if number:
                    row.times.append(taken)
    return found


async def stream(rounds: int, tokens: int) -> tuple[str, list[float]]:
    """Give Chromium's version, and the microseconds per token of each round."""
    with Upstream(tokens) as upstream:
        remote = {"model": "openai:gpt-5-mini", "base_url": upstream.url, "api_key": "none"}
        async with open_page(AGENT, remote) as page:
            times = []
            for _ in range(rounds + 1):
                seen = await page.run("count")
                assert seen["deltas"] == tokens, seen["deltas"]
                times.append(seen["text"] / tokens * 1000)
            return page.version, times[1:]


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="build.py bench --loop", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--no-page", action="store_true", help="without Chromium")
    options = parser.parse_args(words)
    found = measure(options.rounds, options.count)
    print(f"CPython {platform.python_version()}, {', '.join(PINS)}, {options.rounds} rounds, {load()}")
    pyodide = median(found[1].times)
    print("\n| a run with two tool calls | us (best) | times ours in Pyodide |\n|---|---|---|")
    for row in found:
        if "run" in row.question or row.process == "peers":
            middle = median(row.times)
            print(f"| {row.name} | {middle:.0f} ({min(row.times):.0f}) | {middle / pyodide:.2f} |")
    print("\n| a switch of tasks | us (best) |\n|---|---|")
    for row in found:
        if row.question[-1] in SWITCHES:
            print(f"| {row.name} | {median(row.times):.1f} ({min(row.times):.1f}) |")
    if not options.no_page:
        version, times = asyncio.run(stream(options.rounds, options.tokens))
        print("\n| a streamed token, from the socket to the page | us (best) |\n|---|---|")
        print(f"| Chromium {version}, {options.tokens} tokens | {median(times):.1f} ({min(times):.1f}) |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
