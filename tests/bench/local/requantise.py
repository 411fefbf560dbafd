"""Rewrite a GGUF file in Q8_0: what wllama multiplies faster than the Q4_1 that the wheel has.

Metadata and order of tensors stay; every matrix is rounded to signed bytes with a scale for each 32 neighbours, as
llama.cpp does it.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from models.smollm2.gguf import BLOCK, Blocks, read_gguf
from numpy.typing import NDArray

ALIGNMENT = 32
F32, Q8_0 = 0, 8
_FILE_TYPE_Q8_0 = 7
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TEXT, _LIST = 8, 9


def requantise(data: bytes) -> bytes:
    """Return the file with each matrix in Q8_0."""
    tensors, entries = struct.unpack_from("<QQ", data, 8)
    place = 24
    head = bytearray(data[:24])
    for _ in range(entries):
        start = place
        key, place = _text(data, place)
        (kind,) = struct.unpack_from("<I", data, place)
        end = _skip(data, place + 4, kind)
        entry = data[start:end]
        if key == b"general.file_type":
            entry = data[start : place + 4] + struct.pack("<I", _FILE_TYPE_Q8_0)
        head += entry
        place = end
    read = read_gguf(data)
    body = bytearray()
    for _ in range(tensors):
        name, place = _text(data, place)
        (count,) = struct.unpack_from("<I", data, place)
        shape = data[place + 4 : place + 4 + 8 * count]
        place += 4 + 8 * count + 12
        body.extend(bytes(-len(body) % ALIGNMENT))
        floats = read.floats.get(name.decode())
        kind, stored = (F32, floats.tobytes()) if floats is not None else (Q8_0, _coded(read.blocks[name.decode()]))
        head += struct.pack("<Q", len(name)) + name + struct.pack("<I", count) + shape
        head += struct.pack("<IQ", kind, len(body))
        body += stored
    head.extend(bytes(-len(head) % ALIGNMENT))
    return bytes(head + body)


def _coded(blocks: Blocks) -> bytes:
    values: NDArray[np.float32] = blocks.dense().reshape(-1, BLOCK)
    scale = np.abs(values).max(axis=1, keepdims=True) / 127
    codes = np.round(values / np.where(scale, scale, 1))
    coded: NDArray[Any] = np.zeros(len(values), np.dtype([("scale", "<f2"), ("codes", "i1", BLOCK)]))
    coded["scale"], coded["codes"] = scale[:, 0], codes
    return coded.tobytes()


def _text(data: bytes, place: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from("<Q", data, place)
    return data[place + 8 : place + 8 + length], place + 8 + length


def _skip(data: bytes, place: int, kind: int) -> int:
    """Return where a value of metadata ends."""
    if kind == _TEXT:
        return _text(data, place)[1]
    if kind != _LIST:
        return place + _SIZES[kind]
    inner, count = struct.unpack_from("<IQ", data, place)
    place += 12
    for _ in range(count):
        place = _skip(data, place, inner)
    return place
