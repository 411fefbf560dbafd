"""Whoever begins first is heard, the other is closed at once, and nothing is said twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from limpet.errors import (
    ConfigurationError,
    FetchError,
    InvalidRequestError,
    ModelUnavailableError,
    TokenLimitError,
    WireFormatError,
)
from limpet.events import Fallback, ModelStart, Progress, TextDelta, TextEnd, TextStart
from limpet.host import HttpRequest, HttpResponse
from limpet.layers.hedge import Hedge
from limpet.model import Delta, Finish, Model, ModelInfo, ModelReference, ModelRequest
from limpet.providers import create_model
from limpet.providers.scripted import Pause, Reply, ScriptedModel
from tests.fakes.clock import FakeClock
from tests.fakes.fetch import FakeFetch, FakeResponse, Hang
from tests.fakes.host import make_host
from tests.layers.asking import REQUEST, Watched, answer_of, begin, down, failure_of, settle
from tests.suites.stream_grammar import assert_stream

SLOWER = "fake:first had not begun after 1 seconds, and fake:other was faster"


def starts(seconds: float, text: str, name: str = "fake:first") -> Reply:
    """Give an answer that begins after a while and takes ten seconds from word to word."""
    return [Pause(seconds), ModelStart(name), *_words(text)]


def _words(text: str) -> list[Pause | Delta]:
    return [TextStart("0"), Pause(10), TextDelta("0", text), Pause(10), TextEnd("0"), Finish("stop")]


def fails(seconds: float, error: Exception) -> Reply:
    return [Pause(seconds), error, ModelStart("never")]


class World:
    """A first model, another one, and a clock that moves by itself."""

    def __init__(self, first: list[Reply], other: list[Reply] | None = None, *, is_moving: bool = True) -> None:
        self.clock = FakeClock(now=0.0, is_moving=is_moving)
        self.first = Watched(ScriptedModel(first, name="fake:first", clock=self.clock))
        self.other = Watched(ScriptedModel(other or [], name="fake:other", clock=self.clock))
        to = None if other is None else self.other
        self.model: Model = Hedge(1, to).wrap(self.first, make_host(clock=self.clock))
        self.before = asyncio.all_tasks()

    async def ask(self) -> list[Delta]:
        deltas = await answer_of(self.model)
        assert_stream(deltas)
        assert asyncio.all_tasks() == self.before
        assert (self.first.open, self.other.open) == (0, 0)
        return deltas

    async def fail(self) -> tuple[list[Delta], Exception | None]:
        heard: list[Delta] = []
        error = await failure_of(self.model, heard=heard)
        assert asyncio.all_tasks() == self.before
        assert (self.first.open, self.other.open) == (0, 0)
        return heard, error

    @property
    def asked(self) -> tuple[int, int]:
        return len(self.first.requests), len(self.other.requests)


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


async def test_one_that_begins_in_time_is_the_only_one() -> None:
    world = World([starts(0.9, "first")], [])

    deltas = await world.ask()

    assert (deltas[0], text_of(deltas), world.asked) == (ModelStart("fake:first"), "first", (1, 0))
    assert world.first.ends == ["whole"]


async def test_the_other_one_wins_and_it_is_told() -> None:
    world = World([starts(60, "first")], [starts(0.5, "other", "fake:other")])

    deltas = await world.ask()

    assert deltas[:2] == [Fallback("fake:first", "fake:other", "unavailable", SLOWER), ModelStart("fake:other")]
    assert (text_of(deltas), world.clock.now()) == ("other", 21.5)
    assert (world.first.ends, world.other.ends) == (["closed"], ["whole"])


async def test_the_first_wins_after_all() -> None:
    world = World([starts(1.5, "first")], [starts(60, "other", "fake:other")])

    deltas = await world.ask()

    assert (deltas[0], text_of(deltas)) == (ModelStart("fake:first"), "first")
    assert (world.first.ends, world.other.ends, world.asked) == (["whole"], ["closed"], (1, 1))


async def test_the_same_model_may_win_without_a_word() -> None:
    world = World([starts(60, "slow"), starts(0.5, "quick")])

    deltas = await world.ask()

    assert (deltas[0], text_of(deltas), world.asked) == (ModelStart("fake:first"), "quick", (2, 0))
    assert world.first.ends == ["closed", "whole"]


async def test_the_loser_is_closed_before_the_winner_has_said_a_word() -> None:
    world = World([starts(60, "first")], [starts(0.5, "other", "fake:other")])
    stream = world.model.stream(REQUEST)

    await anext(stream)
    await settle()

    assert (world.first.ends, world.other.open) == (["closed"], 1)
    await stream.aclose()  # type: ignore[attr-defined]
    assert (world.other.ends, asyncio.all_tasks()) == (["closed"], world.before)


class Gated:
    """A model that begins when its gate is opened, and tells when it was closed."""

    def __init__(self, name: str, gate: asyncio.Event, ends: list[str]) -> None:
        self.info = ModelInfo("fake", name)
        self._gate = gate
        self._ends = ends

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        await self._gate.wait()
        try:
            yield ModelStart(self.info.id)
            yield Finish("stop")
        finally:
            self._ends.append(self.info.id)


async def test_two_that_begin_together_have_one_winner_and_both_are_closed() -> None:
    gate = asyncio.Event()
    ends: list[str] = []
    before = asyncio.all_tasks()
    model = Hedge(1, Gated("other", gate, ends)).wrap(Gated("first", gate, ends), make_host())
    reading = asyncio.create_task(answer_of(model))
    await settle()

    gate.set()

    assert await reading == [ModelStart("fake:first"), Finish("stop")]
    assert sorted(ends) == ["fake:first", "fake:other"]
    assert asyncio.all_tasks() == before


async def test_the_notices_of_both_are_passed_on_until_one_begins() -> None:
    one, two, three = (Progress("fake:model", "load", "a.onnx", loaded, 9) for loaded in (1, 2, 3))
    first: Reply = [Pause(0.5), one, Pause(0.9), three, Pause(60), ModelStart("-")]
    world = World([first], [[two, Pause(1), ModelStart("fake:other"), Finish("stop")]])

    deltas = await world.ask()

    told = Fallback("fake:first", "fake:other", "unavailable", SLOWER)
    assert deltas == [one, two, three, told, ModelStart("fake:other"), Finish("stop")]


async def test_when_the_first_fails_the_other_is_waited_for_and_the_reason_told() -> None:
    world = World([fails(2, down())], [starts(5, "other", "fake:other")])

    deltas = await world.ask()

    assert deltas[0] == Fallback("fake:first", "fake:other", "unavailable", "overloaded")
    assert (text_of(deltas), world.first.ends) == ("other", ["failed"])


async def test_when_the_second_fails_the_first_is_waited_for() -> None:
    world = World([starts(5, "first")], [fails(1, InvalidRequestError("refused"))])

    deltas = await world.ask()

    assert (deltas[0], text_of(deltas)) == (ModelStart("fake:first"), "first")


@pytest.mark.parametrize(("first", "other"), [(2, 5), (5, 2)], ids=["the first earlier", "the other earlier"])
async def test_when_both_fail_the_first_ones_error_stands(first: float, other: float) -> None:
    world = World([fails(first, down("mine"))], [fails(other, WireFormatError("not JSON"))])

    heard, error = await world.fail()

    assert heard == []
    assert isinstance(error, ModelUnavailableError)
    assert error.message == "mine"


async def test_a_failure_before_the_second_is_raised_at_once() -> None:
    world = World([fails(0.5, down())], [])

    heard, error = await world.fail()

    assert (heard, world.asked) == ([], (1, 0))
    assert isinstance(error, ModelUnavailableError)


async def test_a_failure_after_the_start_is_raised_and_the_other_stays_closed() -> None:
    world = World([[Pause(2), ModelStart("fake:first"), down()]], [starts(60, "other", "fake:other")])

    heard, error = await world.fail()

    assert heard == [ModelStart("fake:first")]
    assert isinstance(error, ModelUnavailableError)
    assert world.other.ends == ["closed"]


async def test_what_is_no_failure_of_a_model_ends_all() -> None:
    world = World([starts(60, "first")], [fails(1, TokenLimitError("used up"))])

    heard, error = await world.fail()

    assert heard == []
    assert isinstance(error, TokenLimitError)
    assert world.first.ends == ["closed"]


async def test_an_answer_without_a_start_is_a_failure() -> None:
    host = make_host()

    error = await failure_of(Hedge(1).wrap(Silent(), host))

    assert isinstance(error, WireFormatError)
    assert error.message == "fake:silent ended without an answer"


class Silent:
    """A model that says nothing at all."""

    info = ModelInfo("fake", "silent")

    async def stream(self, request):  # type: ignore[no-untyped-def]
        for delta in ():
            yield delta


async def test_another_model_that_is_not_configured_is_not_asked() -> None:
    clock = FakeClock(now=0.0)
    first = ScriptedModel([starts(5, "first")], name="fake:first", clock=clock)
    other = ScriptedModel([], name="fake:other", is_configured=False)

    deltas = await answer_of(Hedge(1, other).wrap(first, make_host(clock=clock)))

    assert (text_of(deltas), other.requests) == ("first", [])


@pytest.mark.parametrize("moment", range(60))
async def test_cancelled_at_any_moment_it_leaves_nothing_behind(moment: int) -> None:
    world = World([starts(1.5, "first")], [starts(0.5, "other", "fake:other")])
    reading = asyncio.create_task(answer_of(world.model))
    await settle(moment)

    reading.cancel()
    await asyncio.wait({reading})
    await settle(1)

    assert asyncio.all_tasks() == world.before
    assert (world.first.open, world.other.open) == (0, 0)


@pytest.mark.parametrize("deltas", range(1, 6))
async def test_left_after_any_delta_it_leaves_nothing_behind(deltas: int) -> None:
    world = World([starts(60, "first")], [starts(0.5, "other", "fake:other")])

    await begin(world.model, deltas=deltas)

    assert asyncio.all_tasks() == world.before
    assert (world.first.ends, world.other.ends) == (["closed"], ["closed"])


async def test_the_losers_request_is_stopped_on_the_wire() -> None:
    event = (
        b'data: {"choices": [{"index": 0, "delta": {"content": "Hi."}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    )
    slow, quick = FakeResponse([Hang()]), FakeResponse([event])
    host = make_host(fetch=FakeFetch(slow, quick))
    hedge = Hedge(1, "lmstudio:quick")
    stream = hedge.wrap(create_model(ModelReference("lmstudio", "slow"), host), host).stream(REQUEST)

    assert isinstance(await anext(stream), Fallback)
    await settle(5)
    assert slow.is_closed
    assert text_of([delta async for delta in stream]) == "Hi."
    assert quick.is_closed


async def test_a_request_that_has_no_response_yet_is_stopped_too() -> None:
    ended: list[str] = []

    async def fetch(request: HttpRequest, /) -> HttpResponse:
        if b"quick" in (request.body or b""):
            raise FetchError("nobody answers", kind="unreachable")
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            ended.append("stopped")
            raise
        raise AssertionError

    host = make_host(fetch=fetch)
    model = Hedge(1).wrap(create_model(ModelReference("lmstudio", "slow"), host), host)
    reading = asyncio.create_task(answer_of(model))
    await settle()
    reading.cancel()
    await asyncio.wait({reading})

    assert ended == ["stopped", "stopped"]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"delay_seconds": 0}, "delay_seconds of Hedge must be more than 0, not 0"),
        ({"delay_seconds": 1, "to": "quick"}, "a model is written 'provider:name'"),
        ({"delay_seconds": 1, "to": "nobody:model"}, "there is no provider 'nobody'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Hedge(**values).wrap(ScriptedModel([]), make_host())  # type: ignore[arg-type]
