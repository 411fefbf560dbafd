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
    """Keeps the unfinished end of what was fed so far; lives as long as one response.

    `errors` says how bytes that are no characters are decoded; as the specification wants it if not set.
    """

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES, errors: str = "replace") -> None:
        self._max = max_event_bytes
        self._errors = errors
        self._line = bytearray()
        self._is_after_cr = False
        self._may_have_bom = True
        self._data: list[bytes] = []
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
        self._is_after_cr = piece.endswith(b"\r")
        # Most servers end their lines with LF alone, and `split` is several times faster than a regular expression.
        *lines, rest = _LINE_END.split(piece) if b"\r" in piece else piece.split(b"\n")
        if lines and self._line:
            lines[0] = bytes(self._line + lines[0])
            self._line.clear()
        for line in lines:
            if line:
                self._read(line)
            elif (event := self._dispatch()) is not None:
                yield event
        if rest:
            self._line += rest
            if self._size + len(self._line) > self._max:
                self._refuse()

    def close(self) -> Iterator[ServerEvent]:
        """Yield the event that the end of the stream left open, if any.

        The specification throws it away; but servers exist that forget the last blank line, and whoever reads the
        data notices when it is only half there.
        """
        if self._line:
            self._read(bytes(self._line))
            self._line.clear()
        event = self._dispatch()
        if event is not None:
            yield event

    def _read(self, line: bytes) -> None:
        if self._may_have_bom:
            self._may_have_bom = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if self._size + len(line) > self._max:
            self._refuse()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match field:
            case b"data":
                self._data.append(value)
                self._size += len(line)
            case b"event":
                self._name = value.decode("utf-8", "replace")
            case b"id" if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
            case b"retry" if value.isdigit() and len(value) < 10:
                self._retry = int(value)

    def _dispatch(self) -> ServerEvent | None:
        event = None
        if self._data:
            # Decoded whole: LF is never part of a longer character.
            data = b"\n".join(self._data).decode("utf-8", self._errors)
            event = ServerEvent(data, self._name or "message", self._id, self._retry)
            self._data = []
        self._may_have_bom, self._size, self._name, self._retry = False, 0, "", None
        return event

    def _refuse(self) -> None:
        raise WireFormatError(f"the stream has an event of more than {self._max} bytes")
