"""Our runs, on any host: `serve` answers lines on CPython, `measure` is called by Pyodide."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from limpet import Agent, tool
from limpet.events import ModelStart, TextDelta, TextEnd, TextStart, ToolCallDelta, ToolCallEnd, ToolCallStart, Usage
from limpet.model import Delta, Finish, ModelInfo, ModelRequest
from tests.fakes.host import make_host


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class FakeModel:
    """Calls the tool twice, then answers."""

    info = ModelInfo("fake", "model")

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        yield ModelStart("fake:model")
        if request.messages[-1].role == "user":
            for call_id in ("one", "two"):
                yield ToolCallStart(call_id, "add")
                yield ToolCallDelta(call_id, ARGUMENTS)
                yield ToolCallEnd(call_id, "add", ARGUMENTS)
            yield Finish("tool_calls", USAGE)
        else:
            yield TextStart("0")
            yield TextDelta("0", "done")
            yield TextEnd("0")
            yield Finish("stop", USAGE)


ARGUMENTS = '{"a": 1, "b": 2}'
USAGE = Usage(input_tokens=8, output_tokens=4)


async def run_agent(count: int) -> None:
    """A run of one question with two tool calls, each event read."""
    agent, host = Agent(model=FakeModel(), tools=[add], instructions="Add."), make_host()
    for _ in range(count):
        kinds = [event.type async for event in agent.run("1 + 2, twice", host=host)]
        assert kinds.count("tool_result") == 2


async def create_and_await(count: int) -> None:
    """A task that is made and waited for."""

    async def nothing() -> None: ...

    for _ in range(count):
        await asyncio.create_task(nothing())


async def sleep_zero(count: int) -> None:
    """Let the others go on."""
    for _ in range(count):
        await asyncio.sleep(0)


async def ping_pong(count: int) -> None:
    """Two tasks that hand a value to each other; a switch is one way."""
    there: asyncio.Queue[int] = asyncio.Queue()
    back: asyncio.Queue[int] = asyncio.Queue()

    async def answer() -> None:
        for _ in range(count // 2):
            await back.put(await there.get())

    task = asyncio.create_task(answer())
    for number in range(count // 2):
        await there.put(number)
        await back.get()
    await task


WORK: Mapping[str, Callable[[int], Awaitable[None]]] = {
    "run": run_agent,
    "create_task and await": create_and_await,
    "sleep(0)": sleep_zero,
    "queue, one way": ping_pong,
}


async def measure(name: str, count: int) -> float:
    """Give the microseconds of one of `count`."""
    gc.collect()
    start = time.perf_counter()
    await WORK[name](count)
    return (time.perf_counter() - start) / count * 1e6


async def serve() -> None:
    """Answer each line of standard input, `["name", count]`, with the microseconds."""
    for line in sys.stdin:
        print(await measure(*json.loads(line)), flush=True)


if __name__ == "__main__":
    asyncio.run(serve())
