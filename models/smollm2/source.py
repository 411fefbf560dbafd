"""SmolLM2 as its file has it: sizes, matrices by our names, vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from models.llama_graph import Floats, Geometry
from models.smollm2.gguf import Blocks, Gguf

# The file's model takes 8192. Past some thousand tokens a model of this size finds little in them, and each of them
# costs 46 kB while it is held.
CONTEXT_LENGTH = 4096
CONTROL = 3
MATRICES = ("qkv", "out", "gate", "up", "down")


@dataclass(frozen=True)
class Source:
    """The weights, with rows in the order that `models/llama_graph.py` wants."""

    geometry: Geometry
    embedding: Blocks
    """[vocab_size, width]; it is the head as well."""
    matrices: Mapping[str, Blocks]
    """By layer and name, such as `3.qkv`: a row is an output."""
    norms: Mapping[str, Floats]
    tokenizer: Mapping[str, Any]
    bos_token_id: int
    eos_token_ids: tuple[int, ...]


def read_source(gguf: Gguf) -> Source:
    """Sort what a GGUF file of the architecture `llama` has."""
    metadata, blocks = gguf.metadata, gguf.blocks
    heads, kv_heads = metadata["llama.attention.head_count"], metadata["llama.attention.head_count_kv"]
    geometry = Geometry(
        layers=metadata["llama.block_count"],
        width=metadata["llama.embedding_length"],
        heads=heads,
        kv_heads=kv_heads,
        head_width=metadata["llama.rope.dimension_count"],
        inner_width=metadata["llama.feed_forward_length"],
        vocab_size=metadata["llama.vocab_size"],
        context_length=CONTEXT_LENGTH,
        rope_base=metadata["llama.rope.freq_base"],
        epsilon=metadata["llama.attention.layer_norm_rms_epsilon"],
    )
    matrices: dict[str, Blocks] = {}
    norms = {"last": gguf.floats["output_norm.weight"]}
    for layer in range(geometry.layers):
        part = {name: blocks[f"blk.{layer}.{name}.weight"] for name in _PARTS}
        query = part["attn_q"].take(_halves(heads, geometry.head_width))
        key = part["attn_k"].take(_halves(kv_heads, geometry.head_width))
        matrices[f"{layer}.qkv"] = _stacked(query, key, part["attn_v"])
        matrices[f"{layer}.out"] = part["attn_output"]
        matrices[f"{layer}.gate"] = part["ffn_gate"]
        matrices[f"{layer}.up"] = part["ffn_up"]
        matrices[f"{layer}.down"] = part["ffn_down"]
        norms[f"{layer}.before_attention"] = gguf.floats[f"blk.{layer}.attn_norm.weight"]
        norms[f"{layer}.before_inner"] = gguf.floats[f"blk.{layer}.ffn_norm.weight"]
    pieces = metadata["tokenizer.ggml.tokens"]
    special = {
        piece: index
        for index, (piece, kind) in enumerate(zip(pieces, metadata["tokenizer.ggml.token_type"], strict=True))
        if kind == CONTROL
    }
    return Source(
        geometry=geometry,
        embedding=blocks["token_embd.weight"],
        matrices=matrices,
        norms=norms,
        tokenizer={
            "format": 1,
            "type": "bpe",
            "pre": "smollm2",
            "pieces": pieces,
            "merges": metadata["tokenizer.ggml.merges"],
            "special": special,
        },
        bos_token_id=metadata["tokenizer.ggml.bos_token_id"],
        eos_token_ids=(metadata["tokenizer.ggml.eos_token_id"], special["<|endoftext|>"]),
    )


_PARTS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


def _halves(heads: int, width: int) -> Any:
    """Undo GGUF's order of rows: two numbers that are rotated together are neighbours there, here half a head apart."""
    return np.arange(heads * width).reshape(heads, width // 2, 2).swapaxes(1, 2).reshape(-1)


def _stacked(*parts: Blocks) -> Blocks:
    least = [part.least for part in parts if part.least is not None]
    return Blocks(
        np.concatenate([part.codes for part in parts]),
        np.concatenate([part.scale for part in parts]),
        np.concatenate(least) if least else None,
    )
