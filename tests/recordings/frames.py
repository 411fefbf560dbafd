"""A recorded body as its frames, and put together again: for tests that change what a server sent.

A frame is an event of server-sent events, a line of JSON, or a message of Amazon's event stream; a complete answer is
one frame.
"""

from __future__ import annotations

import json
import re
from binascii import crc32
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from limpet.protocols.event_stream import MessageParser
from tests.recordings.event_stream import encode_message

NOTHING = object()


@dataclass(frozen=True)
class Frame:
    """`document` is the JSON in it, `NOTHING` where there is none or not one; `data` the bytes."""

    data: bytes
    document: Any = NOTHING
    name: str = ""
    """What Amazon's event stream calls the event."""

    def change(self, change: Callable[[Any], Any]) -> Frame:
        """Give the frame with another document."""
        if self.document is NOTHING:
            return self
        document = change(self.document)
        text = json.dumps(document)
        if self.name:
            headers = {":event-type": self.name, ":content-type": "application/json", ":message-type": "event"}
            return replace(self, data=encode_message(headers, text.encode()), document=document)
        start, end = self._place()
        return replace(self, data=self.data[:start] + text.encode() + self.data[end:], document=document)

    def _place(self) -> tuple[int, int]:
        match = _DATA.search(self.data)
        return match.span(1) if match else (0, len(self.data.rstrip()))


_DATA = re.compile(rb"^data: ?(.*?)\r?$", re.MULTILINE)


def split(body: bytes) -> list[Frame]:
    """Take a body apart. The frames' bytes are the body again; a piece that is no whole frame is one without JSON."""
    if body[:1] == b"\0":
        return _split_messages(body)
    if body.lstrip()[:1] in (b"{", b"["):
        whole = _read(body)
        pieces = [body] if whole is not NOTHING else body.splitlines(keepends=True)
        return [Frame(piece, _read(piece)) for piece in pieces]
    return [Frame(piece, _read_event(piece)) for piece in re.split(rb"(?<=\n\n)|(?<=\r\n\r\n)", body) if piece]


def _split_messages(body: bytes) -> list[Frame]:
    frames = []
    while len(body) >= 12 and len(body) >= (size := int.from_bytes(body[:4], "big")) and _is_sound(body[:size]):
        [message] = MessageParser().feed(body[:size])
        name = message.headers.get(":event-type", "")
        document = _read(message.payload) if name else NOTHING
        frames.append(Frame(body[:size], document, name))
        body = body[size:]
    return [*frames, Frame(body)] if body else frames


def _is_sound(message: bytes) -> bool:
    return int.from_bytes(message[-4:], "big") == crc32(message[:-4])


def _read_event(event: bytes) -> Any:
    found = _DATA.findall(event)
    return _read(found[0]) if len(found) == 1 else NOTHING


def _read(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return NOTHING
