"""Make a model of a few kilobytes that gives vectors, for tests: the interface of MiniLM, random weights.

    python models/tiny/make_embedding.py --out build/models/tiny-embedding

Its vectors mean nothing, but they depend on every token and its place. Same script, same bytes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from models.bert_graph import ByteMatrices, Floats, Geometry, build_graph
from models.model_package import json_bytes, write_package

SEED = 22
GEOMETRY = Geometry(layers=2, width=16, heads=2, context_length=64)
INNER = 32
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = "the a is of to what how weather time in city set timer for rain now ##s ##ing ##ed ##er"
APART = {"encoder.layer.0.output.dense": (3, 17)}


def pieces() -> list[str]:
    """Return a vocabulary of the kind that BERT has: special pieces, signs, letters, some words and parts."""
    signs = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    letters = [f"##{sign}" for sign in signs if sign.isalnum()]
    return [*SPECIAL, *signs, *letters, *(word for word in WORDS.split() if word != "a")]


def tensors(vocab_size: int, geometry: Geometry = GEOMETRY, seed: int = SEED) -> dict[str, Floats]:
    """Draw weights under the names that BERT has in PyTorch."""
    random = np.random.RandomState(seed)
    width = geometry.width
    drawn: dict[str, Floats] = {}

    def draw(name: str, *shape: int, strength: float = 0.4, mean: float = 0.0) -> None:
        # Multiples of a power of two of uniform integers: the same on every processor.
        values = random.randint(-512, 513, shape) / np.float32(512)
        drawn[name] = (mean + strength * values).astype(np.float32)

    def norm(name: str) -> None:
        draw(f"{name}.weight", width, strength=0.3, mean=1.0)
        draw(f"{name}.bias", width, strength=0.2)

    for name, rows in (("word", vocab_size), ("position", geometry.context_length), ("token_type", 2)):
        draw(f"embeddings.{name}_embeddings.weight", rows, width, strength=1.0)
    norm("embeddings.LayerNorm")
    for layer in range(geometry.layers):
        for part, rows, columns in (
            ("attention.self.query", width, width),
            ("attention.self.key", width, width),
            ("attention.self.value", width, width),
            ("attention.output.dense", width, width),
            ("intermediate.dense", INNER, width),
            ("output.dense", width, INNER),
        ):
            draw(f"encoder.layer.{layer}.{part}.weight", rows, columns)
            draw(f"encoder.layer.{layer}.{part}.bias", rows, strength=0.2)
        norm(f"encoder.layer.{layer}.attention.output.LayerNorm")
        norm(f"encoder.layer.{layer}.output.LayerNorm")
    return drawn


def make(out: Path) -> None:
    """Write the whole folder."""
    vocabulary = pieces()
    matrices = ByteMatrices("weights.bin", APART)
    graph = build_graph(GEOMETRY, tensors(len(vocabulary)), matrices)
    special = {piece: vocabulary.index(piece) for piece in SPECIAL}
    files = {
        "model.onnx": graph.SerializeToString(deterministic=True),
        "weights.bin": bytes(matrices.packed),
        "tokenizer.json": json_bytes(
            {"format": 1, "type": "wordpiece", "lowercase": True, "special": special, "pieces": vocabulary}
        ),
    }
    description: dict[str, Any] = {
        "id": "tiny-embedding",
        "task": "embedding",
        "template": "",
        "license": "Apache-2.0",
        "source": {"script": "models/tiny/make_embedding.py", "seed": SEED},
        "graph": {
            "file": "model.onnx",
            "optimization_level": "disabled",
            "external_data": ["weights.bin"],
            "input_ids": "input_ids",
            "input_ids_shape": [0, 0],
            "attention_mask": "attention_mask",
            "embedding": "embedding",
            "embedding_shape": [0, GEOMETRY.width],
        },
        "tokenizer": {"file": "tokenizer.json", "type": "wordpiece"},
        "vocab_size": len(vocabulary),
        "context_length": GEOMETRY.context_length,
        "memory_bytes": 1 << 20,
    }
    write_package(out, description, files, {})


def main() -> int:
    """Make the model where the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/models/tiny-embedding"), help="the folder to write")
    arguments = parser.parse_args()
    make(arguments.out)
    print(f"wrote {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
