"""Deltas in, one assistant message out; and the check that a stream keeps the grammar of `model.py`.

Nothing here waits. Pieces of text are kept in a list and joined once, so a long answer costs no more per delta than a
short one.
"""

from __future__ import annotations

import json
from typing import assert_never

from .errors import WireFormatError
from .events import (
    Fallback,
    ModelStart,
    Progress,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    Retry,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from .messages import Message, Part, ReasoningPart, TextPart, ToolCallPart
from .model import Delta, Finish
from .wire import JsonObject

RAW_EVENTS = "raw_events"
"""In the metadata of a `Finish`: all JSON that the server sent, as it was."""


class Accumulator:
    """Collects the deltas of one answer; lives for one turn."""

    def __init__(self) -> None:
        self.model = ""
        """The id of the model that answers, "" until its `ModelStart`."""
        self.finish: Finish | None = None
        self._parts: list[Part] = []
        self._ids: set[str] = set()
        # The block that is open: the delta that began it, and the pieces of its text.
        self._open: TextStart | ReasoningStart | ToolCallStart | None = None
        self._pieces: list[str] = []

    @property
    def is_started(self) -> bool:
        """Whether a model has begun to answer."""
        return bool(self.model)

    def add(self, delta: Delta) -> None:
        """Take the next delta. Raises `WireFormatError` when it may not stand where it stands."""
        if self.finish is not None:
            raise self._error(delta, "came after the answer was finished")
        match delta:
            case TextDelta():
                self._piece(delta, TextStart, delta.part_id, delta.text)
            case ReasoningDelta():
                self._piece(delta, ReasoningStart, delta.part_id, delta.text)
            case ToolCallDelta():
                self._piece(delta, ToolCallStart, delta.call_id, delta.arguments)
            case TextStart() | ReasoningStart():
                self._begin(delta, delta.part_id)
            case ToolCallStart():
                self._begin(delta, delta.call_id)
            case TextEnd():
                self._close(delta, TextStart, delta.part_id)
                self._parts.append(TextPart(self._text(), delta.provider_metadata))
            case ReasoningEnd():
                self._close(delta, ReasoningStart, delta.part_id)
                self._parts.append(ReasoningPart(self._text(), delta.provider_metadata))
            case ToolCallEnd():
                self._end_call(delta)
            case ModelStart():
                if self.is_started:
                    raise self._error(delta, "came twice")
                if not delta.model:
                    raise self._error(delta, "names no model")
                self.model = delta.model
            case Finish():
                self._finish(delta)
            case Progress() | Retry() | Fallback():
                if self.is_started:
                    raise self._error(delta, "came after the model had begun to answer")
            case _:
                assert_never(delta)

    def message(self) -> Message:
        """Give the whole answer, to be called after `Finish`; without its raw events, which no history needs."""
        assert self.finish is not None
        return self._message(self._parts, without_raw_events(self.finish.provider_metadata))

    def partial(self) -> Message | None:
        """Give what can be kept of an answer that was broken off, None when nothing was said.

        That is its text. A call is left out, whole or not, because it was not run; so is reasoning that no text
        follows, because providers refuse to be sent it alone.
        """
        parts: list[Part] = [part for part in self._parts if not isinstance(part, ToolCallPart)]
        if isinstance(self._open, TextStart):
            parts.append(TextPart("".join(self._pieces)))
        while parts and not (isinstance(parts[-1], TextPart) and parts[-1].text):
            parts.pop()
        return self._message(parts, None) if parts else None

    def _message(self, parts: list[Part], provider_metadata: JsonObject | None) -> Message:
        return Message("assistant", tuple(parts), model=self.model, provider_metadata=provider_metadata)

    def _begin(self, delta: TextStart | ReasoningStart | ToolCallStart, id: str) -> None:
        if not self.is_started:
            raise self._error(delta, "came before the model's start")
        if self._open is not None:
            raise self._error(delta, f"came inside a block of {type(self._open).__name__}")
        if id in self._ids:
            raise self._error(delta, "has the id of an earlier block")
        self._ids.add(id)
        self._open = delta

    def _piece(self, delta: Delta, start: type, id: str, text: str) -> None:
        self._check_open(delta, start, id)
        self._pieces.append(text)

    def _close(self, delta: Delta, start: type, id: str) -> None:
        self._check_open(delta, start, id)
        self._open = None

    def _check_open(self, delta: Delta, start: type, id: str) -> None:
        block = self._open
        if type(block) is not start or id != (block.call_id if isinstance(block, ToolCallStart) else block.part_id):  # type: ignore[union-attr]
            raise self._error(delta, "does not belong to the open block")

    def _end_call(self, delta: ToolCallEnd) -> None:
        self._close(delta, ToolCallStart, delta.call_id)
        if self._pieces and self._text() != delta.arguments:
            raise self._error(delta, "has other arguments than its deltas")
        self._parts.append(ToolCallPart(delta.call_id, delta.name, delta.arguments, delta.provider_metadata))

    def _text(self) -> str:
        text = "".join(self._pieces)
        self._pieces.clear()
        return text

    def _finish(self, delta: Finish) -> None:
        if not self.is_started:
            raise self._error(delta, "came before the model's start")
        is_cut_off = delta.finish_reason in ("length", "content_filter")
        if self._open is not None:
            # A call that was cut off has no honest end, so it may stay open; it is dropped.
            if not (is_cut_off and isinstance(self._open, ToolCallStart)):
                raise self._error(delta, "came inside an open block")
            self._open = None
            self._pieces.clear()
        if is_cut_off:
            # Some providers close their calls themselves. Arguments that were cut off are never a whole object.
            self._parts = [part for part in self._parts if not (isinstance(part, ToolCallPart) and _is_cut_off(part))]
        self.finish = delta

    def _error(self, delta: Delta, what: str) -> WireFormatError:
        provider, _, name = self.model.partition(":")
        kind = type(delta).__name__
        return WireFormatError(
            f"the model {self.model or '(before its start)'} broke the order of a stream: {kind} {what}",
            provider=provider,
            model=name,
        )


def without_raw_events(metadata: JsonObject | None) -> JsonObject | None:
    """Leave out what a server sent word for word: several times the size of the answer."""
    if metadata is None or RAW_EVENTS not in metadata:
        return metadata
    return {name: value for name, value in metadata.items() if name != RAW_EVENTS} or None


def _is_cut_off(call: ToolCallPart) -> bool:
    try:
        return not isinstance(json.loads(call.arguments), dict)
    except ValueError:
        return True
