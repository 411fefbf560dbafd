"""A service that is down is left alone for a while, and then tried by one request only."""

from __future__ import annotations

import asyncio

import pytest

from limpet.errors import (
    AgentError,
    AuthenticationError,
    ConfigurationError,
    InvalidRequestError,
    ModelUnavailableError,
    OfflineError,
    RateLimitError,
    TokenLimitError,
    WireFormatError,
)
from limpet.events import Fallback, ModelStart
from limpet.fallback import FallbackModel
from limpet.layers.circuit_breaker import CircuitBreaker
from limpet.model import Finish, Model
from limpet.providers.scripted import Pause, Reply, ScriptedModel
from tests.fakes.clock import FakeClock
from tests.fakes.host import make_host
from tests.layers.asking import Watched, answer_of, begin, down, failure_of, settle


class World:
    """A broken model, what it is asked, and a clock that the test moves."""

    def __init__(self, *replies: Reply, max_failures: int = 2) -> None:
        self.clock = FakeClock(is_moving=False)
        self.inner = Watched(ScriptedModel(replies, clock=self.clock))
        breaker = CircuitBreaker(max_failures=max_failures, cooldown_seconds=30)
        self.model: Model = breaker.wrap(self.inner, make_host(clock=self.clock))

    async def outcomes(self, count: int) -> list[str]:
        """Ask one after the other: each time "answer", "refused", or the error's class."""
        return [await self.outcome() for _ in range(count)]

    async def outcome(self) -> str:
        asked = len(self.inner.requests)
        error = await failure_of(self.model)
        if error is None:
            return "answer"
        return type(error).__name__ if len(self.inner.requests) > asked else "refused"


FAILED = "ModelUnavailableError"


async def test_after_failures_in_a_row_it_refuses_at_once_and_says_for_how_long() -> None:
    world = World(down(), down())

    assert await world.outcomes(3) == [FAILED, FAILED, "refused"]
    world.clock.advance(10)
    error = await failure_of(world.model)

    assert isinstance(error, ModelUnavailableError)
    assert error.message == "scripted:model failed 2 times in a row and is left alone for 20.0 seconds more"
    assert (error.retry_after_seconds, error.provider, error.model) == (20, "scripted", "model")


async def test_an_answer_in_between_begins_the_count_anew() -> None:
    world = World(down(), "Hello.", down(), "Hello.", down(), down())

    assert await world.outcomes(7) == [FAILED, "answer", FAILED, "answer", FAILED, FAILED, "refused"]


async def test_a_fallback_turns_to_the_next_model_at_once() -> None:
    world = World(down(), down())
    await world.outcomes(2)

    deltas = await answer_of(FallbackModel([world.model, ScriptedModel(["Here."], name="other:model")]))

    says = "scripted:model failed 2 times in a row and is left alone for 30.0 seconds more"
    assert deltas[:2] == [Fallback("scripted:model", "other:model", "unavailable", says), ModelStart("other:model")]
    assert len(world.inner.requests) == 2


async def test_after_the_time_one_answer_ends_the_refusals() -> None:
    world = World(down(), down(), "Hello.", down(), "Hello.")
    await world.outcomes(2)
    world.clock.advance(30)

    assert await world.outcomes(3) == ["answer", FAILED, "answer"]


async def test_after_the_time_one_failure_begins_it_anew() -> None:
    world = World(down(), down(), down(), "Hello.")
    await world.outcomes(2)
    world.clock.advance(30)

    assert await world.outcomes(2) == [FAILED, "refused"]
    world.clock.advance(29)
    assert await world.outcomes(1) == ["refused"]
    world.clock.advance(1)
    assert await world.outcomes(1) == ["answer"]


async def test_only_one_finds_out_and_the_others_are_refused() -> None:
    world = World(down(), down(), [Pause(5), ModelStart("-"), Pause(5), Finish("stop")], "Hello.")
    await world.outcomes(2)
    world.clock.advance(30)
    probe = asyncio.create_task(answer_of(world.model))
    await settle()

    assert await world.outcome() == "refused"
    world.clock.advance(5)
    await settle()
    error = await failure_of(world.model)
    assert isinstance(error, ModelUnavailableError)
    assert error.message == "scripted:model failed 2 times in a row and is just being tried again"
    assert error.retry_after_seconds == 0
    world.clock.advance(5)
    await probe

    assert await world.outcome() == "answer"


@pytest.mark.parametrize("is_cancelled", [True, False], ids=["cancelled", "left"])
async def test_who_goes_away_while_finding_out_gives_the_place_back(is_cancelled: bool) -> None:
    world = World(down(), down(), [ModelStart("-"), Pause(5)], "Hello.")
    await world.outcomes(2)
    world.clock.advance(30)

    if is_cancelled:
        probe = asyncio.create_task(answer_of(world.model))
        await settle()
        probe.cancel()
        await asyncio.wait({probe})
    else:
        await begin(world.model, deltas=1)

    assert await world.outcome() == "answer"
    assert world.inner.open == 0


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("no key"),
        InvalidRequestError("refused"),
        RateLimitError("slow down"),
        OfflineError("no network"),
        TokenLimitError("used up"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_is_no_failure_of_the_service(error: AgentError) -> None:
    world = World(*[error] * 5, down(), error, down())

    outcomes = await world.outcomes(9)

    assert outcomes == [*[type(error).__name__] * 5, FAILED, type(error).__name__, FAILED, "refused"]


@pytest.mark.parametrize(
    "reply",
    [WireFormatError("not JSON"), [ModelStart("-"), WireFormatError("cut off")], [ModelStart("-"), down()]],
    ids=["broken", "cut off", "down in the middle"],
)
async def test_broken_answers_are_failures_also_after_their_start(reply: Reply) -> None:
    world = World(reply, reply)

    assert (await world.outcomes(3))[2] == "refused"


async def test_an_answer_without_an_end_is_a_failure() -> None:
    model = CircuitBreaker(max_failures=1).wrap(Endless(), make_host())

    assert await answer_of(model) == [ModelStart("endless:model")]
    assert isinstance(await failure_of(model), ModelUnavailableError)


class Endless(ScriptedModel):
    """A model whose answers have no end."""

    def __init__(self) -> None:
        super().__init__([[ModelStart("endless:model"), Finish("stop")]] * 9, name="endless:model")

    async def stream(self, request):  # type: ignore[no-untyped-def]
        async for delta in super().stream(request):
            if not isinstance(delta, Finish):
                yield delta


async def test_those_under_way_when_it_went_down_do_not_make_it_longer() -> None:
    late: Reply = [Pause(20), down()]
    world = World(late, down(), down(), "Hello.")
    slow = asyncio.create_task(failure_of(world.model))
    await settle()
    await world.outcomes(2)

    world.clock.advance(20)
    assert isinstance(await slow, ModelUnavailableError)
    assert await world.outcome() == "refused"
    world.clock.advance(10)

    assert await world.outcome() == "answer"


async def test_the_reader_may_leave_after_the_end() -> None:
    world = World("Hello.", down(), max_failures=1)

    await begin(world.model, deltas=5)

    assert await world.outcomes(2) == [FAILED, "refused"]


@pytest.mark.parametrize("name", ["max_failures", "cooldown_seconds"])
def test_settings_that_make_no_sense_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} of CircuitBreaker must be more than 0, not 0"):
        CircuitBreaker(**{name: 0})
