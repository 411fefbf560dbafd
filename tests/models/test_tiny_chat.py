"""The tiny chat model has the interface of a real one, and its vocabulary is whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from models.tiny import make_chat

MANIFEST = json.loads((Path(__file__).parents[2] / "models" / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "tiny-chat"
    make_chat.make(out)
    return out


def test_the_same_bytes_every_time(folder: Path, tmp_path: Path) -> None:
    make_chat.make(tmp_path / "again")

    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()} == files
    assert sum(len(data) for data in files.values()) < 64_000


def test_the_manifest_says_what_is_in_the_folder(folder: Path) -> None:
    model = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    entry = MANIFEST["models"]["tiny-chat"]

    known = {key: value for key, value in entry.items() if key not in ("recipe", "model_json_sha256")}
    assert known == {key: model[key] for key in known}
    assert entry["recipe"] == "models/tiny/make_chat.py"
    assert entry["model_json_sha256"] == hashlib.sha256((folder / "model.json").read_bytes()).hexdigest()
    assert (model["task"], model["template"]) == ("chat", "chatml")
    assert all(slot["in_place"] and slot["shape"] == [1, 1, 0, 16] for slot in model["graph"]["state"])


def test_every_byte_is_a_piece_and_every_merge_makes_one(folder: Path) -> None:
    vocabulary = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    pieces = vocabulary["pieces"]
    known = set(make_chat.byte_alphabet())

    assert len(known) == 256
    assert set(pieces[3:259]) == known
    for place, merge in enumerate(vocabulary["merges"]):
        left, right = merge.split(" ")
        assert {left, right} <= known
        assert pieces[259 + place] == left + right
        known.add(left + right)
    assert len(pieces) == len(set(pieces)) == make_chat.GEOMETRY.vocab_size
    assert [pieces[token_id] for token_id in vocabulary["special"].values()] == list(vocabulary["special"])


def test_the_alphabet_is_that_of_gpt2() -> None:
    alphabet = make_chat.byte_alphabet()

    assert [alphabet[byte] for byte in (0, 10, 32, 33, 126, 127, 160, 161, 173, 255)] == [
        "\u0100", "\u010a", "\u0120", "!", "~", "\u0121", "\u0142", "\u00a1", "\u0143", "\u00ff",
    ]  # fmt: skip
