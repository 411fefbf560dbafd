"""The ONNX graph of Needle 3, written node by node from the container's tensors.

The architecture is that of the Apache-2.0 package `cactus-needle` 3.2.8
(`needle/model/architecture.py`); this is our own formulation of it for
onnxruntime. Shapes are for one conversation; T is the number of tokens fed and
P the number already in the state. Feeding T tokens at once gives what feeding
them one by one gives.

What is folded, so that fewer nodes are left:

- The residual stream of four lanes is `[T, 4, 768]`. A layer's 24 mixing
  numbers come from one matrix, in rows of (read, write, mix 0..3) per lane.
- `x_new = mix @ x + 2 * write * (attention + mlp)` is one matrix product over
  the stacked rows (x, attention, attention, mlp, mlp).
- q, k, v and the gate are one matrix product.
- Numbers that are computed here use operations that round alike everywhere, so
  that the file's hash does not depend on the processor.
- Scales of norms, `d1`, gates and the conditioner's `1 + u` are multiplied into
  their neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from models.needle.cact import GROUP, CodedMatrix, Container, Floats, hadamard
from models.needle.weights import EXPANDED, WEIGHTS, WeightFiles, stack_rows
from models.onnx_graph import MICROSOFT, GraphWriter
from numpy.typing import NDArray

EPSILON = 1e-6
SINKHORN_ITERATIONS = 20
_HASH_SEED = 0x9E3779B9
_HASH_PRIME = 0x01000193
_WORD = 0xFFFFFFFF
_MLP = "pre_hada d1 d2 b2 d3 d4 w1a w1b w2a w2b w3a w3b cond_v cond_u"


@dataclass(frozen=True)
class NeedleGraph:
    """The finished model, its state (as in `model.json`) and its weight files."""

    model: onnx.ModelProto
    state: list[dict[str, Any]]
    weights: WeightFiles


class NeedleWriter:
    """Writes one graph; `build_graph` is the way in."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.geometry = container.geometry
        self.graph = GraphWriter("needle")
        self.weights = WeightFiles()
        self.state: list[dict[str, Any]] = []
        self.basis = hadamard(GROUP)
        self.same_basis = np.eye(GROUP, dtype=np.float32)
        self.ones = np.ones((1, 1), np.float32)

    # -- pieces used everywhere

    def array(self, name: str) -> Floats:
        """Return a small tensor of the container as float32."""
        return self.container.arrays[name]

    def packed(self, name: str, array: NDArray[Any]) -> str:
        """Make an array of the packed file an initialiser of the graph."""
        place = self.weights.add(array)
        return self.graph.external(name, place["type"], place["shape"], WEIGHTS, place["offset"], array.nbytes)

    def matrix(self, name: str, coded: CodedMatrix, *, gain: Floats | None = None, rotate: bool = True) -> str:
        """Make a coded matrix an initialiser [columns, rows] of the graph, each row times its `gain`."""
        scale = self.ones if gain is None else gain.reshape(-1, 1).astype(np.float32)
        offset, size = self.weights.expand(coded, scale, self.basis if rotate else self.same_basis)
        rows, columns = coded.shape
        return self.graph.external(name, "float32", [columns, rows], EXPANDED, offset, size)

    def carried(self, name: str, kind: str, shape: list[int], fill: float) -> str:
        """Declare a state input `past_<name>`. A first axis of 0 is one that the host appends the output to."""
        entry = {"input": f"past_{name}", "output": f"new_{name}", "type": kind, "shape": shape, "fill": fill}
        self.state.append({**entry, "append": True} if shape[0] == 0 else entry)
        return self.graph.input(f"past_{name}", kind, [length or "past" for length in shape])

    def carry(self, name: str, value: str) -> None:
        """Give the new value of a state out of the graph."""
        entry = next(entry for entry in self.state if entry["output"] == f"new_{name}")
        self.graph.output(value, f"new_{name}", entry["type"], [length or "tokens" for length in entry["shape"]])

    def rms(self, value: str, scale: NDArray[Any]) -> str:
        """Divide by the root mean square over the last axis, times `scale`."""
        return self.graph.node(
            "SimplifiedLayerNormalization", value, self.graph.floats(scale), axis=-1, epsilon=EPSILON, stash_type=1
        )

    # -- inputs

    def embed(self, ids: str) -> str:
        """Token ids [T] to the scaled embedding [T, 1, d]."""
        graph, coded, d_model = self.graph, self.container.matrices["embedding"], self.geometry.d_model
        codes = graph.node("Gather", self.packed("embedding_codes", coded.codes), ids)
        norms = graph.node("Gather", self.packed("embedding_norms", coded.norms), ids)
        units = graph.node(
            "Gather", graph.floats(coded.byte_levels()), graph.node("Cast", codes, to=onnx.TensorProto.INT32)
        )
        groups = graph.node("Reshape", units, graph.ints(-1, d_model // GROUP, GROUP))
        scale = graph.node("Unsqueeze", graph.node("Cast", norms, to=onnx.TensorProto.FLOAT), graph.ints(2))
        rotated = graph.node("MatMul", graph.node("Mul", groups, scale), graph.floats(self.basis * np.sqrt(d_model)))
        return graph.node("Reshape", rotated, graph.ints(-1, 1, d_model))

    def hash_ids(self, window: str) -> tuple[str, str]:
        """Token ids with the two before them, [T + 2], to table rows [T, tables] and a 0/1 mask of those that count.

        The hash is 32-bit: per order and head a seed, then for each token of the
        n-gram, newest first, xor and multiply; then fold by 15 bits. It is
        computed in int64, which has room for the products.
        """
        graph, geometry = self.graph, self.geometry
        orders, tables = geometry.engram_orders, geometry.engram_tables
        longest, heads = max(orders), tables // len(orders)
        seeds = np.array([_HASH_SEED * (table + 1) & _WORD for table in range(tables)], np.int64)
        word, prime = graph.ints(_WORD), graph.ints(_HASH_PRIME)
        tokens = [
            graph.node(
                "Unsqueeze",
                self.slice(window, graph.ints(longest - 1 - back), graph.ints(-back) if back else ""),
                graph.ints(1),
            )
            for back in range(longest)
        ]
        finished, usable = [], []
        for index, order in enumerate(orders):
            value = graph.constant(seeds[index * heads : (index + 1) * heads])
            for token in tokens[:order]:
                mixed = graph.node("BitwiseXor", value, token)
                value = graph.node("BitwiseAnd", graph.node("Mul", mixed, prime), word)
            finished.append(value)
            known = graph.node("GreaterOrEqual", tokens[order - 1], graph.ints(0))
            known = graph.node("Cast", known, to=onnx.TensorProto.FLOAT)
            usable.append(graph.node("Expand", known, graph.ints(1, heads)))
        hashed = graph.node("Concat", *finished, axis=1)
        folded = graph.node("BitwiseXor", hashed, graph.node("Div", hashed, graph.ints(1 << 15)))
        slots = graph.node("Mod", folded, graph.ints(geometry.engram_slots))
        rows = graph.node("Add", slots, graph.constant(np.arange(tables, dtype=np.int64) * geometry.engram_slots))
        return rows, graph.node("Concat", *usable, axis=1)

    def slice(self, value: str, start: str, end: str = "") -> str:
        """Slice the first axis from `start` to `end` (both counted from the end when negative)."""
        last = end or self.graph.ints(np.iinfo(np.int64).max)
        return self.graph.node("Slice", value, start, last, self.graph.ints(0))

    def engrams(self, ids: str) -> list[tuple[str, str]]:
        """Return for each site its key (unit rms, over sqrt(d)) and its value, both [T, 1, d]."""
        graph, geometry, matrices = self.graph, self.geometry, self.container.matrices
        sites, d_model = len(geometry.engram_layers), geometry.d_model
        past_ids = self.carried("ids", "int64", [max(geometry.engram_orders) - 1], -1)
        window = graph.node("Concat", past_ids, ids, axis=0)
        self.carry("ids", self.slice(window, graph.ints(1 - max(geometry.engram_orders))))
        rows, usable = self.hash_ids(window)
        tables = [matrices[f"engram{site}.tables"] for site in range(sites)]
        codes = self.packed("engram_codes", np.stack([table.codes for table in tables], axis=1))
        norms = self.packed("engram_norms", np.concatenate([table.norms for table in tables], axis=1))
        row_codes = graph.node("Cast", graph.node("Gather", codes, rows), to=onnx.TensorProto.INT32)
        units = graph.node("Gather", graph.floats(tables[0].byte_levels()), row_codes)
        groups = graph.node("Reshape", units, graph.ints(-1, geometry.engram_tables, sites, geometry.engram_sub_dim))
        scale = graph.node(
            "Mul",
            graph.node("Cast", graph.node("Gather", norms, rows), to=onnx.TensorProto.FLOAT),
            graph.node("Unsqueeze", usable, graph.ints(2)),
        )
        scaled = graph.node("Mul", groups, graph.node("Unsqueeze", scale, graph.ints(3)))
        # The rows stay in the codes' basis: the projections are read in the same one, and a rotation keeps products.
        by_site = graph.nodes(
            "Split", [graph.node("Transpose", scaled, perm=[2, 0, 1, 3])], sites, axis=0, num_outputs=sites
        )
        keys, values, taps = [], [], []
        for site in range(sites):
            coded = stack_rows(matrices[f"engram{site}.key_proj"], matrices[f"engram{site}.value_proj"])
            row = graph.node("Reshape", by_site[site], graph.ints(-1, 1, d_model))
            both = graph.node("MatMul", row, self.matrix(f"engram{site}", coded, rotate=False))
            key, value = graph.nodes("Split", [both], 2, axis=2, num_outputs=2)
            keys.append(self.rms(key, np.full(d_model, 1 / np.sqrt(d_model))))
            values.append(value)
            taps.append(self.array(f"engram{site}.taps"))
        steps, dilation = geometry.engram_conv_taps, geometry.engram_conv_dilation
        past = self.carried("engram", "float32", [1, (steps - 1) * dilation, sites * d_model], 0.0)
        kernel = np.concatenate(taps, axis=1)[::-1].T[:, None, :]
        stacked = graph.node("Reshape", graph.node("Concat", *values, axis=2), graph.ints(1, -1, sites * d_model))
        mixed, new = self.causal_conv(stacked, kernel, past, dilation)
        self.carry("engram", new)
        per_site = graph.nodes(
            "Split",
            [graph.node("Reshape", mixed, graph.ints(-1, 1, sites * d_model))],
            sites,
            axis=2,
            num_outputs=sites,
        )
        return list(zip(keys, per_site, strict=True))

    def causal_conv(self, value: str, kernel: Floats, past: str, dilation: int) -> list[str]:
        """Depthwise convolution over the tokens of [1, T, C]; kernel [C, 1, taps], oldest tap first."""
        return self.graph.nodes(
            "CausalConvWithState",
            [value, self.graph.floats(kernel), "", past],
            2,
            domain=MICROSOFT,
            ndim=1,
            channels_last=1,
            dilation=dilation,
            activation="none",
        )

    # -- one layer

    def mixing(self, layer: int, stream: str) -> tuple[str, str, str]:
        """Return what a layer reads [T, 4, 1], writes [T, 4, 1] and how it mixes the lanes [T, 4, 4]."""
        graph, geometry, arrays, matrices = self.graph, self.geometry, self.container.arrays, self.container.matrices
        lanes = geometry.mhc_lanes
        home = np.eye(lanes, dtype=np.float32)[layer % lanes]
        kinds, rows, gains, biases = ("pre", "post", "res"), [], [], []
        for lane in range(lanes):
            for kind in kinds:
                width = lanes if kind == "res" else 1
                first = layer * lanes * width + lane * width
                coded = matrices[f"mhc.phi_{kind}"]
                chosen = slice(first, first + width)
                rows.append(CodedMatrix(coded.codes[chosen], coded.norms[chosen], coded.levels, coded.bits))
                gains.append(np.full(width, arrays[f"mhc.a_{kind}"][layer]))
                biases.append(np.atleast_1d(arrays[f"mhc.b_{kind}"][layer][lane]))
            biases[-3] = biases[-3] + 8 * home[lane] - 4
            biases[-2] = biases[-2] - 4 * (1 - home[lane])
        flat = graph.node("Reshape", stream, graph.ints(-1, lanes * geometry.d_model))
        unit = self.rms(flat, np.ones(lanes * geometry.d_model))
        phi = self.matrix(f"layer{layer}.phi", stack_rows(*rows), gain=np.concatenate(gains))
        numbers = graph.node("Gemm", unit, phi, graph.floats(np.concatenate(biases)))
        by_lane = graph.node("Reshape", numbers, graph.ints(-1, lanes, 2 + lanes))
        read, write, mix = graph.nodes("Split", [by_lane, graph.ints(1, 1, lanes)], 3, axis=2)
        return graph.node("Sigmoid", read), graph.node("Sigmoid", write), self.sinkhorn(mix)

    def sinkhorn(self, logits: str) -> str:
        """Normalise rows and columns of exp(logits) in turn; all 20 rounds count, the result has not converged."""
        value = self.graph.node("Softmax", logits, axis=2)
        for iteration in range(SINKHORN_ITERATIONS):
            if iteration:
                value = self.graph.node("LpNormalization", value, axis=2, p=1)
            value = self.graph.node("LpNormalization", value, axis=1, p=1)
        return value

    def attention(
        self, layer: int, value: str, past: Sequence[str], shared: Mapping[str, str]
    ) -> tuple[str, list[str]]:
        """Return attention's output [1, T, d], normed and gated, and the new (conv, keys, values).

        The six query heads that share a key head are one matrix product. Keys and
        values are [positions, heads, size]: so the new rows can be appended in place by
        the host, and only they leave the graph.
        """
        graph, geometry, matrices = self.graph, self.geometry, self.container.matrices
        name = f"layer{layer}"
        past_conv, past_key, past_value = past
        heads, kv_heads, size = geometry.num_heads, geometry.num_kv_heads, geometry.qk_head_dim
        group, value_size = heads // kv_heads, geometry.v_head_dim
        coded = stack_rows(*(matrices[f"{name}.{part}_proj"] for part in ("q", "k", "v", "gate")))
        channels = coded.shape[0] - heads * value_size
        normed = self.rms(value, 1 + self.array(f"{name}.norm_in"))
        projected = graph.node("MatMul", normed, self.matrix(f"{name}.qkv_gate", coded))
        qkv, gate = graph.nodes("Split", [projected, graph.ints(channels, heads * value_size)], 2, axis=2)
        taps = np.concatenate([self.array(f"{name}.{part}_taps") for part in ("q", "k", "v")], axis=1)
        mixed, new_conv = self.causal_conv(qkv, taps[::-1].T[:, None, :], past_conv, 1)

        unnormed = (heads + kv_heads) * size
        qk, v = graph.nodes("Split", [mixed, graph.ints(unnormed, kv_heads * value_size)], 2, axis=2)
        scales = [1 + self.array(f"{name}.{part}_norm") for part in ("q", "k")]
        by_head = graph.node("Reshape", qk, graph.ints(-1, heads + kv_heads, size))
        by_head = self.rms(by_head, np.stack([scales[0] / np.sqrt(size)] * heads + [scales[1]] * kv_heads))
        rotated = graph.node(
            "RotaryEmbedding",
            graph.node("Reshape", by_head, graph.ints(1, -1, unnormed)),
            graph.ints(0),
            shared["cos"],
            shared["sin"],
            domain=MICROSOFT,
        )
        q, k = graph.nodes("Split", [rotated, graph.ints(heads * size, kv_heads * size)], 2, axis=2)
        new_key = graph.node("Reshape", k, graph.ints(-1, kv_heads, size))
        new_value = graph.node("Reshape", v, graph.ints(-1, kv_heads, value_size))
        # [positions, heads, size] is read as [heads, positions, size] inside the product, without a copy.
        keys = graph.node("Concat", past_key, new_key, axis=0)
        values = graph.node("Concat", past_value, new_value, axis=0)
        q = graph.node("Transpose", graph.node("Reshape", q, graph.ints(-1, kv_heads, group, size)), perm=[1, 2, 0, 3])
        q = graph.node("Reshape", q, graph.ints(kv_heads, -1, size))
        scores = graph.node("FusedMatMul", q, keys, domain=MICROSOFT, transB=1, transBatchB=1)
        mask = shared["mask"] if layer in geometry.global_layers else shared["local_mask"]
        weights = graph.node("Softmax", graph.node("Add", scores, mask), axis=-1)
        attended = graph.node("FusedMatMul", weights, values, domain=MICROSOFT, transBatchB=1)
        attended = graph.node("Reshape", attended, graph.ints(heads, -1, value_size))
        attended = graph.node("Transpose", attended, perm=[1, 0, 2])
        attended = graph.node("Reshape", attended, graph.ints(1, -1, heads * value_size))
        gated = graph.node("Mul", attended, graph.node("Sigmoid", gate))
        output = graph.node("MatMul", gated, self.matrix(f"{name}.out_proj", matrices[f"{name}.out_proj"]))
        strength = np.float32(1 / (1 + math.exp(-self.array(f"{name}.attn_gate").item())))
        return self.rms(output, (1 + self.array(f"{name}.post_norm")) * strength), [new_conv, new_key, new_value]

    def mlp(self, layer: int, attended: str, skip: str, shared: Mapping[str, str]) -> str:
        """Return the Hadamard MLP of the normed sum of both inputs [1, T, d] as [T, 1, d].

        Three Kronecker products of 32 x 32 factors with two fixed permutations
        between them; 768 inputs fill the first 24 of 32 rows, 768 outputs are
        the first 24 rows.
        """
        graph, geometry = self.graph, self.geometry
        part = {key: self.array(f"layer{layer}.{key}") for key in _MLP.split()}
        d_model, width = geometry.d_model, geometry.hada_n
        side = part["w1b"].shape[0]
        used = d_model // side
        scale = (1 + part["pre_hada"]) * part["d1"][:d_model]
        normed = graph.node(
            "SkipSimplifiedLayerNormalization", attended, skip, graph.floats(scale), domain=MICROSOFT, epsilon=EPSILON
        )
        # softmax sums to one, so d2 * (1 + s @ u) is s @ ((1 + u) * d2).
        chosen = graph.node(
            "Softmax", graph.node("MatMul", normed, graph.floats(part["cond_v"] / part["d1"][:d_model, None])), axis=-1
        )
        before_first = np.argsort(self.array("hada_p1"))
        condition = graph.node("MatMul", chosen, graph.floats(((1 + part["cond_u"]) * part["d2"])[:, before_first]))
        grid = graph.node("Reshape", normed, graph.ints(-1, used, side))
        grid = self.kron(grid, part["w1a"][:used], part["w1b"])
        flat = graph.node("Reshape", grid, graph.ints(1, -1, width))
        flat = graph.node("Add", graph.node("Mul", flat, condition), graph.floats(part["b2"][before_first]))
        active = graph.node("QuickGelu", flat, domain=MICROSOFT, alpha=1.0)
        active = graph.node("Reshape", active, graph.ints(-1, width))
        grid = graph.node("GatherElements", active, shared["first"], axis=1)
        grid = graph.node("Reshape", grid, graph.ints(-1, side, side))
        grid = self.kron(grid, part["w2a"], part["w2b"])
        flat = graph.node("Reshape", grid, graph.ints(-1, width))
        grid = graph.node("GatherElements", flat, shared["second"], axis=1)
        grid = graph.node("Reshape", graph.node("Mul", grid, graph.floats(part["d3"])), graph.ints(-1, side, side))
        grid = self.kron(grid, part["w3a"][:, :used], part["w3b"])
        flat = graph.node("Reshape", grid, graph.ints(-1, 1, d_model))
        return graph.node("Mul", flat, graph.floats(part["d4"][:d_model]))

    def kron(self, grid: str, left: Floats, right: Floats) -> str:
        """Return `left.T @ grid @ right` for each token."""
        inner = self.graph.node("MatMul", grid, self.graph.floats(right))
        return self.graph.node("MatMul", self.graph.floats(left.T), inner)

    def layer(
        self, layer: int, stream: str, engram: tuple[str, str] | None, past: Sequence[str], shared: Mapping[str, str]
    ) -> tuple[str, list[str]]:
        """Run one layer over the stream [T, 4, d]; return the new stream and the new state."""
        graph, d_model = self.graph, self.geometry.d_model
        read, write, mix = self.mixing(layer, stream)
        value = graph.node("FusedMatMul", read, stream, domain=MICROSOFT, transA=1)
        rows, weights = [stream], [mix]
        if engram:
            key, memory = engram
            match = graph.node("FusedMatMul", self.rms(value, np.ones(d_model)), key, domain=MICROSOFT, transB=1)
            remembered = graph.node("Mul", memory, graph.node("Sigmoid", match))
            value = graph.node("Add", value, remembered)
            rows, weights = [*rows, remembered, remembered], [*weights, write, write]
        value = graph.node("Reshape", value, graph.ints(1, -1, d_model))
        attended, new = self.attention(layer, value, past, shared)
        output = self.mlp(layer, attended, value, shared)
        attended = graph.node("Reshape", attended, graph.ints(-1, 1, d_model))
        # Every row is taken twice because the write strength is 2 * sigmoid.
        rows += [attended, attended, output, output]
        weights += [write] * 4
        return graph.node("MatMul", graph.node("Concat", *weights, axis=2), graph.node("Concat", *rows, axis=1)), new

    # -- outputs

    def confidence(self, cells: str) -> str:
        """Pool cells [rows, T, d] into the running softmax and return the confidence, a scalar in 0..1.

        The head attends over all positions with 4 probes for each row; the
        softmax is kept as running maximum, sum and weighted sum.
        """
        graph, d_model = self.graph, self.geometry.d_model
        matrices = self.container.matrices
        gain = self.array("confidence.gain")
        rows, probes = gain.shape
        queries = self.array("confidence.row_bias").shape[0]
        past_max = self.carried("conf_max", "float32", [rows, probes, 1], -1e30)
        past_sum = self.carried("conf_sum", "float32", [rows, probes, 1], 0.0)
        past_mean = self.carried("conf_cells", "float32", [rows, probes, d_model], 0.0)
        root = np.sqrt(np.float32(d_model))
        probe = matrices["confidence.probes"].dense().reshape(rows, probes, d_model) / root
        scores = graph.node("FusedMatMul", graph.floats(probe), cells, domain=MICROSOFT, transB=1)
        top = graph.node("Max", past_max, graph.node("ReduceMax", scores, graph.ints(2), keepdims=1))
        decay = graph.node("Exp", graph.node("Sub", past_max, top))
        weight = graph.node("Exp", graph.node("Sub", scores, top))
        new_sum = graph.node(
            "Add", graph.node("Mul", past_sum, decay), graph.node("ReduceSum", weight, graph.ints(2), keepdims=1)
        )
        new_mean = graph.node("Add", graph.node("Mul", past_mean, decay), graph.node("MatMul", weight, cells))
        for name, value in (("conf_max", top), ("conf_sum", new_sum), ("conf_cells", new_mean)):
            self.carry(name, value)
        # The mean is never divided out: its length does not change its direction, and the norm takes only that. The
        # gains are applied to the 84 products instead of to the 84 rows.
        unit = graph.node("Reshape", self.rms(new_mean, np.ones(d_model)), graph.ints(-1, d_model))
        gains = graph.floats(gain.reshape(-1))
        query = matrices["confidence.query"].dense() / root
        asked = graph.node("FusedMatMul", graph.floats(query), unit, domain=MICROSOFT, transB=1)
        row_bias = graph.floats(self.array("confidence.row_bias").reshape(queries, -1))
        shares = graph.node("Softmax", graph.node("Add", graph.node("Mul", asked, gains), row_bias), axis=-1)
        pooled = graph.node("MatMul", graph.node("Mul", shares, gains), unit)
        weights = matrices["confidence.proj"].dense().reshape(queries, d_model)
        logit = graph.node("ReduceSum", graph.node("Mul", pooled, graph.floats(weights)), keepdims=0)
        bias = self.array("confidence.bias").reshape(())
        return graph.node("Sigmoid", graph.node("Add", logit, graph.floats(bias)))

    def shared(self, past_key: str, ids: str) -> dict[str, str]:
        """What every layer reads: rotary tables of the fed positions, masks, and the permutations."""
        graph, geometry = self.graph, self.geometry
        position = graph.node("Shape", past_key, start=0, end=1)
        tokens = graph.node("Shape", ids)
        total = graph.node("Squeeze", graph.node("Add", position, tokens))
        zero, one = graph.constant(np.array(0, np.int64)), graph.constant(np.array(1, np.int64))
        seen = graph.node("Range", zero, total, one)
        asking = graph.node("Unsqueeze", self.slice(seen, position), graph.ints(1))
        size, theta = geometry.qk_head_dim, geometry.rope_theta
        rates = [[theta ** (-index / size) for index in range(0, size, 2)]]
        angles = graph.node("Mul", graph.node("Cast", asking, to=onnx.TensorProto.FLOAT), graph.floats(rates))

        distance = graph.node("Sub", asking, seen)
        visible = graph.node("GreaterOrEqual", distance, graph.ints(0))
        nearby = graph.node("And", visible, graph.node("Less", distance, graph.ints(geometry.sliding_window)))
        # The rows of scores are the query heads of one key head, each with all tokens.
        repeats = graph.ints(geometry.num_heads // geometry.num_kv_heads, 1)
        mask, local_mask = (
            graph.node("Tile", graph.node("Where", allowed, graph.floats(0), graph.floats(-1e30)), repeats)
            for allowed in (visible, nearby)
        )
        # Gather moves single floats one call at a time (19 us for 1024 in WebAssembly); GatherElements takes 4 us,
        # but wants the indices of every token.
        every_token = graph.node("Concat", tokens, graph.ints(geometry.hada_n), axis=0)
        first, second = (
            graph.node("Expand", graph.constant(self.array(name).astype(np.int64)[None]), every_token)
            for name in ("hada_p1", "hada_p2")
        )
        return {
            "cos": graph.node("Cos", angles),
            "sin": graph.node("Sin", angles),
            "mask": mask,
            "local_mask": local_mask,
            "first": first,
            "second": second,
        }

    def write(self) -> NeedleGraph:
        """Write the whole graph."""
        graph, geometry = self.graph, self.geometry
        layers, lanes = geometry.num_layers, geometry.mhc_lanes
        heads, kv_heads = geometry.num_heads, geometry.num_kv_heads
        size, value_size = geometry.qk_head_dim, geometry.v_head_dim
        ids = graph.node("Reshape", graph.input("input_ids", "int64", [1, "tokens"]), graph.ints(-1))
        channels = heads * size + kv_heads * (size + value_size)
        past_conv = self.carried("conv", "float32", [layers, geometry.conv_taps - 1, channels], 0.0)
        conv = graph.nodes("Split", [past_conv], layers, axis=0, num_outputs=layers)
        keys = [self.carried(f"key{layer}", "float32", [0, kv_heads, size], 0.0) for layer in range(layers)]
        values = [self.carried(f"value{layer}", "float32", [0, kv_heads, value_size], 0.0) for layer in range(layers)]
        shared = self.shared(keys[0], ids)
        engrams = dict(zip(geometry.engram_layers, self.engrams(ids), strict=True))
        embedded = self.embed(ids)
        stream = graph.node("Concat", *[embedded] * lanes, axis=1)
        streams, new = [stream], []
        for layer in range(layers):
            past = [conv[layer], keys[layer], values[layer]]
            stream, carried = self.layer(layer, stream, engrams.get(layer), past, shared)
            self.carry(f"key{layer}", carried[1])
            self.carry(f"value{layer}", carried[2])
            streams.append(stream)
            new.append(carried)
        self.carry("conv", graph.node("Concat", *[carried[0] for carried in new], axis=0))
        cells = [graph.node("ReduceMean", value, graph.ints(1), keepdims=0) for value in streams]
        stacked = graph.node("Concat", *[graph.node("Unsqueeze", cell, graph.ints(0)) for cell in cells], axis=0)
        last = self.slice(cells[-1], graph.ints(-1))
        normed = self.rms(last, 1 + self.array("final_norm"))
        logits = graph.node("MatMul", normed, self.matrix("head", self.container.matrices["embedding"]))
        graph.output(graph.node("Reshape", logits, graph.ints(-1)), "logits", "float32", [geometry.vocab_size])
        graph.output(self.confidence(stacked), "confidence", "float32", [])
        return NeedleGraph(graph.model({"license": "Apache-2.0"}), self.state, self.weights)


def build_graph(container: Container) -> NeedleGraph:
    """Write the graph of a container."""
    return NeedleWriter(container).write()
