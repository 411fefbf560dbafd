"""Many runs at once in one interpreter: each is whole and in order, nobody starves, and nothing is left of them."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import AsyncIterator

from limpet import Agent, Event, RunEnd, RunStart, TextDelta, ToolResult, tool
from limpet.model import Delta, ModelRequest
from limpet.providers.scripted import ScriptedModel, call_tool
from limpet.run import Run
from tests.fakes.host import make_host

COUNT = 200


@tool
async def double(number: int) -> int:
    """Double a number."""
    await asyncio.sleep(0)
    return 2 * number


class Doubler:
    """Has the number of the question doubled and tells the result, waiting before each delta."""

    info = ScriptedModel([]).info

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        last = request.messages[-1]
        if last.role == "user":
            reply = ScriptedModel([call_tool("double", number=int(last.text))])
        else:
            reply = ScriptedModel([f"it is {last.parts[0].content} then"])  # type: ignore[union-attr]
        async for delta in reply.stream(request):
            await asyncio.sleep(0)
            yield delta


async def test_every_run_is_whole_and_nothing_is_left() -> None:
    agent, host = Agent(model=Doubler(), tools=[double]), make_host()
    runs: weakref.WeakSet[Run] = weakref.WeakSet()
    order: list[int] = []
    before = asyncio.all_tasks()

    async def one(number: int) -> list[Event]:
        run = agent.run(str(number), host=host)
        runs.add(run)
        events = []
        async for event in run:
            order.append(number)
            assert run.next_event_id == len(events) + 1
            events.append(event)
        return events

    told = await asyncio.gather(*(one(number) for number in range(COUNT)))

    for number, events in enumerate(told):
        assert isinstance(events[0], RunStart)
        assert isinstance(events[-1], RunEnd)
        assert [event.content for event in events if isinstance(event, ToolResult)] == [2 * number]
        assert "".join(event.text for event in events if isinstance(event, TextDelta)) == f"it is {2 * number} then"
    assert len({tuple(event.type for event in events) for events in told}) == 1
    # When the first has half of its events, nobody is without one, and nobody is far ahead.
    half = len(told[0]) // 2
    place = [index for index, number in enumerate(order) if number == 0][half - 1]
    had = Counter(order[: place + 1])
    assert len(had) == COUNT
    assert max(had.values()) <= 2 * half
    assert asyncio.all_tasks() == before
    del told
    gc.collect()
    assert len(runs) == 0


async def test_runs_that_are_stopped_together_leave_nothing() -> None:
    agent, host = Agent(model=Doubler(), tools=[double]), make_host()
    runs = [agent.run(str(number), host=host) for number in range(COUNT)]
    before = asyncio.all_tasks()

    async def read(run: Run, stop_at: int) -> str:
        events: list[Event] = []
        async for event in run:
            events.append(event)
            if len(events) == stop_at:
                run.cancel()
        assert isinstance(events[-1], RunEnd)
        return events[-1].finish_reason

    ends = await asyncio.gather(*(read(run, 1 + number % 12) for number, run in enumerate(runs)))

    assert set(ends) <= {"cancelled", "stop"}
    assert ends.count("cancelled") > COUNT // 2
    assert asyncio.all_tasks() == before
