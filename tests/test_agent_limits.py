"""A run stays within its turns, tokens and seconds, and what was done before it hit a limit is kept."""

from __future__ import annotations

import asyncio

from limpet import (
    Agent,
    Event,
    Host,
    Message,
    Part,
    RunError,
    TextDelta,
    ToolCallEnd,
    ToolResult,
    ToolResultPart,
    TurnStart,
    Usage,
    tool,
)
from limpet.conversation import load_conversation, mend
from limpet.errors import WireFormatError
from limpet.events import ToolCallDelta, ToolCallStart
from limpet.model import Finish
from limpet.providers.scripted import Pause, ScriptedModel, Step, call_tool
from tests.fakes.clock import FakeClock
from tests.fakes.host import make_host
from tests.fakes.recorded_run import read


@tool
def count() -> str:
    """Count once more."""
    return "counted"


async def run_into_limit(agent: Agent, host: Host) -> tuple[list[Event], list[Message]]:
    events: list[Event] = []
    await read(agent.run("go", host=host, conversation_id="c"), events)
    assert isinstance(events[-1], RunError)
    return events, await load_conversation(host.storage, "c")


async def test_a_run_ends_when_its_turns_are_used(host: Host) -> None:
    agent = Agent(model=ScriptedModel([call_tool("count")] * 5), tools=[count], max_turns=2)

    events, stored = await run_into_limit(agent, host)

    assert events[-1] == RunError("TurnLimitError", "the run used all of its 2 turns")
    assert [event.turn for event in events if isinstance(event, TurnStart)] == [1, 2]
    assert sum(isinstance(event, ToolResult) for event in events) == 2
    assert [message.role for message in stored] == ["user", "assistant", "tool", "assistant", "tool"]


async def test_the_last_turn_may_answer(host: Host) -> None:
    agent = Agent(model=ScriptedModel([call_tool("count"), "Done."]), tools=[count], max_turns=2)

    assert (await agent.run("go", host=host)).text == "Done."


async def test_a_run_ends_when_its_tokens_are_used(host: Host) -> None:
    model = ScriptedModel([call_tool("count")] * 5, usage=Usage(60, 40))
    agent = Agent(model=model, tools=[count], max_tokens=150)

    events, stored = await run_into_limit(agent, host)

    assert events[-1] == RunError("TokenLimitError", "the run used 200 tokens and may use 150")
    assert len(model.requests) == 2
    assert stored[-1] == Message("tool", (ToolResultPart("count-1", "count", "counted"),))


async def test_an_answer_that_used_the_last_token_stands(host: Host) -> None:
    model = ScriptedModel(["Done."], usage=Usage(60, 140))

    assert (await Agent(model=model, max_tokens=150).run("go", host=host)).text == "Done."


async def test_a_run_ends_when_its_seconds_are_used_while_the_model_speaks() -> None:
    before = asyncio.all_tasks()
    clock = FakeClock(is_moving=False)
    host = make_host(clock=clock)
    model = ScriptedModel(["Once upon a time"], clock=clock, pause_seconds=3)
    run = Agent(model=model, max_seconds=10).run("go", host=host, conversation_id="c")
    events: list[Event] = []
    reader = asyncio.create_task(read(run, events))

    await pass_seconds(clock, reader)

    assert events[-1] == RunError("TimeLimitError", "the run used all of its 10 seconds")
    assert clock.now() == 1_000_010.0
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["Once "]
    assert (await load_conversation(host.storage, "c"))[-1].text == "Once "
    assert asyncio.all_tasks() == before


async def test_a_run_ends_when_its_seconds_are_used_while_tools_work() -> None:
    clock = FakeClock(is_moving=False)
    host = make_host(clock=clock)

    @tool
    async def wait(seconds: int) -> str:
        await clock.sleep(seconds)
        return f"waited {seconds}"

    model = ScriptedModel([[call_tool("wait", "a", seconds=1), call_tool("wait", "b", seconds=99)]])
    run = Agent(model=model, tools=[wait], max_seconds=10).run("go", host=host, conversation_id="c")
    events: list[Event] = []
    reader = asyncio.create_task(read(run, events))

    await pass_seconds(clock, reader)

    assert events[-2:] == [
        ToolResult("a", "wait", "waited 1"),
        RunError("TimeLimitError", "the run used all of its 10 seconds"),
    ]
    stored = await load_conversation(host.storage, "c")
    assert stored == mend(stored)
    assert stored[-1].parts == (
        ToolResultPart("a", "wait", "waited 1"),
        ToolResultPart("b", "wait", "this call was stopped because the run failed", is_error=True),
    )


async def test_the_time_before_a_run_is_read_does_not_count(host: Host) -> None:
    clock = FakeClock()
    run = Agent(model=ScriptedModel(["Hi"], clock=clock, pause_seconds=0.1), max_seconds=10).run(
        "go", host=make_host(clock=clock)
    )
    clock.advance(100)

    assert (await run).text == "Hi"


async def test_the_alarm_ends_with_the_run() -> None:
    before = asyncio.all_tasks()
    clock = FakeClock(is_moving=False)

    await Agent(model=ScriptedModel(["Hi"]), max_seconds=10).run("go", host=make_host(clock=clock))

    assert asyncio.all_tasks() == before


async def pass_seconds(clock: FakeClock, reader: asyncio.Task[None]) -> None:
    """Let the clock go on second by second until the reader is done."""
    for _ in range(100):
        for _ in range(30):
            await asyncio.sleep(0)
        if reader.done():
            return
        clock.advance(1)
    raise AssertionError("the run did not end")


async def test_a_call_that_was_cut_off_by_the_length_is_not_run(host: Host) -> None:
    called: list[int] = []

    @tool
    def press(times: int) -> str:
        called.append(times)
        return "pressed"

    cut: list[Part | Step] = [ToolCallStart("c", "press"), ToolCallDelta("c", '{"times": 1'), Finish("length")]
    closed: list[Part | Step] = [
        ToolCallStart("c", "press"),
        ToolCallEnd("c", "press", '{"times": 1'),
        Finish("length"),
    ]
    for steps in (cut, closed):
        result = await Agent(model=ScriptedModel([steps]), tools=[press]).run("go", host=host)

        assert result.finish_reason == "length"
        assert mend(result.messages) == list(result.messages)
    assert called == []


async def test_a_call_whose_stream_broke_is_not_run(host: Host) -> None:
    called: list[int] = []

    @tool
    def press(times: int) -> str:
        called.append(times)
        return "pressed"

    steps: list[Part | Step] = [call_tool("press", times=1), Pause(0), WireFormatError("cut off")]
    events: list[Event] = []
    await read(Agent(model=ScriptedModel([steps]), tools=[press]).run("go", host=host), events)

    assert isinstance(events[-1], RunError)
    assert any(isinstance(event, ToolCallEnd) for event in events)
    assert called == []
