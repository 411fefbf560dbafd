"""The loop and its tools: every call is answered, whatever the model wrote and whatever the tool does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from limpet import Agent, Approval, Event, Host, ToolCallPart, ToolError, ToolProgress, ToolResult, tool
from limpet.events import ToolCallEnd
from limpet.providers.scripted import ScriptedModel, call_tool
from limpet.run import Run
from limpet.tools import Tool
from tests.fakes.recorded_run import read


@tool
def set_timer(minutes: int) -> str:
    """Set a kitchen timer."""
    return f"timer set for {minutes} minutes"


async def results_of(run: Run) -> list[ToolResult]:
    events: list[Event] = []
    await read(run, events)
    return [event for event in events if isinstance(event, ToolResult)]


def calling(*calls: ToolCallPart, tools: list[Tool[..., object]], **settings: int) -> Agent:
    return Agent(model=ScriptedModel([list(calls), "Done."]), tools=tools, **settings)  # type: ignore[arg-type]


async def test_an_unknown_tool_is_answered_with_the_tools_there_are(host: Host) -> None:
    model = ScriptedModel([call_tool("set_alarm", minutes=1), "Sorry."])

    result = await Agent(model=model, tools=[set_timer]).run("go", host=host)

    answer = result.messages[2].tool_results[0]
    assert answer.is_error
    assert answer.content == "there is no tool 'set_alarm'; the tools are: set_timer"
    assert result.text == "Sorry."
    assert model.requests[1].messages[-1].tool_results == (answer,)


@pytest.mark.parametrize("arguments", ['{"minutes": ', '{"minutes": "many"}', "{}", "[1]", '{"minutes": 1, "x": 2}'])
async def test_broken_arguments_are_answered_with_what_to_repair(host: Host, arguments: str) -> None:
    agent = calling(ToolCallPart("c", "set_timer", arguments), tools=[set_timer])

    [result] = await results_of(agent.run("go", host=host))

    assert result.is_error
    assert isinstance(result.content, str)
    assert len(result.content) > 20


async def test_a_tool_error_is_told_as_it_is(host: Host) -> None:
    @tool
    def fail() -> None:
        raise ToolError("the oven is off; call heat_oven first")

    run = calling(call_tool("fail"), tools=[fail]).run("go", host=host)

    assert await results_of(run) == [
        ToolResult("fail-1", "fail", "the oven is off; call heat_oven first", is_error=True)
    ]


async def test_of_another_exception_only_the_name_is_told(host: Host) -> None:
    @tool
    def fail() -> None:
        raise ConnectionResetError("password=swordfish")

    run = calling(call_tool("fail"), tools=[fail]).run("go", host=host)

    assert await results_of(run) == [
        ToolResult("fail-1", "fail", "the tool failed: ConnectionResetError", is_error=True)
    ]
    assert str(run.failures["fail-1"]) == "password=swordfish"


async def test_a_tool_whose_own_work_was_cancelled_has_failed(host: Host) -> None:
    @tool
    async def fail() -> None:
        raise asyncio.CancelledError

    run = calling(call_tool("fail"), tools=[fail]).run("go", host=host)

    assert await results_of(run) == [ToolResult("fail-1", "fail", "the tool's own work was cancelled", is_error=True)]


async def test_a_tool_that_takes_too_long_is_answered(host: Host) -> None:
    @tool(timeout_seconds=0.01)
    async def hang() -> None:
        await asyncio.Event().wait()

    [result] = await results_of(calling(call_tool("hang"), tools=[hang]).run("go", host=host))

    assert result.is_error
    assert "0.01 seconds" in str(result.content)


async def test_results_come_in_the_order_of_the_calls(host: Host) -> None:
    finished: list[int] = []

    @tool
    async def wait(seconds: int) -> int:
        await host.clock.sleep(seconds)
        finished.append(seconds)
        return seconds

    calls = [call_tool("wait", str(seconds), seconds=seconds) for seconds in (3, 1, 2)]
    results = await results_of(calling(*calls, tools=[wait]).run("go", host=host))

    assert finished == [1, 2, 3]
    assert [result.content for result in results] == [3, 1, 2]


@pytest.mark.parametrize(("limit", "most"), [(1, 1), (2, 2), (4, 4), (9, 6)])
async def test_at_most_so_many_calls_run_at_once(host: Host, limit: int, most: int) -> None:
    running: list[int] = []
    counts: list[int] = []

    @tool
    async def wait(number: int) -> int:
        running.append(number)
        counts.append(len(running))
        await host.clock.sleep(1)
        running.remove(number)
        return number

    calls = [call_tool("wait", str(number), number=number) for number in range(6)]
    results = await results_of(calling(*calls, tools=[wait], max_parallel_tools=limit).run("go", host=host))

    assert max(counts) == most
    assert [result.content for result in results] == list(range(6))


async def test_progress_is_told_while_the_tool_works(host: Host) -> None:
    @tool
    async def boil(eggs: int) -> AsyncIterator[dict[str, int]]:
        for minute in (1, 2):
            yield {"minute": minute}
            await host.clock.sleep(60)
        yield {"eggs": eggs}

    run = calling(call_tool("boil", eggs=3), tools=[boil]).run("go", host=host)
    events: list[Event] = []
    times: list[float] = []
    async for event in run:
        if isinstance(event, (ToolProgress, ToolResult)):
            events.append(event)
            times.append(host.clock.now() - 1_000_000)

    assert events == [
        ToolProgress("boil-1", {"minute": 1}),
        ToolProgress("boil-1", {"minute": 2}),
        ToolResult("boil-1", "boil", {"eggs": 3}),
    ]
    assert times == [0, 60, 120]


async def test_a_result_is_json(host: Host) -> None:
    @tool
    def look() -> dict[str, list[int]]:
        return {"timers": [10, 3]}

    [result] = await results_of(calling(call_tool("look"), tools=[look]).run("go", host=host))

    assert result == ToolResult("look-1", "look", {"timers": [10, 3]})


# --- approval ---------------------------------------------------------------------------------------------------


@tool(requires_approval=True)
def order(what: str) -> str:
    """Order something."""
    return f"{what} is on its way"


async def test_a_call_that_a_person_allowed_is_run(host: Host) -> None:
    asked: list[Approval] = []

    async def approve(approval: Approval) -> bool:
        asked.append(approval)
        return True

    run = calling(call_tool("order", what="salt"), tools=[order]).run("go", host=host, approve=approve)
    events: list[Event] = []
    async for event in run:
        if isinstance(event, Approval):
            assert asked == []
        events.append(event)

    approval = Approval("order-1", "order", '{"what": "salt"}')
    assert asked == [approval]
    place = events.index(approval)
    assert isinstance(events[place - 1], ToolCallEnd)
    assert events[place + 1] == ToolResult("order-1", "order", "salt is on its way")


async def test_a_call_that_a_person_refused_is_answered(host: Host) -> None:
    async def approve(approval: Approval) -> bool:
        return False

    run = calling(call_tool("order", what="salt"), tools=[order]).run("go", host=host, approve=approve)

    [result] = await results_of(run)
    assert result.is_error
    assert "refused" in str(result.content)


async def test_without_anybody_to_ask_the_answer_is_no(host: Host) -> None:
    [result] = await results_of(calling(call_tool("order", what="salt"), tools=[order]).run("go", host=host))

    assert result.is_error
    assert "nobody is there" in str(result.content)


@pytest.mark.parametrize(("answer", "is_run"), [(True, True), (False, False), ("no", False), (None, False)])
async def test_a_plain_function_may_approve_and_only_yes_is_yes(host: Host, answer: Any, is_run: bool) -> None:
    run = calling(call_tool("order", what="salt"), tools=[order]).run("go", host=host, approve=lambda _: answer)

    [result] = await results_of(run)

    assert result.is_error is not is_run


async def test_a_broken_call_is_not_shown_to_a_person(host: Host) -> None:
    async def approve(approval: Approval) -> bool:
        raise AssertionError("nobody must be asked")

    [result] = await results_of(
        calling(ToolCallPart("c", "order", "{}"), tools=[order]).run("go", host=host, approve=approve)
    )

    assert result.is_error


async def test_other_calls_go_on_while_a_person_thinks(host: Host) -> None:
    allowed = asyncio.Event()

    @tool
    def go_ahead() -> str:
        allowed.set()
        return "gone"

    async def approve(approval: Approval) -> bool:
        await allowed.wait()
        return True

    agent = calling(
        call_tool("order", what="salt"), call_tool("go_ahead"), tools=[order, go_ahead], max_parallel_tools=1
    )
    results = await results_of(agent.run("go", host=host, approve=approve))

    assert [result.content for result in results] == ["salt is on its way", "gone"]


async def test_an_approver_that_fails_fails_the_run(host: Host) -> None:
    before = asyncio.all_tasks()

    async def approve(approval: Approval) -> bool:
        raise LookupError("the page is gone")

    run = calling(call_tool("order", what="salt"), tools=[order]).run("go", host=host, approve=approve)
    events: list[Event] = []
    await read(run, events)

    with pytest.raises(LookupError):
        await run
    assert asyncio.all_tasks() == before
