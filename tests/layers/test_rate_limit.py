"""No more than a service allows in any minute, in the order of their coming, and nobody waits for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limpet.errors import ConfigurationError, RateLimitError
from limpet.events import ModelStart, Usage
from limpet.events import Retry as RetryNotice
from limpet.host import Host
from limpet.layers.layer import CACHED_USAGE
from limpet.layers.rate_limit import RateLimit
from limpet.model import Delta, Finish, Model, ModelRequest
from limpet.providers.scripted import Pause, Reply, ScriptedModel
from tests.fakes.clock import FakeClock
from tests.fakes.host import make_host
from tests.layers.asking import REQUEST, Watched, answer_of, ask, begin, down, failure_of, settle

# "hello" and its message are 6 tokens.
SHORT = ModelRequest(REQUEST.messages, max_output_tokens=94)


class World:
    """A limited model, and when each of its requests went out."""

    def __init__(self, limit: RateLimit, replies: Sequence[Reply] = (), *, usage: Usage | None = None) -> None:
        self.clock = FakeClock(now=0.0)
        self.began: list[tuple[str, float]] = []
        self._replies = list(replies)
        self._usage = usage or Usage(8, 4)
        scripted = ScriptedModel([self._reply] * 99, usage=self._usage, clock=self.clock)
        self.inner = Watched(scripted)
        self.model: Model = limit.wrap(self.inner, make_host(clock=self.clock))

    def _reply(self, request: ModelRequest) -> Reply:
        self.began.append((request.messages[-1].text, self.clock.now()))
        return self._replies.pop(0) if self._replies else "Hello."

    async def ask_all(self, *requests: ModelRequest) -> None:
        async with asyncio.TaskGroup() as group:
            for request in requests:
                group.create_task(answer_of(self.model, request))

    @property
    def times(self) -> list[float]:
        return [at for _, at in self.began]


async def test_as_many_requests_as_allowed_go_at_once_and_the_next_after_a_minute() -> None:
    world = World(RateLimit(requests_per_minute=2, max_wait_seconds=1000))

    await world.ask_all(*(ask(name) for name in "abcde"))

    assert world.began == [("a", 0), ("b", 0), ("c", 60), ("d", 60), ("e", 120)]


async def test_tokens_are_guessed_before_and_set_right_after_the_answer() -> None:
    world = World(RateLimit(tokens_per_minute=250), usage=Usage(20, 5))

    await world.ask_all(SHORT, SHORT, SHORT)
    await world.ask_all(*[SHORT] * 6)

    # A guess of 100 fits beside six answers of 25. The third waited for the first answer, not for a minute.
    assert world.times == [0] * 7 + [60] * 2


async def test_an_answer_that_took_more_than_guessed_counts_as_it_was() -> None:
    world = World(RateLimit(tokens_per_minute=250), usage=Usage(20, 220))

    await world.ask_all(SHORT)
    await world.ask_all(SHORT)

    assert world.times == [0, 60]


async def test_without_a_usage_the_guess_stands() -> None:
    world = World(RateLimit(tokens_per_minute=150), usage=Usage())

    await world.ask_all(SHORT)
    await world.ask_all(SHORT)

    assert world.times == [0, 60]


async def test_a_replay_takes_no_tokens() -> None:
    replay = [ModelStart("-"), Finish("stop", provider_metadata={CACHED_USAGE: {}})]
    world = World(RateLimit(tokens_per_minute=150), [replay])

    await world.ask_all(SHORT)
    await world.ask_all(SHORT)

    assert world.times == [0, 0]


async def test_an_answer_without_a_limit_is_guessed_to_be_long() -> None:
    world = World(RateLimit(tokens_per_minute=1000), usage=Usage())

    await world.ask_all(REQUEST, REQUEST)

    assert world.times == [0, 60]


async def test_what_is_bigger_than_the_limit_goes_alone() -> None:
    world = World(RateLimit(tokens_per_minute=10, max_wait_seconds=100), usage=Usage(90, 4))

    await world.ask_all(SHORT, SHORT)

    assert world.times == [0, 60]


async def test_who_would_wait_too_long_is_refused_at_once_with_the_time() -> None:
    world = World(RateLimit(requests_per_minute=1, max_wait_seconds=70))
    reading = asyncio.create_task(world.ask_all(REQUEST, REQUEST))
    await settle(5)

    error = await failure_of(world.model)

    assert isinstance(error, RateLimitError)
    assert (error.retry_after_seconds, error.provider, error.model) == (120, "scripted", "model")
    assert error.message == "scripted:model: the limit of our own would keep this request waiting for 120.0 seconds"
    assert world.clock.now() == 0
    await reading
    assert world.times == [0, 60]


async def test_with_no_time_to_wait_a_free_place_is_still_taken() -> None:
    world = World(RateLimit(requests_per_minute=1, max_wait_seconds=0))

    await world.ask_all(REQUEST)

    assert isinstance(await failure_of(world.model), RateLimitError)
    assert world.times == [0]


async def test_a_wait_that_grows_too_long_ends() -> None:
    long = [ModelStart("-"), Pause(30), Finish("stop", Usage(200, 100))]
    world = World(RateLimit(tokens_per_minute=300, max_wait_seconds=50), ["Hello.", long], usage=Usage(99, 1))
    await world.ask_all(SHORT)
    await world.clock.sleep(20)
    second = asyncio.create_task(answer_of(world.model, SHORT))
    await world.clock.sleep(1)

    # At 21 it seemed that there would be room at 60. At 50 the second turned out to have used all until 80.
    error = await failure_of(world.model, ModelRequest(REQUEST.messages, max_output_tokens=144))

    assert isinstance(error, RateLimitError)
    assert (error.retry_after_seconds, world.clock.now(), world.times) == (30, 50, [0, 20])
    assert second.done()


async def test_a_request_that_gives_up_makes_room_for_those_behind_it() -> None:
    world = World(RateLimit(requests_per_minute=1, max_wait_seconds=1000))
    await world.ask_all(ask("first"))
    before = asyncio.all_tasks()
    gives_up = asyncio.create_task(answer_of(world.model, ask("gives up")))
    stays = asyncio.create_task(answer_of(world.model, ask("stays")))
    await settle(3)

    gives_up.cancel()
    await stays

    assert world.began == [("first", 0), ("stays", 60)]
    assert asyncio.all_tasks() == before


async def test_cancelled_while_waiting_it_leaves_nothing_behind() -> None:
    clock = FakeClock(is_moving=False)
    limit = RateLimit(requests_per_minute=1, max_wait_seconds=1000)
    model = limit.wrap(ScriptedModel(["one", "two"]), make_host(clock=clock))
    await answer_of(model)
    before = asyncio.all_tasks()
    waiting = [asyncio.create_task(answer_of(model)) for _ in range(2)]
    await settle()

    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)

    assert asyncio.all_tasks() == before
    assert clock.slept == [60]
    clock.advance(60)
    assert [type(delta) for delta in await answer_of(model)][-1] is Finish


async def test_a_reader_that_goes_away_has_still_used_its_turn_and_the_model_is_closed() -> None:
    world = World(RateLimit(requests_per_minute=1))

    await begin(world.model, deltas=2)

    assert world.inner.ends == ["closed"]
    await world.ask_all(REQUEST)
    assert world.times == [0, 60]


async def test_retries_further_in_are_requests() -> None:
    retry = RetryNotice("scripted:model", 1, 0.5, "unavailable", "overloaded")
    world = World(RateLimit(requests_per_minute=2), [[retry, ModelStart("-"), Finish("stop")]])

    await world.ask_all(REQUEST)
    await world.ask_all(REQUEST)

    assert world.times == [0, 60]


async def test_a_failure_is_passed_on(host: Host) -> None:
    error = down()

    assert await failure_of(RateLimit(requests_per_minute=1).wrap(ScriptedModel([error]), host)) is error


async def test_without_limits_all_go() -> None:
    world = World(RateLimit())

    await world.ask_all(*[REQUEST] * 50)

    assert world.times == [0] * 50


@given(
    st.lists(st.tuples(st.floats(0, 50), st.integers(1, 120)), min_size=1, max_size=12),
    st.integers(1, 3),
    st.integers(50, 150),
)
@settings(max_examples=60, deadline=None)
async def test_no_minute_ever_has_more_and_nobody_is_overtaken(
    arrivals: list[tuple[float, int]], requests: int, tokens: int
) -> None:
    # The usage is as guessed, so the guesses are what counts.
    world = World(RateLimit(requests, tokens, max_wait_seconds=10_000), usage=Usage())

    async def come(name: str, size: int) -> list[Delta]:
        return await answer_of(world.model, ModelRequest(ask(name).messages, max_output_tokens=size))

    coming = []
    for number, (pause, size) in enumerate(arrivals):
        coming.append(asyncio.create_task(come(f"{number:05}", size)))
        await world.clock.sleep(pause)
    await asyncio.gather(*coming)

    assert [name for name, _ in world.began] == [f"{number:05}" for number in range(len(arrivals))]
    sizes = [(at, 6 + size) for at, (_, size) in zip(world.times, arrivals, strict=True)]
    for at, _ in sizes:
        minute = [size for other, size in sizes if at <= other < at + 59.99]
        assert len(minute) <= requests
        assert sum(minute) <= tokens or len(minute) == 1


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"requests_per_minute": 0}, "requests_per_minute of RateLimit must be more than 0, not 0"),
        ({"tokens_per_minute": -1}, "tokens_per_minute of RateLimit must be more than 0, not -1"),
        ({"max_wait_seconds": -1}, "max_wait_seconds of RateLimit must be 0 or more, not -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, int], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        RateLimit(**values)
