"""Deltas become one message, and a stream that breaks the grammar is refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet.accumulate import Accumulator
from limpet.errors import WireFormatError
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
from limpet.messages import Message, Part, ReasoningPart, TextPart, ToolCallPart
from limpet.model import Delta, Finish, ModelRequest
from limpet.providers.scripted import ScriptedModel

START = ModelStart("fake:one")
TEXT = (TextStart("0"), TextDelta("0", "Hello "), TextDelta("0", "there"), TextEnd("0"))
CALL = (ToolCallStart("c", "clock"), ToolCallDelta("c", '{"zone":'), ToolCallDelta("c", '"UTC"}'))
CALL_END = ToolCallEnd("c", "clock", '{"zone":"UTC"}')


def accumulated(deltas: Sequence[Delta]) -> Accumulator:
    accumulator = Accumulator()
    for delta in deltas:
        accumulator.add(delta)
    return accumulator


def test_blocks_become_the_parts_of_one_message() -> None:
    deltas: list[Delta] = [
        Progress("fake:one", "load", "model.onnx", 1, 2),
        START,
        ReasoningStart("r"),
        ReasoningDelta("r", "hm"),
        ReasoningEnd("r", {"signature": "x"}),
        *TEXT,
        *CALL,
        CALL_END,
        Finish("tool_calls", Usage(1, 2), {"id": "answer"}),
    ]

    message = accumulated(deltas).message()

    assert message == Message(
        "assistant",
        (
            ReasoningPart("hm", {"signature": "x"}),
            TextPart("Hello there"),
            ToolCallPart("c", "clock", '{"zone":"UTC"}'),
        ),
        model="fake:one",
        provider_metadata={"id": "answer"},
    )


def test_an_answer_may_be_empty() -> None:
    assert accumulated([START, Finish("stop")]).message() == Message("assistant", (), model="fake:one")


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param([TextStart("0")], id="a block before the model's start"),
        pytest.param([Finish("stop")], id="a finish before the model's start"),
        pytest.param([START, START], id="two starts"),
        pytest.param([ModelStart("")], id="a start that names no model"),
        pytest.param([START, Progress("fake:one", "load", "f", 0, 0)], id="a notice after the start"),
        pytest.param([START, TextDelta("0", "x")], id="a delta without a block"),
        pytest.param([START, TextEnd("0")], id="an end without a block"),
        pytest.param([START, TextStart("0"), TextStart("1")], id="a block inside a block"),
        pytest.param([START, TextStart("0"), ToolCallStart("c", "clock")], id="a call inside a text"),
        pytest.param([START, TextStart("0"), TextDelta("1", "x")], id="a delta of another block"),
        pytest.param([START, TextStart("0"), ReasoningDelta("0", "x")], id="a delta of another kind"),
        pytest.param([START, TextStart("0"), TextEnd("1")], id="an end of another block"),
        pytest.param([START, *TEXT, TextStart("0")], id="an id for the second time"),
        pytest.param([START, TextStart("0"), Finish("stop")], id="a finish inside a text"),
        pytest.param([START, TextStart("0"), Finish("length")], id="a cut-off text that was not ended"),
        pytest.param([START, *CALL, Finish("tool_calls")], id="a finish inside a call that was not cut off"),
        pytest.param([START, *CALL, ToolCallEnd("c", "clock", "{}")], id="other arguments at the end"),
        pytest.param([START, Finish("stop"), Finish("stop")], id="two finishes"),
        pytest.param([START, Finish("stop"), TextStart("0")], id="a block after the finish"),
    ],
)
def test_a_stream_that_breaks_the_grammar_is_refused(deltas: list[Delta]) -> None:
    with pytest.raises(WireFormatError, match="broke the order of a stream"):
        accumulated(deltas)


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_call_that_was_cut_off_is_left_out(reason: str) -> None:
    first = (ToolCallStart("b", "clock"), ToolCallEnd("b", "clock", "{}"))

    left_open = accumulated([START, *TEXT, *first, *CALL, Finish(reason)])  # type: ignore[arg-type]
    closed = accumulated(
        [START, *TEXT, *first, ToolCallStart("c", "clock"), ToolCallEnd("c", "clock", '{"minutes": 1'), Finish(reason)]  # type: ignore[arg-type]
    )

    assert left_open.message().parts == (TextPart("Hello there"), ToolCallPart("b", "clock", "{}"))
    assert closed.message() == left_open.message()


def test_every_call_of_a_cut_off_answer_must_be_whole() -> None:
    calls = [("a", '{"minutes": 1'), ("b", "{}"), ("c", "1"), ("d", "")]
    blocks = [block for id, text in calls for block in (ToolCallStart(id, "clock"), ToolCallEnd(id, "clock", text))]

    message = accumulated([START, *blocks, Finish("length")]).message()

    assert [call.id for call in message.tool_calls] == ["b"]
    assert len(accumulated([START, *blocks, Finish("tool_calls")]).message().tool_calls) == 4


def test_a_whole_call_is_kept_when_the_answer_was_cut_off_after_it() -> None:
    assert accumulated([START, *CALL, CALL_END, Finish("length")]).message().tool_calls == (
        ToolCallPart("c", "clock", '{"zone":"UTC"}'),
    )


@pytest.mark.parametrize(
    ("deltas", "parts"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param([START], None, id="only the start"),
        pytest.param([START, TextStart("0"), TextDelta("0", "Hel"), TextDelta("0", "lo")], ["Hello"], id="half a text"),
        pytest.param([START, *TEXT, *CALL], ["Hello there"], id="half a call"),
        pytest.param([START, *TEXT, *CALL, CALL_END], ["Hello there"], id="a whole call that was not run"),
        pytest.param([START, ReasoningStart("r"), ReasoningDelta("r", "hm"), ReasoningEnd("r")], None, id="reasoning"),
        pytest.param([START, TextStart("0"), TextEnd("0")], None, id="an empty text"),
    ],
)
def test_of_a_broken_off_answer_the_text_is_kept(deltas: list[Delta], parts: list[str] | None) -> None:
    partial = accumulated(deltas).partial()

    expected = None if parts is None else Message("assistant", tuple(map(TextPart, parts)), model="fake:one")
    assert partial == expected


def test_the_reasoning_before_a_broken_off_text_is_kept() -> None:
    reasoning: list[Delta] = [ReasoningStart("r"), ReasoningDelta("r", "hm"), ReasoningEnd("r")]

    partial = accumulated([START, *reasoning, TextStart("0"), TextDelta("0", "so")]).partial()

    assert partial == Message("assistant", (ReasoningPart("hm"), TextPart("so")), model="fake:one")


part_lists = st.lists(
    st.one_of(
        st.builds(TextPart, st.text()),
        st.builds(ReasoningPart, st.text()),
        st.builds(ToolCallPart, st.uuids().map(str), st.text(min_size=1), st.text()),
    ),
    unique_by=lambda part: part.id if isinstance(part, ToolCallPart) else id(part),
)


@given(part_lists)
async def test_parts_that_are_streamed_come_together_again(parts: list[Part]) -> None:
    model = ScriptedModel([parts])

    deltas = [delta async for delta in model.stream(ModelRequest(()))]

    assert accumulated(deltas).message().parts == tuple(parts)
