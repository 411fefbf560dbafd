"""The scenarios that every model must pass, whatever it is made of.

A model's test gives a `prepare(scenario)` that brings the model into the situation, and a table of the scenarios that
it can't be in, each with the reason:

    @pytest.mark.parametrize("scenario", SCENARIOS, ids=scenario_id)
    async def test_model_suite(scenario: Scenario) -> None:
        await run_scenario(scenario, prepare, skips={"reasoning_before_text": "the model does not think aloud"})

A scenario that passes although it is in the table fails the test: its line must go.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

import pytest

from limpet.errors import AuthenticationError, ModelError, ModelUnavailableError, WireFormatError
from limpet.events import ModelStart, Retry, TextDelta, Usage
from limpet.messages import Message, Part, ReasoningPart, TextPart, ToolCallPart
from limpet.model import Delta, Finish, Model, ModelRequest, ToolSpec
from limpet.wire import FinishReason
from tests.suites.stream_grammar import assert_stream, parts_of

SET_TIMER = ToolSpec(
    "set_timer",
    "Set a kitchen timer.",
    {
        "type": "object",
        "properties": {
            "minutes": {"type": "integer", "description": "How long, in minutes."},
            "label": {"type": "string", "description": "What it is for."},
        },
        "required": ["minutes"],
    },
)
STOP_TIMERS = ToolSpec("stop_timers", "Stop all timers.", {"type": "object", "properties": {}})
TOOLS = (SET_TIMER, STOP_TIMERS)
SYSTEM = Message.system("You run a kitchen.")

QUESTION = ModelRequest((SYSTEM, Message.user("How long do eggs take?")))
ERRAND = ModelRequest((SYSTEM, Message.user("Ten minutes for the eggs.")), tools=TOOLS)
STOP_ALL = ModelRequest((SYSTEM, Message.user("Stop all timers.")), tools=TOOLS)

ANSWER = "Eggs take ten minutes."
TEN_MINUTES = ToolCallPart("", "set_timer", '{"minutes": 10, "label": "eggs"}')


@dataclass(frozen=True)
class Scenario:
    """A situation, and what must come out of it.

    Either the stream is whole, with `parts` and `finish_reason`, or it fails with `error`; `has_started` then says
    whether the failure comes after `ModelStart` (None: either way). `retry_after_seconds` is what at least one `Retry`
    notice must wait; 0 when there must be one. `leaves` is how the reader leaves a stream that goes on.
    """

    name: str
    request: ModelRequest = QUESTION
    parts: tuple[Part, ...] = (TextPart(ANSWER),)
    finish_reason: FinishReason = "stop"
    usage: Usage | None = None
    error: type[ModelError] | None = None
    has_started: bool | None = None
    retry_after_seconds: float | None = None
    leaves: Literal["closes", "cancels"] | None = None


SCENARIOS = (
    Scenario("plain_text"),
    Scenario("empty_answer", parts=()),
    Scenario(
        "two_tool_calls",
        ModelRequest((SYSTEM, Message.user("Stop all timers, then ten minutes for the eggs.")), tools=TOOLS),
        (ToolCallPart("", "stop_timers", "{}"), TEN_MINUTES),
        "tool_calls",
    ),
    Scenario("arguments_in_many_deltas", ERRAND, (TEN_MINUTES,), "tool_calls"),
    Scenario("arguments_missing", STOP_ALL, (ToolCallPart("", "stop_timers", ""),), "tool_calls"),
    Scenario("arguments_empty", STOP_ALL, (ToolCallPart("", "stop_timers", ""),), "tool_calls"),
    Scenario("arguments_null", STOP_ALL, (ToolCallPart("", "stop_timers", ""),), "tool_calls"),
    Scenario("arguments_empty_object", STOP_ALL, (ToolCallPart("", "stop_timers", "{}"),), "tool_calls"),
    Scenario("reasoning_before_text", parts=(ReasoningPart("Hard or soft? Hard."), TextPart(ANSWER))),
    Scenario("refusal", parts=(TextPart("I can't help with that."),), finish_reason="content_filter"),
    Scenario("stopped_by_length", parts=(TextPart("Eggs take"),), finish_reason="length"),
    Scenario("usage_missing", usage=Usage()),
    Scenario("unknown_event"),
    Scenario("broken_frame", error=WireFormatError),
    Scenario("stream_cut_off", error=WireFormatError, has_started=True),
    Scenario("stream_cut_off_in_a_call", ERRAND, error=WireFormatError, has_started=True),
    Scenario("status_401", error=AuthenticationError, has_started=False),
    Scenario("status_429", retry_after_seconds=0.0),
    Scenario("status_429_retry_after", retry_after_seconds=7.0),
    Scenario("status_500", error=ModelUnavailableError, has_started=False),
    Scenario("closed_half_way", leaves="closes"),
    Scenario("cancelled_half_way", leaves="cancels"),
    Scenario("surrogate_pair_cut_in_two", parts=(TextPart("Eggs \N{COOKING} take ten minutes."),)),
)


def scenario_id(scenario: Scenario) -> str:
    """Name a scenario in a test's id."""
    return scenario.name


@dataclass(frozen=True)
class Prepared:
    """A model in its situation. `is_released` says, once the stream is over, that it holds nothing any more."""

    model: Model
    is_released: Callable[[], bool] = lambda: True


Prepare = Callable[[Scenario], Awaitable[Prepared]]


async def run_scenario(scenario: Scenario, prepare: Prepare, *, skips: Mapping[str, str] | None = None) -> None:
    """Bring a model into a scenario and check what comes out; skip it by name when it is in `skips`."""
    reason = (skips or {}).get(scenario.name)
    if reason is None:
        await _check(scenario, await prepare(scenario))
        return
    try:
        await _check(scenario, await prepare(scenario))
    except Exception:  # however it fails, it does not pass
        pytest.skip(reason)
    pytest.fail(f"{scenario.name} passes now; it is skipped because {reason!r}")


async def _check(scenario: Scenario, prepared: Prepared) -> None:
    deltas: list[Delta] = []
    async with asyncio.timeout(20):
        if scenario.leaves is not None:
            await _leave(scenario, prepared, deltas)
        elif scenario.error is not None:
            with pytest.raises(scenario.error) as caught:
                await _read(prepared.model, scenario.request, deltas)
            assert type(caught.value) is scenario.error
            assert (caught.value.provider, caught.value.model) == (
                prepared.model.info.provider,
                prepared.model.info.name,
            )
        else:
            await _read(prepared.model, scenario.request, deltas)
    is_whole = scenario.error is None and scenario.leaves is None
    assert_stream(deltas, is_whole=is_whole)
    starts = [delta.model for delta in deltas if isinstance(delta, ModelStart)]
    if scenario.has_started is not None:
        assert bool(starts) == scenario.has_started
    assert all(start == prepared.model.info.id for start in starts)
    if scenario.retry_after_seconds is not None:
        assert any(
            delta.delay_seconds >= scenario.retry_after_seconds for delta in deltas if isinstance(delta, Retry)
        ), "there was no Retry notice, or it waits too short a time"
    if is_whole:
        finish = deltas[-1]
        assert isinstance(finish, Finish)
        assert [_comparable(part) for part in parts_of(deltas)] == [_comparable(part) for part in scenario.parts]
        assert finish.finish_reason == scenario.finish_reason
        assert scenario.usage is None or finish.usage == scenario.usage
    assert prepared.is_released(), "something is still held after the stream is over"


async def _read(model: Model, request: ModelRequest, deltas: list[Delta]) -> None:
    async for delta in model.stream(request):
        deltas.append(delta)  # noqa: PERF401  # what came before an error counts, too


async def _leave(scenario: Scenario, prepared: Prepared, deltas: list[Delta]) -> None:
    """Read up to the first words, then close the stream, or cancel the task that waits for more."""
    if scenario.leaves == "closes":
        async with aclosing(prepared.model.stream(scenario.request)) as stream:  # type: ignore[type-var]
            async for delta in stream:
                deltas.append(delta)
                if isinstance(delta, TextDelta):
                    break
        return
    said_something = asyncio.Event()

    async def read() -> None:
        async for delta in prepared.model.stream(scenario.request):
            deltas.append(delta)
            if isinstance(delta, TextDelta):
                said_something.set()

    task = asyncio.create_task(read())
    await said_something.wait()
    assert not task.done(), "the scenario's stream must go on after the first words"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def _comparable(part: Part) -> object:
    if not isinstance(part, ToolCallPart):
        return part
    # How the JSON is written is the model's affair, but that there is none is not.
    try:
        return part.name, json.loads(part.arguments)
    except ValueError:
        return part.name, part.arguments.strip()
