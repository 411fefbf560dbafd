"""Amazon's binary event stream (`application/vnd.amazon.eventstream`): bytes in, messages out.

A message is: its length and that of its headers (4 bytes each, big-endian), their CRC-32, the headers, the payload,
and the CRC-32 of all before. A header is the length of its name (1 byte), the name, the type of the value (1 byte) and
the value. Source: AWS, "Event stream encoding" (Amazon Lex V2 and Transcribe developer guides).
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..errors import WireFormatError

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""The format's own limit."""

_PRELUDE = 12
# Sizes by type: true, false, byte, short, integer, long, -, -, timestamp, uuid; 6 and 7 bring their length.
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """One message. Of the headers only those that are texts are kept: no other is used by a model's answer."""

    headers: Mapping[str, str]
    payload: bytes


class MessageParser:
    """Keeps the unfinished end of what was fed so far; lives as long as one response."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left over: a stream may end here."""
        return not self._bytes

    def feed(self, piece: bytes) -> Iterator[StreamMessage]:
        r"""Yield the messages that `piece` completes; exhaust it before the next call.

        Raises `WireFormatError` for lengths that can't be and for a wrong checksum.

        >>> list(MessageParser().feed(b"\0\0\0\x10\0\0\0\0\x05\xc2\x48\xeb\x7d\x98\xc8\xff"))
        [StreamMessage(headers={}, payload=b'')]
        """
        self._bytes += piece
        start = 0
        while len(self._bytes) >= start + _PRELUDE:
            total, size, checksum = (self._number(start + at) for at in (0, 4, 8))
            if checksum != crc32(self._bytes[start : start + 8]):
                raise WireFormatError("the event stream is damaged: a prelude does not fit its checksum")
            if total > MAX_MESSAGE_BYTES or _PRELUDE + size + 4 > total:
                raise WireFormatError("the event stream has a message of a length that cannot be")
            if len(self._bytes) < start + total:
                break
            end = start + total - 4
            if self._number(end) != crc32(self._bytes[start:end]):
                raise WireFormatError("the event stream is damaged: a message does not fit its checksum")
            body = start + _PRELUDE
            yield StreamMessage(
                _read_headers(bytes(self._bytes[body : body + size])), bytes(self._bytes[body + size : end])
            )
            start = end + 4
        del self._bytes[:start]

    def _number(self, at: int) -> int:
        return int.from_bytes(self._bytes[at : at + 4], "big")


def _read_headers(data: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    at = 0
    while at < len(data):
        start = at + 1 + data[at]
        kind = data[start] if start < len(data) else -1
        name, at = data[at + 1 : start], start + 1
        size = _SIZES.get(kind)
        if size is None and kind in (6, 7):
            size, at = int.from_bytes(data[at : at + 2], "big"), at + 2
        if size is None or at + size > len(data):
            raise WireFormatError("the event stream has a header that cannot be read")
        if kind == 7:
            headers[name.decode("utf-8", "replace")] = data[at : at + size].decode("utf-8", "replace")
        at += size
    return headers
