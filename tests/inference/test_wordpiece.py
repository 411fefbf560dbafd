from __future__ import annotations

import json

import pytest

from limpet.errors import ModelUnavailableError
from limpet.inference.wordpiece import WordPieceTokenizer

SPECIAL = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
WORDS = [
    *("un", "##want", "##ed", "want", "runn", "##ing", "##s", "great", "cafe", "uber", "\u6771", "\u4eac"),
    *("a", "##b", "##c", ",", ".", "[", "]", "'", "$", "#", "##", "sep", "x", "\u03ac", "\u03b1", "##\u03b1"),
]
PIECES = [*SPECIAL, *WORDS]


def tokenizer(*, lowercase: bool = True) -> WordPieceTokenizer:
    document = {"type": "wordpiece", "pieces": PIECES, "special": SPECIAL, "lowercase": lowercase}
    return WordPieceTokenizer.parse(json.dumps(document).encode())


def pieces(text: str, *, lowercase: bool = True) -> list[str]:
    return [PIECES[token_id] for token_id in tokenizer(lowercase=lowercase).encode(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n\r\u00a0\u2003", []),
        # The longest piece first, then the longest part of the rest; a word that has no spelling is unknown as a whole.
        ("unwanted running", ["un", "##want", "##ed", "runn", "##ing"]),
        ("unwantedly", ["[UNK]"]),
        ("want wanty want", ["want", "[UNK]", "want"]),
        # Every sign is a word, and so is every ideograph.
        ("want,great.", ["want", ",", "great", "."]),
        ("a$a", ["a", "$", "a"]),
        ("want東京great", ["want", "東", "京", "great"]),
        # Accents and case.
        ("CAFÉ cafe\u0301 Über", ["cafe", "cafe", "uber"]),
        ("\u1fb3", ["\u03b1"]),
        ("\u03b1\u03ac", ["\u03b1", "##\u03b1"]),
        # What can't be seen: control characters go, spaces of all kinds part words.
        ("wa\u200bnt\x00 wan\x7ft a\u2028a", ["want", "want", "a", "a"]),
        ("a\ufffda", ["[UNK]"]),
        # Markers that somebody types are plain text.
        ("[SEP]", ["[", "sep", "]"]),
        # `##` at the beginning of a word is two signs.
        ("##s", ["#", "#", "[UNK]"]),
    ],
)
def test_words_and_their_parts(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


def test_half_of_a_surrogate_pair_is_left_out() -> None:
    assert pieces("wa\ud800nt") == ["want"]


def test_without_lower_case_accents_stay() -> None:
    assert pieces("\u03ac Want want", lowercase=False) == ["\u03ac", "[UNK]", "want"]


def test_a_word_of_more_than_a_hundred_letters_is_unknown() -> None:
    assert pieces("a" + "b" * 99) == ["a", *["##b"] * 99]
    assert pieces("a" + "b" * 100) == ["[UNK]"]


def test_markers_are_found_in_a_template_only() -> None:
    assert tokenizer().encode_template("[CLS]want[SEP]") == [2, PIECES.index("want"), 3]


@pytest.mark.parametrize(("most", "expected"), [(3, ["un"]), (4, ["un", "##want"]), (9, ["un", "##want", "##ed", "a"])])
def test_a_sequence_is_cut_between_its_markers(most: int, expected: list[str]) -> None:
    ids = tokenizer().encode_sequence("unwanted a", most)

    assert [PIECES[token_id] for token_id in ids] == ["[CLS]", *expected, "[SEP]"]


def test_what_was_met_before_is_spelled_alike() -> None:
    shared = tokenizer()

    assert shared.encode("unwanted") == shared.encode("unwanted") == [5, 6, 7]


def test_ids_become_words_again() -> None:
    shared = tokenizer()

    assert shared.decode(shared.encode_sequence("Unwanted, CAFÉ!", 64)) == "unwanted , cafe"
    assert shared.bytes_of[:7] == [b"", b"", b"", b"", b"", b" un", b"want"]


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b'{"type": "bpe", "pieces": [], "special": {}, "lowercase": true}', b'{"type": "wordpiece"}'],
)
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(ModelUnavailableError, match="not a wordpiece tokenizer"):
        WordPieceTokenizer.parse(data)
