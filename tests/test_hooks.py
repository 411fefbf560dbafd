"""Hooks: what each may change at each point, in which order they are asked, and how they end a run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from limpet import (
    Agent,
    ConfigurationError,
    Hook,
    HookError,
    Host,
    Message,
    ModelRequest,
    Redo,
    RunContext,
    Skip,
    Stop,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    TurnLimitError,
)
from limpet.events import (
    HookAction,
    ModelStart,
    ReasoningDelta,
    RunEnd,
    RunError,
    TextDelta,
    ToolCallDelta,
    ToolResult,
    TurnReset,
    TurnStart,
)
from limpet.messages import ReasoningPart
from limpet.providers.scripted import ScriptedModel, call_tool
from tests.fakes.hooks import At, add, ran
from tests.fakes.host import make_host
from tests.fakes.reading import of, read, said


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


# --- rewriting ---


@pytest.mark.parametrize("as_coroutine", [False, True], ids=["function", "coroutine"])
async def test_each_hook_is_given_what_those_before_it_made(host: Host, as_coroutine: bool) -> None:
    def longer(suffix: str) -> Callable[..., Any]:
        def change(_: RunContext, request: ModelRequest) -> ModelRequest:
            return replace(request, messages=(*request.messages, Message.user(suffix)))

        return change

    model = ScriptedModel(["ok"])
    hooks = [At("before_model", longer(word), word, as_coroutine=as_coroutine) for word in ("one", "two")]

    events, _ = await read(Agent(model, hooks=hooks).run("zero", host=host))

    assert [message.text for message in model.requests[0].messages] == ["zero", "one", "two"]
    assert of(events, HookAction) == [
        HookAction("one", "before_model", "rewrite"),
        HookAction("two", "before_model", "rewrite"),
    ]


@pytest.mark.parametrize("as_coroutine", [False, True], ids=["function", "coroutine"])
async def test_text_is_rewritten_or_left_out_as_it_comes(host: Host, as_coroutine: bool) -> None:
    def hush(_: RunContext, delta: Any) -> Any:
        if isinstance(delta, TextDelta) and "secret" in delta.text:
            return replace(delta, text="*** ")
        return Skip() if isinstance(delta, ReasoningDelta) else None

    model = ScriptedModel([[ReasoningPart("I think"), TextPart("the secret word")]])

    run = Agent(model, hooks=[At("on_delta", hush, as_coroutine=as_coroutine)]).run("?", host=host)
    events, _ = await read(run)

    assert said(events) == "the *** word"
    assert of(events, ReasoningDelta, HookAction) == []
    assert (await run).messages[-1].parts == (ReasoningPart(""), TextPart("the *** word"))


async def test_an_answer_is_rewritten_before_it_is_kept(host: Host) -> None:
    hook = At("after_model", lambda _, message: replace(message, parts=(TextPart("better"),)))

    result = await Agent(ScriptedModel(["worse"]), hooks=[hook]).run("?", host=host)

    assert (result.text, result.messages[-1].parts) == ("better", (TextPart("better"),))


async def test_a_call_and_its_result_are_rewritten_and_the_history_tells_of_what_was_done(host: Host) -> None:
    def add_two(_: RunContext, call: ToolCallPart) -> ToolCallPart:
        return replace(call, id="another", arguments='{"a": 2}')

    def doubled(_: RunContext, call: ToolCallPart, result: ToolResultPart) -> ToolResultPart:
        assert json.loads(call.arguments) == {"a": 2}
        return replace(result, content=[result.content, result.content])

    model = ScriptedModel([call_tool("add", a=1), "ok"])
    run = Agent(model, [add], hooks=[At("before_tool", add_two), At("after_tool", doubled)]).run("?", host=host)
    events, _ = await read(run)

    assert ran == [{"a": 2, "b": 1}]
    assert of(events, ToolResult) == [ToolResult("add-1", "add", [3, 3])]
    call, result = [part for message in model.requests[1].messages[1:] for part in message.parts]
    assert call == ToolCallPart("add-1", "add", '{"a": 2}')
    assert result == ToolResultPart("add-1", "add", [3, 3])


# --- skipping ---


async def test_a_model_that_is_skipped_is_not_asked_and_the_reason_is_the_answer(host: Host) -> None:
    model = ScriptedModel(["never"])

    run = Agent(model, hooks=[At("before_model", lambda *_: Skip("we are closed"))]).run("?", host=host)
    events, _ = await read(run)

    assert model.requests == []
    assert of(events, ModelStart, TextDelta, HookAction) == [
        HookAction("Guard", "before_model", "skip", "we are closed"),
        ModelStart("hook:Guard"),
        TextDelta("hook", "we are closed"),
    ]
    assert (await run).text == "we are closed"


async def test_an_answer_that_is_skipped_is_kept_as_its_reason_and_calls_nothing(host: Host) -> None:
    model = ScriptedModel([[TextPart("let me see"), call_tool("add", a=1)]])

    result = await Agent(model, [add], hooks=[At("after_model", lambda *_: Skip("no sums"))]).run("?", host=host)

    assert ran == []
    assert [message.text for message in result.messages] == ["?", "no sums"]


@pytest.mark.parametrize(("action", "is_error"), [(Skip("not today"), False), (Redo("not today"), True)], ids=repr)
async def test_a_call_that_is_skipped_is_answered_with_the_reason(host: Host, action: Any, is_error: bool) -> None:
    model = ScriptedModel([[call_tool("add", "1", a=1), call_tool("add", "2", a=5)], "ok"])
    hook = At("before_tool", lambda _, call: action if call.id == "1" else None)

    events, _ = await read(Agent(model, [add], hooks=[hook]).run("?", host=host))

    assert ran == [{"a": 5, "b": 1}]
    assert of(events, ToolResult) == [ToolResult("1", "add", "not today", is_error), ToolResult("2", "add", 6)]


async def test_a_skipped_result_is_its_reason(host: Host) -> None:
    model = ScriptedModel([call_tool("add", a=1), "ok"])

    run = Agent(model, [add], hooks=[At("after_tool", lambda *_: Skip("hidden"))]).run("?", host=host)
    events, _ = await read(run)

    assert of(events, ToolResult) == [ToolResult("add-1", "add", "hidden")]


async def test_a_turn_that_is_skipped_is_the_last(host: Host) -> None:
    model = ScriptedModel([call_tool("add", a=1), "never"])

    run = Agent(model, [add], hooks=[At("on_turn_end", lambda *_: Skip("enough"))]).run("?", host=host)
    events, _ = await read(run)

    assert len(model.requests) == 1
    assert (await run).messages[-1].role == "tool"
    assert isinstance(events[-1], RunEnd)
    assert events[-1].finish_reason == "tool_calls"


# --- doing it again ---


async def test_an_answer_is_asked_for_again_with_the_reason(host: Host) -> None:
    model = ScriptedModel(["four", "4"])
    hook = At("after_model", lambda _, message: None if message.text.isdigit() else Redo("in digits, please"))

    result = await Agent(model, hooks=[hook]).run("2 + 2?", host=host)

    assert result.text == "4"
    assert [message.text for message in model.requests[1].messages] == ["2 + 2?", "four", "in digits, please"]


async def test_calls_of_an_answer_that_is_asked_for_again_are_told_the_reason(host: Host) -> None:
    model = ScriptedModel([call_tool("add", a=1), "ok"])
    answers = iter([Redo("ask first"), None])
    hook = At("after_model", lambda *_: next(answers))

    events, _ = await read(Agent(model, [add], hooks=[hook]).run("?", host=host))

    assert ran == []
    assert of(events, ToolResult) == [ToolResult("add-1", "add", "ask first", is_error=True)]
    assert said(events) == "ok"


async def test_an_answer_can_be_taken_back_in_its_middle(host: Host) -> None:
    model = ScriptedModel(["that is rubbish and more of it", "as you wish"])
    hook = At("on_delta", lambda _, delta: Redo("rude") if "rubbish" in delta.text else None)

    run = Agent(model, hooks=[hook]).run("?", host=host)
    events, _ = await read(run)

    assert of(events, TurnReset, TurnStart) == [TurnStart(1), TurnReset(1, "rude"), TurnStart(2)]
    assert said(events) == "that is as you wish"
    assert [message.text for message in (await run).messages] == ["?", "as you wish"]
    assert len(model.requests[1].messages) == 1


async def test_an_answer_that_is_always_taken_back_ends_at_the_limit_of_turns(host: Host) -> None:
    model = ScriptedModel([lambda _: "no"] * 3)

    _, error = await read(Agent(model, hooks=[At("on_delta", lambda *_: Redo())], max_turns=3).run("?", host=host))

    assert isinstance(error, TurnLimitError)


async def test_a_tool_is_called_again_a_few_times_at_most(host: Host) -> None:
    model = ScriptedModel([call_tool("add", a=1), "ok"])
    left = [2]

    def twice(_: RunContext, call: ToolCallPart, result: ToolResultPart) -> Redo | None:
        left[0] -= 1
        return Redo() if left[0] >= 0 else None

    events, _ = await read(Agent(model, [add], hooks=[At("after_tool", twice)]).run("?", host=host))
    always = At("after_tool", lambda *_: Redo())
    _, error = await read(Agent(ScriptedModel([call_tool("add", a=9)]), [add], hooks=[always]).run("?", host=host))

    assert of(events, ToolResult) == [ToolResult("add-1", "add", 2)]
    assert [call["a"] for call in ran] == [1] * 3 + [9] * 4
    assert isinstance(error, HookError)
    assert error.message == "the hook Guard wanted it done again more than 3 times in after_tool"


async def test_a_call_that_could_not_be_run_is_not_run_again(host: Host) -> None:
    model = ScriptedModel([call_tool("fly"), "ok"])

    events, _ = await read(Agent(model, [add], hooks=[At("after_tool", lambda *_: Redo("no"))]).run("?", host=host))

    assert of(events, ToolResult) == [ToolResult("fly-1", "fly", "no", is_error=True)]


async def test_a_request_is_shown_again_until_the_hook_is_content(host: Host) -> None:
    left = [2]

    def wait(_: RunContext, request: ModelRequest) -> Redo | None:
        left[0] -= 1
        return Redo() if left[0] >= 0 else None

    result = await Agent(ScriptedModel(["ok"]), hooks=[At("before_model", wait)]).run("?", host=host)
    _, error = await read(
        Agent(ScriptedModel(["ok"]), hooks=[At("before_model", lambda *_: Redo())]).run("?", host=host)
    )

    assert (result.text, left) == ("ok", [-1])
    assert isinstance(error, HookError)


async def test_one_more_turn_after_an_answer(host: Host) -> None:
    model = ScriptedModel(["short", "a longer one"])
    hook = At("on_turn_end", lambda context, reason: Redo("longer") if context.turn == 1 else None)

    result = await Agent(model, hooks=[hook]).run("?", host=host)

    assert [message.text for message in result.messages] == ["?", "short", "longer", "a longer one"]
    assert result.turns == 2


# --- stopping ---


@pytest.mark.parametrize(
    ("point", "kept"),
    [
        ("before_model", ["user"]),
        ("on_delta", ["user"]),
        ("after_model", ["user", "assistant", "tool"]),
        ("before_tool", ["user", "assistant", "tool"]),
        ("after_tool", ["user", "assistant", "tool"]),
        ("on_turn_end", ["user", "assistant", "tool"]),
    ],
)
@pytest.mark.parametrize("as_coroutine", [False, True], ids=["function", "coroutine"])
async def test_a_run_is_stopped_at_each_point_with_a_history_that_is_whole(
    host: Host, point: str, kept: list[str], as_coroutine: bool
) -> None:
    model = ScriptedModel([call_tool("add", a=1), "never"])
    hook = At(point, lambda *_: Stop("that is all"), as_coroutine=as_coroutine)

    run = Agent(model, [add], hooks=[hook]).run("?", host=host, conversation_id="c")
    events, error = await read(run)
    result = await run

    assert error is None
    assert isinstance(events[-1], RunEnd)
    assert (events[-1].finish_reason, result.finish_reason) == ("stopped", "stopped")
    assert of(events, HookAction) == [HookAction("Guard", point, "stop", "that is all")]  # type: ignore[arg-type]
    assert [message.role for message in result.messages] == kept
    again = await Agent(ScriptedModel(["hello"])).run("and?", host=host, conversation_id="c")
    assert [message.role for message in again.messages] == [*kept, "user", "assistant"]
    assert ran == ([{"a": 1, "b": 1}] if point in ("after_tool", "on_turn_end") else [])


async def test_hooks_behind_one_that_acts_are_not_asked(host: Host) -> None:
    asked: list[str] = []
    second = At("before_model", lambda *_: asked.append("second"))

    await Agent(ScriptedModel([]), hooks=[At("before_model", lambda *_: Skip("no")), second]).run("?", host=host)

    assert asked == []


# --- mistakes, cancelling, moving ---


@pytest.mark.parametrize(
    "point", ["before_model", "on_delta", "after_model", "before_tool", "after_tool", "on_turn_end"]
)
@pytest.mark.parametrize("as_coroutine", [False, True], ids=["function", "coroutine"])
async def test_a_hook_that_raises_ends_the_run_with_its_name(host: Host, point: str, as_coroutine: bool) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("the key is sk-1")

    before = asyncio.all_tasks()
    model = ScriptedModel([call_tool("add", a=1), "never"])
    hooks = [At(point, fail, "Careless", as_coroutine=as_coroutine)]

    events, error = await read(Agent(model, [add], hooks=hooks).run("?", host=host))

    assert isinstance(error, HookError)
    assert error.hook == "Careless"
    text = f"the hook Careless failed in {point}: ZeroDivisionError"
    assert events[-1] == RunError("HookError", text)
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("point", ["before_model", "after_model", "on_turn_end"])
async def test_a_hook_that_gives_something_else_ends_the_run(host: Host, point: str) -> None:
    _, error = await read(Agent(ScriptedModel(["hi"]), hooks=[At(point, lambda *_: "yes")]).run("?", host=host))

    assert isinstance(error, HookError)
    assert f"gave str in {point}" in error.message


async def test_a_piece_of_arguments_cannot_be_changed(host: Host) -> None:
    hook = At("on_delta", lambda _, delta: replace(delta, arguments="x") if isinstance(delta, ToolCallDelta) else None)

    _, error = await read(Agent(ScriptedModel([call_tool("add", a=1)]), [add], hooks=[hook]).run("?", host=host))

    assert isinstance(error, HookError)
    assert ran == []


class Misspelt(Hook):
    """Looks in at no point that there is."""

    def before_tools(self, context: RunContext, call: ToolCallPart) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    ("hooks", "says"),
    [
        ([print], "derived from Hook, not <built-in function print>"),
        ([At], "derived from Hook, not <class"),
        (Misspelt(), r"as a list, such as hooks=\[MyHook\(\)\]"),
        ([Misspelt()], "the hook Misspelt has none of the methods before_model, "),
    ],
    ids=["a function", "a class", "no list", "misspelt"],
)
def test_what_is_no_hook_is_refused(hooks: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Agent(ScriptedModel([]), hooks=hooks)


@pytest.mark.parametrize(
    "point", ["before_model", "on_delta", "after_model", "before_tool", "after_tool", "on_turn_end"]
)
async def test_a_hook_that_waits_is_cancelled_with_the_run(host: Host, point: str) -> None:
    is_asked = asyncio.Event()
    was_cancelled: list[bool] = []

    async def wait(*_: Any) -> None:
        is_asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            was_cancelled.append(True)

    class Slow(Hook):
        pass

    setattr(Slow, point, lambda self, *values: wait(*values))
    before = asyncio.all_tasks()
    run = Agent(ScriptedModel([call_tool("add", a=1), "never"]), [add], hooks=[Slow()]).run("?", host=host)
    reading = asyncio.ensure_future(read(run))
    async with asyncio.timeout(5):
        await is_asked.wait()
        run.cancel()
        events, error = await reading

    assert error is None
    assert events[-1] == RunEnd("cancelled", 1, events[-1].usage)  # type: ignore[union-attr]
    assert was_cancelled == [True]
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_run_with_hooks_goes_on_elsewhere_after_each_event(host: Host) -> None:
    def agent() -> Agent:
        def change(_: RunContext, call: ToolCallPart) -> ToolCallPart:
            return replace(call, arguments='{"a": 7}')

        def replies(request: ModelRequest) -> Any:
            return "ok" if request.messages[-1].role == "tool" else call_tool("add", a=1)

        hooks = [
            At("before_tool", change),
            At("after_tool", lambda *_: Skip("seven")),
            At("on_turn_end", lambda *_: None),
        ]
        return Agent(ScriptedModel([replies] * 9), [add], hooks=hooks)

    whole, _ = await read(agent().run("?", host=host))
    for count in range(1, len(whole)):
        run = agent().run("?", host=make_host())
        first = [await anext(run) for _ in range(count)]
        state = json.loads(json.dumps(run.dump()))
        await run.close()
        rest, error = await read(agent().resume(state, host=make_host()))

        assert error is None
        told = [event for event in [*first, *rest] if isinstance(event, ToolResult)]
        assert told == [ToolResult("add-1", "add", "seven")]
        assert isinstance(rest[-1], RunEnd)
        acted = {(event.point, event.action) for event in [*first, *rest] if isinstance(event, HookAction)}
        assert acted == {("before_tool", "rewrite"), ("after_tool", "skip")}
