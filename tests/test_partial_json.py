"""What the beginning of a JSON text says: a prefix of the whole at every step, and nothing is taken back."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limpet.loose_json import MAX_DEPTH
from limpet.partial_json import PartialReader, parse_partial
from limpet.wire import Json

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
# Half surrogate pairs too, and what must be escaped.
TEXTS = st.text() | st.text(st.sampled_from('a"\\/\n\t\ud83d\ude00é€{}[],:u'))
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
ROOTS = st.lists(VALUES, max_size=4) | st.dictionaries(TEXTS, VALUES, max_size=4)


def is_prefix(part: Json, whole: Json) -> bool:
    """Whether a value can grow into another: text by more of it, lists and objects by what is behind their last."""
    if isinstance(part, str) and isinstance(whole, str):
        return whole.startswith(part)
    if isinstance(part, dict) and isinstance(whole, dict):
        names = list(whole)[: len(part)]
        return list(part) == names and is_prefix(list(part.values()), [whole[name] for name in names])
    if isinstance(part, list) and isinstance(whole, list):
        same = part[:-1] == whole[: len(part) - 1] if part else True
        return len(part) <= len(whole) and same and (not part or is_prefix(part[-1], whole[len(part) - 1]))
    return type(part) is type(whole) and part == whole


@settings(deadline=None)  # each step reads the text from its start
@given(ROOTS, st.booleans(), st.sampled_from([None, 2]))
def test_each_beginning_is_a_prefix_of_the_next_and_the_whole_is_the_value(
    value: Any, is_ascii: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii, indent=indent)
    reader = PartialReader()
    steps: list[tuple[bool, Json]] = []

    for end in range(len(text) + 1):
        reader.feed(text[end - 1 : end])
        assert parse_partial(text[:end]) == (reader.value, end == len(text))
        steps.append((reader.is_known, reader.value))

    # As `json` reads it: two escaped halves of a pair become one character.
    known = [step for is_known, step in steps if is_known]
    assert all(is_prefix(earlier, later) for earlier, later in pairwise(known))
    assert (known[-1], reader.is_whole, reader.is_broken) == (json.loads(text), True, False)


@given(SCALARS | TEXTS)
def test_a_single_value_is_whole_when_it_has_ended(value: Any) -> None:
    assert parse_partial(json.dumps(value) + " ") == (
        value if not isinstance(value, str) else json.loads(json.dumps(value)),
        True,
    )


@given(st.text() | st.text(st.sampled_from('{}[]",:\\u0d8 1.e-+tfnarlse')))
def test_any_text_is_taken_without_an_accident(text: str) -> None:
    value, is_whole = parse_partial(text)

    if is_whole:
        assert value == json.JSONDecoder(strict=False).raw_decode(text.lstrip(" \t\r\n"))[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        (" \n", None),
        ("{", {}),
        ('{"a', {}),
        ('{"a"', {}),
        ('{"a":', {}),
        ('{"a": "', {"a": ""}),
        ('{"a": "x', {"a": "x"}),
        ('{"a": "x\\', {"a": "x"}),
        ('{"a": "x\\u00', {"a": "x"}),
        ('{"a": "x\\ud83d', {"a": "x"}),
        ('{"a": "x\\ud83d\\', {"a": "x"}),
        ('{"a": "x\\ud83d\\ude0', {"a": "x"}),
        ('{"a": "x\\ud83d\\ude00', {"a": "x😀"}),
        ('{"a": "x\\\\ud83d', {"a": "x\\ud83d"}),
        ('{"a": "x\\ud83dy', {"a": "x\ud83dy"}),
        ('{"a": "x", "b', {"a": "x"}),
        ('{"a": 1', {}),
        ('{"a": 1.', {}),
        ('{"a": 1,', {"a": 1}),
        ('{"a": tru', {}),
        ('{"a": true', {"a": True}),
        ('{"a": null', {"a": None}),
        ('{"a": [', {"a": []}),
        ('{"a": [1, 2', {"a": [1]}),
        ('{"a": [1, {"b": "c"}', {"a": [1, {"b": "c"}]}),
        ('{"a": 1, "a":', {"a": 1}),
        ('{"a": 1, "a": 2}', {"a": 2}),
        ('"K\\u00f6l', "Köl"),
        ("12", None),
        ('{"a": "line\nend', {"a": "line\nend"}),
    ],
)
def test_only_what_is_certain_is_told(text: str, expected: Json) -> None:
    assert parse_partial(text)[0] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{'a': 1}", {}),
        ('{"a": 1, b: 2}', {"a": 1}),
        ('{"a": 1,}', {"a": 1}),
        ("[1,]", [1]),
        ("[01]", []),
        ("[1 2]", [1]),
        ('["a\\x"]', ["a"]),
        ("[NaN]", []),
        ("[1e999, 2]", []),
        (f"[{'9' * 5000}, 2]", []),
        ('{"a" 1}', {}),
        ("[tru, 1]", []),
    ],
)
def test_what_is_no_json_ends_the_value_where_it_stands(text: str, expected: Json) -> None:
    reader = PartialReader()

    reader.feed(text)
    reader.feed(" more")

    assert (reader.value, reader.is_broken, reader.is_whole) == (expected, True, False)


def test_what_is_nested_too_deep_is_left_out() -> None:
    expected: Json = []
    for _ in range(MAX_DEPTH - 1):
        expected = [expected]
    reader = PartialReader()

    reader.feed("[" * 100_000)

    assert (reader.value, reader.is_broken) == (expected, True)


def test_a_long_text_in_small_pieces_is_read_as_a_whole() -> None:
    value = {"long": 'a "quoted" \\ line\n' * 1000, "list": [{"number": number, "text": "é"} for number in range(2000)]}
    text = json.dumps(value)
    reader = PartialReader()

    for start in range(0, len(text), 7):
        reader.feed(text[start : start + 7])
        if start % 7000 == 0:
            assert reader.value == parse_partial(text[: start + 7])[0]

    assert (reader.value, reader.is_whole) == (value, True)


def test_what_follows_the_value_is_not_looked_at() -> None:
    assert parse_partial('{"a": 1}\n```\nThat is {all}.') == ({"a": 1}, True)


def test_null_is_not_the_same_as_nothing() -> None:
    readers = [PartialReader(), PartialReader()]
    readers[0].feed("nul")
    readers[1].feed("null")

    assert [(reader.value, reader.is_known) for reader in readers] == [(None, False), (None, True)]
