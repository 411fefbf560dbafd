from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet.errors import ToolArgumentsError
from limpet.loose_json import MAX_CHARACTERS, MAX_DEPTH, kind_of, loads, parse_object
from limpet.wire import Json

json_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(None, {}, id="none"),
        pytest.param("", {}, id="empty"),
        pytest.param(" \n", {}, id="blank"),
        pytest.param("null", {}, id="null"),
        pytest.param('""', {}, id="empty string"),
        pytest.param("{}", {}, id="empty object"),
        pytest.param('{"minutes": 10}', {"minutes": 10}, id="strict"),
        pytest.param('\ufeff{"minutes": 10}', {"minutes": 10}, id="byte order mark"),
        pytest.param('```json\n{"minutes": 10}\n```', {"minutes": 10}, id="fenced"),
        pytest.param('```\n{"minutes": 10}', {"minutes": 10}, id="fence not closed"),
        pytest.param('Here: {"minutes": 10}. Done!', {"minutes": 10}, id="prose"),
        pytest.param('<tool_call>{"minutes": 10}</tool_call>', {"minutes": 10}, id="tags"),
        pytest.param('{"minutes": 10,}', {"minutes": 10}, id="trailing comma"),
        pytest.param('{"times": [1, 2,],}', {"times": [1, 2]}, id="trailing commas inside"),
        pytest.param('"{\\"minutes\\": 10}"', {"minutes": 10}, id="json in a string"),
        pytest.param(json.dumps(json.dumps(json.dumps({"a": 1}))), {"a": 1}, id="json in a string in a string"),
        pytest.param('{\\"minutes\\": 10}', {"minutes": 10}, id="escaped quotes"),
        pytest.param("{'a': True, 'b': None, 'c': False}", {"a": True, "b": None, "c": False}, id="python"),
        pytest.param("{'it': 'she said \"no\"'}", {"it": 'she said "no"'}, id="double quotes in single"),
        pytest.param(r"{'it': 'it\'s \u00e4 \\'}", {"it": "it's ä \\"}, id="escapes in single quotes"),
        pytest.param("{minutes: 10}", {"minutes": 10}, id="bare name"),
        pytest.param('{"text": "two\nlines"}', {"text": "two\nlines"}, id="line end in a string"),
        pytest.param("{'a': -1.5e3, 'b': {'c': [[]]}}", {"a": -1500.0, "b": {"c": [[]]}}, id="nested"),
        pytest.param('[{"minutes": 10}]', {"minutes": 10}, id="list of one"),
        pytest.param("Sure: [{'minutes': 10},]", {"minutes": 10}, id="loose list of one"),
        pytest.param(r'{"emoji": "\ud83d\ude00"}', {"emoji": "😀"}, id="surrogate pair"),
        pytest.param('{"a": "{not} [it]"}', {"a": "{not} [it]"}, id="brackets in a string"),
    ],
)
def test_what_has_one_meaning_is_read(text: str | None, expected: object) -> None:
    assert parse_object(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("ten minutes", "Expecting value", id="prose only"),
        pytest.param('{"minutes": 10', "cut off", id="cut off"),
        pytest.param('{"a": {"b": 1}', "cut off", id="inner object whole, outer cut off"),
        pytest.param('{"minutes": "te', "Unterminated string", id="string cut off"),
        pytest.param("{'minutes': 'te", "not closed", id="single-quoted string cut off"),
        pytest.param('[{"a": 1}, ', "a list is not closed", id="list cut off"),
        pytest.param('{"a": oops, "b": {"c": 1}}', "expected a value at character 6", id="bare word"),
        pytest.param('{"a": 1} {"a": 2}', "more than one object", id="two objects"),
        pytest.param("use {x}: {'a': 1}", "expected ':'", id="braces in the prose"),
        pytest.param('{"a": 1 "b": 2}', "expected ',' or '}'", id="comma missing"),
        pytest.param('{"a": 1,, "b": 2}', "expected a name", id="two commas"),
        pytest.param('{"a": NaN}', "expected a value", id="not a number"),
        pytest.param('{"a": 1e999}', "too large", id="infinite"),
        pytest.param('{"a": ' + "9" * 5000 + "}", "can't be read", id="integer too long for Python"),
        pytest.param("[1, 2]", "a list", id="list"),
        pytest.param("10", "an integer", id="number"),
        pytest.param('"ten"', "Expecting value", id="text in a string"),
        pytest.param('{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1), "deeper", id="too deep"),
        pytest.param("{'a':" * 100_000, "deeper", id="far too deep"),
        pytest.param("[" * 100_000, "deeper", id="far too many lists"),
        pytest.param(" {" + "x" * MAX_CHARACTERS + "}", "more than", id="too long"),
        pytest.param('{"' + '\\"' * 300_000, "", id="quotes without an end"),
    ],
)
def test_what_has_no_clear_meaning_is_refused_with_advice(text: str, reason: str) -> None:
    with pytest.raises(ToolArgumentsError, match=r"one (whole )?JSON object") as caught:
        parse_object(text)

    assert reason in caught.value.message
    assert len(caught.value.message) < 300


def test_the_deepest_allowed_object_is_read() -> None:
    text = '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH

    assert parse_object(text) == loads(text)


@given(json_objects)
def test_strict_json_is_read_as_json(value: dict[str, Json]) -> None:
    assert parse_object(json.dumps(value)) == value


@given(json_objects, st.sampled_from(["'", '"', "```"]))
def test_what_python_prints_is_read(value: dict[str, Json], around: str) -> None:
    text = repr(value)
    if "\\x" in text or "\\U" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        return  # escapes that JSON does not have

    assert parse_object(text) == value


@given(st.text() | st.text(alphabet="{}[]\"'\\,: \n`atrue01.eN-"))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ToolArgumentsError):
        assert isinstance(parse_object(text), dict)


@given(json_objects, st.data())
def test_an_object_that_was_cut_off_is_never_read(value: dict[str, Json], data: st.DataObject) -> None:
    text = json.dumps(value)
    end = data.draw(st.integers(1, len(text) - 1))

    with pytest.raises(ToolArgumentsError):
        parse_object(text[:end])


def test_kinds_have_names() -> None:
    kinds = [kind_of(value) for value in (None, True, 1, 1.5, "", [], (), {}, object())]

    assert kinds == [
        "null",
        "a boolean",
        "an integer",
        "a number",
        "a string",
        "a list",
        "a list",
        "an object",
        "object",
    ]
