"""Make a real ONNX model of a few kilobytes for tests: the interface of Needle, random weights.

    python models/tiny/make.py --out build/models/tiny

It has every kind of part that a host must handle: packed weights with an
`expand` step, state that is appended to (`past_key`, `past_value`), state that
is replaced (float32 and int64), a confidence, and a byte-level vocabulary with
Needle's markers under Needle's ids. Its words mean nothing, but they depend on
everything fed before. Same script, same bytes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import onnx
from models.model_package import json_bytes, write_package
from models.onnx_graph import GraphWriter
from numpy.typing import NDArray

SEED = 20
WIDTH = 16
CONTEXT_LENGTH = 4096
CONV_ROWS = 2
MARKERS = (
    "<|im_start|> <|im_end|> <think> </think> <tools> </tools> <tool_call> </tool_call> <tool_result> </tool_result> "
    "<context> </context> <image> </image> <speech> </speech> <tts> </tts> <imagen> </imagen> <extract> </extract> "
    "<schema> </schema>"
)
WORDS = "▁ e t a o i n s r ▁t th he ▁the in er an"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = range(5)


def tokenizer() -> dict[str, Any]:
    """Return a vocabulary of the kind that Needle has: 4 control pieces, markers, 256 bytes, a few merges."""
    markers, words = MARKERS.split(), WORDS.split()
    pieces = ["<pad>", "</s>", "<s>", "<unk>", *markers, *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    types = [CONTROL, CONTROL, CONTROL, UNKNOWN]
    types += [USER_DEFINED] * len(markers) + [BYTE] * 256 + [NORMAL] * len(words)
    return {
        "format": 1,
        "kind": "sentencepiece_bpe",
        "pieces": pieces,
        "scores": [0.0] * (len(pieces) - len(words)) + [-float(rank) for rank in range(len(words))],
        "types": types,
        "pad_id": 0,
        "eos_id": 1,
        "bos_id": 2,
        "unk_id": 3,
        "add_dummy_prefix": False,
        "byte_fallback": True,
    }


def expand_model() -> onnx.ModelProto:
    """Return the model that turns codes (uint8, 128 is zero) and a scale into weights."""
    graph = GraphWriter("expand")
    codes = graph.input("codes", "uint8", ["rows", "columns"])
    scale = graph.input("scale", "float16", [1])
    centred = graph.node("Sub", graph.node("Cast", codes, to=onnx.TensorProto.FLOAT), graph.floats(128))
    weight = graph.node("Mul", centred, graph.node("Cast", scale, to=onnx.TensorProto.FLOAT))
    graph.output(weight, "weight", "float32", ["rows", "columns"])
    return graph.model({})


class Weights:
    """Random codes in the packed file, and the steps that expand them."""

    def __init__(self, seed: int = SEED) -> None:
        self.packed = bytearray()
        self.steps: list[dict[str, Any]] = []
        self.size_bytes = 0
        self._random = np.random.RandomState(seed)

    def matrix(self, graph: GraphWriter, name: str, rows: int, columns: int, strength: float) -> str:
        """Draw a matrix and declare it to the graph under `name`, which it returns."""
        codes = self._random.randint(1, 256, (rows, columns)).astype(np.uint8)
        scale = np.array([strength / 74], np.float16)
        step = {"inputs": {"codes": self._add(codes), "scale": self._add(scale)}, "output": "weight"}
        offset, size = self.size_bytes, rows * columns * 4
        self.steps.append({**step, "offset": offset, "size_bytes": size})
        self.size_bytes += size
        return graph.external(name, "float32", [rows, columns], "weights.f32", offset, size)

    def _add(self, array: NDArray[Any]) -> dict[str, Any]:
        self.packed.extend(bytes(-len(self.packed) % 64))
        place = {"offset": len(self.packed), "shape": list(array.shape), "type": str(array.dtype)}
        self.packed.extend(array.tobytes())
        return place


def state_entries() -> list[dict[str, Any]]:
    """Return the state as `model.json` lists it."""
    kinds: tuple[tuple[str, str, list[int], float], ...] = (
        ("key", "float32", [0, WIDTH], 0.0),
        ("value", "float32", [0, WIDTH], 0.0),
        ("conv", "float32", [CONV_ROWS, WIDTH], 0.0),
        ("ids", "int64", [1], -1),
        ("sum", "float32", [1, WIDTH], 0.0),
    )
    entries: list[dict[str, Any]] = []
    for name, kind, shape, fill in kinds:
        entry = {"input": f"past_{name}", "output": f"new_{name}", "type": kind, "shape": shape, "fill": fill}
        entries.append({**entry, "append": True} if shape[0] == 0 else entry)
    return entries


def write_graph(vocab_size: int, weights: Weights) -> onnx.ModelProto:
    """Write one layer: the token and the one before it, a causal convolution, causal attention, a tied head."""
    graph = GraphWriter("tiny")
    ids = graph.node("Reshape", graph.input("input_ids", "int64", [1, "tokens"]), graph.ints(-1))
    past = {
        entry["input"][5:]: graph.input(entry["input"], entry["type"], [length or "past" for length in entry["shape"]])
        for entry in state_entries()
    }
    end = np.iinfo(np.int64).max
    embedding = weights.matrix(graph, "embedding", vocab_size, WIDTH, 1.0)
    window = graph.node("Concat", past["ids"], ids, axis=0)
    before = graph.node("Slice", window, graph.ints(0), graph.ints(-1), graph.ints(0))
    known = graph.node("Cast", graph.node("GreaterOrEqual", before, graph.ints(0)), to=onnx.TensorProto.FLOAT)
    echo = graph.node("Gather", embedding, graph.node("Max", before, graph.ints(0)))
    echo = graph.node("Mul", graph.node("Mul", echo, graph.node("Unsqueeze", known, graph.ints(1))), graph.floats(-0.5))
    value = graph.node("Add", graph.node("Gather", embedding, ids), echo)

    rows = graph.node("Concat", past["conv"], value, axis=0)
    oldest = graph.node("Slice", rows, graph.ints(0), graph.ints(-CONV_ROWS), graph.ints(0))
    value = graph.node("Add", value, graph.node("Mul", oldest, graph.floats(0.7)))

    query, key, content = (
        graph.node("MatMul", value, weights.matrix(graph, name, WIDTH, WIDTH, 0.5)) for name in ("q", "k", "v")
    )
    keys = graph.node("Concat", past["key"], key, axis=0)
    contents = graph.node("Concat", past["value"], content, axis=0)
    first = graph.node("Shape", past["key"], start=0, end=1)
    total = graph.node("Squeeze", graph.node("Add", first, graph.node("Shape", ids)))
    seen = graph.node("Range", graph.constant(np.array(0, np.int64)), total, graph.constant(np.array(1, np.int64)))
    asking = graph.node("Unsqueeze", graph.node("Slice", seen, first, graph.ints(end), graph.ints(0)), graph.ints(1))
    mask = graph.node("Where", graph.node("LessOrEqual", seen, asking), graph.floats(0), graph.floats(-1e30))
    scores = graph.node("Add", graph.node("MatMul", query, graph.node("Transpose", keys, perm=[1, 0])), mask)
    attended = graph.node("MatMul", graph.node("Softmax", scores, axis=-1), contents)
    value = graph.node("Add", value, graph.node("MatMul", attended, weights.matrix(graph, "o", WIDTH, WIDTH, 0.5)))

    new_sum = graph.node("Add", past["sum"], graph.node("ReduceSum", value, graph.ints(0), keepdims=1))
    mean = graph.node("Div", new_sum, graph.node("Cast", total, to=onnx.TensorProto.FLOAT))
    judged = graph.node("MatMul", mean, weights.matrix(graph, "judge", WIDTH, 1, 1.0))
    graph.output(graph.node("Sigmoid", graph.node("Reshape", judged, graph.ints())), "confidence", "float32", [])
    last = graph.node("Slice", value, graph.ints(-1), graph.ints(end), graph.ints(0))
    last = graph.node("Mul", last, graph.floats(0.2))
    logits = graph.node("MatMul", last, graph.node("Transpose", embedding, perm=[1, 0]))
    graph.output(graph.node("Reshape", logits, graph.ints(-1)), "logits", "float32", [vocab_size])
    new = {
        "key": key,
        "value": content,
        "conv": graph.node("Slice", rows, graph.ints(-CONV_ROWS), graph.ints(end), graph.ints(0)),
        "ids": graph.node("Slice", window, graph.ints(-1), graph.ints(end), graph.ints(0)),
        "sum": new_sum,
    }
    for entry in state_entries():
        shape = [length or "tokens" for length in entry["shape"]]
        graph.output(new[entry["output"][4:]], entry["output"], entry["type"], shape)
    return graph.model({})


def make(out: Path) -> None:
    """Write the whole folder."""
    pieces = tokenizer()
    vocab_size = len(pieces["pieces"])
    weights = Weights()
    model = write_graph(vocab_size, weights)
    files = {
        "model.onnx": model.SerializeToString(deterministic=True),
        "weights.bin": bytes(weights.packed),
        "expand.onnx": expand_model().SerializeToString(deterministic=True),
        "tokenizer.json": json_bytes(pieces),
    }
    description = {
        "id": "tiny",
        "task": "tool_calling",
        "template": "needle",
        "license": "Apache-2.0",
        "source": {"script": "models/tiny/make.py", "seed": SEED},
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
            "logits": "logits",
            "logits_shape": [vocab_size],
            "state": state_entries(),
            "scalars": {"confidence": "confidence"},
        },
        "tokenizer": {"file": "tokenizer.json", "kind": "sentencepiece_bpe"},
        "vocab_size": vocab_size,
        "context_length": CONTEXT_LENGTH,
        "bos_token_id": 2,
        "eos_token_ids": [1, 4 + MARKERS.split().index("<|im_end|>")],
        "memory_bytes": 1 << 20,
    }
    write_package(out, description, files, {})


def main() -> int:
    """Make the model where the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/models/tiny"), help="the folder to write")
    arguments = parser.parse_args()
    make(arguments.out)
    print(f"wrote {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
