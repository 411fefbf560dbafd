"""Coded matrices on their way into a model: the packed file that is downloaded, and how a host expands it.

A host runs `expand.onnx` once for each step when it loads the model, and gets
the float32 file that the graph reads. So 34 MB are downloaded instead of 220,
and onnxruntime does the work with its own matrix product in about a second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from models.needle.cact import GROUP, CodedMatrix, Floats
from models.onnx_graph import GraphWriter
from numpy.typing import NDArray

WEIGHTS = "weights.bin"
EXPANDED = "weights.f32"
EXPAND = "expand.onnx"
# Typed arrays and onnxruntime both want aligned views.
_ALIGNMENT = 64


@dataclass
class WeightFiles:
    """The packed file as it is downloaded, and the steps which expand it to the float32 file that the graph reads."""

    packed: bytearray = field(default_factory=bytearray)
    steps: list[dict[str, Any]] = field(default_factory=list)
    expanded_bytes: int = 0
    _seen: dict[bytes, dict[str, Any]] = field(default_factory=dict)

    def add(self, array: NDArray[Any]) -> dict[str, Any]:
        """Append an array, unless the same one is already there; return where and what it is."""
        array = np.ascontiguousarray(array)
        key = repr((array.dtype, array.shape)).encode() + array.tobytes()
        if key not in self._seen:
            self.packed.extend(bytes(-len(self.packed) % _ALIGNMENT))
            place = {"offset": len(self.packed), "shape": list(array.shape), "type": str(array.dtype)}
            self.packed.extend(array.tobytes())
            self._seen[key] = place
        return self._seen[key]

    def expand(self, matrix: CodedMatrix, gain: Floats, basis: Floats) -> tuple[int, int]:
        """Plan a matrix, transposed to [columns, rows], in the expanded file; return its offset and size in bytes."""
        rows, columns = matrix.shape
        size = rows * columns * 4
        offset = self.expanded_bytes
        self.steps.append(
            {
                "inputs": {
                    "codes": self.add(matrix.codes),
                    "levels": self.add(matrix.byte_levels()),
                    "norms": self.add(matrix.norms),
                    "gain": self.add(gain),
                    "basis": self.add(basis),
                },
                "output": "weight",
                "offset": offset,
                "size_bytes": size,
            }
        )
        self.expanded_bytes += size + -size % _ALIGNMENT
        return offset, size


def expand_model() -> onnx.ModelProto:
    """Return the small model that turns one coded matrix into float32 [columns, rows]."""
    graph = GraphWriter("expand")
    codes = graph.input("codes", "uint8", ["rows", "bytes"])
    levels = graph.input("levels", "float32", [256, "per_byte"])
    norms = graph.input("norms", "float16", ["rows", "groups"])
    gain = graph.input("gain", "float32", ["gain_rows", 1])
    basis = graph.input("basis", "float32", [GROUP, GROUP])
    scale = graph.node("Mul", graph.node("Cast", norms, to=onnx.TensorProto.FLOAT), gain)
    units = graph.node("Gather", levels, graph.node("Cast", codes, to=onnx.TensorProto.INT32))
    rows = graph.node("Shape", codes, start=0, end=1)
    groups = graph.node("Reshape", units, graph.node("Concat", rows, graph.ints(-1, GROUP), axis=0))
    scaled = graph.node("Mul", groups, graph.node("Unsqueeze", scale, graph.ints(2)))
    rotated = graph.node("MatMul", scaled, basis)
    matrix = graph.node("Reshape", rotated, graph.node("Concat", rows, graph.ints(-1), axis=0))
    graph.output(graph.node("Transpose", matrix, perm=[1, 0]), "weight", "float32", ["columns", "rows"])
    return graph.model({})


def stack_rows(*matrices: CodedMatrix) -> CodedMatrix:
    """Put coded matrices of the same width and code under each other."""
    return CodedMatrix(
        np.concatenate([matrix.codes for matrix in matrices]),
        np.concatenate([matrix.norms for matrix in matrices]),
        matrices[0].levels,
        matrices[0].bits,
    )
