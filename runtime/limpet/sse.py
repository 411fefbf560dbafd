"""Server-sent events: bytes in, events out.

The pieces may be cut anywhere, even inside a character or between CR and LF. Nothing here reads, waits or knows about
HTTP, so one parser serves every provider on every host. Format: WHATWG HTML, section 9.2.6.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import WireFormatError

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""How large one event may grow before the stream counts as broken. A whole answer with an image in it fits."""

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event. `id` is the last id that the stream named, `retry_milliseconds` what this event asked for."""

    data: str
    name: str = "message"
    id: str = ""
    retry_milliseconds: int | None = None


class EventParser:
    """Keeps the unfinished end of what was fed so far; lives as long as one response."""

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._line = bytearray()
        self._is_after_cr = False
        self._may_have_bom = True
        self._data: list[str] = []
        self._size = 0
        self._name = ""
        self._id = ""
        self._retry: int | None = None

    def feed(self, piece: bytes) -> Iterator[ServerEvent]:
        r"""Yield the events that `piece` completes; exhaust it before the next call.

        Raises `WireFormatError` when an event grows too large.

        >>> parser = EventParser()
        >>> list(parser.feed(b"data: Gr\xc3"))
        []
        >>> [event.data for event in parser.feed(b"\xbc\xc3\x9fe\n\n")]
        ['Grüße']
        """
        if not piece:
            return
        if self._is_after_cr:
            piece = piece.removeprefix(b"\n")
        start = 0
        for end in _LINE_END.finditer(piece):
            if self._line:
                self._line += piece[start : end.start()]
                line = bytes(self._line)
                self._line.clear()
            else:
                line = piece[start : end.start()]
            start = end.end()
            event = self._read(line)
            if event is not None:
                yield event
        self._is_after_cr = piece.endswith(b"\r")
        self._line += piece[start:]
        self._check_size(len(self._line))

    def close(self) -> Iterator[ServerEvent]:
        """Yield the event that the end of the stream left open, if any.

        The specification throws it away; but servers exist that forget the last blank line, and whoever reads the
        data notices when it is only half there.
        """
        line = bytes(self._line)
        self._line.clear()
        for rest in (line, b"") if line else (b"",):
            event = self._read(rest)
            if event is not None:
                yield event

    def _read(self, line: bytes) -> ServerEvent | None:
        if self._may_have_bom:
            self._may_have_bom = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            return self._dispatch()
        self._check_size(len(line))
        # Lines are decoded whole: CR and LF are never part of a longer character.
        field, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        match field:
            case "data":
                self._data.append(value)
                self._size += len(line)
            case "event":
                self._name = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit() and len(value) < 10:
                self._retry = int(value)
        return None

    def _dispatch(self) -> ServerEvent | None:
        event = None
        if self._data:
            event = ServerEvent("\n".join(self._data), self._name or "message", self._id, self._retry)
            self._data = []
        self._size, self._name, self._retry = 0, "", None
        return event

    def _check_size(self, more: int) -> None:
        if self._size + more > self._max:
            raise WireFormatError(f"the stream has an event of more than {self._max} bytes")
