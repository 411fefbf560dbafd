"""The model for tests says what its script says, in the order of the grammar."""

from __future__ import annotations

import pytest

from limpet import ConfigurationError, Message, OfflineError, Part, ReasoningPart, TextPart, Usage
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
)
from limpet.model import Delta, Finish, ModelRequest
from limpet.providers.scripted import Pause, Reply, ScriptedModel, Step, call_tool
from tests.fakes.clock import FakeClock
from tests.suites.stream_grammar import assert_stream

REQUEST = ModelRequest((Message.user("hi"),))
START = ModelStart("scripted:model")
USAGE = Usage(8, 4)


async def deltas_of(model: ScriptedModel) -> list[Delta]:
    deltas = [delta async for delta in model.stream(REQUEST)]
    assert_stream(deltas)
    return deltas


async def test_a_text_is_said_word_by_word() -> None:
    assert await deltas_of(ScriptedModel(["Hello there,\nyou"])) == [
        START,
        TextStart("0"),
        TextDelta("0", "Hello "),
        TextDelta("0", "there,\n"),
        TextDelta("0", "you"),
        TextEnd("0"),
        Finish("stop", USAGE),
    ]


async def test_parts_are_said_one_after_the_other() -> None:
    parts: list[Part | Step] = [
        ReasoningPart("hm"),
        TextPart("So:"),
        call_tool("clock"),
        call_tool("clock", "c2", zone="UTC"),
    ]

    assert await deltas_of(ScriptedModel([parts])) == [
        START,
        ReasoningStart("0"),
        ReasoningDelta("0", "hm"),
        ReasoningEnd("0"),
        TextStart("1"),
        TextDelta("1", "So:"),
        TextEnd("1"),
        ToolCallStart("clock-1", "clock"),
        ToolCallDelta("clock-1", "{}"),
        ToolCallEnd("clock-1", "clock", "{}"),
        ToolCallStart("c2", "clock"),
        ToolCallDelta("c2", '{"zone": '),
        ToolCallDelta("c2", '"UTC"}'),
        ToolCallEnd("c2", "clock", '{"zone": "UTC"}'),
        Finish("tool_calls", USAGE),
    ]


async def test_steps_are_taken_as_they_are() -> None:
    steps: list[Delta] = [
        Progress("scripted:model", "load", "f", 1, 2),
        ModelStart("other:model", 0.5),
        Finish("length"),
    ]

    assert await deltas_of(ScriptedModel([steps])) == steps


async def test_an_exception_alone_comes_before_the_start() -> None:
    model = ScriptedModel([OfflineError("no network"), "Hi"])

    with pytest.raises(OfflineError):
        await deltas_of(model)
    assert (await deltas_of(model))[0] == START


async def test_a_reply_may_look_at_the_request() -> None:
    def echo(request: ModelRequest) -> Reply:
        return request.messages[-1].text

    assert TextDelta("0", "hi") in await deltas_of(ScriptedModel([echo]))


async def test_pauses_are_by_the_clock() -> None:
    clock = FakeClock()

    await deltas_of(ScriptedModel([[TextPart("a b"), Pause(60)]], clock=clock, pause_seconds=1))

    assert clock.slept == [1, 1, 1, 1, 1, 60, 1]


async def test_a_script_that_is_too_short_says_so() -> None:
    model = ScriptedModel(["Hi"])
    await deltas_of(model)

    with pytest.raises(ConfigurationError, match="has 1 replies and needs more"):
        await deltas_of(model)
    assert model.requests == [REQUEST, REQUEST]
