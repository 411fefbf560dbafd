"""The loop: these replies and these tools give these events, this history and this result."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from limpet import (
    Agent,
    ConfigurationError,
    Event,
    Host,
    Message,
    ModelReference,
    Part,
    RunResult,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
    event_from_wire,
    event_to_wire,
    tool,
)
from limpet.conversation import load_conversation
from limpet.errors import ModelUnavailableError, OfflineError, StorageError, WireFormatError
from limpet.events import (
    Fallback,
    ModelStart,
    RunEnd,
    RunError,
    RunStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
    TurnEnd,
    TurnStart,
)
from limpet.messages import ImagePart
from limpet.model import Delta, Finish, ModelInfo, ModelRequest
from limpet.providers.scripted import ScriptedModel, Step, call_tool
from limpet.run import Run
from tests.fakes.host import make_host

USAGE = Usage(8, 4)


@tool
def set_timer(minutes: int, label: str = "") -> str:
    """Set a kitchen timer."""
    return f"timer set for {minutes} minutes"


async def events_of(run: Run) -> list[Event]:
    """Read a run to its end, also when that is a failure."""
    events: list[Event] = []
    try:
        async for event in run:
            events.append(event)  # noqa: PERF401  # what was heard before a failure must stay
    except Exception:
        assert isinstance(events[-1], RunError)
    return events


async def test_a_plain_answer(host: Host) -> None:
    agent = Agent(model=ScriptedModel(["Hello there"]))

    events = await events_of(agent.run("hi", host=host))

    assert events == [
        RunStart(None, ["scripted:model"]),
        TurnStart(1),
        ModelStart("scripted:model"),
        TextStart("0"),
        TextDelta("0", "Hello "),
        TextDelta("0", "there"),
        TextEnd("0"),
        TurnEnd(1, "scripted:model", "stop", USAGE),
        RunEnd("stop", 1, USAGE),
    ]


async def test_a_tool_call_and_the_answer_after_it(host: Host) -> None:
    call = ToolCallPart("c1", "set_timer", '{"minutes": 10}')
    model = ScriptedModel([call, "Done."])
    run = Agent(model=model, tools=[set_timer], instructions="You run a kitchen.").run("eggs", host=host)

    events = await events_of(run)

    assert events == [
        RunStart(None, ["scripted:model"]),
        TurnStart(1),
        ModelStart("scripted:model"),
        ToolCallStart("c1", "set_timer"),
        ToolCallDelta("c1", '{"minutes": '),
        ToolCallDelta("c1", "10}"),
        ToolCallEnd("c1", "set_timer", '{"minutes": 10}'),
        ToolResult("c1", "set_timer", "timer set for 10 minutes"),
        TurnEnd(1, "scripted:model", "tool_calls", USAGE),
        TurnStart(2),
        ModelStart("scripted:model"),
        TextStart("0"),
        TextDelta("0", "Done."),
        TextEnd("0"),
        TurnEnd(2, "scripted:model", "stop", USAGE),
        RunEnd("stop", 2, Usage(16, 8)),
    ]
    history = (
        Message.user("eggs"),
        Message("assistant", (call,), model="scripted:model"),
        Message("tool", (ToolResultPart("c1", "set_timer", "timer set for 10 minutes"),)),
        Message.assistant("Done.", model="scripted:model"),
    )
    assert await run == RunResult("Done.", history, Usage(16, 8), "stop", 2, "Done.")
    system = Message.system("You run a kitchen.")
    spec = (set_timer.spec,)
    assert model.requests == [
        ModelRequest((system, *history[:1]), spec),
        ModelRequest((system, *history[:3]), spec),
    ]


async def test_a_run_is_awaited_for_its_result(host: Host) -> None:
    result = await Agent(model=ScriptedModel(["Hello"])).run("hi", host=host)

    assert (result.text, result.finish_reason, result.turns) == ("Hello", "stop", 1)


async def test_a_run_that_was_read_in_part_is_awaited_for_the_rest(host: Host) -> None:
    run = Agent(model=ScriptedModel(["Hello"])).run("hi", host=host)
    await anext(run)

    assert (await run).text == "Hello"
    assert (await run).text == "Hello"


async def test_events_are_numbered_without_gaps_and_cross_the_wire(host: Host) -> None:
    run = Agent(model=ScriptedModel([call_tool("set_timer", minutes=1), "Done."]), tools=[set_timer]).run(
        "eggs", host=host, run_id="r1"
    )
    ids: list[int] = []

    async for event in run:
        wire = event_to_wire(event, id=run.next_event_id - 1, run_id=run.run_id)
        ids.append(wire["id"])
        assert event_from_wire(wire) == event

    assert ids == list(range(len(ids)))
    assert run.run_id == "r1"


async def test_empty_deltas_are_dropped(host: Host) -> None:
    steps: list[Step] = [TextStart("0"), TextDelta("0", ""), TextDelta("0", "Hi"), TextEnd("0")]

    events = await events_of(Agent(model=ScriptedModel([steps])).run("hi", host=host))

    assert [event for event in events if isinstance(event, TextDelta)] == [TextDelta("0", "Hi")]


async def test_a_prompt_may_have_several_parts(host: Host) -> None:
    model = ScriptedModel(["A cat."])
    parts: list[Part] = [TextPart("what is this?"), ImagePart("image/png", data="aGk=")]

    await Agent(model=model).run(parts, host=host)

    assert model.requests[0].messages == (Message("user", tuple(parts)),)


async def test_messages_given_come_before_the_prompt_and_the_result_carries_them_on(host: Host) -> None:
    model = ScriptedModel(["Ada.", "Still Ada."])
    agent = Agent(model=model)
    first = await agent.run("my name is Ada; who am I?", host=host)

    second = await agent.run("and now?", host=host, messages=first.messages)

    assert [message.text for message in second.messages] == [
        "my name is Ada; who am I?",
        "Ada.",
        "and now?",
        "Still Ada.",
    ]
    assert model.requests[1].messages == second.messages[:3]


async def test_a_switch_to_the_next_model_is_told(host: Host) -> None:
    models = [ScriptedModel([OfflineError("no network")], name="a:one"), ScriptedModel(["Hi"], name="b:two")]

    events = await events_of(Agent(model=models).run("hi", host=host))

    assert events[:4] == [
        RunStart(None, ["a:one", "b:two"]),
        TurnStart(1),
        Fallback("a:one", "b:two", "offline", "no network"),
        ModelStart("b:two"),
    ]


async def test_settings_reach_the_model(host: Host) -> None:
    model = ScriptedModel(["Hi"])

    await Agent(model=model, max_output_tokens=7, temperature=0.5, extra={"seed": 1}).run("hi", host=host)

    assert model.requests == [
        ModelRequest((Message.user("hi"),), max_output_tokens=7, temperature=0.5, extra={"seed": 1})
    ]


async def test_a_long_history_is_fitted_into_the_longest_context(host: Host) -> None:
    model = ScriptedModel(["Hi"], context_length=200)
    old = [Message.user("x" * 400), Message.assistant("y" * 400)]

    result = await Agent(model=model).run("hello", host=host, messages=old)

    assert model.requests[0].messages == (Message.user("hello"),)
    assert result.messages[:2] == tuple(old)


# --- failures ---------------------------------------------------------------------------------------------------


async def test_a_failure_is_the_last_event_and_is_then_raised(host: Host) -> None:
    run = Agent(model=ScriptedModel([OfflineError("no network")])).run("hi", host=host)
    events = await events_of(run)

    assert events[-1] == RunError("OfflineError", "no network", is_retryable=False)
    with pytest.raises(OfflineError):
        await run
    with pytest.raises(StopAsyncIteration):
        await anext(run)


async def test_a_retryable_failure_says_so(host: Host) -> None:
    events = await events_of(Agent(model=ScriptedModel([ModelUnavailableError("busy")])).run("hi", host=host))

    assert events[-1] == RunError("ModelUnavailableError", "busy", is_retryable=True)


class Broken:
    """A model with a mistake in it."""

    info = ModelInfo("fake", "broken")

    def __init__(self, *deltas: Delta) -> None:
        self._deltas = deltas

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        for delta in self._deltas:
            yield delta
        raise KeyError("the secret prompt")


async def test_an_unexpected_exception_ends_the_run_once_and_tells_no_text(host: Host) -> None:
    run = Agent(model=Broken(ModelStart("fake:broken"))).run("hi", host=host)
    events = await events_of(run)

    assert [type(event) for event in events] == [RunStart, TurnStart, ModelStart, RunError]
    assert events[-1] == RunError("KeyError", "something went wrong inside; see the log")
    with pytest.raises(KeyError, match="the secret prompt"):
        await run


async def test_a_failure_after_the_finish_does_not_spoil_the_answer(host: Host) -> None:
    class Sloppy(Broken):
        async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
            try:
                yield ModelStart("fake:broken")
                yield Finish("stop")
            finally:
                raise OSError("the socket was closed twice")

    result = await Agent(model=Sloppy()).run("hi", host=host)

    assert result.finish_reason == "stop"


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([TextDelta("0", "x")], id="a delta without a block"),
        pytest.param([TextStart("0"), Finish("stop")], id="a finish inside a block"),
        pytest.param([ToolCallStart("c", "set_timer"), Finish("tool_calls")], id="a call without an end"),
    ],
)
async def test_a_stream_that_breaks_the_grammar_fails_the_run(host: Host, steps: list[Delta]) -> None:
    run = Agent(model=ScriptedModel([steps]), tools=[set_timer]).run("hi", host=host)
    events = await events_of(run)

    assert isinstance(events[-1], RunError)
    with pytest.raises(WireFormatError):
        await run


async def test_a_stream_that_ends_without_a_finish_fails_the_run(host: Host) -> None:
    class Short(Broken):
        async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
            yield ModelStart("fake:broken")

    with pytest.raises(WireFormatError, match="without finishing"):
        await Agent(model=Short()).run("hi", host=host)


# --- conversations ----------------------------------------------------------------------------------------------


async def test_a_conversation_is_kept(host: Host) -> None:
    model = ScriptedModel(["Hello Ada", "You are Ada"])
    agent = Agent(model=model, instructions="Be kind.")
    await agent.run("I am Ada", host=host, conversation_id="c1")

    result = await agent.run("who am I?", host=host, conversation_id="c1")

    assert [message.text for message in result.messages] == ["I am Ada", "Hello Ada", "who am I?", "You are Ada"]
    assert tuple(await load_conversation(host.storage, "c1")) == result.messages
    assert model.requests[1].messages == (Message.system("Be kind."), *result.messages[:3])


async def test_the_prompt_is_saved_before_the_model_is_asked(host: Host) -> None:
    run = Agent(model=ScriptedModel(["Hello"])).run("I am Ada", host=host, conversation_id="c1")
    async for event in run:
        if isinstance(event, TurnStart):
            break

    assert await load_conversation(host.storage, "c1") == [Message.user("I am Ada")]
    await run.close()


async def test_a_turn_is_saved_before_its_end_is_told(host: Host) -> None:
    run = Agent(model=ScriptedModel([call_tool("set_timer", minutes=1), "Done."]), tools=[set_timer]).run(
        "eggs", host=host, conversation_id="c1"
    )
    async for event in run:
        if isinstance(event, TurnEnd):
            break

    assert [message.role for message in await load_conversation(host.storage, "c1")] == ["user", "assistant", "tool"]
    await run.close()


async def test_a_failed_run_keeps_what_was_said(host: Host) -> None:
    steps: list[Step] = [TextStart("0"), TextDelta("0", "Once upon"), ModelUnavailableError("cut off")]
    run = Agent(model=ScriptedModel([steps])).run("a story", host=host, conversation_id="c1")
    await events_of(run)

    assert await load_conversation(host.storage, "c1") == [
        Message.user("a story"),
        Message.assistant("Once upon", model="scripted:model"),
    ]


async def test_without_a_conversation_nothing_is_stored(host: Host) -> None:
    await Agent(model=ScriptedModel(["Hello"])).run("hi", host=host)

    assert await host.storage.keys() == []


class FullStorage:
    """A store in which nothing fits."""

    async def get(self, key: str) -> bytes | None:
        return None

    async def put(self, key: str, value: bytes) -> None:
        raise StorageError("the disk is full", key=key)

    async def delete(self, key: str) -> None: ...

    async def keys(self, prefix: str = "") -> list[str]:
        return []


async def test_a_store_that_fails_ends_the_run() -> None:
    model = ScriptedModel(["Hello"])
    run = Agent(model=model).run("hi", host=make_host(storage=FullStorage()), conversation_id="c1")

    events = await events_of(run)

    assert events == [
        RunStart("c1", ["scripted:model"]),
        RunError("StorageError", "the disk is full", is_retryable=False),
    ]
    assert model.requests == []


async def test_a_conversation_that_cannot_be_read_is_not_overwritten(host: Host) -> None:
    await host.storage.put("conversations/c1", b"not ours")

    with pytest.raises(StorageError, match="can't be read"):
        await Agent(model=ScriptedModel(["Hello"])).run("hi", host=host, conversation_id="c1")

    assert await host.storage.get("conversations/c1") == b"not ours"


# --- settings ---------------------------------------------------------------------------------------------------


def no_tool() -> None: ...


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": []}, "needs a model"),
        ({"model": "needle"}, "provider:name"),
        ({"model": 7}, "provider:name"),
        ({"model": "local:needle", "tools": [no_tool]}, "@tool"),
        ({"model": "local:needle", "tools": [set_timer, set_timer]}, "same name: set_timer"),
        ({"model": "local:needle", "max_turns": 0}, "max_turns"),
        ({"model": "local:needle", "max_parallel_tools": 0}, "max_parallel_tools"),
        ({"model": "local:needle", "max_seconds": 0}, "max_seconds"),
        ({"model": "local:needle", "max_tokens": -1}, "max_tokens"),
    ],
)
def test_an_agent_that_is_set_up_wrongly_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Agent(**settings)  # type: ignore[arg-type]


async def test_an_unknown_provider_is_refused_before_anything_runs(host: Host) -> None:
    with pytest.raises(ConfigurationError, match="'nobody'"):
        Agent(model="nobody:model").run("hi", host=host)


def test_models_are_named_in_three_ways() -> None:
    model = ScriptedModel([])

    agent = Agent(model=["local:needle", ModelReference("openai", "gpt-5-mini"), model])

    assert agent.models == (ModelReference("local", "needle"), ModelReference("openai", "gpt-5-mini"), model)


async def test_a_run_has_one_reader(host: Host) -> None:
    runs: list[Run] = []

    @tool
    async def read_beside() -> str:
        return repr(await anext(runs[0]))

    runs.append(Agent(model=ScriptedModel([call_tool("read_beside"), "Done."]), tools=[read_beside]).run("", host=host))
    await runs[0]

    failure = runs[0].failures["read_beside-1"]
    assert isinstance(failure, ConfigurationError)
    assert "one reader" in failure.message


def test_messages_that_are_none_are_refused_at_once(host: Host) -> None:
    with pytest.raises(ConfigurationError, match="Message objects"):
        Agent(ScriptedModel(["x"])).run("?", host=host, messages=[{"role": "user"}])  # type: ignore[list-item]


async def test_raw_events_are_kept_by_the_run_and_not_in_the_history(host: Host) -> None:
    def answer(*steps: Step, raw: int) -> list[Step]:
        finish = Finish("stop", provider_metadata={"raw_events": [{"n": raw}], "id": "x"})
        return [ModelStart("scripted:model"), TextStart("0"), *steps, TextEnd("0"), finish]

    run = Agent(model=ScriptedModel([answer(TextDelta("0", "hi"), raw=1)])).run("hi", host=host)
    result = await run

    assert run.raw_events == [{"n": 1}]
    assert result.messages[-1].provider_metadata == {"id": "x"}
