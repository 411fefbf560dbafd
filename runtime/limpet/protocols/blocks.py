"""Fragments of an answer, in whatever order a server sends them, into the blocks of our stream grammar.

A block is `...Start ...Delta* ...End` and none stands inside another; servers interleave. Text and reasoning simply
take turns. Tool calls may be written in parallel: the first is handed on as it grows, the others wait until it is
whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from ..errors import WireFormatError
from ..events import (
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
from ..wire import JsonObject

Block = (
    TextStart
    | TextDelta
    | TextEnd
    | ReasoningStart
    | ReasoningDelta
    | ReasoningEnd
    | ToolCallStart
    | ToolCallDelta
    | ToolCallEnd
)

_SURROGATE = re.compile("[\ud800-\udfff]")
_BAD_BYTE = re.compile("(?<![\ud800-\udbff])[\udc80-\udcff]")
"""A byte that is no character, as "surrogateescape" decodes it."""


@dataclass(slots=True)
class _Prose:
    """The open block of text or reasoning. `held` is the first half of a character whose second half is to come."""

    kind: str
    part_id: str
    held: str = ""
    metadata: JsonObject | None = None


@dataclass(slots=True)
class _Call:
    index: int | None
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    """The arguments; a list, because a text that is appended to is copied each time."""
    unsent: str = ""
    call_id: str = ""
    """The id under which the call was reported; empty until it was."""
    is_ended: bool = False
    metadata: JsonObject = field(default_factory=dict)

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)

    @property
    def is_whole(self) -> bool:
        arguments = self.arguments
        if not arguments.rstrip().endswith("}"):
            return False
        try:
            json.loads(arguments)
        except ValueError:
            return False
        return True


class BlockWriter:
    """Collects the fragments of one answer; lives as long as it. What they become waits until `take`.

    `new_id` makes ids for calls that come without one, or with one of `taken_ids`.
    """

    def __init__(self, *, new_id: Callable[[], str], taken_ids: Collection[str] = ()) -> None:
        self._new_id = new_id
        self._taken_ids = set(taken_ids)
        self._out: list[Block] = []
        self._parts = 0
        # While a block of text or reasoning is open, all calls are ended and nothing waits.
        self._prose: _Prose | None = None
        self._calls: list[_Call] = []
        self._waiting: list[tuple[str, str, JsonObject | None]] = []

    @property
    def has_calls(self) -> bool:
        """Whether the answer has a tool call so far."""
        return bool(self._calls)

    @property
    def has_blocks(self) -> bool:
        """Whether the answer has anything in it so far."""
        return bool(self._calls or self._parts or self._waiting)

    def take(self) -> list[Block]:
        """Give what came out since the last time."""
        out, self._out = self._out, []
        return out

    def text(self, text: str, metadata: JsonObject | None = None) -> None:
        """Add text; `metadata` is kept for the end of the block."""
        prose = self._prose
        if metadata is None and prose is not None and prose.kind == "text" and text.isascii() and not prose.held:
            # Nearly all events of an answer come this way.
            if text:
                self._out.append(TextDelta(prose.part_id, text))
        else:
            self._add_prose("text", text, metadata)

    def reasoning(self, text: str, metadata: JsonObject | None = None) -> None:
        """Add reasoning; `metadata` is kept for the end of the block, and makes one without text if need be."""
        if text or metadata is not None:
            self._add_prose("reasoning", text, metadata)

    def end_block(self) -> None:
        """Say that what was open is whole: the next text or reasoning is a block of its own, with its own metadata."""
        if self._prose is not None or self._waiting:
            self._waiting.append(("", "", None))
        self._write_calls(is_next_known=True)
        if all(call.is_ended for call in self._calls):
            self._write_prose()

    def call(
        self,
        *,
        index: int | None,
        id: str,
        name: str,
        arguments: str,
        metadata: JsonObject | None = None,
    ) -> None:
        """Add a fragment of a tool call. Every field may be missing: `None` or empty.

        Raises `WireFormatError` when arguments come for a call that was whole already.
        """
        self._end_prose()
        call = self._find(index, id, name, arguments)
        if call is None:
            call = _Call(index)
            self._calls.append(call)
        if metadata:
            call.metadata.update(metadata)
        call.id = call.id or id
        if call.is_ended:
            # A server that sends all of the arguments once more at the end is harmless.
            if arguments.strip() and arguments != call.arguments:
                raise WireFormatError("the server went on with a tool call that was whole already")
            return
        if name != call.name and not call.call_id:  # a name that is repeated with each fragment is not a longer name
            call.name += name
        if arguments:
            call.pieces.append(arguments)
            call.unsent += arguments
        self._write_calls()

    def close(self) -> None:
        """End all that is open. Raises `WireFormatError` for a call without a name, or with bytes that are no text."""
        self._end_prose()
        self._write_calls(is_last=True)
        self._write_prose()
        self._end_prose()

    # --- text and reasoning ---

    def _add_prose(self, kind: str, text: str, metadata: JsonObject | None) -> None:
        if not text and metadata is None:
            return
        self._waiting.append((kind, text, metadata))
        self._write_calls(is_next_known=True)
        if all(call.is_ended for call in self._calls):
            self._write_prose()

    def _write_prose(self) -> None:
        waiting, self._waiting = self._waiting, []
        for kind, text, metadata in waiting:
            if not kind:
                self._end_prose()
                continue
            prose = self._prose
            if prose is None or prose.kind != kind:
                self._end_prose()
                prose = self._prose = _Prose(kind, f"{kind}-{self._parts}")
                self._parts += 1
                self._out.append(TextStart(prose.part_id) if kind == "text" else ReasoningStart(prose.part_id))
            if metadata is not None:
                prose.metadata = metadata
            text, prose.held = _split_characters(prose.held + text)
            if text:
                self._out.append(_delta(prose, text))

    def _end_prose(self) -> None:
        prose, self._prose = self._prose, None
        if prose is None:
            return
        if prose.held:
            self._out.append(_delta(prose, "\ufffd"))
        end = TextEnd if prose.kind == "text" else ReasoningEnd
        self._out.append(end(prose.part_id, prose.metadata))

    # --- tool calls ---

    def _find(self, index: int | None, id: str, name: str, arguments: str) -> _Call | None:
        """Find the call that a fragment continues; None when it begins a new one.

        Servers number the calls, or name their ids, or neither; some give every call the same number, some every
        fragment another id. A fragment that is named and whose id is another one begins a call.
        """
        if self._calls and index is not None and not id and not name and self._calls[-1].index == index:
            return self._calls[-1]  # nearly all fragments
        by_id = [call for call in self._calls if id and call.id == id]
        numbered = [call for call in self._calls if call.index == index]
        candidates = numbered if index is not None else by_id or self._calls
        if not candidates:
            return None
        call = candidates[-1]
        if id and call.id:
            if id == call.id:
                return call
            if not name:
                return by_id[-1] if by_id else call
            return next((other for other in by_id if other.index == index), None)
        is_new = bool(name and arguments) and call.is_whole
        return None if is_new else call

    def _write_calls(self, *, is_last: bool = False, is_next_known: bool = False) -> None:
        for call in self._calls:
            if call.is_ended:
                continue
            is_over = is_last or ((is_next_known or call is not self._calls[-1]) and call.is_whole)
            self._write_call(call, is_over)
            if not is_over:
                return

    def _write_call(self, call: _Call, is_over: bool) -> None:
        if not call.call_id:
            # The name is whole when the arguments have begun, or nothing more can come.
            if not (is_over or (call.name and call.pieces)):
                return
            if not call.name:
                raise WireFormatError("the server sent a tool call without a name")
            call.call_id = self._take_id(call.id)
            self._out.append(ToolCallStart(call.call_id, call.name))
        text, call.unsent = _split_characters(call.unsent)
        if is_over and call.unsent:
            text += "\ufffd"
        if text:
            self._out.append(ToolCallDelta(call.call_id, text))
        if is_over:
            call.is_ended = True
            if _BAD_BYTE.search(call.arguments):
                raise WireFormatError("the server sent a tool call with bytes in it that are no characters")
            arguments, held = _split_characters(call.arguments)
            arguments += "\ufffd" if held else ""
            self._out.append(ToolCallEnd(call.call_id, call.name, arguments, call.metadata or None))

    def _take_id(self, id: str) -> str:
        if not id or id in self._taken_ids:
            id = self._new_id()
        self._taken_ids.add(id)
        return id


def _delta(prose: _Prose, text: str) -> Block:
    return TextDelta(prose.part_id, text) if prose.kind == "text" else ReasoningDelta(prose.part_id, text)


def _split_characters(text: str) -> tuple[str, str]:
    """Join surrogates into characters; give a first half at the end back apart. A lone half becomes U+FFFD."""
    if text.isascii() or _SURROGATE.search(text) is None:
        return text, ""
    held = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
    whole = text[: len(text) - len(held)].encode("utf-16-le", "surrogatepass")
    return whole.decode("utf-16-le", "replace"), held
