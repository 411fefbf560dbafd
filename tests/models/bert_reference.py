"""BERT in plain numpy and float64, written from the paper and not from our graph: what the tests compare with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_erf = np.vectorize(math.erf, otypes=[np.float64])


def embed(tensors: Mapping[str, NDArray[Any]], ids: Sequence[int], *, layers: int, heads: int) -> Floats:
    """Give the mean of the last layer's vectors, of length 1, for one sequence without padding."""

    def tensor(name: str) -> Floats:
        return tensors[name].astype(np.float64)

    def norm(value: Floats, name: str) -> Floats:
        centred = value - value.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return scaled * tensor(f"{name}.weight") + tensor(f"{name}.bias")

    def linear(value: Floats, name: str) -> Floats:
        return value @ tensor(f"{name}.weight").T + tensor(f"{name}.bias")

    def split(value: Floats) -> Floats:
        return value.reshape(len(ids), heads, -1).transpose(1, 0, 2)

    value = tensors["embeddings.word_embeddings.weight"][list(ids)].astype(np.float64)
    value = value + tensor("embeddings.position_embeddings.weight")[: len(ids)]
    value = norm(value + tensor("embeddings.token_type_embeddings.weight")[0], "embeddings.LayerNorm")
    for layer in range(layers):
        name = f"encoder.layer.{layer}"
        query, key, content = (
            split(linear(value, f"{name}.attention.self.{part}")) for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        attended = (weights @ content).transpose(1, 0, 2).reshape(len(ids), -1)
        value = norm(linear(attended, f"{name}.attention.output.dense") + value, f"{name}.attention.output.LayerNorm")
        inner = linear(value, f"{name}.intermediate.dense")
        inner = inner * (1 + _erf(inner / math.sqrt(2))) / 2
        value = norm(linear(inner, f"{name}.output.dense") + value, f"{name}.output.LayerNorm")
    mean = value.mean(0)
    return mean / np.linalg.norm(mean)
