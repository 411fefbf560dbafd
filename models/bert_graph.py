"""The ONNX graph of a BERT encoder that gives one vector for each text.

It is written fused, with ONNX Runtime's own operators, and ends in the mean of
the tokens' vectors, brought to length 1. Padding is left out of attention and
of the mean.

The matrices are 8-bit integers or float32. With integers every row of an
activation has a scale of its own: with one scale for the whole tensor, as
`DynamicQuantizeMatMul` has it, the vector of a text would depend on the texts
beside it in the batch. Both factors are unsigned, whose sums are exact on every
processor; sums of unsigned times signed saturate on some.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx
from models.onnx_graph import MICROSOFT, GraphWriter
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_ZERO = 128
"""The code of zero, in activations and in weights."""


@dataclass(frozen=True)
class Geometry:
    """The sizes of an encoder; `context_length` is how many positions of those that the weights have are kept."""

    layers: int
    width: int
    heads: int
    context_length: int
    epsilon: float = 1e-12


class Matrices(Protocol):
    """How matrices are held and multiplied by."""

    def lookup(self, graph: GraphWriter, name: str, table: Floats, ids: str) -> str:
        """Give the rows of a table."""
        ...

    def multiply(self, graph: GraphWriter, value: str, matrices: Mapping[str, Floats]) -> list[str]:
        """Multiply one activation by some matrices [in, out]."""
        ...


class FloatMatrices:
    """float32, within the graph: what the others are compared with."""

    def lookup(self, graph: GraphWriter, name: str, table: Floats, ids: str) -> str:
        """Give the rows of a table."""
        return graph.node("Gather", graph.floats(table), ids)

    def multiply(self, graph: GraphWriter, value: str, matrices: Mapping[str, Floats]) -> list[str]:
        """Multiply one activation by some matrices [in, out]."""
        return [graph.node("MatMul", value, graph.floats(matrix)) for matrix in matrices.values()]


class ByteMatrices:
    """Unsigned 8-bit integers in a file beside the graph; a scale for each column, or each row of a table.

    `apart` names, for a matrix, the inputs that are multiplied in float32: a few that are so much larger than all
    others that no scale should have to cover both. Matrices that share an activation have the same.
    """

    def __init__(self, location: str, apart: Mapping[str, Sequence[int]]) -> None:
        self.packed = bytearray()
        self._location = location
        self._apart = apart

    def lookup(self, graph: GraphWriter, name: str, table: Floats, ids: str) -> str:
        """Give the rows of a table."""
        codes, scales = quantize(table, axis=1)
        rows = graph.node("Cast", graph.node("Gather", self._add(graph, name, codes), ids), to=onnx.TensorProto.FLOAT)
        scale = graph.node("Gather", graph.floats(scales), ids)
        return graph.node("Mul", graph.node("Sub", rows, graph.floats(_ZERO)), scale)

    def multiply(self, graph: GraphWriter, value: str, matrices: Mapping[str, Floats]) -> list[str]:
        """Multiply one activation by some matrices [in, out]."""
        apart = list(self._apart.get(next(iter(matrices)), ()))
        large = ""
        if apart:
            large = graph.node("Gather", value, graph.ints(*apart), axis=-1)
            kept = np.ones(len(next(iter(matrices.values()))), np.float32)
            kept[apart] = 0
            value = graph.node("Mul", value, graph.floats(kept))
        codes, scale = self._encode(graph, value)
        products: list[str] = []
        for name, matrix in matrices.items():
            rest = matrix.copy()
            rest[apart] = 0
            product = self._multiply_codes(graph, name, codes, scale, rest)
            if apart:
                product = graph.node("Add", product, graph.node("MatMul", large, graph.floats(matrix[apart])))
            products.append(product)
        return products

    def _encode(self, graph: GraphWriter, value: str) -> tuple[str, str]:
        """Give the codes of an activation and the scale of each of its rows."""
        largest = graph.node("ReduceMax", graph.node("Abs", value), graph.ints(-1), keepdims=1)
        scale = graph.node("Div", graph.node("Max", largest, graph.floats(1e-12)), graph.floats(127))
        # A cast cuts off, so adding a half more rounds; the smallest sum is 1.5, so the sign plays no part.
        shifted = graph.node("Add", graph.node("Div", value, scale), graph.floats(_ZERO + 0.5))
        return graph.node("Cast", shifted, to=onnx.TensorProto.UINT8), scale

    def _multiply_codes(self, graph: GraphWriter, name: str, codes: str, scale: str, matrix: Floats) -> str:
        weights, scales = quantize(matrix, axis=0)
        zero = graph.constant(np.array(_ZERO, np.uint8))
        sums = graph.node("MatMulInteger", codes, self._add(graph, name, weights), zero, zero)
        by_column = graph.node("Mul", graph.node("Cast", sums, to=onnx.TensorProto.FLOAT), graph.floats(scales[0]))
        return graph.node("Mul", by_column, scale)

    def _add(self, graph: GraphWriter, name: str, codes: NDArray[np.uint8]) -> str:
        self.packed.extend(bytes(-len(self.packed) % 64))
        offset, size = len(self.packed), codes.size
        self.packed.extend(codes.tobytes())
        return graph.external(name, "uint8", list(codes.shape), self._location, offset, size)


def quantize(matrix: Floats, axis: int) -> tuple[NDArray[np.uint8], Floats]:
    """Give codes 1 to 255 and scales; `axis` is the one along which a scale stays the same."""
    scales = (np.abs(matrix).max(axis=axis, keepdims=True) / 127).astype(np.float32)
    scales[scales == 0] = 1
    codes = np.clip(np.rint(matrix / scales), -127, 127) + _ZERO
    return codes.astype(np.uint8), scales


def build_graph(geometry: Geometry, tensors: Mapping[str, Floats], matrices: Matrices) -> onnx.ModelProto:
    """Write the graph; `tensors` have the names that BERT has in PyTorch, where a matrix is [out, in]."""
    return _Encoder(geometry, tensors, matrices).write()


class _Encoder:
    def __init__(self, geometry: Geometry, tensors: Mapping[str, Floats], matrices: Matrices) -> None:
        self._graph = GraphWriter("bert")
        self._geometry = geometry
        self._tensors = tensors
        self._matrices = matrices

    def write(self) -> onnx.ModelProto:
        graph = self._graph
        ids = graph.input("input_ids", "int64", ["batch", "tokens"])
        mask = graph.input("attention_mask", "int64", ["batch", "tokens"])
        is_text = graph.node("Cast", mask, to=onnx.TensorProto.INT32)
        value = self._embed(ids)
        for layer in range(self._geometry.layers):
            value = self._layer(f"encoder.layer.{layer}", value, is_text)
        graph.output(self._pool(value, mask), "embedding", "float32", ["batch", self._geometry.width])
        return graph.model({})

    def _embed(self, ids: str) -> str:
        graph, tensors, length = self._graph, self._tensors, self._geometry.context_length
        words = self._matrices.lookup(graph, "words", tensors["embeddings.word_embeddings.weight"], ids)
        # A text is all of type 0.
        places = tensors["embeddings.position_embeddings.weight"][:length]
        places = places + tensors["embeddings.token_type_embeddings.weight"][0]
        count = graph.node("Shape", ids, start=1, end=2)
        used = graph.node("Slice", graph.floats(places), graph.ints(0), count, graph.ints(0))
        return graph.node(
            "LayerNormalization",
            graph.node("Add", words, used),
            *self._norm("embeddings.LayerNorm"),
            axis=-1,
            epsilon=self._geometry.epsilon,
        )

    def _layer(self, name: str, value: str, is_text: str) -> str:
        graph = self._graph
        parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        attended = graph.node(
            "MultiHeadAttention",
            *self._products(value, *parts),
            graph.floats(np.concatenate([self._tensors[f"{part}.bias"] for part in parts])),
            is_text,
            domain=MICROSOFT,
            num_heads=self._geometry.heads,
        )
        (added,) = self._products(attended, f"{name}.attention.output.dense")
        value = self._sum_and_norm(added, value, f"{name}.attention.output")
        (inner,) = self._products(value, f"{name}.intermediate.dense")
        bias = graph.floats(self._tensors[f"{name}.intermediate.dense.bias"])
        inner = graph.node("BiasGelu", inner, bias, domain=MICROSOFT)
        (added,) = self._products(inner, f"{name}.output.dense")
        return self._sum_and_norm(added, value, f"{name}.output")

    def _products(self, value: str, *names: str) -> list[str]:
        matrices = {name: np.ascontiguousarray(self._tensors[f"{name}.weight"].T) for name in names}
        return self._matrices.multiply(self._graph, value, matrices)

    def _sum_and_norm(self, added: str, value: str, name: str) -> str:
        bias = self._graph.floats(self._tensors[f"{name}.dense.bias"])
        gain, shift = self._norm(f"{name}.LayerNorm")
        attributes: dict[str, Any] = {"epsilon": self._geometry.epsilon, "domain": MICROSOFT}
        return self._graph.node("SkipLayerNormalization", added, value, gain, shift, bias, **attributes)

    def _norm(self, name: str) -> tuple[str, str]:
        return self._graph.floats(self._tensors[f"{name}.weight"]), self._graph.floats(self._tensors[f"{name}.bias"])

    def _pool(self, value: str, mask: str) -> str:
        graph = self._graph
        weights = graph.node("Unsqueeze", graph.node("Cast", mask, to=onnx.TensorProto.FLOAT), graph.ints(1))
        total = graph.node("Squeeze", graph.node("MatMul", weights, value), graph.ints(1))
        # The mean and its sum point the same way, and only that is kept.
        return graph.node("LpNormalization", total, axis=-1, p=2)
