"""Fragments of an answer, in whatever order a server sends them, into the blocks of our stream grammar.

A block is `...Start ...Delta* ...End` and none stands inside another; servers interleave. Text and reasoning simply
take turns. Tool calls may be written in parallel: the first is handed on as it grows, the others wait until it is
whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
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
    arguments: str = ""
    call_id: str = ""
    """The id under which the call was reported; empty until it was."""
    sent: int = 0
    is_ended: bool = False
    metadata: JsonObject = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        if not self.arguments.rstrip().endswith("}"):
            return False
        try:
            json.loads(self.arguments)
        except ValueError:
            return False
        return True


class BlockWriter:
    """Collects the fragments of one answer; lives as long as it.

    `new_id` makes ids for calls that come without one, or with one of `taken_ids`.
    """

    def __init__(self, *, new_id: Callable[[], str], taken_ids: Collection[str] = ()) -> None:
        self._new_id = new_id
        self._taken_ids = set(taken_ids)
        self._parts = 0
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

    def text(self, text: str, metadata: JsonObject | None = None) -> Iterator[Block]:
        """Add text; `metadata` is kept for the end of the block."""
        return self._add_prose("text", text, metadata)

    def reasoning(self, text: str, metadata: JsonObject | None = None) -> Iterator[Block]:
        """Add reasoning; `metadata` is kept for the end of the block, and makes one without text if need be."""
        return self._add_prose("reasoning", text, metadata)

    def end_block(self) -> Iterator[Block]:
        """Say that what was open is whole: the next text or reasoning is a block of its own, with its own metadata."""
        if self._prose is not None or self._waiting:
            self._waiting.append(("", "", None))
        yield from self._write_calls(is_next_known=True)
        if all(call.is_ended for call in self._calls):
            yield from self._write_prose()

    def call(
        self,
        *,
        index: int | None,
        id: str,
        name: str,
        arguments: str,
        metadata: JsonObject | None = None,
    ) -> Iterator[Block]:
        """Add a fragment of a tool call. Every field may be missing: `None` or empty.

        Raises `WireFormatError` when arguments come for a call that was whole already.
        """
        yield from self._end_prose()
        call = self._find(index, id, name, arguments)
        if call is None:
            call = _Call(index)
            self._calls.append(call)
        call.metadata.update(metadata or {})
        call.id = call.id or id
        if call.is_ended:
            # A server that sends all of the arguments once more at the end is harmless.
            if arguments.strip() and arguments != call.arguments:
                raise WireFormatError("the server went on with a tool call that was whole already")
            return
        if name != call.name and not call.call_id:  # a name that is repeated with each fragment is not a longer name
            call.name += name
        call.arguments += arguments
        yield from self._write_calls()

    def close(self) -> Iterator[Block]:
        """End all that is open. Raises `WireFormatError` for a call without a name."""
        yield from self._end_prose()
        yield from self._write_calls(is_last=True)
        yield from self._write_prose()
        yield from self._end_prose()

    # --- text and reasoning ---

    def _add_prose(self, kind: str, text: str, metadata: JsonObject | None) -> Iterator[Block]:
        if not text and metadata is None:
            return
        self._waiting.append((kind, text, metadata))
        yield from self._write_calls(is_next_known=True)
        if all(call.is_ended for call in self._calls):
            yield from self._write_prose()

    def _write_prose(self) -> Iterator[Block]:
        waiting, self._waiting = self._waiting, []
        for kind, text, metadata in waiting:
            if not kind:
                yield from self._end_prose()
                continue
            prose = self._prose
            if prose is None or prose.kind != kind:
                yield from self._end_prose()
                prose = self._prose = _Prose(kind, f"{kind}-{self._parts}")
                self._parts += 1
                yield TextStart(prose.part_id) if kind == "text" else ReasoningStart(prose.part_id)
            if metadata is not None:
                prose.metadata = metadata
            text, prose.held = _split_characters(prose.held + text)
            if text:
                yield TextDelta(prose.part_id, text) if kind == "text" else ReasoningDelta(prose.part_id, text)

    def _end_prose(self) -> Iterator[Block]:
        prose, self._prose = self._prose, None
        if prose is None:
            return
        is_text = prose.kind == "text"
        if prose.held:
            yield TextDelta(prose.part_id, "\ufffd") if is_text else ReasoningDelta(prose.part_id, "\ufffd")
        yield TextEnd(prose.part_id, prose.metadata) if is_text else ReasoningEnd(prose.part_id, prose.metadata)

    # --- tool calls ---

    def _find(self, index: int | None, id: str, name: str, arguments: str) -> _Call | None:
        """Find the call that a fragment continues; None when it begins a new one.

        Servers number the calls, or name their ids, or neither; some give every call the same number, some every
        fragment another id. A fragment that is named and whose id is another one begins a call.
        """
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

    def _write_calls(self, *, is_last: bool = False, is_next_known: bool = False) -> Iterator[Block]:
        for call in self._calls:
            if call.is_ended:
                continue
            is_over = is_last or ((is_next_known or call is not self._calls[-1]) and call.is_whole)
            yield from self._write_call(call, is_over)
            if not is_over:
                return

    def _write_call(self, call: _Call, is_over: bool) -> Iterator[Block]:
        if not call.call_id:
            # The name is whole when the arguments have begun, or nothing more can come.
            if not (is_over or (call.name and call.arguments)):
                return
            if not call.name:
                raise WireFormatError("the server sent a tool call without a name")
            call.call_id = self._take_id(call.id)
            yield ToolCallStart(call.call_id, call.name)
        text, held = _split_characters(call.arguments[call.sent :])
        if is_over and held:
            text += "\ufffd"
        if text:
            call.sent = len(call.arguments) - len(held)
            yield ToolCallDelta(call.call_id, text)
        if is_over:
            call.is_ended = True
            arguments, held = _split_characters(call.arguments)
            arguments += "\ufffd" if held else ""
            yield ToolCallEnd(call.call_id, call.name, arguments, call.metadata or None)

    def _take_id(self, id: str) -> str:
        if not id or id in self._taken_ids:
            id = self._new_id()
        self._taken_ids.add(id)
        return id


def _split_characters(text: str) -> tuple[str, str]:
    """Join surrogates into characters; give a first half at the end back apart. A lone half becomes U+FFFD."""
    if _SURROGATE.search(text) is None:
        return text, ""
    held = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
    whole = text[: len(text) - len(held)].encode("utf-16-le", "surrogatepass")
    return whole.decode("utf-16-le", "replace"), held
