"""The first model that is sure to answer does, and every switch is told with its reason."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from limpet.errors import (
    AuthenticationError,
    ConfigurationError,
    ContextLengthError,
    CorsError,
    InvalidRequestError,
    LowConfidenceError,
    ModelError,
    ModelUnavailableError,
    OfflineError,
    PolicyRefusalError,
    RateLimitError,
    UnsupportedError,
    WireFormatError,
)
from limpet.events import Fallback, ModelStart, Progress, TextDelta, TextEnd, TextStart
from limpet.fallback import FallbackModel, close_stream
from limpet.messages import Message, ToolCallPart, ToolResultPart
from limpet.model import Delta, Finish, ModelInfo, ModelRequest
from limpet.providers.scripted import Reply, ScriptedModel

REQUEST = ModelRequest((Message.user("hello"),))


def scripted(name: str, *replies: Reply, is_configured: bool = True, context_length: int = 0) -> ScriptedModel:
    return ScriptedModel(replies, name=f"fake:{name}", is_configured=is_configured, context_length=context_length)


def unsure(honest_answer: str = "no tool fits") -> LowConfidenceError:
    return LowConfidenceError("not sure enough", confidence=0.2, honest_answer=honest_answer)


async def deltas_of(model: FallbackModel, request: ModelRequest = REQUEST) -> list[Delta]:
    return [delta async for delta in model.stream(request)]


async def hear(model: FallbackModel, heard: list[Delta]) -> None:
    async for delta in model.stream(REQUEST):
        heard.append(delta)  # noqa: PERF401  # what was heard before a failure must stay


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


async def test_the_first_model_answers_when_it_can() -> None:
    second = scripted("second", "two")

    deltas = await deltas_of(FallbackModel([scripted("first", "one"), second]))

    assert deltas[0] == ModelStart("fake:first")
    assert text_of(deltas) == "one"
    assert second.requests == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ModelUnavailableError("overloaded", status=503), "unavailable"),
        (CorsError("not let in"), "unavailable"),
        (OfflineError("no network"), "offline"),
        (unsure(), "low_confidence"),
        (RateLimitError("slow down", retry_after_seconds=3), "rate_limited"),
        (ContextLengthError("too long"), "context_too_long"),
        (PolicyRefusalError("no"), "refused_by_policy"),
        (UnsupportedError("no pictures"), "unsupported"),
        (AuthenticationError("no key", status=401), "not_authorized"),
        (WireFormatError("not JSON"), "bad_answer"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
async def test_a_failure_before_the_start_turns_to_the_next_model(error: ModelError, reason: str) -> None:
    deltas = await deltas_of(FallbackModel([scripted("first", error), scripted("second", "two")]))

    assert deltas[0] == Fallback("fake:first", "fake:second", reason, error.message)  # type: ignore[arg-type]
    assert deltas[1] == ModelStart("fake:second")
    assert text_of(deltas) == "two"


async def test_notices_come_through_before_a_switch() -> None:
    progress = Progress("fake:first", "load", "model.onnx", 1, 2)

    deltas = await deltas_of(
        FallbackModel(
            [scripted("first", [progress, OfflineError("no network"), ModelStart("-")]), scripted("second", "two")]
        )
    )

    assert deltas[:2] == [progress, Fallback("fake:first", "fake:second", "offline", "no network")]


async def test_fallback_is_not_used_after_the_start() -> None:
    second = scripted("second", "two")
    first = scripted("first", [ModelStart("fake:first"), ModelUnavailableError("gone")])
    heard: list[Delta] = []

    with pytest.raises(ModelUnavailableError, match="gone"):
        await hear(FallbackModel([first, second]), heard)

    assert heard == [ModelStart("fake:first")]
    assert second.requests == []


async def test_nothing_is_said_twice() -> None:
    first = scripted(
        "first", [ModelStart("fake:first"), TextStart("0"), TextDelta("0", "Once"), WireFormatError("cut off")]
    )
    second = scripted("second", "Once upon a time")
    heard: list[Delta] = []

    with pytest.raises(WireFormatError):
        await hear(FallbackModel([first, second]), heard)

    assert text_of(heard) == "Once"
    assert second.requests == []


async def test_a_request_that_is_refused_as_wrong_is_not_sent_to_another() -> None:
    second = scripted("second", "two")

    with pytest.raises(InvalidRequestError):
        await deltas_of(FallbackModel([scripted("first", InvalidRequestError("bad schema")), second]))

    assert second.requests == []


class Silent:
    """A model whose stream ends without a word."""

    info = ModelInfo("fake", "silent")

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        nothing: tuple[Delta, ...] = ()
        for delta in nothing:
            yield delta


async def test_a_stream_that_ends_without_an_answer_is_a_bad_answer() -> None:
    deltas = await deltas_of(FallbackModel([Silent(), scripted("second", "two")]))

    assert deltas[0] == Fallback("fake:silent", "fake:second", "bad_answer", "fake:silent ended without an answer")


async def test_when_all_fail_the_last_error_tells_what_each_said() -> None:
    model = FallbackModel(
        [
            scripted("first", unsure()),
            scripted("second", RateLimitError("fake:second: slow down", retry_after_seconds=3)),
        ]
    )

    with pytest.raises(RateLimitError) as caught:
        await deltas_of(model)

    assert caught.value.message == "no model could answer: fake:first: not sure enough; fake:second: slow down"
    assert str(caught.value) == caught.value.message
    assert caught.value.retry_after_seconds == 3


async def test_a_single_model_fails_in_its_own_words() -> None:
    with pytest.raises(OfflineError, match=r"^no network$"):
        await deltas_of(FallbackModel([scripted("first", OfflineError("no network"))]))


async def test_when_all_are_unsure_it_ends_honestly() -> None:
    deltas = await deltas_of(FallbackModel([scripted("first", unsure()), scripted("second", unsure("nothing fits"))]))

    assert deltas == [
        Fallback("fake:first", "fake:second", "low_confidence", "not sure enough"),
        ModelStart("fake:second", 0.2),
        TextStart("honest"),
        TextDelta("honest", "nothing fits"),
        TextEnd("honest"),
        Finish("stop"),
    ]


async def test_unconfigured_models_are_left_out() -> None:
    missing = scripted("missing", AuthenticationError("no key"), is_configured=False)
    model = FallbackModel([scripted("first", unsure()), missing])

    deltas = await deltas_of(model)

    assert text_of(deltas) == "no tool fits"
    assert missing.requests == []
    assert [one.info.id for one in model.models] == ["fake:first"]


async def test_when_no_model_is_configured_each_says_what_is_missing() -> None:
    model = FallbackModel(
        [
            scripted("first", AuthenticationError("no key A"), is_configured=False),
            scripted("second", AuthenticationError("no key B"), is_configured=False),
        ]
    )

    with pytest.raises(AuthenticationError, match=r"no key A.*no key B"):
        await deltas_of(model)


def after_tool(model: str) -> ModelRequest:
    return ModelRequest(
        (
            Message.assistant("earlier", model="fake:first"),
            Message.user("hello"),
            Message("assistant", (ToolCallPart("c", "clock", "{}"),), model=model),
            Message("tool", (ToolResultPart("c", "clock", "noon"),)),
        )
    )


async def test_within_a_run_the_model_that_called_the_tool_is_asked_first() -> None:
    first, second = scripted("first", "one"), scripted("second", "two")

    deltas = await deltas_of(FallbackModel([first, second]), after_tool("fake:second"))

    assert deltas[0] == ModelStart("fake:second")
    assert first.requests == []


async def test_after_the_model_that_called_the_tool_come_those_after_it() -> None:
    model = FallbackModel(
        [scripted("first", "one"), scripted("second", OfflineError("gone")), scripted("third", OfflineError("gone"))]
    )

    deltas = await deltas_of(model, after_tool("fake:second"))

    assert [(d.from_model, d.to_model) for d in deltas if isinstance(d, Fallback)] == [
        ("fake:second", "fake:third"),
        ("fake:third", "fake:first"),
    ]


async def test_a_new_question_begins_with_the_first_model_again() -> None:
    request = ModelRequest((Message.assistant("earlier", model="fake:second"), Message.user("hello")))

    deltas = await deltas_of(FallbackModel([scripted("first", "one"), scripted("second", "two")]), request)

    assert deltas[0] == ModelStart("fake:first")


class Watched:
    """A model that tells whether its stream was closed."""

    info = ModelInfo("fake", "watched")

    def __init__(self, error: ModelError | None = None) -> None:
        self.is_closed = False
        self._error = error

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        try:
            if self._error is not None:
                raise self._error
            yield ModelStart("fake:watched")
            yield Finish("stop")
        finally:
            self.is_closed = True


async def test_closing_the_stream_closes_the_models_stream() -> None:
    watched = Watched()
    stream = FallbackModel([watched]).stream(REQUEST)
    await anext(stream)

    await close_stream(stream)

    assert watched.is_closed


def test_it_promises_the_longest_context_of_its_models() -> None:
    short, long = scripted("short", context_length=1000), scripted("long", context_length=9000)

    assert FallbackModel([short, long]).info.context_length == 9000
    assert FallbackModel([short, long, scripted("unknown")]).info.context_length == 0
    here = ScriptedModel([], name="local:here", is_local=True)
    assert FallbackModel([here, long]).info.context_length == 9000
    assert FallbackModel([here]).info.context_length == 0


def test_it_needs_a_model() -> None:
    with pytest.raises(ConfigurationError):
        FallbackModel([])
