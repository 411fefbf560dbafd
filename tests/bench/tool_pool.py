"""Tools with `pool=True` in a page: how soon a worker of the pool is there, and whether two use two processors.

    python3 build.py bench --pool [--rounds 5] [--count 3000000]

In each round: a tool that computes for ever is stopped, which ends its worker, so that the next call starts another;
the same call again, to a worker that stands by (the difference is the start); two tools that compute, one after the
other and at once. Prints medians; judges nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from statistics import median

from .page import open_page

AGENT = """
from limpet import Agent, tool
from limpet.providers.scripted import ScriptedModel, call_tool

@tool(pool=True)
def nothing() -> int:
    return 1

@tool(pool=True)
def spin() -> None:
    while True:
        pass

@tool(pool=True)
def burn(count: int) -> int:
    total = 0
    for number in range(count):
        total += number & 7
    return total

class Replies(ScriptedModel):
    def __init__(self):
        super().__init__([])

    async def stream(self, request):
        import json
        last = request.messages[-1]
        calls = json.loads(last.text) if last.role == "user" else []
        parts = [call_tool(name, str(place), **given) for place, (name, given) in enumerate(calls)]
        async for delta in ScriptedModel([parts or "done"]).stream(request):
            yield delta

agent = Agent(model=Replies(), tools=[nothing, spin, burn])
"""
NOTHING = json.dumps([["nothing", {}]])
SPIN = json.dumps([["spin", {}]])


async def measure(rounds: int, count: int) -> tuple[str, dict[str, list[float]]]:
    """Give Chromium's version and the milliseconds of each thing; the first round warms up and is not counted."""
    times: dict[str, list[float]] = {}
    one, two = (json.dumps([["burn", {"count": count}]] * many) for many in (1, 2))
    async with open_page(AGENT) as page:
        for number in range(rounds + 1):
            # Twice, for there may be two workers.
            stopped = [await page.run(SPIN, 50) for _ in range(2)]
            assert all(seen["finish"] == "cancelled" for seen in stopped)
            fresh = (await page.run(NOTHING))["last"]
            warm = (await page.run(NOTHING))["last"]
            await page.run(json.dumps([["burn", {"count": 1}]] * 2))  # now both are there
            turn = sum([(await page.run(one))["last"] for _ in range(2)])
            at_once = (await page.run(two))["last"]
            if number:
                row = {
                    "a call that starts its worker": fresh,
                    "a call to a worker that stands by": warm,
                    "start of a worker (the difference)": fresh - warm,
                    "two tools, one after the other": turn,
                    "two tools at once": at_once,
                }
                for name, value in row.items():
                    times.setdefault(name, []).append(value)
        return page.version, times


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="build.py bench --pool", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=3_000_000, help="rounds of the tool's loop")
    options = parser.parse_args(words)
    version, times = asyncio.run(measure(options.rounds, options.count))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"Chromium {version}, {os.cpu_count()} processors, {options.rounds} rounds, load {load}")
    print("\n| in a page | median ms (least, most) |\n|---|---|")
    for name, values in times.items():
        print(f"| {name} | {median(values):.0f} ({min(values):.0f}, {max(values):.0f}) |")
    ratio = median(times["two tools, one after the other"]) / median(times["two tools at once"])
    print(f"\nat once {ratio:.2f} times as fast")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
