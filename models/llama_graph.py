"""The ONNX graph of a decoder of the Llama family: what `smollm2` and the tiny chat model have in common.

It is written fused, with ONNX Runtime's own operators, so no pass has to find
them again. Keys and values stand in buffers that the host allocates: the same
memory is input and output (`in_place` in `model.json`), and `past_length` says
how much of it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx
from models.onnx_graph import MICROSOFT, GraphWriter
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Geometry:
    """The sizes of a model."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    inner_width: int
    vocab_size: int
    context_length: int
    rope_base: float
    epsilon: float

    @property
    def qkv_width(self) -> int:
        """How many columns queries, keys and values have together."""
        return (self.heads + 2 * self.kv_heads) * self.head_width


class Weights(Protocol):
    """Where the matrices come from: each method adds nodes and returns the name of what they give."""

    def embed(self, graph: GraphWriter, ids: str) -> str:
        """Look up rows [1, T, width] for ids [1, T]."""
        ...

    def project(self, graph: GraphWriter, name: str, value: str) -> str:
        """Multiply by a matrix: `qkv`, `out`, `gate`, `up` or `down` of a layer, such as `3.qkv`."""
        ...

    def score(self, graph: GraphWriter, value: str) -> str:
        """Give the logits of every token for [1, 1, width]."""
        ...

    def norm(self, name: str) -> Floats:
        """Return the gain of a norm: `3.before_attention`, `3.before_inner` or `last`."""
        ...


@dataclass(frozen=True)
class FirstToken:
    """What is known beforehand of one token that stands at the very beginning.

    A model that was trained to begin with it uses it as a place to look at when there is nothing to see, and holds it
    there with values a hundred times larger than any other's. No 8-bit scale should have to cover those; but as
    nothing stands before it they are constants, whatever follows.
    """

    token_id: int
    qkv: Floats
    """Queries, keys and values, [layers, qkv_width]; at position 0 they are not rotated."""
    hidden: Floats
    """What the last norm is given, [width]."""


def build_graph(geometry: Geometry, weights: Weights, first: FirstToken | None = None) -> onnx.ModelProto:
    """Write the graph as the hosts of this repository run it: logits [vocab_size] of the last token."""
    graph = GraphWriter("llama")
    ids = graph.input("input_ids", "int64", [1, "tokens"])
    past = graph.input("past_length", "int64", [1])
    total = graph.node("Add", past, graph.node("Shape", ids, start=1, end=2))
    states = [
        (graph.input(entry["input"], entry["type"], [size or "capacity" for size in entry["shape"]]), entry["output"])
        for entry in state_entries(geometry)
    ]
    shape = [1, geometry.kv_heads, "capacity", geometry.head_width]
    logits = _Decoder(graph, geometry, weights, first).write(ids, past, total, states, shape)
    graph.output(graph.node("Reshape", logits, graph.ints(-1)), "logits", "float32", [geometry.vocab_size])
    return graph.model({})


def build_exchange_graph(geometry: Geometry, weights: Weights, first: FirstToken | None = None) -> onnx.ModelProto:
    """Write the same graph with the names that transformers.js and Optimum use: a mask, and states that are copied."""
    graph = GraphWriter("llama")
    # transformers.js gives a state without rows its shape by these very names.
    ids = graph.input("input_ids", "int64", ["batch_size", "sequence_length"])
    mask = graph.input("attention_mask", "int64", ["batch_size", "total_sequence_length"])
    past_shape = ["batch_size", geometry.kv_heads, "past_sequence_length", geometry.head_width]
    names = [f"{layer}.{part}" for layer in range(geometry.layers) for part in ("key", "value")]
    states = [(graph.input(f"past_key_values.{name}", "float32", past_shape), f"present.{name}") for name in names]
    past = graph.node("Shape", states[0][0], start=2, end=3)
    total = graph.node("Shape", mask, start=1, end=2)
    shape = ["batch_size", geometry.kv_heads, "total_sequence_length", geometry.head_width]
    logits = _Decoder(graph, geometry, weights, first).write(ids, past, total, states, shape)
    graph.output(logits, "logits", "float32", ["batch_size", 1, geometry.vocab_size])
    return graph.model({})


def state_entries(geometry: Geometry) -> list[dict[str, Any]]:
    """Return the state as `model.json` lists it."""
    shape = [1, geometry.kv_heads, 0, geometry.head_width]
    return [
        {
            "input": f"past_{part}_{layer}",
            "output": f"new_{part}_{layer}",
            "type": "float32",
            "shape": shape,
            "fill": 0,
            "in_place": True,
        }
        for layer in range(geometry.layers)
        for part in ("key", "value")
    ]


class _Decoder:
    """Writes the nodes that both interfaces share."""

    def __init__(self, graph: GraphWriter, geometry: Geometry, weights: Weights, first: FirstToken | None) -> None:
        self._graph = graph
        self._geometry = geometry
        self._weights = weights
        self._first = first

    def write(
        self, ids: str, past: str, total: str, states: Sequence[tuple[str, str]], state_shape: Sequence[int | str]
    ) -> str:
        """Write everything from ids to logits [1, 1, vocab_size]; `states` are inputs, each with its output's name."""
        graph, geometry, weights = self._graph, self._geometry, self._weights
        is_first = self._is_first(ids, past, total)
        lengths = self._lengths(total)
        nothing = np.zeros(1, np.float32)
        sums = self._replaced(is_first, nothing, weights.embed(graph, ids))
        value = graph.node(
            "SimplifiedLayerNormalization",
            sums,
            graph.floats(weights.norm("0.before_attention")),
            axis=-1,
            epsilon=geometry.epsilon,
            stash_type=1,
        )
        for layer in range(geometry.layers):
            qkv = weights.project(graph, f"{layer}.qkv", value)
            if self._first is not None:
                qkv = self._replaced(is_first, self._first.qkv[layer], qkv)
            attended = self._attend(qkv, lengths, states[2 * layer : 2 * layer + 2], state_shape)
            # With nothing of it in the sums, all that is computed for it is 0.
            attended = self._replaced(is_first, nothing, attended)
            attended = weights.project(graph, f"{layer}.out", attended)
            value, sums = self._normed(attended, sums, f"{layer}.before_inner")
            gate = weights.project(graph, f"{layer}.gate", value)
            up = weights.project(graph, f"{layer}.up", value)
            inner = graph.node("Mul", graph.node("QuickGelu", gate, domain=MICROSOFT, alpha=1.0), up)
            added = weights.project(graph, f"{layer}.down", inner)
            if layer + 1 < geometry.layers:
                value, sums = self._normed(added, sums, f"{layer + 1}.before_attention")
        # Only the last place is scored: the head is the largest matrix of all.
        sums = graph.node("Add", added, sums)
        if self._first is not None:
            sums = self._replaced(is_first, self._first.hidden, sums)
        last = graph.node("Slice", sums, graph.ints(-1), graph.ints(np.iinfo(np.int64).max), graph.ints(1))
        gain = graph.floats(weights.norm("last"))
        last = graph.node("SimplifiedLayerNormalization", last, gain, axis=-1, epsilon=geometry.epsilon, stash_type=1)
        return weights.score(graph, last)

    def _lengths(self, total: str) -> tuple[str, str]:
        """Return the two lengths that attention takes: the last position of each sequence, and the number of all."""
        graph = self._graph
        last = graph.node("Cast", graph.node("Sub", total, graph.ints(1)), to=onnx.TensorProto.INT32)
        return last, graph.node("Squeeze", graph.node("Cast", total, to=onnx.TensorProto.INT32))

    def _is_first(self, ids: str, past: str, total: str) -> str:
        """Return where the first token is the known one, [1, T, 1]."""
        if self._first is None:
            return ""
        graph = self._graph
        one = graph.constant(np.array(1, np.int64))
        places = graph.node("Range", graph.node("Squeeze", past), graph.node("Squeeze", total), one)
        begins = graph.node("Equal", places, graph.ints(0))
        meant = graph.node("And", graph.node("Equal", ids, graph.ints(self._first.token_id)), begins)
        return graph.node("Unsqueeze", meant, graph.ints(2))

    def _replaced(self, is_first: str, row: Floats, value: str) -> str:
        return self._graph.node("Where", is_first, self._graph.floats(row), value) if is_first else value

    def _normed(self, added: str, sums: str, norm: str) -> tuple[str, str]:
        """Add to the sums and norm them; return both."""
        gain = self._graph.floats(self._weights.norm(norm))
        value, _, _, total = self._graph.nodes(
            "SkipSimplifiedLayerNormalization",
            [added, sums, gain],
            4,
            omitted=(1, 2),
            domain=MICROSOFT,
            epsilon=self._geometry.epsilon,
        )
        return value, total

    def _attend(
        self,
        qkv: str,
        lengths: tuple[str, str],
        states: Sequence[tuple[str, str]],
        state_shape: Sequence[int | str],
    ) -> str:
        graph, geometry = self._graph, self._geometry
        angles = np.arange(geometry.context_length)[:, None] * geometry.rope_base ** (
            -np.arange(0, geometry.head_width, 2) / geometry.head_width
        )
        # A sink that weighs nothing. Without this input ONNX Runtime 1.30 takes its blocked kernel, which finds no size
        # of a cache in WebAssembly and works on tiles of one element: a prefill of 256 takes 3.1 s instead of 0.36.
        sink = graph.floats([-1e30] * geometry.heads)
        attended, *new = graph.nodes(
            "GroupQueryAttention",
            [
                *(qkv, "", "", *(name for name, _ in states), *lengths),
                *(graph.floats(np.cos(angles)), graph.floats(np.sin(angles)), "", "", sink),
            ],
            3,
            domain=MICROSOFT,
            num_heads=geometry.heads,
            kv_num_heads=geometry.kv_heads,
            do_rotary=1,
            rotary_interleaved=0,
            scale=geometry.head_width**-0.5,
        )
        for made, (_, name) in zip(new, states, strict=True):
            graph.output(made, name, "float32", state_shape)
        return attended
