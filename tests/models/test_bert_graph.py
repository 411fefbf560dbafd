"""The graph of an encoder computes what BERT computes, whatever stands beside a text in its batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from models.bert_graph import ByteMatrices, FloatMatrices, Geometry, build_graph, quantize
from models.tiny import make_embedding

from tests.models.bert_reference import embed
from tests.models.package_session import session_options

MANIFEST = json.loads((Path(__file__).parents[2] / "models" / "manifest.json").read_text(encoding="utf-8"))
GEOMETRY = Geometry(layers=2, width=16, heads=4, context_length=12)
TENSORS = make_embedding.tensors(50, GEOMETRY, seed=5)
TEXTS = [[2, 7, 9, 30, 49, 3], [2, 3], [2, *range(10, 20), 3], [2, 7, 9, 30, 48, 3]]


def run(session: onnxruntime.InferenceSession, batch: list[list[int]], pad: int = 0) -> Any:
    length = max(map(len, batch))
    ids = np.full((len(batch), length), pad, np.int64)
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(batch):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})[0]


def open_bytes(apart: dict[str, tuple[int, ...]]) -> onnxruntime.InferenceSession:
    matrices = ByteMatrices("weights.bin", apart)
    graph = build_graph(GEOMETRY, TENSORS, matrices)
    external = {"weights.bin": bytes(matrices.packed)}
    return onnxruntime.InferenceSession(graph.SerializeToString(), session_options(external))


def reference() -> Any:
    return np.stack([embed(TENSORS, ids, layers=GEOMETRY.layers, heads=GEOMETRY.heads) for ids in TEXTS])


def test_in_float32_it_is_the_reference() -> None:
    graph = build_graph(GEOMETRY, TENSORS, FloatMatrices())

    vectors = run(onnxruntime.InferenceSession(graph.SerializeToString(), session_options({})), TEXTS)

    assert np.abs(vectors - reference()).max() < 1e-6


def test_in_bytes_it_is_near_the_reference() -> None:
    cosines = (run(open_bytes({}), TEXTS) * reference()).sum(axis=1)

    assert cosines.min() > 0.995
    assert cosines.max() < 1 + 1e-6


def test_inputs_set_apart_are_exact() -> None:
    every = {
        f"encoder.layer.{layer}.{name}": tuple(range(width))
        for layer in range(GEOMETRY.layers)
        for name, width in (
            *(("attention.self.query", 16), ("attention.output.dense", 16)),
            *(("intermediate.dense", 16), ("output.dense", make_embedding.INNER)),
        )
    }

    cosines = (run(open_bytes(every), TEXTS) * reference()).sum(axis=1)

    # Only the table of words is rounded.
    assert cosines.min() > 0.9999


@pytest.mark.parametrize("pad", [0, 49])
def test_neither_padding_nor_neighbours_change_a_vector(pad: int) -> None:
    session = open_bytes({"encoder.layer.1.output.dense": (3, 17)})

    together = run(session, TEXTS, pad)

    for place, text in enumerate(TEXTS):
        assert np.abs(together[place] - run(session, [text])[0]).max() < 1e-6


def test_every_token_and_its_place_matter() -> None:
    vectors = run(open_bytes({}), [[2, 7, 9, 3], [2, 9, 7, 3], [2, 7, 8, 3], [2, 7, 9, 4]])

    cosines = vectors @ vectors[0]
    assert cosines[0] == pytest.approx(1, abs=1e-6)
    assert cosines[1:].max() < 0.999


def test_codes_and_scales_give_the_matrix_back() -> None:
    matrix = np.array([[1.0, -0.5, 0.0], [-2.0, 0.25, 0.0]], np.float32)

    codes, scales = quantize(matrix, axis=0)

    assert codes.tolist() == [[192, 1, 128], [1, 192, 128]]
    assert scales.tolist() == [[np.float32(2 / 127), np.float32(0.5 / 127), 1.0]]


def test_the_tiny_model_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_embedding.make(tmp_path / name)
    files = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    model = json.loads(files["model.json"])
    entry = MANIFEST["models"]["tiny-embedding"]

    assert {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()} == files
    assert sum(map(len, files.values())) < 32_000
    known = {key: value for key, value in entry.items() if key not in ("recipe", "model_json_sha256")}
    assert known == {key: model[key] for key in known}
    assert entry["recipe"] == "models/tiny/make_embedding.py"
