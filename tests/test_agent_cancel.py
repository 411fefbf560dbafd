"""A run may be stopped anywhere: it ends once, keeps what was said, and leaves nothing running."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from limpet import (
    Agent,
    ConfigurationError,
    Event,
    Host,
    Message,
    RunEnd,
    RunError,
    TextDelta,
    TextPart,
    ToolProgress,
    ToolResultPart,
    Usage,
    tool,
)
from limpet.conversation import load_conversation, mend
from limpet.events import ModelStart, RunStart, ToolCallDelta, ToolCallEnd, TurnStart
from limpet.model import Delta, ModelInfo, ModelRequest
from limpet.providers.scripted import Pause, ScriptedModel, call_tool
from limpet.stores.memory import MemoryStorage
from tests.fakes.host import make_host
from tests.fakes.reading import read as read_all
from tests.fakes.reading import read_into
from tests.fakes.recorded_run import MOMENTS, World, read

Tasks = set[asyncio.Task[Any]]


async def recorded() -> list[Event]:
    events: list[Event] = []
    await read(World().run(), events)
    return events


async def settle(times: int) -> None:
    """Let everybody else go on a number of times."""
    for _ in range(times):
        await asyncio.sleep(0)


async def test_the_recorded_run_has_all_that_may_happen() -> None:
    kinds = {event.type for event in await recorded()}

    assert kinds >= {"reasoning_delta", "text_delta", "tool_call_end", "approval", "tool_progress", "tool_result"}


async def test_cancelled_after_each_of_its_events() -> None:
    before = asyncio.all_tasks()
    whole = await recorded()
    for count in range(len(whole)):
        world = World()
        run = world.run()
        events = [await anext(run) for _ in range(count)]

        run.cancel()
        run.cancel()
        await read(run, events)

        await check_cancelled(before, world, events, whole)
        # A run that had not begun still begins.
        assert len(events) == max(count, 1) + 1


async def test_cancelled_at_each_of_its_awaits() -> None:
    before = asyncio.all_tasks()
    whole = await recorded()
    ends = set()
    for times in MOMENTS:
        world = World()
        run = world.run()
        events: list[Event] = []
        reader = asyncio.create_task(read(run, events))
        await settle(times)
        if reader.done():
            break

        run.cancel()
        await reader

        await check_cancelled(before, world, events, whole)
        result = await run
        assert mend(result.messages) == list(result.messages)
        ends.add(len(events))
    else:
        pytest.fail("the run never ended")
    # There were awaits all over the run: in the storage, the model, the approval and the tools.
    assert len(ends) > 25 // MOMENTS.step


async def check_cancelled(before: Tasks, world: World, events: list[Event], whole: list[Event]) -> None:
    assert [type(event) for event in events[:-1]] == [type(event) for event in whole[: len(events) - 1]]
    end = events[-1]
    assert isinstance(end, RunEnd)
    assert end.finish_reason == "cancelled"
    assert asyncio.all_tasks() == before
    stored = await load_conversation(world.host.storage, "kitchen")
    assert mend(stored) == stored
    # Nothing goes on behind the run's back.
    done = dict(world.done)
    await settle(50)
    assert dict(world.done) == done


async def test_the_reader_cancelled_at_each_of_its_awaits() -> None:
    before = asyncio.all_tasks()
    for times in MOMENTS:
        world = World()
        events: list[Event] = []
        reader = asyncio.create_task(read(world.run(), events))
        await settle(times)
        if reader.done():
            break

        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader

        assert not any(isinstance(event, (RunEnd, RunError)) for event in events)
        assert asyncio.all_tasks() == before
        stored = await load_conversation(world.host.storage, "kitchen")
        assert mend(stored) == stored
    else:
        pytest.fail("the run never ended")


async def test_what_was_said_is_kept(host: Host) -> None:
    run = Agent(model=ScriptedModel(["Once upon a time"])).run("a story", host=host, conversation_id="c")
    async for event in run:
        if isinstance(event, TextDelta) and event.text == "upon ":
            run.cancel()

    assert await load_conversation(host.storage, "c") == [
        Message.user("a story"),
        Message.assistant("Once upon ", model="scripted:model"),
    ]
    assert (await run).text == "Once upon "


@pytest.mark.parametrize("stop", [ToolCallDelta, ToolCallEnd])
async def test_a_call_of_a_cancelled_answer_is_not_run(host: Host, stop: type[Event]) -> None:
    called: list[str] = []

    @tool
    def press(button: str) -> str:
        called.append(button)
        return "pressed"

    run = Agent(model=ScriptedModel([call_tool("press", button="red")]), tools=[press]).run("go", host=host)
    async for event in run:
        if isinstance(event, stop):
            run.cancel()

    assert called == []
    assert (await run).messages == (Message.user("go"),)


async def test_tools_that_had_answered_keep_their_results(host: Host) -> None:
    @tool
    async def quick() -> str:
        return "quick is done"

    @tool
    async def endless() -> AsyncIterator[str]:
        while True:
            yield "still at work"
            await host.clock.sleep(1)

    model = ScriptedModel([[call_tool("endless"), call_tool("quick")]])
    run = Agent(model=model, tools=[quick, endless]).run("go", host=host)
    reports = 0
    async for event in run:
        reports += isinstance(event, ToolProgress)
        if reports == 3:
            run.cancel()

    assert (await run).messages[-1] == Message(
        "tool",
        (
            ToolResultPart("endless-1", "endless", "this call was cancelled", is_error=True),
            ToolResultPart("quick-1", "quick", "quick is done"),
        ),
    )


async def test_a_conversation_goes_on_after_a_cancelled_run(host: Host) -> None:
    model = ScriptedModel([[call_tool("wait")], "Here I am."])

    @tool
    async def wait() -> None:
        run.cancel()
        await asyncio.Event().wait()

    agent = Agent(model=model, tools=[wait])
    run = agent.run("go", host=host, conversation_id="c")
    async for _ in run:
        pass

    result = await agent.run("still there?", host=host, conversation_id="c")

    assert [message.role for message in result.messages] == ["user", "assistant", "tool", "user", "assistant"]


async def test_cancel_after_the_end_is_harmless(host: Host) -> None:
    run = Agent(model=ScriptedModel(["Hi"])).run("hi", host=host)
    await run

    run.cancel()

    assert (await run).finish_reason == "stop"


async def test_cancel_before_the_start_tells_a_start_and_an_end(host: Host) -> None:
    model = ScriptedModel(["Hi"])
    run = Agent(model=model).run("hi", host=host, conversation_id="c")
    run.cancel()

    assert [event async for event in run] == [
        RunStart("c", ["scripted:model"]),
        RunEnd("cancelled", 0, Usage()),
    ]
    assert model.requests == []
    assert await host.storage.keys() == []


async def test_an_earlier_conversation_survives_a_run_that_was_cancelled_before_it_was_loaded(host: Host) -> None:
    agent = Agent(model=ScriptedModel(["Hi Ada", "unheard"]))
    await agent.run("I am Ada", host=host, conversation_id="c")
    run = agent.run("again", host=host, conversation_id="c")
    run.cancel()
    await run

    assert [message.text for message in await load_conversation(host.storage, "c")] == ["I am Ada", "Hi Ada"]


class Watched:
    """A model that tells whether its stream was closed; it waits for ever after its first word."""

    info = ModelInfo("fake", "watched")

    def __init__(self) -> None:
        self.is_closed = False

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        try:
            yield ModelStart("fake:watched")
            await asyncio.Event().wait()
        finally:
            self.is_closed = True


async def test_cancel_closes_the_models_stream(host: Host) -> None:
    model = Watched()
    run = Agent(model=model).run("hi", host=host)
    async for event in run:
        if isinstance(event, ModelStart):
            run.cancel()

    assert model.is_closed


async def test_closing_a_run_that_was_left_stops_its_work(host: Host) -> None:
    before = asyncio.all_tasks()
    model = Watched()
    run = Agent(model=model).run("hi", host=host)
    async for event in run:
        if isinstance(event, ModelStart):
            break
    await run.close()
    await run.close()

    assert model.is_closed
    assert asyncio.all_tasks() == before
    assert [event async for event in run] == []


async def test_closing_a_run_while_it_is_read_ends_the_reading(host: Host) -> None:
    model = Watched()
    run = Agent(model=model).run("hi", host=host, conversation_id="c")
    events: list[Event] = []
    reader = asyncio.create_task(read(run, events))
    await settle(20)

    await run.close()
    await reader

    assert [type(event) for event in events] == [RunStart, TurnStart, ModelStart]
    assert model.is_closed
    assert run.dump()["phase"] == "model"
    with pytest.raises(ConfigurationError, match="closed before its end"):
        await run


async def test_a_tool_that_does_not_let_go_is_left_behind(host: Host) -> None:
    released = asyncio.Event()

    @tool
    async def cling() -> str:
        while not released.is_set():
            with suppress(asyncio.CancelledError):
                await released.wait()
        return "let go"

    run = Agent(model=ScriptedModel([call_tool("cling")]), tools=[cling]).run("hi", host=host)
    async for event in run:
        if isinstance(event, ToolCallEnd):
            asyncio.get_running_loop().call_later(0.01, run.cancel)
    released.set()

    result = await run
    assert result.finish_reason == "cancelled"
    assert result.messages[-1].tool_results[0].content == "this call was cancelled"
    await settle(10)


async def test_a_reader_that_times_out_stops_the_run(host: Host) -> None:
    before = asyncio.all_tasks()
    model = Watched()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_result(Agent(model=model), host), 0.02)

    assert model.is_closed
    assert asyncio.all_tasks() == before


async def _result(agent: Agent, host: Host) -> object:
    return await agent.run("hi", host=host)


async def test_work_that_somebody_else_cancelled_is_a_failure_not_a_silence(host: Host) -> None:
    class Aborted(Watched):
        async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
            yield ModelStart("fake:watched")
            raise asyncio.CancelledError

    events: list[Event] = []
    await read(Agent(model=Aborted()).run("hi", host=host), events)

    assert isinstance(events[-1], RunError)
    assert events[-1].name == "ModelUnavailableError"


async def test_a_model_that_never_waits_can_be_cancelled(host: Host) -> None:
    run = Agent(model=ScriptedModel(["x " * 20_000])).run("hi", host=host)
    count = 0
    async for event in run:
        count += 1
        if isinstance(event, TextDelta):
            run.cancel()

    assert count == 6


async def test_cancel_during_a_pause_of_the_model(host: Host) -> None:
    run = Agent(model=ScriptedModel([[Pause(1e9)]])).run("hi", host=host)
    async for event in run:
        if isinstance(event, TurnStart):
            asyncio.get_running_loop().call_soon(run.cancel)

    assert (await run).finish_reason == "cancelled"


async def test_a_run_ends_once_whatever_its_store_raises() -> None:
    class BrokenStorage(MemoryStorage):
        async def put(self, key: str, value: bytes) -> None:
            if b"assistant" in value:
                raise OSError("the disk is gone")
            await super().put(key, value)

    host = make_host(storage=BrokenStorage())
    cancelled = Agent(ScriptedModel(["hello you"])).run("?", host=host, conversation_id="a")
    failed = Agent(ScriptedModel([[TextPart("hello"), RuntimeError("a mistake")]])).run(
        "?", host=host, conversation_id="b"
    )
    first: list[Event] = []
    async for event in cancelled:
        first.append(event)
        if isinstance(event, TextDelta):
            break
    cancelled.cancel()

    first_error = await read_into(cancelled, first)
    second, second_error = await read_all(failed)

    assert first[-1] == RunError("OSError", "something went wrong inside; see the log")
    assert isinstance(first_error, OSError)
    assert second[-1] == RunError("RuntimeError", "something went wrong inside; see the log")
    assert isinstance(second_error, RuntimeError)
    assert second_error.__notes__ == ["the conversation was not saved either: OSError"]
