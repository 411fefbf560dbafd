"""A run may be dumped anywhere and continued in another process, as if nothing had happened."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet import (
    Agent,
    AgentError,
    Event,
    Host,
    Message,
    OfflineError,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResult,
    ToolResultPart,
    TurnReset,
    Usage,
    WireError,
    event_to_wire,
    message_to_wire,
    tool,
)
from limpet.calls import Call
from limpet.conversation import load_conversation
from limpet.events import Approval, ModelStart, RunEnd, TextDelta, ToolProgress, TurnEnd, TurnStart
from limpet.providers.scripted import ScriptedModel, call_tool
from limpet.run import Run
from limpet.run_state import RunState, state_from_wire, state_to_wire
from limpet.wire import JsonObject
from tests.fakes.recorded_run import MOMENTS, World, read

ROOT = Path(__file__).resolve().parent.parent


async def recorded() -> tuple[World, Run, list[Event]]:
    world = World()
    run = world.run()
    events: list[Event] = []
    await read(run, events)
    return world, run, events


async def moved(world: World, run: Run, *, is_idempotent: bool = True) -> tuple[World, Run, JsonObject]:
    """Dump a run, close it, and give it back in a new world in which only what was stored is left."""
    text = json.dumps(run.dump())
    await run.close()
    key = "conversations/kitchen"
    stored = await world.host.storage.get(key)
    after = World(data={} if stored is None else {key: stored}, is_idempotent=is_idempotent)
    state: JsonObject = json.loads(text)
    return after, after.agent.resume(state, host=after.host, approve=after.approve), state


def told(events: list[Event]) -> list[Event]:
    """Leave out what was taken back, and the progress of tools, which depends on the moment."""
    kept: list[Event] = []
    for event in events:
        if isinstance(event, TurnReset):
            while not isinstance(kept[-1], TurnStart):
                kept.pop()
        elif not isinstance(event, ToolProgress):
            kept.append(event)
    return kept


async def test_moved_after_each_of_its_events() -> None:
    _, whole_run, whole = await recorded()
    expected = await whole_run
    for count in range(len(whole) + 1):
        before = World()
        first = before.run()
        events = [await anext(first) for _ in range(count)]

        after, second, state = await moved(before, first)
        assert second.next_event_id == count
        assert second.run_id == "recorded"
        await read(second, events)

        assert told(events) == told(whole), f"moved after event {count}"
        assert second.next_event_id == len(events)
        result = await second
        assert result == expected
        assert tuple(await load_conversation(after.host.storage, "kitchen")) == expected.messages
        check_work(before, after, state)


async def test_moved_at_each_of_its_awaits() -> None:
    _, whole_run, whole = await recorded()
    expected = await whole_run
    for times in MOMENTS[::3]:
        before = World()
        first = before.run()
        events: list[Event] = []
        reader = asyncio.create_task(read(first, events))
        for _ in range(times):
            await asyncio.sleep(0)
        if reader.done():
            break
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader

        _, second, _ = await moved(before, first)
        await read(second, events)

        assert told(events) == told(whole)
        assert await second == expected
    else:
        pytest.fail("the run never ended")


def check_work(before: World, after: World, state: JsonObject) -> None:
    """What had an answer was not done again; what was at work was, and nothing was done more often than twice."""
    calls = state["calls"] if state["phase"] == "tools" else []
    assert isinstance(calls, list)
    total: Counter[str] = before.done + after.done
    for call in calls:
        assert isinstance(call, dict)
        assert isinstance(call["part"], dict)
        if call["result"] is not None:
            assert total[str(call["part"]["name"])] == 1
        if call["is_approved"]:
            assert after.asked == []
    assert total["boil"] in (1, 2)
    assert total["order"] == 1
    assert set(total) == {"boil begun", "boil", "order"}


async def test_a_reset_is_told_when_an_answer_had_begun() -> None:
    _, _, whole = await recorded()
    before = World()
    run = before.run()
    seen = 0
    async for event in run:
        seen += 1
        if isinstance(event, TextDelta):
            break

    _, second, state = await moved(before, run)

    assert await anext(second) == TurnReset(1, "the run was moved, so the answer begins again")
    assert await anext(second) == whole[2]
    assert state["partial"] == message_to_wire(
        Message("assistant", (ReasoningPart("Eggs and salt."), TextPart("Let ")), model="scripted:model")
    )
    await second.close()


async def test_no_reset_is_told_when_nothing_was_said() -> None:
    before = World()
    run = before.run()
    async for event in run:
        if isinstance(event, TurnStart):
            break

    _, second, _ = await moved(before, run)

    assert await anext(second) == ModelStart("scripted:model")
    await second.close()


async def test_a_tool_at_work_that_is_not_idempotent_is_not_run_again() -> None:
    before = World(is_idempotent=False)
    run = before.run()
    async for event in run:
        if isinstance(event, ToolProgress):
            break

    after, second, _ = await moved(before, run, is_idempotent=False)
    events: list[Event] = []
    await read(second, events)

    results = [event for event in events if isinstance(event, ToolResult)]
    assert results[0].is_error
    assert "not known whether it took effect" in str(results[0].content)
    assert not results[1].is_error
    assert after.done["boil begun"] == 0
    assert before.done["boil begun"] == 1


async def test_results_that_were_not_told_yet_are_told_after_the_move(host: Host) -> None:
    """The second of two parallel calls is done first, and its result waits for the first one's."""
    gate, quick_is_done = asyncio.Event(), asyncio.Event()
    done: Counter[str] = Counter()

    @tool
    async def slow() -> str:
        await gate.wait()
        done["slow"] += 1
        return "slow is done"

    @tool
    async def quick() -> str:
        done["quick"] += 1
        quick_is_done.set()
        return "quick is done"

    agent = Agent(model=ScriptedModel([[call_tool("slow"), call_tool("quick")], "Done."]), tools=[slow, quick])
    run = agent.run("go", host=host)
    events: list[Event] = []
    reader = asyncio.create_task(read(run, events))
    await quick_is_done.wait()
    await asyncio.sleep(0)
    state = json.loads(json.dumps(run.dump()))
    reader.cancel()
    await asyncio.wait([reader])
    gate.set()

    assert not any(isinstance(event, ToolResult) for event in events)
    second = agent.resume(state, host=host)
    await read(second, events)

    assert [event.content for event in events if isinstance(event, ToolResult)] == ["slow is done", "quick is done"]
    assert done == {"slow": 1, "quick": 1}


async def test_a_run_waiting_for_approval_asks_again_without_telling_again() -> None:
    before = World()
    run = before.run()
    events: list[Event] = []
    async for event in run:
        events.append(event)
        if isinstance(event, Approval):
            break

    after, second, _ = await moved(before, run)
    await read(second, events)

    assert sum(isinstance(event, Approval) for event in events) == 1
    assert after.asked == ["order"]


async def test_spent_time_and_turns_and_tokens_are_carried_on(host: Host) -> None:
    @tool
    async def wait() -> str:
        await host.clock.sleep(6)
        return "waited"

    def agent() -> Agent:
        return Agent(model=ScriptedModel([call_tool("wait")] * 3), tools=[wait], max_turns=3, max_seconds=100)

    run = agent().run("go", host=host)
    async for event in run:
        if isinstance(event, TurnEnd):
            break
    state = run.dump()
    await run.close()

    assert state["spent_seconds"] == 6.0
    second = agent().resume(state, host=host)
    events: list[Event] = []
    await read(second, events)

    assert [event.turn for event in events if isinstance(event, TurnStart)] == [2, 3]
    assert second.dump()["usage"] == {
        "input_tokens": 24,
        "output_tokens": 12,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
    }


async def test_a_run_that_is_over_can_be_dumped_and_has_its_result_still(host: Host) -> None:
    agent = Agent(model=ScriptedModel(["Hi"]))
    run = agent.run("hi", host=host)
    result = await run

    again = agent.resume(run.dump(), host=host)

    assert [event async for event in again] == []
    assert await again == result


async def test_a_failed_run_stays_failed(host: Host) -> None:
    agent = Agent(model=ScriptedModel([OfflineError("no network")]))
    run = agent.run("hi", host=host)
    await read(run, [])

    with pytest.raises(AgentError, match="no network"):
        await agent.resume(json.loads(json.dumps(run.dump())), host=host)


def continue_elsewhere(dump: str) -> list[Any]:
    """Go on with a run in another process; gives its events and, last, its messages."""
    process = subprocess.run(
        [sys.executable, "-c", CONTINUE],
        input=dump,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'runtime'}:{ROOT}"},
        timeout=60,
        check=True,
    )
    return [json.loads(line) for line in process.stdout.splitlines()]


@pytest.mark.skipif(sys.platform == "emscripten", reason="Pyodide can't start a process")
async def test_moved_to_another_process() -> None:
    _, whole_run, whole = await recorded()
    world = World()
    run = world.run()
    events: list[Any] = []
    async for event in run:
        events.append(event_to_wire(event, id=run.next_event_id - 1, run_id=run.run_id))
        if isinstance(event, ToolProgress):
            break
    dump = json.dumps(run.dump())
    await run.close()

    *rest, messages = continue_elsewhere(dump)
    events += rest
    assert [event["id"] for event in events] == list(range(len(events)))
    assert events[-1] == event_to_wire(whole[-1], id=len(events) - 1, run_id="recorded")
    assert messages == [message_to_wire(message) for message in (await whole_run).messages]


CONTINUE = """
import asyncio, json, sys
from limpet import event_to_wire, message_to_wire
from tests.fakes.recorded_run import World

async def main():
    world = World()
    run = world.agent.resume(json.load(sys.stdin), host=world.host, approve=world.approve)
    async for event in run:
        print(json.dumps(event_to_wire(event, id=run.next_event_id - 1, run_id=run.run_id)))
    print(json.dumps([message_to_wire(message) for message in (await run).messages]))

asyncio.run(main())
"""


# --- the stored form --------------------------------------------------------------------------------------------

calls = st.builds(
    Call,
    st.builds(ToolCallPart, st.text(), st.text(), st.text()),
    is_asked=st.booleans(),
    is_approved=st.booleans(),
    is_begun=st.booleans(),
    result=st.none() | st.builds(ToolResultPart, st.text(), st.text(), st.text() | st.integers(), st.booleans()),
)
messages = st.builds(Message.user, st.text()) | st.builds(Message.assistant, st.text(), model=st.text())
usages = st.builds(Usage, st.integers(0), st.integers(0), st.integers(0), st.integers(0))
states = st.builds(
    RunState,
    st.text(),
    phase=st.sampled_from(["start", "load", "save", "turn", "model", "tools", "turn_end", "end", "over"]),
    conversation_id=st.none() | st.text(),
    next_event_id=st.integers(0),
    turn=st.integers(0),
    spent_seconds=st.floats(0, 1e9),
    is_answering=st.booleans(),
    reported=st.integers(0),
    turn_model=st.text(),
    finish_reason=st.none() | st.sampled_from(["stop", "cancelled"]),
    messages=st.lists(messages, max_size=3),
    prompt=st.none() | messages,
    partial=st.none() | messages,
    calls=st.lists(calls, max_size=3),
    usage=usages,
    turn_usage=usages,
    failure=st.none() | st.just({"name": "OfflineError", "message": "no network", "is_retryable": False}),
)


@given(states)
def test_a_state_comes_back_from_json_as_it_was(state: RunState) -> None:
    assert state_from_wire(json.loads(json.dumps(state_to_wire(state)))) == state


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": None},
        {"phase": "nowhere"},
        {"run_id": 7},
        {"messages": None},
        {"messages": [7]},
        {"calls": [7]},
        {"calls": [{"part": {"type": "text", "text": "x"}}]},
        {"prompt": "hi"},
        {"usage": None},
        {"failure": "OfflineError"},
    ],
    ids=str,
)
def test_a_stored_run_that_is_not_ours_is_refused(change: JsonObject) -> None:
    with pytest.raises(WireError):
        state_from_wire({**state_to_wire(RunState("r")), **change})


def test_a_stored_run_is_an_object() -> None:
    with pytest.raises(WireError):
        state_from_wire([])


async def test_the_end_is_told_once_by_a_moved_run() -> None:
    _, _, whole = await recorded()
    before = World()
    run = before.run()
    events = [await anext(run) for _ in range(len(whole) - 1)]

    _, second, _ = await moved(before, run)
    await read(second, events)

    assert [type(event) for event in events].count(RunEnd) == 1
