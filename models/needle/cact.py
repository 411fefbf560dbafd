"""The `.cact` container of Needle 3: bytes in, named tensors out.

The format is the one that the Apache-2.0 package `cactus-needle` 3.2.8 writes
(`needle/model/export.py`): a header with the model's geometry, three shared
codebooks, a directory without names, blobs aligned to 64 bytes. Tensors are
known by their position; `_tensor_names` is that order.

Matrices are *coded*: every run of 128 weights of a row is a unit-length vector
of codebook levels, times a norm, times the Walsh-Hadamard matrix:
`row[group] = (levels[codes] * norm) @ H`, with `H = H.T = inverse(H)`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

TAG = 0x05E12A84
GROUP = 128
_HEADER = struct.Struct("<48If")
_RECORD = struct.Struct("<BBHIIIIQQII")
_TOKENIZER = struct.Struct("<IIIIIBBH")
_PIECE = struct.Struct("<fBH")
_FP16, _FP32, _CODED, _RAW = 1, 2, 3, 4
# The codebooks stand one after the other in the header, by width in bits.
_CODEBOOK_START = {2: 0, 3: 4, 4: 12}
_CONFIDENCE_HEAD = 2


class ContainerError(Exception):
    """The bytes are not a Needle 3 container that this reader understands."""


@dataclass(frozen=True)
class Geometry:
    """The sizes that the header states. `global_layers` see everything, the others `sliding_window` positions."""

    vocab_size: int
    d_model: int
    num_heads: int
    num_kv_heads: int
    num_layers: int
    qk_head_dim: int
    v_head_dim: int
    max_seq_len: int
    hada_n: int
    mhc_lanes: int
    sliding_window: int
    global_layers: tuple[int, ...]
    conv_taps: int
    engram_slots: int
    engram_sub_dim: int
    engram_tables: int
    engram_conv_taps: int
    engram_conv_dilation: int
    engram_orders: tuple[int, ...]
    engram_layers: tuple[int, ...]
    rope_theta: float


@dataclass(frozen=True)
class CodedMatrix:
    """A matrix of shape [rows, columns] as codes.

    `codes` is uint8 [rows, columns * bits / 8], lowest bits first; `norms` is
    float16 [rows, columns / 128]; `levels` is float32 [2 ** bits].
    """

    codes: NDArray[np.uint8]
    norms: NDArray[np.float16]
    levels: Floats
    bits: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix that the codes stand for."""
        return self.codes.shape[0], self.norms.shape[1] * GROUP

    def byte_levels(self) -> Floats:
        """Return the levels that each of the 256 byte values stands for, float32 [256, 8 / bits]."""
        shifts = np.arange(0, 8, self.bits)
        levels: Floats = self.levels[(np.arange(256)[:, None] >> shifts) & (2**self.bits - 1)]
        return levels

    def dense(self, *, rotate: bool = True) -> Floats:
        """Expand to float32. Without `rotate` the result is still in the codes' own (Hadamard) basis."""
        rows, columns = self.shape
        groups = self.byte_levels()[self.codes].reshape(rows, -1, GROUP) * self.norms.astype(np.float32)[:, :, None]
        if rotate:
            groups = rotated(groups)
        return np.ascontiguousarray(groups.reshape(rows, columns), dtype=np.float32)


@dataclass(frozen=True)
class Pieces:
    """The SentencePiece vocabulary: `types` are normal 0, unknown 1, control 2, user-defined 3, byte 4."""

    pieces: list[str]
    scores: list[float]
    types: list[int]
    pad_id: int
    eos_id: int
    bos_id: int
    unk_id: int
    add_dummy_prefix: bool
    byte_fallback: bool


@dataclass(frozen=True)
class Container:
    """Everything in one `.cact` file. `arrays` are float32; `matrices` stay coded."""

    geometry: Geometry
    arrays: dict[str, Floats]
    matrices: dict[str, CodedMatrix]
    tokenizer: Pieces


def hadamard(size: int) -> Floats:
    """Return the Walsh-Hadamard matrix of `size` (a power of two), scaled to be its own inverse."""
    matrix = np.ones((1, 1), dtype=np.float32)
    while matrix.shape[0] < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    scaled: Floats = (matrix / np.sqrt(np.float32(size))).astype(np.float32)
    return scaled


def rotated(groups: Floats) -> Floats:
    """Multiply the last axis (a power of two) by `hadamard`.

    In butterflies rather than as a matrix product: sums in a fixed order give
    the same bits on every processor, and the converter's output has a hash.
    """
    size = groups.shape[-1]
    value = groups.reshape(-1, size)
    half = 1
    while half < size:
        pairs = value.reshape(-1, size // (2 * half), 2, half)
        value = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2).reshape(-1, size)
        half *= 2
    scaled: Floats = (value / np.sqrt(np.float32(size))).reshape(groups.shape)
    return scaled


def read_container(data: bytes) -> Container:
    """Read a whole container. Raises `ContainerError` where it is not what the format says."""
    if len(data) < _HEADER.size or int.from_bytes(data[:4], "little") != TAG:
        raise ContainerError(f"not a Needle 3 container: it starts with {data[:4]!r}")
    header = _HEADER.unpack_from(data)
    geometry = _geometry(header)
    codebooks = np.frombuffer(data, "<f4", header[2], _HEADER.size).astype(np.float32)
    arrays: dict[str, Floats] = {}
    matrices: dict[str, CodedMatrix] = {}
    tokenizer: Pieces | None = None
    names = list(_tensor_names(geometry))
    if len(names) != header[1]:
        raise ContainerError(f"expected {len(names)} tensors for this geometry, the directory has {header[1]}")
    start = _HEADER.size + codebooks.nbytes
    for index, name in enumerate(names):
        kind, rank, _, *rest = _RECORD.unpack_from(data, start + index * _RECORD.size)
        shape, (offset, size, group, bits) = tuple(rest[:rank]), rest[4:]
        if offset + size > len(data):
            raise ContainerError(f"tensor {name!r} ends after the end of the file")
        blob = data[offset : offset + size]
        if kind == _CODED:
            matrices[name] = _coded(name, blob, shape, group, bits, codebooks)
        elif kind == _RAW:
            tokenizer = read_pieces(blob)
        elif kind in (_FP16, _FP32):
            arrays[name] = np.frombuffer(blob, "<f2" if kind == _FP16 else "<f4").reshape(shape).astype(np.float32)
        else:
            raise ContainerError(f"tensor {name!r} has the unknown kind {kind}")
    if tokenizer is None:
        raise ContainerError("the container has no tokenizer")
    if arrays["heads.manifest"].tolist() != [_CONFIDENCE_HEAD]:
        raise ContainerError("expected exactly one head, the confidence head")
    return Container(geometry, arrays, matrices, tokenizer)


def read_pieces(blob: bytes) -> Pieces:
    """Read the vocabulary's own blob: a header, then score, type, length and UTF-8 text of each piece."""
    count, pad_id, eos_id, bos_id, unk_id, dummy, fallback, _ = _TOKENIZER.unpack_from(blob)
    position = _TOKENIZER.size
    pieces, scores, types = [], [], []
    for _ in range(count):
        score, kind, length = _PIECE.unpack_from(blob, position)
        position += _PIECE.size
        pieces.append(blob[position : position + length].decode("utf-8"))
        scores.append(score)
        types.append(kind)
        position += length
    return Pieces(pieces, scores, types, pad_id, eos_id, bos_id, unk_id, bool(dummy), bool(fallback))


def _geometry(header: tuple[float, ...]) -> Geometry:
    numbers = [int(value) for value in header[:48]]
    global_mask = numbers[17] | numbers[18] << 32
    out_vocab, seed_heads = numbers[6], numbers[25]
    if out_vocab not in (0, numbers[5]) or seed_heads:
        raise ContainerError("sliced vocabularies and sliced widths are not supported")
    return Geometry(
        vocab_size=numbers[5],
        d_model=numbers[7],
        num_heads=numbers[8],
        num_kv_heads=numbers[9],
        num_layers=numbers[10],
        qk_head_dim=numbers[11],
        v_head_dim=numbers[12],
        max_seq_len=numbers[13],
        hada_n=numbers[14],
        mhc_lanes=numbers[15],
        sliding_window=numbers[16],
        global_layers=tuple(layer for layer in range(numbers[10]) if global_mask >> layer & 1),
        conv_taps=numbers[19],
        engram_slots=numbers[20],
        engram_sub_dim=numbers[21],
        engram_tables=numbers[22],
        engram_conv_taps=numbers[23],
        engram_conv_dilation=numbers[24],
        engram_orders=tuple(numbers[27 : 27 + numbers[26]]),
        engram_layers=tuple(numbers[32 : 32 + numbers[31]]),
        rope_theta=float(header[48]),
    )


_LAYER = (
    "norm_in q_proj k_proj v_proj q_taps k_taps v_taps q_norm k_norm gate_proj out_proj post_norm attn_gate pre_hada "
    "d1 d2 b2 d3 d4 w1a w1b w2a w2b w3a w3b cond_v cond_u"
)
_MHC = "a_pre a_post a_res b_pre b_post b_res phi_pre phi_post phi_res"
_HEAD = "probes gain query row_bias proj bias"


def _tensor_names(geometry: Geometry) -> Iterator[str]:
    yield "embedding"
    for layer in range(geometry.num_layers):
        yield from (f"layer{layer}.{name}" for name in _LAYER.split())
    yield from (f"mhc.{name}" for name in _MHC.split())
    yield from ("hada_p1", "hada_p2")
    for site in range(len(geometry.engram_layers)):
        yield from (f"engram{site}.{name}" for name in ("tables", "key_proj", "value_proj", "taps"))
    yield from ("final_norm", "heads.manifest")
    yield from (f"confidence.{name}" for name in _HEAD.split())
    yield "tokenizer"


def _coded(name: str, blob: bytes, shape: tuple[int, ...], group: int, bits: int, codebooks: Floats) -> CodedMatrix:
    if len(shape) != 2 or group != GROUP or bits not in _CODEBOOK_START or bits == 3 or shape[1] % GROUP:
        raise ContainerError(f"matrix {name!r} of shape {shape} has {bits} bits in groups of {group}: not supported")
    rows, columns = shape
    width = columns * bits // 8
    if len(blob) != rows * (width + columns // GROUP * 2):
        raise ContainerError(f"matrix {name!r} has {len(blob)} bytes, which is not what its shape {shape} takes")
    start = _CODEBOOK_START[bits]
    return CodedMatrix(
        codes=np.frombuffer(blob, np.uint8, rows * width).reshape(rows, width),
        norms=np.frombuffer(blob, "<f2", offset=rows * width).astype(np.float16).reshape(rows, columns // GROUP),
        levels=codebooks[start : start + 2**bits],
        bits=bits,
    )
