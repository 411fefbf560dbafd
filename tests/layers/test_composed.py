"""All layers together, in the order that makes sense and in any other: one stream, one grammar, nothing left behind."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limpet.errors import (
    AgentError,
    AuthenticationError,
    ConfigurationError,
    CostLimitError,
    ModelUnavailableError,
    OfflineError,
    RateLimitError,
    WireFormatError,
)
from limpet.events import Fallback, ModelStart, Usage
from limpet.events import Retry as RetryNotice
from limpet.layers.budget import Budget
from limpet.layers.cache import Cache
from limpet.layers.circuit_breaker import CircuitBreaker
from limpet.layers.hedge import Hedge
from limpet.layers.layer import Layer, Wrapped, apply
from limpet.layers.prices import Price
from limpet.layers.rate_limit import RateLimit
from limpet.layers.retry import Retry
from limpet.messages import ReasoningPart, TextPart
from limpet.model import Delta, Finish, Model, ModelRequest
from limpet.providers.scripted import Pause, Reply, ScriptedModel, call_tool
from tests.fakes.clock import FakeClock
from tests.fakes.host import make_host
from tests.fakes.recorded_run import SlowStorage
from tests.layers.asking import Watched, answer_of, ask, begin, down, failure_of, settle
from tests.suites.stream_grammar import assert_stream, parts_of

EMSCRIPTEN = sys.platform == "emscripten"
MOMENTS = range(0, 400, 7 if EMSCRIPTEN else 1)
PRICES = {"fake:": Price(1, 1, 1)}


class World:
    """Two models, layers around the first, and what was there before."""

    def __init__(self, replies: Sequence[Reply], *, other: Sequence[Reply] = (), is_hedged: bool = True) -> None:
        self.clock = FakeClock(now=0.0)
        self.storage = SlowStorage()
        self.host = make_host(clock=self.clock, storage=self.storage)
        self.first = Watched(ScriptedModel(replies, name="fake:first", clock=self.clock, pause_seconds=0.1))
        self.other = Watched(ScriptedModel(other, name="fake:other", clock=self.clock, pause_seconds=0.1))
        self.budget = Budget(max_cost=1, prices=PRICES)
        self.layers: list[Layer] = [
            self.budget,
            Cache(),
            Hedge(5, self.other if is_hedged else None),
            CircuitBreaker(2),
            RateLimit(60),
            Retry(2),
        ]
        self.before = asyncio.all_tasks()

    def model(self, order: Sequence[int] = range(6)) -> Model:
        return apply([self.layers[place] for place in order], self.first, self.host)

    def check_nothing_is_left(self) -> None:
        assert asyncio.all_tasks() == self.before
        assert (self.first.open, self.other.open) == (0, 0)


class Named:
    """A layer that notes when it is passed."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self._name = name
        self._notes = notes

    def wrap(self, model: Model, host: object) -> Model:
        named = self

        class Noting(Wrapped):
            def stream(self, request: ModelRequest):  # type: ignore[no-untyped-def]
                named._notes.append(named._name)
                return model.stream(request)

        return Noting(model, make_host())


async def test_the_first_layer_is_the_outermost() -> None:
    notes: list[str] = []
    world = World(["Hello."])

    model = apply([Named("outer", notes), Named("inner", notes)], world.first, world.host)

    await answer_of(model)
    assert notes == ["outer", "inner"]
    assert model.info == world.first.info
    assert apply([], world.first, world.host) is world.first


async def test_all_layers_do_their_part() -> None:
    eggs = [ReasoningPart("Eggs."), TextPart("Let me see."), call_tool("boil", eggs=2)]
    slow: Reply = [Pause(60), ModelStart("never")]
    world = World(
        [down(), eggs, slow, down(), down(), down(), down()],
        other=["From the other.", "From the other."],
    )
    model = world.model()

    first = await answer_of(model, ask("eggs"))
    replay = await answer_of(model, ask("eggs"))
    hedged = await answer_of(model, ask("slow"))

    assert first[0] == RetryNotice("fake:first", 1, 0.375, "unavailable", "overloaded")
    assert parts_of(first) == parts_of(replay)
    assert isinstance(replay[-1], Finish)
    assert replay[-1].usage == Usage()
    assert isinstance(hedged[0], Fallback)
    assert world.budget.spent.usage == Usage(16, 8)
    assert (len(world.first.requests), len(world.other.requests)) == (3, 1)
    for name in ("a", "b"):
        assert isinstance(await failure_of(model, ask(name)), ModelUnavailableError)
    refused = await failure_of(model, ask("c"))
    assert refused is not None
    assert "failed 2 times in a row" in refused.message
    assert len(world.first.requests) == 7
    assert parts_of(await answer_of(model, ask("eggs"))) == parts_of(first)
    world.budget.spent.cost = 2
    assert isinstance(await failure_of(model, ask("eggs")), CostLimitError)
    for deltas in (first, replay, hedged):
        assert_stream(deltas)
    world.check_nothing_is_left()


async def test_many_runs_at_the_same_time_hear_their_own_answers() -> None:
    def echo(request: ModelRequest) -> Reply:
        return [Pause(float(request.messages[-1].text) % 7), TextPart(request.messages[-1].text * 3)]

    world = World([echo] * 99, other=[echo] * 99)  # type: ignore[list-item]
    model = world.model()

    answers = await asyncio.gather(*(answer_of(model, ask(str(number))) for number in range(40)))

    assert [parts_of(deltas) for deltas in answers] == [[TextPart(str(number) * 3)] for number in range(40)]
    world.check_nothing_is_left()


async def test_cancelled_at_each_of_its_awaits() -> None:
    ends = set()
    for moment in MOMENTS:
        slow: Reply = [Pause(1), ModelStart("fake:first"), TextPart("one two"), Finish("stop", Usage(8, 4))]
        world = World([down(), [Pause(6), *slow]], other=[[Pause(2), *slow]])
        reading = asyncio.create_task(answer_of(world.model()))
        await settle(moment)
        ends.add(reading.done())

        reading.cancel()
        await asyncio.wait({reading})
        await settle(1)

        world.check_nothing_is_left()
    assert ends == {True, False}


async def test_left_after_each_of_its_deltas() -> None:
    whole = await answer_of(World([down(), "one two"]).model())
    for deltas in range(1, len(whole) + 1):
        world = World([down(), "one two"])

        assert await begin(world.model(), deltas=deltas) == whole[:deltas]

        world.check_nothing_is_left()


ERRORS: list[Exception] = [
    down(),
    OfflineError("no network"),
    RateLimitError("slow down", retry_after_seconds=1),
    WireFormatError("not JSON"),
    AuthenticationError("no key"),
    ConfigurationError("a mistake"),
]
WORDS = st.sampled_from(["", "Hello.", "one two three"])
PARTS = st.one_of(
    WORDS.map(TextPart),
    WORDS.map(ReasoningPart),
    st.just(call_tool("boil", eggs=2)),
)
PAUSES = st.sampled_from([0.1, 4, 7]).map(Pause)


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """Draw an answer: slow or quick, whole or cut off by an error anywhere."""
    steps = draw(st.lists(st.one_of(PARTS, PAUSES), max_size=3))
    seen: list[object] = []
    for step in steps:
        # A call's id is said once.
        if not (step in seen and not isinstance(step, (Pause, TextPart, ReasoningPart))):
            seen.append(step)
    answer = [*draw(st.lists(PAUSES, max_size=1)), ModelStart("fake:first"), *seen]
    if draw(st.booleans()):
        answer.insert(draw(st.integers(0, len(answer))), draw(st.sampled_from(ERRORS)))
    elif draw(st.booleans()):
        answer.append(Finish(draw(st.sampled_from(["stop", "length"])), Usage(8, 4)))
    return answer  # type: ignore[return-value]


@given(
    st.permutations(range(6)),
    st.integers(0, 6),
    st.lists(replies(), min_size=1, max_size=6),
    st.lists(st.sampled_from("ab"), min_size=1, max_size=4),
    st.integers(0, 40),
    st.booleans(),
)
@settings(max_examples=30 if EMSCRIPTEN else 250, deadline=None)
async def test_any_order_of_layers_keeps_the_grammar(
    order: list[int], count: int, answers: list[Reply], questions: list[str], moment: int, is_hedged: bool
) -> None:
    world = World(answers * 20, other=answers * 20, is_hedged=is_hedged)
    model = world.model(order[:count])

    async def read(name: str) -> None:
        heard: list[Delta] = []
        is_whole = False
        try:
            async for delta in model.stream(ask(name)):
                heard.append(delta)  # noqa: PERF401  # what was heard before a failure must stay
            is_whole = True
        except AgentError:
            pass
        finally:
            assert_stream(heard, is_whole=is_whole)

    reading = [asyncio.create_task(read(name)) for name in questions]
    await settle(moment)
    reading[0].cancel()
    for task in reading[1:]:
        await task
    await asyncio.wait(reading)

    world.check_nothing_is_left()


@pytest.mark.parametrize("place", range(6))
async def test_each_layer_alone_hands_the_answer_on_as_it_is(place: int) -> None:
    reply: Reply = [
        ModelStart("fake:first", 0.5),
        ReasoningPart("Eggs.", {"signature": "abc"}),
        TextPart("Let me see."),
        call_tool("boil", eggs=2),
        Finish("tool_calls", Usage(8, 4, 2, 1), {"id": "answer-1"}),
    ]
    plain = await answer_of(World([reply]).first)

    world = World([reply])
    model = world.model([place])

    assert await answer_of(model) == plain
    assert model.info == world.first.info
    world.check_nothing_is_left()
