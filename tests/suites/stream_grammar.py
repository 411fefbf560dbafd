"""The grammar of a model's stream, as a checker: notices, `ModelStart`, blocks none inside another, one `Finish`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from limpet.events import (
    ModelStart,
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
from limpet.messages import Part, ReasoningPart, TextPart, ToolCallPart
from limpet.model import Delta, Finish, Notice

_STARTS = (TextStart, ReasoningStart, ToolCallStart)
_DELTAS = (TextDelta, ReasoningDelta, ToolCallDelta)
_ENDS = {TextStart: TextEnd, ReasoningStart: ReasoningEnd, ToolCallStart: ToolCallEnd}
_GROWS = {TextStart: TextDelta, ReasoningStart: ReasoningDelta, ToolCallStart: ToolCallDelta}


def assert_stream(deltas: Sequence[Delta], *, is_whole: bool = True) -> None:
    """Fail unless the deltas follow the grammar; without `is_whole` they may be the beginning of a stream."""
    has_started = has_finished = False
    block: TextStart | ReasoningStart | ToolCallStart | None = None
    text = ""
    seen: set[str] = set()
    for position, delta in enumerate(deltas):
        where = f"delta {position}, {type(delta).__name__},"
        assert not has_finished, f"{where} comes after Finish"
        if isinstance(delta, get_args(Notice)):
            assert not has_started, f"{where} is a notice after ModelStart"
        elif isinstance(delta, ModelStart):
            assert not has_started, f"{where} comes twice"
            assert delta.confidence is None or 0 <= delta.confidence <= 1
            has_started = True
        elif isinstance(delta, Finish):
            assert has_started, f"{where} comes before ModelStart"
            assert block is None, f"{where} comes inside a block"
            has_finished = True
        elif isinstance(delta, _STARTS):
            assert has_started, f"{where} comes before ModelStart"
            assert block is None, f"{where} comes inside a block"
            assert _id(delta) not in {"", *seen}, f"{where} has no id of its own"
            assert not isinstance(delta, ToolCallStart) or delta.name, f"{where} has no name"
            seen.add(_id(delta))
            block, text = delta, ""
        else:
            assert block is not None, f"{where} comes outside of a block"
            assert _id(delta) == _id(block), f"{where} has another id than its block"
            if isinstance(delta, _DELTAS):
                assert type(delta) is _GROWS[type(block)], f"{where} is in a block of another kind"
                piece = delta.arguments if isinstance(delta, ToolCallDelta) else delta.text
                assert piece, f"{where} is empty"
                assert not any("\ud800" <= letter <= "\udfff" for letter in piece), f"{where} has half a character"
                text += piece
            else:
                assert type(delta) is _ENDS[type(block)], f"{where} ends a block of another kind"
                if isinstance(delta, ToolCallEnd):
                    assert isinstance(block, ToolCallStart)
                    assert delta.name == block.name, f"{where} has another name than its start"
                    assert delta.arguments == text, f"{where} has other arguments than its deltas"
                block = None
    assert has_finished or not is_whole, "the stream has no Finish"


def parts_of(deltas: Sequence[Delta]) -> list[Part]:
    """Give what was said as parts; the ids of calls, which differ from model to model, become empty."""
    parts: list[Part] = []
    texts: dict[str, str] = {}
    for delta in deltas:
        match delta:
            case TextDelta() | ReasoningDelta():
                texts[delta.part_id] = texts.get(delta.part_id, "") + delta.text
            case TextEnd():
                parts.append(TextPart(texts.get(delta.part_id, "")))
            case ReasoningEnd():
                parts.append(ReasoningPart(texts.get(delta.part_id, "")))
            case ToolCallEnd():
                parts.append(ToolCallPart("", delta.name, delta.arguments))
    return parts


def _id(delta: object) -> str:
    value = getattr(delta, "call_id", None) or getattr(delta, "part_id", "")
    return str(value)
