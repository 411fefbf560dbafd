from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet.errors import ModelUnavailableError
from limpet.inference.bpe import BpeTokenizer, byte_alphabet
from limpet.inference.tokenizer import TextStream
from tests.inference.small_chat import CHAT_TOKENIZER, MARKERS, chat_tokenizer_json

ROOT = Path(__file__).resolve().parents[2]
PIECES = json.loads(chat_tokenizer_json())["pieces"]
TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)


def pieces_of(text: str) -> list[str]:
    return [PIECES[token_id] for token_id in CHAT_TOKENIZER.encode(text)]


@given(TEXTS)
def test_what_was_encoded_is_decoded_again(text: str) -> None:
    ids = CHAT_TOKENIZER.encode(text)

    assert CHAT_TOKENIZER.decode(ids) == text
    assert CHAT_TOKENIZER.encode_bytes(text.encode()) == ids
    assert not set(ids) & set(CHAT_TOKENIZER.markers.values())


@given(TEXTS)
def test_a_streamed_text_has_no_cut_characters(text: str) -> None:
    stream = TextStream(CHAT_TOKENIZER)

    pieces = [stream.feed(token_id) for token_id in CHAT_TOKENIZER.encode(text)]

    assert "".join([*pieces, stream.close()]) == text
    assert all("\ufffd" not in piece for piece in pieces) or "\ufffd" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the name", ["t", "he", "Ġ", "name"]),
        ("a the the", ["a", "Ġthe", "Ġthe"]),
        ("12 34", ["1", "2", "Ġ", "3", "4"]),
        ("a  1", ["a", "ĠĠ", "1"]),
        ("a  b", ["a", "Ġ", "Ġ", "b"]),
        ("a\n\n", ["a", "ĊĊ"]),
        ("a\n\nb", ["a", "Ċ", "Ċ", "b"]),
        ("a \u00b2\u00b2", ["a", "Ġ", "Â", "²", "Â", "²"]),
        ("it's_x", ["i", "t", "'", "s", "_", "x"]),
        ("", []),
    ],
)
def test_words_are_cut_and_merged_as_the_model_learned_them(text: str, expected: list[str]) -> None:
    assert pieces_of(text) == expected


def test_markers_are_found_in_what_we_wrote_only() -> None:
    marker = "<|im_start|>"

    assert CHAT_TOKENIZER.encode_template(f"{marker}the") == [MARKERS.index(marker), *CHAT_TOKENIZER.encode("the")]
    assert CHAT_TOKENIZER.decode(CHAT_TOKENIZER.encode(f"{marker}the")) == f"{marker}the"


def test_bytes_that_are_no_text_are_spelled_one_by_one() -> None:
    ids = CHAT_TOKENIZER.encode_bytes(b"\x80\x81the")

    assert b"".join(CHAT_TOKENIZER.bytes_of[token_id] for token_id in ids) == b"\x80\x81the"
    assert CHAT_TOKENIZER.decode(ids) == "\ufffd\ufffdthe"


def test_half_of_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert CHAT_TOKENIZER.decode(CHAT_TOKENIZER.encode("a\ud800b")) == "a?b"


def test_a_long_word_takes_no_long_time() -> None:
    text = "an" * 20_000

    assert CHAT_TOKENIZER.encode(text) == [PIECES.index("an")] * 20_000


def test_the_alphabet_has_a_letter_for_each_byte() -> None:
    alphabet = byte_alphabet()

    assert len(set(alphabet)) == 256
    assert [alphabet[byte] for byte in b" \n!a"] == ["Ġ", "Ċ", "!", "a"]
    assert all(letter.isprintable() for letter in alphabet)


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"type": "wordpiece"}', b'{"type": "bpe", "pieces": []}'])
def test_what_is_no_tokenizer_is_refused(data: bytes) -> None:
    with pytest.raises(ModelUnavailableError, match="build the model again"):
        BpeTokenizer.parse(data)


def test_smollm2_gives_the_tokens_of_the_original() -> None:
    # Made with Hugging Face's `tokenizers` 0.23.3: digits one by one, then byte level.
    folder = Path(os.environ.get("LIMPET_BUILD") or ROOT / "build") / "models" / "smollm2"
    if not folder.joinpath("tokenizer.json").is_file():
        pytest.skip("the smollm2 model is not built: python3 build.py models smollm2")
    tokenizer = BpeTokenizer.parse(folder.joinpath("tokenizer.json").read_bytes())
    known = json.loads(Path(__file__).with_name("fixtures").joinpath("smollm2_tokens.json").read_text("utf-8"))

    assert {text: tokenizer.encode(text) for text in known} == known
