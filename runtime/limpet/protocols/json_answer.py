"""What the readers of JSON answers share: one that is streamed as server-sent events, or one that comes complete.

Which of the two it is shows at the first character. A reader of a format inherits the framing and the checks from here
and adds what its events mean.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from ..accumulate import RAW_EVENTS
from ..errors import ModelError, PolicyRefusalError
from ..model import Finish
from ..sse import EventParser, ServerEvent
from ..wire import FinishReason, Json, JsonObject
from .blocks import Block, BlockWriter
from .http_errors import error_from_body
from .wire_protocol import AnswerContext

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""How large a complete (not streamed) answer may be."""

_BROKEN = object()
# `json.loads` takes twice as long for an event: it first looks for blanks and for its options.
_decode = json.JSONDecoder().raw_decode


class JsonAnswerReader:
    """The framing of one answer; lives as long as the response. A format overrides the four methods at the end.

    `known_events` are the names of the format's events: one of another name may hold anything, and is skipped when it
    isn't JSON.
    """

    known_events: Collection[str] = ()

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._blocks = BlockWriter(new_id=context.new_id, taken_ids=context.taken_ids)
        self._metadata: JsonObject = {}
        self._raw_events: list[Json] = []
        # So that bytes which are no characters are told from U+FFFD: no call with such arguments may run.
        self._events = EventParser(errors="surrogateescape")
        self._complete: bytearray | None = None
        self._has_begun = False
        self.is_done = False
        """Whether the server said that nothing more will come."""

    @property
    def is_finished(self) -> bool:
        """Whether all of the answer is there: only numbers may still come."""
        return self.is_done or self._is_ended()

    def feed(self, piece: bytes) -> Iterator[Block]:
        """Yield what `piece` completes; exhaust it before the next call. Raises `ModelError`."""
        try:
            self._feed(piece)
        except ModelError:
            yield from self._blocks.take()  # what came before
            raise
        yield from self._blocks.take()

    def close(self) -> Iterator[Block | Finish]:
        """Yield what the end of the bytes leaves open, and `Finish`.

        Raises `WireFormatError` when the answer broke off, `PolicyRefusalError` when a filter left nothing of it.
        """
        try:
            self._close()
            finish = self._finish()
            if finish.finish_reason == "content_filter" and not self._blocks.has_blocks:
                raise self._refused("the provider's policy left nothing of the answer")
        except ModelError:
            yield from self._blocks.take()
            raise
        yield from self._blocks.take()
        if self._raw_events:
            metadata: JsonObject = {**(finish.provider_metadata or {}), RAW_EVENTS: self._raw_events}
            finish = replace(finish, provider_metadata=metadata)
        yield finish

    def _feed(self, piece: bytes) -> None:
        if not self._has_begun:
            first = piece.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
            self._has_begun = bool(first)
            if first == b"<":
                raise self._context.broken("answered with a web page; check the base URL")
            if first in (b"{", b"["):
                self._complete = bytearray()
        if self._complete is not None:
            self._complete += piece
            if len(self._complete) > MAX_ANSWER_BYTES:
                raise self._context.broken(f"sent an answer of more than {MAX_ANSWER_BYTES} bytes")
            return
        for event in self._events.feed(piece):
            self._take(event)

    def _close(self) -> None:
        if self._complete is not None:
            data = read_json(bytes(self._complete))
            if not isinstance(data, (dict, list)):
                raise self._context.broken("sent an answer that is not whole JSON")
            self._keep_raw(data)
            self._read_complete(data)
            if not self.is_finished and not self._blocks.has_blocks:
                raise self._context.broken("sent JSON without an answer in it")
            self.is_done = True
        for event in self._events.close():
            self._take(event, is_last=True)
        if not self.is_finished:
            raise self._context.broken("broke off in the middle of its answer")
        self._blocks.close()

    def _take(self, event: ServerEvent, *, is_last: bool = False) -> None:
        if self.is_done:
            return
        data = read_json(event.data)
        if data is _BROKEN:
            self._take_text(event, event.data.strip(), is_last=is_last)
            return
        if event.name == "error":
            self._fail(data)
        if isinstance(data, dict):
            self._keep_raw(data)
            self._read_event(event.name, data)

    def _take_text(self, event: ServerEvent, text: str, *, is_last: bool) -> None:
        """Take an event that is not JSON."""
        if text == "[DONE]":  # OpenAI's end mark, which imitators and gateways add to other formats, too
            self.is_done = self._is_ended()
        elif text and event.name in ("message", "error", *self.known_events):
            raise self._context.broken(
                "broke off in the middle of an event" if is_last else "sent an event that is not JSON"
            )

    def _keep_raw(self, data: Json) -> None:
        if self._context.keeps_raw_events:
            self._raw_events.append(data)

    def _keep(self, data: Mapping[str, Json], *names: str) -> None:
        """Take over fields into the answer's metadata, the first value of each."""
        for name in names:
            if data.get(name) not in (None, "", []):
                self._metadata.setdefault(name, data[name])

    def _fail(self, body: object) -> None:
        raise error_from_body(body, status=None, provider=self._context.provider, model=self._context.model)

    def _refused(self, says: str) -> PolicyRefusalError:
        context = self._context
        return PolicyRefusalError(
            f"{context.provider}:{context.model}: {says}", provider=context.provider, model=context.model
        )

    def _reason_after_stop(self) -> FinishReason:
        return "tool_calls" if self._blocks.has_calls else "stop"

    # --- what a format adds ---

    def _read_event(self, name: str, data: JsonObject) -> None:
        """Read one event of a stream; unknown ones give nothing."""
        raise NotImplementedError

    def _read_complete(self, data: object) -> None:
        """Read an answer that was not streamed."""
        raise NotImplementedError

    def _is_ended(self) -> bool:
        """Whether the answer named the reason why it ended."""
        raise NotImplementedError

    def _finish(self) -> Finish:
        """Make the end of the stream, after the last block."""
        raise NotImplementedError


def read_json(text: str | bytes) -> object:
    """Read JSON; something that is no JSON value when it isn't any."""
    if isinstance(text, str):
        try:
            value, end = _decode(text)
        except (ValueError, RecursionError):
            end = -1
        if end == len(text):
            return value
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _BROKEN


def as_object(value: object) -> JsonObject:
    """Give a JSON object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Json]:
    """Give a JSON array; an empty one for anything else."""
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    """Give a string; an empty one for anything else."""
    return value if isinstance(value, str) else ""


def as_count(value: object) -> int:
    """Give a number of tokens; 0 for anything else."""
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 else 0


def as_index(value: object) -> int | None:
    """Give the number of a block or an item; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
