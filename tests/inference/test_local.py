from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from limpet.errors import ConfigurationError, ContextLengthError, LowConfidenceError, ModelUnavailableError
from limpet.events import (
    ModelStart,
    Progress,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from limpet.inference.prompt import render_tools
from limpet.messages import Message, ToolCallPart, ToolResultPart
from limpet.model import Delta, Finish, ModelReference, ModelRequest
from limpet.providers import create_model
from limpet.providers.local import LocalModel, LocalSettings, settings_from
from tests.fakes.host import make_host
from tests.fakes.session import FakeBackend, FakeSession
from tests.inference.small import TIMER, TOKENIZER, TOOLS, tokenizer_json
from tests.suites.stream_grammar import assert_stream

QUESTION = ModelRequest((Message.system("You run a kitchen."), Message.user("ten minutes for the eggs")), TOOLS)
CALL = '[{"name":"set_timer","arguments":{"minutes":10,"label":"eggs"}}]'
ARGUMENTS = '{"minutes":10,"label":"eggs"}'


def session_that_says(answer: str, *, confidence: float = 0.9, context_length: int = 4096) -> FakeSession:
    """Give a session whose best token is always the next one of `answer`, which begins after `<think>`."""
    target = TOKENIZER.encode_template(answer)
    think = TOKENIZER.markers["<think>"]

    def rank(sequence: list[int]) -> list[int]:
        if think not in sequence:
            return [0]
        place = len(sequence) - sequence.index(think) - 1
        return target[place : place + 1] or [TOKENIZER.markers["<|im_end|>"]]

    return FakeSession(
        rank,
        files={"tokenizer.json": tokenizer_json()},
        manifest={"id": "fake", "bos_token_id": 2, "context_length": context_length},
        scalars={"confidence": confidence},
    )


def says(calls: str, thoughts: str = "eggs, ten") -> str:
    return f"\n{thoughts}\n</think>\n<tool_call>{calls}</tool_call><|im_end|>"


def model_of(session: FakeSession, settings: LocalSettings | None = None) -> LocalModel:
    return LocalModel("fake", make_host(inference=FakeBackend(session)), settings)


async def collect(model: LocalModel, request: ModelRequest) -> list[Delta]:
    async with aclosing(model.stream(request)) as stream:
        return [delta async for delta in stream]


async def collect_until_unsure(model: LocalModel, request: ModelRequest) -> tuple[list[Delta], LowConfidenceError]:
    said: list[Delta] = []
    try:
        async for delta in model.stream(request):
            said.append(delta)  # noqa: PERF401  what came before the error is kept
    except LowConfidenceError as error:
        return said, error
    raise AssertionError("it acted")


async def test_a_call_is_streamed_after_the_thoughts() -> None:
    session = session_that_says(says(CALL), confidence=1.0)

    deltas = await collect(model_of(session), QUESTION)

    assert_stream(deltas)
    notices = [delta for delta in deltas if isinstance(delta, Progress)]
    assert [(notice.status, notice.file) for notice in notices][:3] == [
        ("load", "model.onnx"),
        ("ready", ""),
        ("load", "tools"),
    ]
    usage = deltas[-1].usage if isinstance(deltas[-1], Finish) else Usage()
    assert deltas[len(notices) :] == [
        ModelStart("local:fake", 1.0),
        ReasoningStart("thoughts"),
        ReasoningDelta("thoughts", "eggs, ten"),
        ReasoningEnd("thoughts"),
        ToolCallStart("id-0", "set_timer"),
        ToolCallDelta("id-0", ARGUMENTS),
        ToolCallEnd("id-0", "set_timer", ARGUMENTS),
        Finish("tool_calls", usage),
    ]
    assert (usage.cached_tokens, usage.reasoning_tokens) == (0, len(TOKENIZER.encode("\neggs, ten\n")))
    assert usage.output_tokens == len(TOKENIZER.encode_template(says(CALL)))


async def test_the_prefix_tells_how_far_it_is() -> None:
    session = session_that_says(says(CALL))

    deltas = await collect(model_of(session, LocalSettings(prefill_tokens=8)), QUESTION)

    notices = [delta for delta in deltas if isinstance(delta, Progress) and delta.file == "tools"]
    loaded = [notice.loaded for notice in notices]
    assert len(notices) > 3
    assert {notice.total for notice in notices} == {len(render_tools(TOOLS).encode())}
    assert (loaded[0], loaded[-1]) == (0, notices[-1].total)
    assert loaded == sorted(set(loaded))
    assert [notice.status for notice in notices] == ["load"] * (len(notices) - 1) + ["ready"]


async def test_the_prefix_is_computed_once_and_restored_afterwards() -> None:
    session = session_that_says(says(CALL))
    model = model_of(session)
    first = await collect(model, QUESTION)
    session.log.clear()

    second = await collect(model, ModelRequest((Message.user("ten more for the eggs"),), TOOLS))

    assert [name for name, _ in session.log if name != "forward"] == ["restore"]
    assert not [delta for delta in second if isinstance(delta, Progress)]
    prefix = session.snapshots[str(session.log[0][1])]
    usages = [deltas[-1].usage for deltas in (first, second) if isinstance(deltas[-1], Finish)]
    assert [usage.cached_tokens for usage in usages] == [0, len(prefix)]


async def test_other_tools_have_another_prefix() -> None:
    session = session_that_says(says("[]"))
    model = model_of(session)

    for tools in (TOOLS, (TIMER,)):
        with pytest.raises(LowConfidenceError):
            await collect(model, ModelRequest((Message.user("hello"),), tools))

    assert len(session.snapshots) == 2


async def test_two_calls_have_ids_of_their_own_and_a_repeated_one_is_left_out() -> None:
    one = '{"name":"set_timer","arguments":{"minutes":5}}'
    two = '{"name":"set_timer","arguments":{"minutes":10}}'
    session = session_that_says(says(f"[{one},{two},{one}]"))

    deltas = await collect(model_of(session), ModelRequest((Message.user("timers for 5 and 10 minutes"),), TOOLS))

    assert_stream(deltas)
    assert [delta for delta in deltas if isinstance(delta, ToolCallEnd)] == [
        ToolCallEnd("id-0", "set_timer", '{"minutes":5}'),
        ToolCallEnd("id-1", "set_timer", '{"minutes":10}'),
    ]


@pytest.mark.parametrize(
    ("calls", "confidence", "prompt", "expected"),
    [
        ("[]", 0.9, "ten minutes for the eggs", 0.0),
        (CALL, 0.09, "ten minutes for the eggs", 0.09**0.75),
        (CALL, 0.9, "a timer for the eggs", 0.0),
        (CALL, 0.9, "don't set ten minutes for the eggs", 0.0),
    ],
    ids=["no call", "not sure", "invented number", "negated"],
)
async def test_it_gives_way_before_the_first_word(calls: str, confidence: float, prompt: str, expected: float) -> None:
    session = session_that_says(says(calls), confidence=confidence)
    request = ModelRequest((Message.user(prompt),), TOOLS)

    said, error = await collect_until_unsure(model_of(session), request)

    assert all(isinstance(delta, Progress) for delta in said)
    assert error.confidence == pytest.approx(expected)
    assert "None of my tools fits" in error.honest_answer
    assert prompt not in error.message


async def test_the_threshold_is_a_setting() -> None:
    session = session_that_says(says(CALL), confidence=0.2)

    deltas = await collect(model_of(session, LocalSettings(act_at=0.2)), QUESTION)

    assert ModelStart("local:fake", round(0.2**0.75, 4)) in deltas


async def test_results_are_told_without_asking_the_model() -> None:
    session = session_that_says(says("[]"))
    call = Message("assistant", (ToolCallPart("1", "a", "{}"), ToolCallPart("2", "b", "{}")), model="local:fake")
    results = Message("tool", (ToolResultPart("1", "a", "timer set"), ToolResultPart("2", "b", {"left": 3})))

    deltas = await collect(model_of(session), ModelRequest((*QUESTION.messages, call, results), TOOLS))

    assert_stream(deltas)
    assert deltas == [
        ModelStart("local:fake", None),
        TextStart("results"),
        TextDelta("results", 'timer set\n{"left": 3}'),
        TextEnd("results"),
        Finish("stop"),
    ]
    assert session.log == []


async def test_a_failed_tool_is_left_to_a_model_that_can_repair_it() -> None:
    session = session_that_says(says("[]"))
    results = Message("tool", (ToolResultPart("1", "oven", "it is on fire", is_error=True),))

    with pytest.raises(LowConfidenceError) as caught:
        await collect(model_of(session), ModelRequest((*QUESTION.messages, results), TOOLS))

    assert caught.value.honest_answer == "The tool oven failed: it is on fire"


async def test_without_tools_nothing_is_loaded() -> None:
    session = session_that_says(says("[]"))
    requests = [ModelRequest(QUESTION.messages), ModelRequest(QUESTION.messages, TOOLS, tool_choice="none")]

    for request in requests:
        with pytest.raises(LowConfidenceError):
            await collect(model_of(session), request)

    assert session.log == []


async def test_a_required_call_cannot_be_refused_by_the_model() -> None:
    session = session_that_says(says("[]"), confidence=0.01)
    request = ModelRequest(QUESTION.messages, TOOLS, tool_choice="required")

    answer = await model_of(session).answer(request, lambda _: None)

    assert answer.calls_text.startswith('[{"name":"set_')


async def test_a_context_that_is_too_small_is_told_before_anything_is_computed() -> None:
    session = session_that_says(says(CALL), context_length=500)

    with pytest.raises(ContextLengthError, match="of the local model's 500"):
        await collect(model_of(session), QUESTION)

    assert session.log == []


async def test_a_host_without_inference_has_no_local_models() -> None:
    model = LocalModel("needle", make_host())

    assert not model.info.is_configured
    with pytest.raises(ModelUnavailableError, match="no local models"):
        await collect(model, QUESTION)


async def test_cancelling_stops_at_once_and_leaves_the_session_usable() -> None:
    session = session_that_says(says(CALL))
    session.gate = asyncio.Event()
    model = model_of(session)
    run = asyncio.create_task(collect(model, QUESTION))
    await session.has_begun.wait()

    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run

    assert not session.lock.locked()
    assert session.snapshots == {}
    session.gate.set()
    assert_stream(await collect(model, QUESTION))


async def test_closing_the_stream_stops_the_work() -> None:
    session = session_that_says(says(CALL))
    session.gate = asyncio.Event()
    stream = model_of(session).stream(QUESTION)

    first = await anext(stream)
    await stream.aclose()

    assert isinstance(first, Progress)
    assert not session.lock.locked()


async def test_one_question_at_a_time_is_asked_of_a_session() -> None:
    session = session_that_says(says(CALL))
    model = model_of(session)

    first, second = await asyncio.gather(collect(model, QUESTION), collect(model, QUESTION))

    assert_stream(first)
    assert_stream(second)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"act_at": "high"}, "'act_at' of a local model is 'high'"),
        ({"act_at": 2}, "not between 0 and 1"),
        ({"think": 1}, "'think'"),
        ({"instructions": "all"}, "not one of none, rules, agent, both"),
        ({"temperature": 1.0}, "no option 'temperature'"),
    ],
)
def test_wrong_options_are_refused_when_the_model_is_made(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        create_model(ModelReference("local", "needle", options=options), make_host())


def test_options_become_settings() -> None:
    assert settings_from({"act_at": 0.3, "think": False}) == LocalSettings(act_at=0.3, think=False)


@pytest.mark.parametrize("instructions", ["none", "rules", "agent", "both"])
async def test_instructions_stand_in_the_prefix_when_wanted(instructions: str) -> None:
    session = session_that_says(says(CALL))

    await collect(model_of(session, settings_from({"instructions": instructions})), QUESTION)

    (prefix,) = session.snapshots.values()
    text = TOKENIZER.decode(prefix)
    assert ("You run a kitchen." in text) == (instructions in ("agent", "both"))
    assert ("exactly one declared call" in text) == (instructions in ("rules", "both"))
