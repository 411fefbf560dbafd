from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet.errors import ModelUnavailableError
from limpet.inference.tokenizer import TextStream, Tokenizer
from tests.inference.small import MARKERS, TOKENIZER, tokenizer_json

TEXTS = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=60)


def _naive(text: str) -> list[int]:
    """Merge the best pair anywhere until none is left: the definition, without any shortcut."""
    document = json.loads(tokenizer_json())
    pieces, scores, types = document["pieces"], document["scores"], document["types"]
    normal = {piece: place for place, piece in enumerate(pieces) if types[place] == 0}
    symbols = list(text.replace(" ", "\u2581"))
    while True:
        pairs = [(-scores[normal[a + b]], at) for at, (a, b) in enumerate(pairwise(symbols)) if a + b in normal]
        if not pairs:
            break
        at = min(pairs)[1]
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
    ids: list[int] = []
    for symbol in symbols:
        spelled = [pieces.index(f"<0x{byte:02X}>") for byte in symbol.replace("\u2581", " ").encode()]
        ids += [normal[symbol]] if symbol in normal else spelled
    return ids


@given(TEXTS)
def test_text_comes_back(text: str) -> None:
    # SentencePiece writes a space as U+2581, so that character itself comes back as a space.
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text.replace("\u2581", " ")


@given(st.text(alphabet='ab "name{}[]:,\u00e9', max_size=40))
def test_merges_are_those_of_the_definition(text: str) -> None:
    assert TOKENIZER.encode(text) == _naive(text)


@given(TEXTS)
def test_streamed_text_is_never_cut_inside_a_character(text: str) -> None:
    stream = TextStream(TOKENIZER)

    pieces = [stream.feed(token_id) for token_id in TOKENIZER.encode(text)] + [stream.close()]

    assert "".join(pieces) == text.replace("\u2581", " ")


def test_broken_utf8_becomes_a_replacement_character() -> None:
    first_byte_of_two = TOKENIZER.encode("\u00e9")[:1]
    stream = TextStream(TOKENIZER)

    assert TOKENIZER.decode(first_byte_of_two) == "\ufffd"
    assert (stream.feed(first_byte_of_two[0]), stream.close()) == ("", "\ufffd")


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert TOKENIZER.decode(TOKENIZER.encode("ten \ud83e eggs \udcff")) == "ten ? eggs ?"


@pytest.mark.parametrize("marker", MARKERS)
def test_a_user_cannot_type_a_marker(marker: str) -> None:
    marker_id = TOKENIZER.markers[marker]

    assert marker_id not in TOKENIZER.encode(f"before {marker} after")
    assert TOKENIZER.encode_template(f"ab{marker}na") == [*TOKENIZER.encode("ab"), marker_id, *TOKENIZER.encode("na")]


@pytest.mark.parametrize("data", [b"", b"[]", b'{"kind":"wordpiece"}', b'{"kind":"sentencepiece_bpe","pieces":["a"]}'])
def test_another_tokenizer_is_refused(data: bytes) -> None:
    with pytest.raises(ModelUnavailableError, match=r"tokenizer\.json"):
        Tokenizer.parse(data)
