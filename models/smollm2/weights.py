"""SmolLM2's matrices on their way into a model: the packed file that is downloaded, and how a host expands it.

The packed file has the codes of the source, 4 bits each, with the scale and
the least value of each 32 neighbours. A host makes of them what its processor
multiplies fastest: bytes with one scale for each column (`ByteWeights`), or
float32 (`FloatWeights`, exact, to compare with).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from models.llama_graph import Floats
from models.onnx_graph import MICROSOFT, GraphWriter
from models.smollm2.calibrate import Calibration, rounded
from models.smollm2.gguf import BLOCK, Blocks
from models.smollm2.source import Source
from numpy.typing import NDArray

WEIGHTS = "weights.bin"
EXPANDED = "weights.expanded"
EXPAND = "expand.onnx"
EXPAND_HEAD = "expand-head.onnx"
HEAD_PIECES = 16
"""The head is made and multiplied in so many pieces, so that no more than one is held twice while it is made."""
ZERO_POINT = 128
SHARE = 0.7
"""How much of the range of an activation is moved into the weights (SmoothQuant's alpha)."""
# Typed arrays and onnxruntime both want aligned views.
_ALIGNMENT = 64


@dataclass
class WeightFiles:
    """The packed file, and the steps which expand it."""

    packed: bytearray = field(default_factory=bytearray)
    steps: list[dict[str, Any]] = field(default_factory=list)
    expanded_bytes: int = 0
    _places: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, array: NDArray[Any]) -> dict[str, Any]:
        """Append an array, unless the same one is already there; return where and what it is."""
        array = np.ascontiguousarray(array)
        data = array.tobytes()
        key = f"{array.dtype}{array.shape}{hashlib.sha256(data).hexdigest()}"
        if key not in self._places:
            self.packed.extend(bytes(-len(self.packed) % _ALIGNMENT))
            place = {"offset": len(self.packed), "shape": list(array.shape), "type": str(array.dtype)}
            self.packed.extend(data)
            self._places[key] = place
        return self._places[key]

    def declare(self, graph: GraphWriter, name: str, array: NDArray[Any]) -> str:
        """Append an array and let the graph read it from the packed file."""
        place = self.add(array)
        return graph.external(name, place["type"], place["shape"], WEIGHTS, place["offset"], array.nbytes)

    def expand(
        self, graph: GraphWriter, name: str, inputs: dict[str, Any], file: str, kind: str, shape: list[int]
    ) -> str:
        """Plan a step of the expansion, which the small model `file` does, and let the graph read what it makes."""
        offset, size = self.expanded_bytes, int(np.prod(shape)) * np.dtype(kind).itemsize
        step = {"inputs": inputs, "output": "weight", "offset": offset, "size_bytes": size}
        self.steps.append(step if file == EXPAND else {"file": file, **step})
        self.expanded_bytes += size + -size % _ALIGNMENT
        return graph.external(name, kind, shape, EXPANDED, offset, size)


class _Shared:
    """What both kinds of weights do: they differ in how they multiply."""

    def __init__(self, source: Source, files: WeightFiles) -> None:
        self._source = source
        self._files = files

    def embed(self, graph: GraphWriter, ids: str) -> str:
        geometry, blocks = self._source.geometry, self._source.embedding
        codes = self._files.declare(graph, "embedding.codes", blocks.codes)
        scale = self._files.declare(graph, "embedding.scale", blocks.scale[:, :, None])
        rows = graph.node("Cast", graph.node("Gather", codes, ids), to=onnx.TensorProto.FLOAT)
        grouped = graph.node("Reshape", rows, graph.ints(1, -1, geometry.width // BLOCK, BLOCK))
        scales = graph.node("Cast", graph.node("Gather", scale, ids), to=onnx.TensorProto.FLOAT)
        return graph.node("Reshape", graph.node("Mul", grouped, scales), graph.ints(1, -1, geometry.width))

    def score(self, graph: GraphWriter, value: str) -> str:
        # In float32: as bytes it would be less exact and, for a single row, slower.
        geometry, blocks = self._source.geometry, self._source.embedding
        rows = geometry.vocab_size // HEAD_PIECES
        pieces = []
        for piece in range(HEAD_PIECES):
            chosen = slice(piece * rows, (piece + 1) * rows)
            inputs = {
                "codes": self._part(blocks.codes, chosen),
                "scale": self._part(blocks.scale[:, :, None], chosen),
            }
            weight = self._files.expand(graph, f"head.{piece}", inputs, EXPAND_HEAD, "float32", [geometry.width, rows])
            pieces.append(graph.node("MatMul", value, weight))
        return graph.node("Concat", *pieces, axis=-1)

    def norm(self, name: str) -> Floats:
        return self._source.norms[name]

    def _part(self, whole: NDArray[Any], rows: slice) -> dict[str, Any]:
        """Return the place of some rows inside an array that is in the file already."""
        place = self._files.add(whole)
        part = whole[rows]
        return {**place, "offset": place["offset"] + rows.start * part[0].nbytes, "shape": list(part.shape)}

    def _packed(self, blocks: Blocks) -> dict[str, Any]:
        assert blocks.least is not None
        groups = blocks.codes.T.reshape(-1, BLOCK, len(blocks.codes)).astype(np.uint8)
        low, high = np.split(groups, 2, axis=1)
        return {
            "codes": self._files.add(low | high << 4),
            "scale": self._files.add(blocks.scale.T[:, None, :]),
            "least": self._files.add(blocks.least.T[:, None, :]),
        }


class FloatWeights(_Shared):
    """Float32, exactly what the source means."""

    def project(self, graph: GraphWriter, name: str, value: str) -> str:
        blocks = self._source.matrices[name]
        shape = list(blocks.codes.shape[::-1])
        weight = self._files.expand(graph, name, self._packed(blocks), EXPAND, "float32", shape)
        return graph.node("MatMul", value, weight)


class ByteWeights(_Shared):
    """Bytes with a scale for each column; activations become bytes as they come."""

    def __init__(self, source: Source, files: WeightFiles, calibration: Calibration) -> None:
        super().__init__(source, files)
        self._largest = calibration.largest

    def norm(self, name: str) -> Floats:
        layer, _, kind = name.partition(".")
        following = {"before_attention": f"{layer}.qkv", "before_inner": f"{layer}.gate"}.get(kind)
        gain = super().norm(name)
        return gain if following is None else gain / self._smoothing(following)

    def project(self, graph: GraphWriter, name: str, value: str) -> str:
        layer, _, kind = name.partition(".")
        blocks = self._source.matrices[name]
        smoothing = self._smoothing(name)
        scale = np.abs(blocks.dense() * smoothing).max(axis=1) / 127
        inputs = {
            **self._packed(blocks),
            "gain": self._files.add(smoothing.reshape(-1, BLOCK, 1)),
            "per_step": self._files.add((1 / scale)[None, None, :]),
        }
        shape = list(blocks.codes.shape[::-1])
        weight = self._files.expand(graph, name, inputs, EXPAND, "uint8", shape)
        # What smooths the input of `down` is taken out of the columns that make it.
        if kind == "up":
            scale = scale / self._smoothing(f"{layer}.down")
        scales = self._files.declare(graph, f"{name}.scale", scale)
        zero = graph.constant(np.array(ZERO_POINT, np.uint8))
        return graph.node("DynamicQuantizeMatMul", value, weight, scales, zero, domain=MICROSOFT)

    def _smoothing(self, name: str) -> Floats:
        """Return by what each row of a matrix is multiplied, and its input divided."""
        layer, _, kind = name.partition(".")
        if kind == "out":
            # Its input comes straight from the values that are kept: what divides them would have to stay with them.
            return np.ones(self._source.matrices[name].codes.shape[1], np.float32)
        shared = (f"{layer}.gate", f"{layer}.up") if kind in ("gate", "up") else (name,)
        weight = np.max([np.abs(self._source.matrices[other].dense()).max(axis=0) for other in shared], axis=0)
        given = np.maximum(self._largest[shared[0]], 1e-3)
        smoothing = given**SHARE / np.maximum(weight.astype(np.float64), 1e-3) ** (1 - SHARE)
        return rounded(smoothing / np.exp(np.log(smoothing).mean()), 12)


def expand_bytes_model() -> onnx.ModelProto:
    """Return the small model that turns packed codes into bytes with a scale for each column."""
    graph = GraphWriter("expand")
    per_step = graph.input("per_step", "float32", [1, 1, "columns"])
    meant = _meant(graph, per_step)
    gain = graph.input("gain", "float32", ["groups", BLOCK, 1])
    # Half a step more, as a cast cuts off.
    steps = graph.node("Add", graph.node("Mul", meant, gain), graph.floats(ZERO_POINT + 0.5))
    _output_rows(graph, graph.node("Cast", steps, to=onnx.TensorProto.UINT8), "uint8")
    return graph.model({})


def expand_floats_model() -> onnx.ModelProto:
    """Return the small model that turns packed codes into float32."""
    graph = GraphWriter("expand")
    _output_rows(graph, _meant(graph), "float32")
    return graph.model({})


def expand_head_model() -> onnx.ModelProto:
    """Return the small model that turns rows of the embedding into columns of the head."""
    graph = GraphWriter("expand")
    codes = graph.input("codes", "int8", ["rows", "width"])
    scale = graph.input("scale", "float16", ["rows", "groups", 1])
    values = graph.node("Cast", codes, to=onnx.TensorProto.FLOAT)
    rows = graph.node("Shape", codes, start=0, end=1)
    grouped = graph.node("Reshape", values, graph.node("Concat", rows, graph.ints(-1, BLOCK), axis=0))
    scaled = graph.node("Mul", grouped, graph.node("Cast", scale, to=onnx.TensorProto.FLOAT))
    flat = graph.node("Reshape", scaled, graph.node("Concat", rows, graph.ints(-1), axis=0))
    graph.output(graph.node("Transpose", flat, perm=[1, 0]), "weight", "float32", ["width", "rows"])
    return graph.model({})


def _meant(graph: GraphWriter, factor: str = "") -> str:
    """Write what packed codes mean, [groups, 32, columns], times a factor for each column."""
    codes = graph.input("codes", "uint8", ["groups", BLOCK // 2, "columns"])
    scale, least = (
        graph.node("Cast", graph.input(name, "float16", ["groups", 1, "columns"]), to=onnx.TensorProto.FLOAT)
        for name in ("scale", "least")
    )
    if factor:
        scale, least = graph.node("Mul", scale, factor), graph.node("Mul", least, factor)
    low = graph.node("BitwiseAnd", codes, graph.constant(np.array(15, np.uint8)))
    high = graph.node("BitShift", codes, graph.constant(np.array(4, np.uint8)), direction="RIGHT")
    both = graph.node("Cast", graph.node("Concat", low, high, axis=1), to=onnx.TensorProto.FLOAT)
    return graph.node("Add", graph.node("Mul", both, scale), least)


def _output_rows(graph: GraphWriter, grouped: str, kind: str) -> None:
    columns = graph.node("Shape", grouped, start=2, end=3)
    rows = graph.node("Reshape", grouped, graph.node("Concat", graph.ints(-1), columns, axis=0))
    graph.output(rows, "weight", kind, ["rows", "columns"])
