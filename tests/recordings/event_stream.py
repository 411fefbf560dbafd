"""Writes messages of Amazon's event stream, for recordings and tests."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Mapping


def encode_message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Give one message; all of its headers are texts."""
    rows = (
        bytes([len(name.encode())]) + name.encode() + b"\x07" + len(value.encode()).to_bytes(2, "big") + value.encode()
        for name, value in headers.items()
    )
    encoded = b"".join(rows)
    prelude = (16 + len(encoded) + len(payload)).to_bytes(4, "big") + len(encoded).to_bytes(4, "big")
    message = prelude + crc32(prelude).to_bytes(4, "big") + encoded + payload
    return message + crc32(message).to_bytes(4, "big")
