"""The sessions, on any host: one agent, one host, and as many runs as are asked for."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from statistics import median
from typing import Any

from limpet import Agent, Message, tool
from limpet.events import ModelStart, TextDelta, TextEnd, TextStart, ToolCallDelta, ToolCallEnd, ToolCallStart, Usage
from limpet.messages import TextPart
from limpet.model import Delta, Finish, ModelInfo, ModelRequest
from limpet.run import Run
from tests.fakes.host import make_host


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    await asyncio.sleep(0)
    return a + b


class FakeModel:
    """Waits before each delta, as a model behind a socket does; calls a tool, then says some words."""

    info = ModelInfo("fake", "model")

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        for delta in self._answer(request):
            await asyncio.sleep(0)
            yield delta

    def _answer(self, request: ModelRequest) -> list[Delta]:
        usage = Usage(input_tokens=8, output_tokens=4)
        if request.messages[-1].role == "user":
            call = ("one", "add", '{"a": 1, "b": 2}')
            tool_call = [ToolCallStart(*call[:2]), ToolCallDelta(call[0], call[2]), ToolCallEnd(*call)]
            return [ModelStart("fake:model"), *tool_call, Finish("tool_calls", usage)]
        words = [TextDelta("0", f"word {number} ") for number in range(20)]
        return [ModelStart("fake:model"), TextStart("0"), *words, TextEnd("0"), Finish("stop", usage)]


class SilentModel(FakeModel):
    """Never says a word."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        yield ModelStart("fake:model")
        await asyncio.get_running_loop().create_future()


class ShortModel(FakeModel):
    """Answers at once, in a word."""

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        for delta in (
            ModelStart("fake:model"),
            TextStart("0"),
            TextDelta("0", "Done."),
            TextEnd("0"),
            Finish("stop", Usage(8, 4)),
        ):
            yield delta


def history(number: int) -> list[Message]:
    """Give a short history that shares nothing with another one."""
    return [
        Message("user" if place % 2 == 0 else "assistant", (TextPart(f"{number} {place} " + "some words " * 20),))
        for place in range(6)
    ]


async def weigh(count: int, used_bytes: Callable[[], int]) -> dict[str, float]:
    """Give the bytes of a history, of a session between two runs, and of one whose run waits for its model."""
    host = make_host()
    agents = {
        name: Agent(model=model, tools=[add]) for name, model in (("idle", ShortModel()), ("open", SilentModel()))
    }
    weights: dict[str, float] = {}

    async def take(name: str, make: Callable[[int], Any]) -> list[Any]:
        gc.collect()
        before = used_bytes()
        kept = [await item if asyncio.iscoroutine(item := make(number)) else item for number in range(count)]
        gc.collect()
        weights[name] = (used_bytes() - before) / count
        return kept

    async def idle(number: int) -> Run:
        run = agents["idle"].run("And now?", host=host, messages=history(number))
        async for _ in run:
            pass
        return run

    async def opened(number: int) -> Run:
        run = agents["open"].run("And now?", host=host, messages=history(number))
        async for event in run:
            if isinstance(event, ModelStart):
                break
        return run

    await idle(0)
    await (await opened(0)).close()
    histories = await take("history", history)
    runs = await take("idle", idle)
    open_runs = await take("open", opened)
    for run in open_runs:
        await run.close()
    del histories, runs
    return weights


async def run_many(count: int) -> dict[str, float]:
    """Run so many at once; give the milliseconds to the first events and the first words of each, and of all."""
    host = make_host()
    agent = Agent(model=FakeModel(), tools=[add])
    firsts: list[float] = []
    words: list[float] = []
    gaps: list[float] = []
    before = asyncio.all_tasks()

    async def one() -> None:
        last = start
        run = agent.run("1 + 2", host=host)
        kinds: list[str] = []
        async for event in run:
            now = time.perf_counter()
            if not kinds:
                firsts.append(now - start)
            if isinstance(event, TextDelta) and "text_delta" not in kinds:
                words.append(now - start)
            gaps.append(now - last)
            last = now
            kinds.append(event.type)
        assert (kinds[0], kinds[-1], kinds.count("text_delta")) == ("run_start", "run_end", 20)

    gc.collect()
    start = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(count)))
    seconds = time.perf_counter() - start
    assert len(firsts) == count
    assert asyncio.all_tasks() <= before

    def at(values: list[float], share: float) -> float:
        return sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1000

    return {
        "all": seconds * 1000,
        "events per second": len(gaps) / seconds,
        "first event, median": median(firsts) * 1000,
        "first event, 99 %": at(firsts, 0.99),
        "first word, median": median(words) * 1000,
        "first word, 99 %": at(words, 0.99),
        "longest wait for an event": max(gaps) * 1000,
    }


def resident_bytes() -> int:
    """Give what this process holds of the machine's memory."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


async def serve() -> None:
    """Answer each line of standard input, `["weigh" or "run", count]`, with a line of JSON."""
    for line in sys.stdin:
        what, count = json.loads(line)
        print(json.dumps(await (weigh(count, resident_bytes) if what == "weigh" else run_many(count))), flush=True)


if __name__ == "__main__":
    asyncio.run(serve())
