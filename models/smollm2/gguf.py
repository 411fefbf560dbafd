"""Reads a GGUF file: metadata and tensors, with the two block formats that SmolLM2's file uses.

In both formats 32 neighbours of a row share a scale: Q8_0 has `scale * code`
with signed bytes, Q4_1 `scale * code + least` with codes from 0 to 15.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 32
_ALIGNMENT = 32
_TEXT, _LIST = 8, 9
# Formats of `struct` by the number of a metadata type.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_F32, _Q4_1, _Q8_0 = 0, 3, 8
_BLOCK_TYPES = {
    _Q4_1: np.dtype([("scale", "<f2"), ("least", "<f2"), ("codes", "u1", BLOCK // 2)]),
    _Q8_0: np.dtype([("scale", "<f2"), ("codes", "i1", BLOCK)]),
}


class GgufError(Exception):
    """The bytes are not a GGUF file that this reader knows."""


@dataclass(frozen=True)
class Blocks:
    """A coded matrix [rows, columns]: `scale * codes + least`, where `least` is 0 for symmetric codes."""

    codes: NDArray[np.int8]
    """[rows, columns]"""
    scale: NDArray[np.float16]
    """[rows, columns / 32]"""
    least: NDArray[np.float16] | None

    def dense(self) -> NDArray[np.float32]:
        """Return what is meant, rounded to float32 once for each of the two operations."""
        rows, columns = self.codes.shape
        grouped = self.codes.reshape(rows, columns // BLOCK, BLOCK).astype(np.float32)
        grouped *= self.scale[:, :, None].astype(np.float32)
        if self.least is not None:
            grouped += self.least[:, :, None].astype(np.float32)
        return grouped.reshape(rows, columns)

    def take(self, rows: NDArray[np.int64]) -> Blocks:
        """Return some rows in this order."""
        least = None if self.least is None else self.least[rows]
        return Blocks(self.codes[rows], self.scale[rows], least)


@dataclass(frozen=True)
class Gguf:
    """What stands in a file."""

    metadata: dict[str, Any]
    floats: dict[str, NDArray[np.float32]]
    blocks: dict[str, Blocks]


def read_gguf(data: bytes) -> Gguf:
    """Read a whole file. Raises `GgufError`."""
    if data[:4] != b"GGUF":
        raise GgufError("these bytes are not a GGUF file")
    cursor = _Cursor(data, 4)
    version, tensor_count, entry_count = cursor.scalar("I"), cursor.scalar("Q"), cursor.scalar("Q")
    if version != 3:
        raise GgufError(f"the file is of GGUF version {version}, this reader knows version 3")
    metadata = {}
    for _ in range(entry_count):
        key = cursor.text()
        metadata[key] = cursor.value(cursor.scalar("I"))
    listed = []
    for _ in range(tensor_count):
        name = cursor.text()
        shape = [cursor.scalar("Q") for _ in range(cursor.scalar("I"))][::-1]
        listed.append((name, shape, cursor.scalar("I"), cursor.scalar("Q")))
    start = cursor.place + -cursor.place % _ALIGNMENT
    floats, blocks = {}, {}
    for name, shape, kind, offset in listed:
        if kind == _F32:
            floats[name] = np.frombuffer(data, "<f4", int(np.prod(shape)), start + offset).reshape(shape)
        elif kind in _BLOCK_TYPES:
            blocks[name] = _read_blocks(data, start + offset, kind, shape)
        else:
            raise GgufError(f"{name} is coded in type {kind}, which this reader does not know")
    return Gguf(metadata, floats, blocks)


def _read_blocks(data: bytes, offset: int, kind: int, shape: list[int]) -> Blocks:
    rows, columns = shape
    raw = np.frombuffer(data, _BLOCK_TYPES[kind], rows * columns // BLOCK, offset).reshape(rows, columns // BLOCK)
    if kind == _Q8_0:
        return Blocks(raw["codes"].reshape(rows, columns), raw["scale"], None)
    # The lower halves of the bytes are the first 16 codes of a block, the upper halves the other 16.
    codes = np.concatenate([raw["codes"] & 15, raw["codes"] >> 4], axis=2).astype(np.int8)
    return Blocks(codes.reshape(rows, columns), raw["scale"], raw["least"])


class _Cursor:
    def __init__(self, data: bytes, place: int) -> None:
        self._data = data
        self.place = place

    def scalar(self, form: str) -> Any:
        (value,) = struct.unpack_from(f"<{form}", self._data, self.place)
        self.place += struct.calcsize(f"<{form}")
        return value

    def text(self) -> str:
        size = self.scalar("Q")
        self.place += size
        return self._data[self.place - size : self.place].decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind == _TEXT:
            return self.text()
        if kind == _LIST:
            item, count = self.scalar("I"), self.scalar("Q")
            return [self.value(item) for _ in range(count)]
        if kind not in _SCALARS:
            raise GgufError(f"a metadata entry has the unknown type {kind}")
        return self.scalar(_SCALARS[kind])
