"""Runs the model in float64 over a few texts, to see how large its activations get.

Processors differ in the last bits of sums, powers and exponentials, even in
float64. What is taken from here is rounded to far fewer bits (`rounded`): so
the model that is made has the same bytes on every processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from models.llama_graph import FirstToken, Floats, Geometry
from models.smollm2.source import Source
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


@dataclass
class Calibration:
    """What was seen."""

    first: FirstToken
    largest: dict[str, Doubles] = field(default_factory=dict)
    """The largest absolute value of each column that a matrix was given, by the matrix's name."""


def calibrate(source: Source, texts: Sequence[Sequence[int]]) -> Calibration:
    """Run texts which begin with `bos_token_id`; that token is left out of what is seen."""
    geometry = source.geometry
    embedding = source.embedding.dense().astype(np.float64)
    hidden = [embedding[list(text)] for text in texts]
    first_rows = np.empty((geometry.layers, geometry.qkv_width))
    seen = Calibration(FirstToken(source.bos_token_id, np.empty(0, np.float32), np.empty(0, np.float32)))

    def apply(name: str, values: Sequence[Doubles]) -> list[Doubles]:
        weight = source.matrices[name].dense().astype(np.float64)
        seen.largest[name] = np.max([np.abs(value[1:]).max(axis=0) for value in values], axis=0)
        return [value @ weight.T for value in values]

    def normed(name: str, values: Sequence[Doubles]) -> list[Doubles]:
        return [_normed(value, source.norms[name], geometry.epsilon) for value in values]

    for layer in range(geometry.layers):
        qkv = apply(f"{layer}.qkv", normed(f"{layer}.before_attention", hidden))
        first_rows[layer] = qkv[0][0]
        attended = apply(f"{layer}.out", [_attended(value, geometry) for value in qkv])
        hidden = [value + more for value, more in zip(hidden, attended, strict=True)]
        value = normed(f"{layer}.before_inner", hidden)
        gate, up = apply(f"{layer}.gate", value), apply(f"{layer}.up", value)
        inner = [_silu(gated) * raised for gated, raised in zip(gate, up, strict=True)]
        hidden = [value + more for value, more in zip(hidden, apply(f"{layer}.down", inner), strict=True)]
    seen.first = FirstToken(source.bos_token_id, rounded(first_rows, 20), rounded(hidden[0][0], 20))
    return seen


def rounded(values: Doubles, bits: int) -> Floats:
    """Return float32 with so many significant bits (at most 24)."""
    fraction, exponent = np.frexp(values)
    result: Doubles = np.ldexp(np.round(np.ldexp(fraction, bits)), exponent - bits)
    return result.astype(np.float32)


def _normed(value: Doubles, gain: Any, epsilon: float) -> Doubles:
    normed: Doubles = value / np.sqrt((value * value).mean(axis=-1, keepdims=True) + epsilon) * gain
    return normed


def _silu(value: Doubles) -> Doubles:
    result: Doubles = value / (1 + np.exp(-value))
    return result


def _attended(qkv: Doubles, geometry: Geometry) -> Doubles:
    length, width = len(qkv), geometry.head_width
    heads = qkv.reshape(length, -1, width).swapaxes(0, 1)
    query, key, value = np.split(heads, [geometry.heads, geometry.heads + geometry.kv_heads])
    query, key = _rotated(query, geometry.rope_base), _rotated(key, geometry.rope_base)
    shared = geometry.heads // geometry.kv_heads
    scores = query @ key.repeat(shared, axis=0).swapaxes(1, 2) / np.sqrt(width)
    scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    attended = weights / weights.sum(axis=-1, keepdims=True) @ value.repeat(shared, axis=0)
    return attended.swapaxes(0, 1).reshape(length, -1)


def _rotated(heads: Doubles, base: float) -> Doubles:
    _, length, width = heads.shape
    angles = np.arange(length)[:, None] * base ** (-np.arange(0, width, 2) / width)
    low, high = np.split(heads, 2, axis=-1)
    turned = [low * np.cos(angles) - high * np.sin(angles), high * np.cos(angles) + low * np.sin(angles)]
    return np.concatenate(turned, axis=-1)
