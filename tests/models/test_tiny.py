"""The tiny model has the interface of a real one, and depends on all it was fed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from models.tiny import make

from tests.models.package_session import PackageSession

IDS = [2, 4, 145, 152, 6, 284, 290, 5, 9, 60, 61]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "tiny"
    make.make(out)
    return out


@pytest.fixture(scope="module")
def tiny(folder: Path) -> PackageSession:
    return PackageSession(folder)


def test_the_same_bytes_every_time(folder: Path, tmp_path: Path) -> None:
    make.make(tmp_path / "again")

    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == files
    assert sum(len(data) for data in files.values()) < 32_000


@pytest.mark.parametrize("size", [1, 2, 4, 11])
def test_chunks_of_any_size_give_the_same(tiny: PackageSession, size: int) -> None:
    whole, confidence, _ = tiny.feed(tiny.start(), IDS)
    state = tiny.start()

    for start in range(0, len(IDS), size):
        logits, chunk_confidence, state = tiny.feed(state, IDS[start : start + size])

    assert np.abs(logits - whole).max() < 1e-4
    assert chunk_confidence == pytest.approx(confidence, abs=1e-6)


@pytest.mark.parametrize("changed", [0, 3, 8, 9, 10])
def test_every_token_matters(tiny: PackageSession, changed: int) -> None:
    logits, confidence, _ = tiny.feed(tiny.start(), IDS)
    others = [*IDS[:changed], 77, *IDS[changed + 1 :]]

    other_logits, other_confidence, _ = tiny.feed(tiny.start(), others)

    assert np.abs(logits - other_logits).max() > 1e-3
    assert confidence != other_confidence
    assert 0 < confidence < 1


def test_the_description_is_that_of_a_real_model(tiny: PackageSession) -> None:
    state = tiny.description["graph"]["state"]

    assert {(entry["type"], entry.get("append", False)) for entry in state} == {
        ("float32", True),
        ("float32", False),
        ("int64", False),
    }
    assert tiny.description["vocab_size"] == tiny.description["graph"]["logits_shape"][0] == 300


def test_markers_and_bytes_have_needles_ids(folder: Path) -> None:
    vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))

    assert vocabulary["pieces"][4:12] == [
        "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tools>", "</tools>", "<tool_call>", "</tool_call>",
    ]  # fmt: skip
    assert vocabulary["pieces"][28 : 28 + 256] == [f"<0x{byte:02X}>" for byte in range(256)]
