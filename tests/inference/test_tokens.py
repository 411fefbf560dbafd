"""What Needle answers on `onnxruntime` is what the fixture says; other hosts are compared with the same fixture."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from tests.inference.make_tokens import FIXTURE, measure

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(600)
async def test_the_same_prompts_give_the_same_tokens() -> None:
    models_dir = Path(os.environ.get("LIMPET_BUILD") or ROOT / "build") / "models"
    if not models_dir.joinpath("needle", "model.json").is_file():
        pytest.skip(f"the needle model is not built: run python models/needle/convert.py --out {models_dir}/needle")
    expected = json.loads(FIXTURE.read_text("utf-8"))

    measured = await measure(models_dir)

    assert len(expected["prompts"]) >= 20
    assert measured["prefixes"] == expected["prefixes"]
    for prompt, wanted in zip(measured["prompts"], expected["prompts"], strict=True):
        assert prompt == {**wanted, "confidence": pytest.approx(wanted["confidence"], abs=1e-3)}
