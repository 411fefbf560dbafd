from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limpet.inference.automaton import Automaton, State
from limpet.inference.grammar import SchemaCompiler, tool_call_rule
from limpet.inference.number_rules import integer_rule, number_rule
from limpet.model import ToolSpec
from tests.inference.small import TOOLS

NAMES = st.sampled_from(["a", "b", "long_name", "\u00fc"])
BOUNDS = st.none() | st.integers(-1200, 1200)


def _integers(draw: st.DrawFn) -> dict[str, Any]:
    low, high = draw(BOUNDS), draw(BOUNDS)
    schema: dict[str, Any] = {"type": "integer"}
    if low is not None:
        schema["minimum"] = low
    if high is not None and (low is None or high >= low):
        schema["maximum"] = high
    return schema


def _numbers(draw: st.DrawFn) -> dict[str, Any]:
    schema = {**_integers(draw), "type": "number"}
    if "maximum" in schema:
        schema["maximum"] += draw(st.sampled_from([0, 0.25, 0.5]))
    return schema


def _strings(draw: st.DrawFn) -> dict[str, Any]:
    least = draw(st.integers(0, 3))
    return {"type": "string", "minLength": least, "maxLength": least + draw(st.integers(0, 4))}


@st.composite
def schemas(draw: st.DrawFn, depth: int = 0) -> dict[str, Any]:
    """Schemas out of all that the grammar understands."""
    kinds = ["integer", "number", "string", "boolean", "null", "enum", "const"]
    kind = draw(st.sampled_from(kinds if depth > 1 else [*kinds, "array", "object", "anyOf"]))
    match kind:
        case "integer":
            return _integers(draw)
        case "number":
            return _numbers(draw)
        case "string":
            return _strings(draw)
        case "enum":
            return {"enum": draw(st.lists(st.sampled_from(["x", "xy", "\u00e9", 1, 12, True, None]), min_size=1))}
        case "const":
            return {"const": draw(st.sampled_from(["only", 7, False]))}
        case "array":
            least = draw(st.integers(0, 2))
            most = least + draw(st.integers(0, 2))
            return {"type": "array", "items": draw(schemas(depth + 1)), "minItems": least, "maxItems": most}
        case "anyOf":
            return {"anyOf": [draw(schemas(depth + 1)), draw(schemas(depth + 1))]}
        case "object":
            names = draw(st.lists(NAMES, unique=True, max_size=3))
            properties = {name: draw(schemas(depth + 1)) for name in names}
            required = [name for name in names if draw(st.booleans())]
            return {
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": False,
            }
    return {"type": kind}


def values_of(draw: st.DrawFn, schema: dict[str, Any]) -> Any:
    """Draw a value that the schema admits."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return draw(st.sampled_from(schema["enum"]))
    if "anyOf" in schema:
        return values_of(draw, draw(st.sampled_from(schema["anyOf"])))
    match schema["type"]:
        case "integer":
            return draw(st.integers(schema.get("minimum", -(10**14)), schema.get("maximum", 10**14)))
        case "number":
            low, high = schema.get("minimum", -10_000), schema.get("maximum", 10_000)
            return min(max(draw(st.integers(int(low) * 100, int(high) * 100)) / 100, low), max(low, high))
        case "string":
            letters = st.characters(exclude_characters='"\\', exclude_categories=("Cs", "Cc"))
            return draw(st.text(letters, min_size=schema["minLength"], max_size=schema["maxLength"]))
        case "boolean":
            return draw(st.booleans())
        case "array":
            count = draw(st.integers(schema["minItems"], schema["maxItems"]))
            return [values_of(draw, schema["items"]) for _ in range(count)]
        case "object":
            chosen = [name for name in schema["properties"] if name in schema["required"] or draw(st.booleans())]
            return {name: values_of(draw, schema["properties"][name]) for name in chosen}
    return None


def admits(schema: dict[str, Any], value: Any) -> bool:
    """Judge a value by the schema, written straight from its definition."""
    if "const" in schema:
        return _equal(value, schema["const"])
    if "enum" in schema:
        return any(_equal(value, option) for option in schema["enum"])
    if "anyOf" in schema:
        return any(admits(option, value) for option in schema["anyOf"])
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    low, high = schema.get("minimum", float("-inf")), schema.get("maximum", float("inf"))
    match schema["type"]:
        case "integer":
            return is_number and isinstance(value, int) and low <= value <= high
        case "number":
            return is_number and low <= value <= high
        case "string":
            return isinstance(value, str) and schema["minLength"] <= len(value) <= schema["maxLength"]
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "array":
            is_sized = isinstance(value, list) and schema["minItems"] <= len(value) <= schema["maxItems"]
            return is_sized and all(admits(schema["items"], item) for item in value)
    properties = schema["properties"]
    is_known = isinstance(value, dict) and set(schema["required"]) <= set(value) <= set(properties)
    return is_known and all(admits(properties[name], item) for name, item in value.items())


def _equal(left: object, right: object) -> bool:
    return type(left) is type(right) and left == right


def dumps(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def automaton_of(schema: dict[str, Any]) -> Automaton:
    return Automaton(SchemaCompiler().rule(schema, schema))


def wander(draw: st.DrawFn, automaton: Automaton) -> bytes:
    """Draw a text that the automaton accepts, by walking at random and then by the shortest way out."""
    text, state = bytearray(), automaton.start
    for _ in range(draw(st.integers(0, 60))):
        if not state.moves or (state.is_accepting and draw(st.booleans())):
            break
        # The order of the moves is that of a set; sorted, the same draws give the same text.
        low, high = draw(st.sampled_from(sorted({(low, high) for low, high, _way in state.moves})))
        byte = draw(st.integers(low, high))
        text.append(byte)
        state = _step(automaton, state, byte)
    reached: list[tuple[bytes, State]] = [(b"", state)]
    seen = {id(state)}
    for ending, place in reached:
        if place.is_accepting:
            return bytes(text) + ending
        for byte in sorted({byte for low, high, _way in place.moves for byte in (low, high)}):
            following = _step(automaton, place, byte)
            if id(following) not in seen:
                seen.add(id(following))
                reached.append((ending + bytes([byte]), following))
    raise AssertionError("no way out of the grammar")


def _step(automaton: Automaton, state: State, byte: int) -> State:
    following = automaton.step(state, byte)
    assert following is not None
    return following


@given(st.data())
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=150, deadline=None)
def test_every_value_of_a_schema_is_accepted(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    value = values_of(data.draw, schema)

    assert admits(schema, value)
    assert automaton_of(schema).matches(dumps(value))


@given(st.data())
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=150, deadline=None)
def test_everything_accepted_is_json_that_the_schema_admits(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    text = wander(data.draw, automaton_of(schema))

    assert admits(schema, json.loads(text)), text


@given(low=BOUNDS, high=BOUNDS, value=st.integers(-2000, 2000))
def test_integers_keep_their_bounds(low: int | None, high: int | None, value: int) -> None:
    is_inside = (low is None or low <= value) and (high is None or value <= high)

    assert Automaton(integer_rule(low, high)).matches(str(value).encode()) == is_inside


DECIMALS = st.none() | st.integers(-400, 400).map(lambda value: value / 16)


@given(low=DECIMALS, high=DECIMALS, thousandths=st.integers(-30_000, 30_000))
def test_numbers_keep_their_bounds(low: float | None, high: float | None, thousandths: int) -> None:
    value = thousandths / 1000
    is_inside = (low is None or low <= value) and (high is None or value <= high)
    automaton = Automaton(number_rule(low, high))

    assert automaton.matches(f"{value:.3f}".encode()) == is_inside
    assert automaton.matches(f"{value:g}".encode()) == is_inside


CALLS = Automaton(tool_call_rule(TOOLS))


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("[]", True),
        ('[{"name":"set_timer","arguments":{"minutes":10}}]', True),
        ('[{"name":"set_timer","arguments":{"minutes":10,"label":"eggs"}}]', True),
        ('[{"name":"set_light","arguments":{"room":"office","is_on":true}},', False),
        (
            '[{"name":"set_light","arguments":{"room":"office","is_on":true}},'
            '{"name":"set_timer","arguments":{"minutes":1}}]',
            True,
        ),
        ('[{"name":"set_timer","arguments":{"label":"eggs"}}]', False),
        ('[{"name":"set_timer","arguments":{"label":"eggs","minutes":10}}]', False),
        ('[{"name":"set_timer","arguments":{"minutes":601}}]', False),
        ('[{"name":"set_timer","arguments":{"minutes":010}}]', False),
        ('[{"name":"fly","arguments":{}}]', False),
        ('[{"name":"set_light","arguments":{"room":"cellar","is_on":true}}]', False),
        ('[{"name":"set_timer","arguments":{"minutes":10,"label":"10\\"}}]"}}]', False),
        ('[{"name":"set_timer","arguments":{"minutes":10,"label":"two\\nlines"}}]', True),
        ('[{"name":"set_timer","arguments":{"minutes":10,"label":"' + "x" * 240 + '"}}]', True),
        ('[{"name":"set_timer","arguments":{"minutes":10,"label":"' + "x" * 241 + '"}}]', False),
        ('[{"name": "set_timer","arguments":{"minutes":10}}]', False),
    ],
)
def test_calls(text: str, fits: bool) -> None:
    assert CALLS.matches(text.encode()) == fits


def test_a_call_can_be_required_and_quotes_allowed() -> None:
    automaton = Automaton(tool_call_rule(TOOLS, allow_none=False, allow_quotes=True))

    assert not automaton.matches(b"[]")
    assert automaton.matches(b'[{"name":"set_timer","arguments":{"minutes":10,"label":"the \\"big\\" one"}}]')


def test_forced_bytes_are_found() -> None:
    state = CALLS.walk(CALLS.start, b'[{"name":"set_t')

    assert state is not None
    assert CALLS.forced(state)[0] == b'imer","arguments":{"minutes":'


def test_a_schema_may_contain_itself() -> None:
    tree = {
        "$ref": "#/$defs/tree",
        "$defs": {
            "tree": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "left": {"$ref": "#/$defs/tree"}},
                "required": ["name"],
            }
        },
    }
    automaton = automaton_of(tree)

    assert automaton.matches(b'{"name":"a","left":{"name":"b","left":{"name":"c"}}}')
    assert not automaton.matches(b'{"name":"a","left":{"left":{"name":"c"}}}')


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "string", "format": "date"}, ['"2026-11-30"', '"2024-02-29"'], ['"2026-11-31"', '"26-11-30"', '"x"']),
        ({"type": "string", "format": "time"}, ['"07:30"', '"23:59:59"'], ['"7:30"', '"24:00"']),
        ({"type": "string", "format": "date-time"}, ['"2026-11-30T07:30"'], ['"2026-11-30"']),
        ({"type": ["string", "null"], "maxLength": 3}, ['"abc"', "null"], ['"abcd"', "1"]),
        ({"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 5}, ["1", "4"], ["0", "5"]),
        ({"type": "integer", "minimum": 0, "maximum": 100, "multipleOf": 25}, ["0", "75", "100"], ["5", "125"]),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
            ['[1,"a"]'],
            ["[1]", '["a",1]', '[1,"a",2]'],
        ),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, ["{}", '{"a":1,"b":2}'], ['{"a":"x"}']),
        ({}, ['{"a":[1,null,{"b":"c"}]}', "-0.5", "true"], ["{a:1}", "nul"]),
        ({"allOf": [{"type": "boolean"}]}, ["true"], ["1"]),
    ],
    ids=str,
)
def test_keywords(schema: dict[str, Any], good: list[str], bad: list[str]) -> None:
    automaton = automaton_of(schema)

    assert [text for text in good if not automaton.matches(text.encode())] == []
    assert [text for text in bad if automaton.matches(text.encode())] == []


def test_many_tools_cost_little() -> None:
    tools = [ToolSpec(f"tool_{number}", "", TOOLS[0].parameters) for number in range(200)]
    automaton = Automaton(tool_call_rule(tools))

    assert automaton.matches(b'[{"name":"tool_199","arguments":{"minutes":5,"label":"x"}}]')
