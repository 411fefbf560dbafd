"""Asked again while nothing was said, as the policy has it; and never twice as often as was set."""

from __future__ import annotations

import asyncio

import pytest

from limpet.errors import (
    AuthenticationError,
    ConfigurationError,
    FetchError,
    ModelUnavailableError,
    RateLimitError,
    WireFormatError,
)
from limpet.events import ModelStart, Progress, TextDelta, TextEnd, TextStart, Usage
from limpet.events import Retry as RetryNotice
from limpet.host import Host
from limpet.layers.layer import Layer, apply
from limpet.layers.rate_limit import RateLimit
from limpet.layers.retry import Retry
from limpet.model import Delta, Finish, ModelReference
from limpet.providers import create_model
from limpet.providers.scripted import ScriptedModel
from tests.fakes.clock import FakeClock
from tests.fakes.fetch import FakeFetch
from tests.fakes.host import make_host
from tests.layers.asking import Watched, answer_of, down, failure_of, settle

HELLO = [
    ModelStart("scripted:model"),
    TextStart("0"),
    TextDelta("0", "Hello."),
    TextEnd("0"),
    Finish("stop", Usage(8, 4)),
]


async def test_a_failure_before_the_start_is_told_waited_out_and_tried_again(host: Host, clock: FakeClock) -> None:
    model = ScriptedModel([down(), RateLimitError("slow down", status=429, retry_after_seconds=3), "Hello."])

    deltas = await answer_of(Retry().wrap(model, host))

    assert deltas == [
        RetryNotice("scripted:model", 1, 0.375, "unavailable", "overloaded"),
        RetryNotice("scripted:model", 2, 3, "rate_limited", "slow down"),
        *HELLO,
    ]
    assert clock.slept == [0.375, 3]


async def test_after_the_last_attempt_the_last_error_stands_and_knows_its_model(host: Host) -> None:
    model = Retry(max_attempts=2).wrap(ScriptedModel([down("first"), down("second")]), host)
    heard: list[Delta] = []

    error = await failure_of(model, heard=heard)

    assert heard == [RetryNotice("scripted:model", 1, 0.375, "unavailable", "first")]
    assert isinstance(error, ModelUnavailableError)
    assert (error.message, error.provider, error.model) == ("second", "scripted", "model")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ([ModelStart("scripted:model"), down()], [ModelStart("scripted:model")]),
        (AuthenticationError("no key"), []),
        (WireFormatError("not JSON"), []),
        (down(retry_after_seconds=21), []),
    ],
    ids=["after the start", "a refused key", "a broken answer", "a pause too long"],
)
async def test_what_is_not_tried_again(reply: object, said: list[Delta], host: Host, clock: FakeClock) -> None:
    model = ScriptedModel([reply])  # type: ignore[list-item]
    heard: list[Delta] = []

    assert await failure_of(Retry().wrap(model, host), heard=heard) is not None
    assert (heard, len(model.requests), clock.slept) == (said, 1, [])


async def test_notices_of_the_model_are_no_start(host: Host) -> None:
    progress = Progress("scripted:model", "load", "a.onnx", 1, 2)

    deltas = await answer_of(Retry().wrap(ScriptedModel([[progress, down(), ModelStart("-")], "Hello."]), host))

    assert deltas == [progress, RetryNotice("scripted:model", 1, 0.375, "unavailable", "overloaded"), *HELLO]


async def test_cancelled_in_the_pause_nothing_more_is_sent() -> None:
    clock = FakeClock(is_moving=False)
    model = Watched(ScriptedModel([down(), "Hello."]))
    before = asyncio.all_tasks()
    reading = asyncio.create_task(answer_of(Retry().wrap(model, make_host(clock=clock))))
    await settle()

    reading.cancel()
    await asyncio.wait({reading})
    clock.advance(60)
    await settle()

    assert clock.slept == [0.375]
    assert (len(model.requests), model.open, asyncio.all_tasks()) == (1, 0, before)


@pytest.mark.parametrize(
    "layers",
    [[Retry(max_attempts=2)], [Retry(max_attempts=2), RateLimit()], [RateLimit(), Retry(max_attempts=2)]],
    ids=["alone", "around another layer", "within another layer"],
)
async def test_a_remote_model_leaves_the_retries_to_the_layer(layers: list[Layer]) -> None:
    failures = [FetchError("nobody answers", kind="unreachable") for _ in range(2)]
    fetch = FakeFetch(*failures)
    host = make_host(fetch=fetch)
    heard: list[Delta] = []

    error = await failure_of(apply(layers, create_model(ModelReference("lmstudio", "qwen3"), host), host), heard=heard)

    assert isinstance(error, ModelUnavailableError)
    assert [type(delta) for delta in heard] == [RetryNotice]
    assert len(fetch.sent) == 2


async def test_two_retries_are_one(host: Host) -> None:
    model = ScriptedModel([down()] * 2)

    assert await failure_of(apply([Retry(max_attempts=2), Retry(max_attempts=5)], model, host)) is not None
    assert len(model.requests) == 2


@pytest.mark.parametrize("name", ["max_attempts", "first_delay_seconds", "max_delay_seconds"])
def test_settings_that_make_no_sense_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} of Retry must be more than 0, not 0"):
        Retry(**{name: 0})


async def test_the_model_inside_is_as_it_was() -> None:
    fetch = FakeFetch(*(FetchError("nobody answers", kind="unreachable") for _ in range(2)))
    host = make_host(fetch=fetch)
    remote = create_model(ModelReference("lmstudio", "qwen3", options={"max_attempts": 2}), host)

    assert Retry(max_attempts=5).wrap(remote, host).info == remote.info
    assert await failure_of(remote) is not None
    assert len(fetch.sent) == 2
