"""Where the built models are: `$LIMPET_BUILD/models`, or `build/models` of this repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("numpy", reason="numpy is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def needle_folder() -> Path:
    return _built("needle")


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    return _built("minilm")


def _built(name: str) -> Path:
    folder = Path(os.environ.get("LIMPET_BUILD") or ROOT / "build") / "models" / name
    if not (folder / "model.json").exists():
        pytest.skip(f"the model {name} is not built: run python models/{name}/convert.py --out {folder}")
    return folder
