"""Make a real chat model of a few kilobytes for tests: the interface of SmolLM2, random weights.

    python models/tiny/make_chat.py --out build/models/tiny-chat

It has what `tiny` has not: state that stands in the host's own buffers
(`in_place`) and can be shortened, the number of tokens before a run as an
input, no confidence, and a byte-level BPE vocabulary. Same script, same bytes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from models.llama_graph import Floats, Geometry, build_graph, state_entries
from models.model_package import json_bytes, write_package
from models.onnx_graph import GraphWriter
from models.tiny.make import Weights, expand_model

SEED = 21
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# Each makes a piece of two that are there; the first is merged first.
MERGES = (
    *("Ġ t", "h e", "i n", "r e", "o n", "e r", "Ġt he", "Ġ a", "Ġ s", "a t", "e n", "u s", "l l", "i s", "Ġ w"),
    *(
        "Ċ Ċ",
        "Ġ Ġ",
        "y s",
        "us er",
        "e m",
        "t em",
        "ys tem",
        "s ystem",
        "a s",
        "as s",
        "is t",
        "ass ist",
        "a n",
        "an t",
    ),
    *("assist ant", "Ġ {", '" :', '" }', "Ġ y", "o u", "Ġy ou"),
)
GEOMETRY = Geometry(
    layers=2,
    width=16,
    heads=2,
    kv_heads=1,
    head_width=16,
    inner_width=32,
    vocab_size=len(SPECIAL) + 256 + len(MERGES),
    context_length=512,
    rope_base=10000.0,
    epsilon=1e-5,
)


def byte_alphabet() -> list[str]:
    """Return the character by which GPT-2's byte-level vocabularies write each byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    names = {byte: chr(byte) for byte in printable} | {byte: chr(256 + place) for place, byte in enumerate(rest)}
    return [names[byte] for byte in range(256)]


def tokenizer() -> dict[str, Any]:
    """Return a vocabulary of the kind that SmolLM2 has: special pieces, 256 bytes, a few merges."""
    pieces = [*SPECIAL, *sorted(byte_alphabet()), *(merge.replace(" ", "") for merge in MERGES)]
    special = {piece: index for index, piece in enumerate(SPECIAL)}
    return {"format": 1, "type": "bpe", "pre": "smollm2", "pieces": pieces, "merges": list(MERGES), "special": special}


class _RandomWeights:
    """Random matrices, expanded at load as those of `tiny`."""

    def __init__(self, files: Weights) -> None:
        self._files = files
        self._embedding = ""

    def embed(self, graph: GraphWriter, ids: str) -> str:
        self._embedding = self._files.matrix(graph, "embedding", GEOMETRY.vocab_size, GEOMETRY.width, 1.0)
        return graph.node("Gather", self._embedding, ids)

    def project(self, graph: GraphWriter, name: str, value: str) -> str:
        width, inner = GEOMETRY.width, GEOMETRY.inner_width
        rows, columns = {
            "qkv": (width, GEOMETRY.qkv_width),
            "out": (GEOMETRY.heads * GEOMETRY.head_width, width),
            "gate": (width, inner),
            "up": (width, inner),
            "down": (inner, width),
        }[name.split(".")[1]]
        return graph.node("MatMul", value, self._files.matrix(graph, name, rows, columns, 0.6))

    def score(self, graph: GraphWriter, value: str) -> str:
        return graph.node("MatMul", value, graph.node("Transpose", self._embedding, perm=[1, 0]))

    def norm(self, name: str) -> Floats:
        return np.ones(GEOMETRY.width, np.float32)


def make(out: Path) -> None:
    """Write the whole folder."""
    weights = Weights(SEED)
    model = build_graph(GEOMETRY, _RandomWeights(weights))
    files = {
        "model.onnx": model.SerializeToString(deterministic=True),
        "weights.bin": bytes(weights.packed),
        "expand.onnx": expand_model().SerializeToString(deterministic=True),
        "tokenizer.json": json_bytes(tokenizer()),
    }
    description = {
        "id": "tiny-chat",
        "task": "chat",
        "template": "chatml",
        "license": "Apache-2.0",
        "source": {"script": "models/tiny/make_chat.py", "seed": SEED},
        "graph": {
            "file": "model.onnx",
            "optimization_level": "disabled",
            "external_data": ["weights.f32"],
            "expand": {
                "file": "expand.onnx",
                "source": "weights.bin",
                "target": "weights.f32",
                "size_bytes": weights.size_bytes,
                "steps": weights.steps,
            },
            "input_ids": "input_ids",
            "input_ids_shape": [1, 0],
            "past_length": "past_length",
            "logits": "logits",
            "logits_shape": [GEOMETRY.vocab_size],
            "state": state_entries(GEOMETRY),
            "scalars": {},
        },
        "tokenizer": {"file": "tokenizer.json", "type": "bpe"},
        "vocab_size": GEOMETRY.vocab_size,
        "context_length": GEOMETRY.context_length,
        "bos_token_id": SPECIAL.index("<|im_start|>"),
        "eos_token_ids": [SPECIAL.index("<|im_end|>"), SPECIAL.index("<|endoftext|>")],
        "memory_bytes": 1 << 20,
    }
    write_package(out, description, files, {})


def main() -> int:
    """Make the model where the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/models/tiny-chat"), help="the folder to write")
    arguments = parser.parse_args()
    make(arguments.out)
    print(f"wrote {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
