"""Hooks where they go wrong, get in each other's way, or are held up while a run is moved or cancelled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from limpet import (
    Agent,
    Approval,
    Event,
    HookError,
    Host,
    Message,
    ModelRequest,
    Redo,
    RunContext,
    Skip,
    ToolCallPart,
    ToolResultPart,
    tool,
)
from limpet.conversation import load_conversation
from limpet.events import (
    HookAction,
    RunEnd,
    RunError,
    TextDelta,
    ToolCallDelta,
    ToolResult,
    TurnEnd,
    TurnStart,
    Usage,
)
from limpet.model import Delta
from limpet.providers.scripted import ScriptedModel, call_tool
from limpet.run import Run
from limpet.stores.memory import MemoryStorage
from tests.fakes.hooks import At, add, ran
from tests.fakes.host import make_host
from tests.fakes.reading import of, read, read_into, said


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


async def test_a_hook_whose_own_work_is_cancelled_ends_the_run_with_its_name(host: Host) -> None:
    def abort(*_: Any) -> None:
        raise asyncio.CancelledError

    for as_coroutine in (False, True):
        hook = At("before_model", abort, as_coroutine=as_coroutine)
        events, error = await read(Agent(ScriptedModel(["hi"]), hooks=[hook]).run("?", host=host))

        text = "the hook Guard failed in before_model: its own work was cancelled"
        assert events[-1] == RunError("HookError", text)
        assert isinstance(error, HookError)


async def test_a_run_that_a_hook_cancels_waits_for_no_other_hook(host: Host) -> None:
    def leave(*_: Any) -> None:
        run.cancel()

    async def wait(*_: Any) -> None:
        await asyncio.Event().wait()

    run = Agent(ScriptedModel(["hi"]), hooks=[At("before_model", leave), At("before_model", wait)]).run("?", host=host)
    async with asyncio.timeout(5):
        events, error = await read(run)

    assert error is None
    assert isinstance(events[-1], RunEnd)
    assert events[-1].finish_reason == "cancelled"


async def test_a_stream_that_is_slow_to_close_does_not_disturb_the_next_turn(host: Host) -> None:
    class Clinging(ScriptedModel):
        async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
            try:
                async for delta in super().stream(request):
                    yield delta
                    await asyncio.sleep(0)
            finally:
                if len(self.requests) == 1:
                    await is_told.wait()

    is_told = asyncio.Event()

    @tool
    async def wait() -> str:
        """Wait until the first stream has ended."""
        is_told.set()
        for _ in range(20):
            await asyncio.sleep(0)
        return "waited"

    model = Clinging(["rubbish and more", call_tool("wait"), "ok"])
    hook = At("on_delta", lambda _, delta: Redo() if getattr(delta, "text", "").startswith("rubbish") else None)
    before = asyncio.all_tasks()

    events, error = await read(Agent(model, [wait], hooks=[hook]).run("?", host=host))

    assert error is None
    assert of(events, ToolResult) == [ToolResult("wait-1", "wait", "waited")]
    assert said(events) == "ok"
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(
    ("point", "given", "says"),
    [
        ("after_model", Message.user("hi"), "its role is user, not assistant"),
        ("after_model", Message("assistant", (call_tool("add"), call_tool("add"))), "two calls have the same id"),
        (
            "after_model",
            Message("assistant", (ToolResultPart("1", "add", 1),)),
            "an answer is of text, reasoning and calls",
        ),
        ("before_tool", ToolCallPart("add-1", "add", None), "the field 'arguments' must be str"),  # type: ignore[arg-type]
        ("after_tool", ToolResultPart("add-1", "add", {1}), "Object of type set is not JSON serializable"),  # type: ignore[arg-type]
    ],
    ids=["a user's answer", "one id twice", "a result", "no arguments", "no JSON"],
)
async def test_what_a_conversation_cannot_hold_ends_the_run_with_the_hooks_name(
    host: Host, point: str, given: Any, says: str
) -> None:
    model = ScriptedModel([call_tool("add", a=1)])
    run = Agent(model, [add], hooks=[At(point, lambda *_: given)]).run("?", host=host, conversation_id="c")
    events, error = await read(run)

    assert isinstance(error, HookError)
    assert error.message.startswith(f"the hook Guard gave in {point} what a conversation can't hold: ")
    assert says in error.message
    assert events[-1] == RunError("HookError", error.message)
    assert [message.role for message in (await load_conversation(host.storage, "c"))] in (
        ["user"],
        ["user", "assistant", "tool"],
    )


async def test_a_hook_that_gives_back_what_it_was_given_has_done_nothing(host: Host) -> None:
    hooks = [At(point, lambda *values: values[-1]) for point in ("before_model", "on_delta", "after_model")]
    hooks += [At("before_tool", lambda _, call: call), At("after_tool", lambda _, call, result: result)]

    events, error = await read(
        Agent(ScriptedModel([call_tool("add", a=1), "ok"]), [add], hooks=hooks).run("?", host=host)
    )

    assert error is None
    assert of(events, HookAction) == []
    assert (said(events), ran) == ("ok", [{"a": 1, "b": 1}])


@pytest.mark.parametrize("given", [Skip(), "changed"], ids=["left out", "changed"])
async def test_who_touches_a_piece_of_arguments_is_named(host: Host, given: Any) -> None:
    def touch(_: RunContext, delta: Any) -> Any:
        if not isinstance(delta, ToolCallDelta):
            return None
        return replace(delta, arguments="x") if given == "changed" else given

    hooks = [At("on_delta", lambda *_: None, "First"), At("on_delta", touch, "Second")]
    _, error = await read(Agent(ScriptedModel([call_tool("add", a=1)]), [add], hooks=hooks).run("?", host=host))

    assert isinstance(error, HookError)
    assert error.hook == "Second"
    assert error.message == (
        "the hook Second can't change a part of a call's arguments; before_tool can change the call"
    )


async def test_a_piece_of_text_stays_in_its_part(host: Host) -> None:
    hook = At("on_delta", lambda _, delta: replace(delta, part_id="another", text=delta.text.upper()))

    events, error = await read(Agent(ScriptedModel(["hi you"]), hooks=[hook]).run("?", host=host))

    assert error is None
    assert of(events, TextDelta) == [TextDelta("0", "HI "), TextDelta("0", "YOU")]


async def test_an_answer_without_its_calls_has_come_to_its_end(host: Host) -> None:
    for given in (Skip("no sums"), Message.assistant("no sums")):
        hook = At("after_model", lambda *_, given=given: given)
        result = await Agent(ScriptedModel([call_tool("add", a=1)]), [add], hooks=[hook]).run("?", host=host)

        assert (result.text, result.finish_reason, result.turns) == ("no sums", "stop", 1)


async def test_what_a_hook_answers_is_not_asked_for_again(host: Host) -> None:
    model = ScriptedModel([])
    hook = At("before_model", lambda *_: Skip("we are closed"))
    fitting = At("before_model", lambda *_: Skip('{"value": 4}'))

    result = await Agent(model, output_type=int, hooks=[hook]).run("2 + 2?", host=host)
    other = await Agent(model, output_type=int, hooks=[fitting]).run("2 + 2?", host=host)

    assert (result.text, result.output, result.finish_reason) == ("we are closed", None, "stop")
    assert (other.output, other.finish_reason) == (4, "stop")


async def test_a_call_that_a_person_refused_is_not_asked_about_again(host: Host) -> None:
    asked: list[str] = []

    async def refuse(approval: Approval) -> bool:
        asked.append(approval.call_id)
        return False

    @tool(requires_approval=True)
    def order() -> str:
        """Order something."""
        return "ordered"

    hook = At("after_tool", lambda *_: Redo("try it without"))
    agent = Agent(ScriptedModel([call_tool("order"), "ok"]), [order], hooks=[hook])
    events, _ = await read(agent.run("?", host=host, approve=refuse))

    assert asked == ["order-1"]
    assert of(events, ToolResult) == [ToolResult("order-1", "order", "try it without", is_error=True)]


async def move(agent: Agent, run: Run, when: asyncio.Event) -> tuple[list[Event], tuple[Message, ...]]:
    """Read a run, and go on with it elsewhere when something has happened; gives all its events and messages."""
    events: list[Event] = []
    reading = asyncio.ensure_future(read_into(run, events))
    await when.wait()
    state = json.loads(json.dumps(run.dump()))
    await run.close()
    await reading
    moved = agent.resume(state, host=make_host())
    await read_into(moved, events)
    return events, (await moved).messages


@pytest.mark.parametrize("held", ["before_tool", "after_tool", "on_turn_end"])
async def test_a_run_is_moved_while_a_hook_holds_it_up(host: Host, held: str) -> None:
    is_held = asyncio.Event()
    left = {"after_tool": 1, "on_turn_end": 1}

    async def hold(point: str) -> None:
        if point == held and not is_held.is_set():
            is_held.set()
            await asyncio.Event().wait()

    async def change(_: RunContext, call: ToolCallPart) -> ToolCallPart:
        await hold("before_tool")
        return replace(call, arguments='{"a": 7}')

    async def again(*values: Any) -> Redo | None:
        point = "after_tool" if len(values) == 3 else "on_turn_end"
        await hold(point)
        left[point] -= 1
        return Redo(point) if left[point] >= 0 else None

    hooks = [At("before_tool", change), At("after_tool", again), At("on_turn_end", again)]
    agent = Agent(ScriptedModel([call_tool("add", a=1), "ok", "ok"]), [add], hooks=hooks)

    events, messages = await move(agent, agent.run("?", host=host), is_held)

    [calls] = [message.tool_calls for message in messages if message.tool_calls]
    assert calls == (ToolCallPart("add-1", "add", '{"a": 7}'),)
    assert ran == [{"a": 7, "b": 1}] * 2
    assert [message.text for message in messages if message.role == "user"] == ["?", "on_turn_end"]
    assert of(events, ToolResult) == [ToolResult("add-1", "add", 8)]
    assert of(events, HookAction) == [
        HookAction("Guard", "before_tool", "rewrite"),
        HookAction("Guard", "after_tool", "redo", "after_tool"),
        HookAction("Guard", "on_turn_end", "redo", "on_turn_end"),
    ]


async def test_a_run_is_moved_while_the_turn_is_saved_and_the_hooks_are_not_asked_again() -> None:
    is_saving = asyncio.Event()

    class Gate(MemoryStorage):
        async def put(self, key: str, value: bytes) -> None:
            if b"assistant" in value and not is_saving.is_set():
                is_saving.set()
                await asyncio.Event().wait()
            await super().put(key, value)

    asked: list[int] = []

    def again(context: RunContext, _: str) -> Redo | None:
        asked.append(context.turn)
        return Redo("longer") if context.turn == 1 else None

    agent = Agent(ScriptedModel(["short", "longer"]), hooks=[At("on_turn_end", again)])
    run = agent.run("?", host=make_host(storage=Gate()), conversation_id="c")

    events, messages = await move(agent, run, is_saving)

    assert asked == [1, 2]
    assert [message.text for message in messages] == ["?", "short", "longer", "longer"]
    assert of(events, TurnStart, TurnEnd, HookAction) == [
        TurnStart(1),
        HookAction("Guard", "on_turn_end", "redo", "longer"),
        TurnEnd(1, "scripted:model", "stop", Usage(8, 4)),
        TurnStart(2),
        TurnEnd(2, "scripted:model", "stop", Usage(8, 4)),
    ]
