"""What becomes of a schema for Gemini: nothing that it refuses is left, and what can be said otherwise is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any, Literal

import pytest

from limpet.protocols.gemini_schema import to_gemini_schema
from limpet.tools import tool

# The fields of `Schema` in Google's API reference.
KNOWN = {
    *("type", "format", "title", "description", "nullable", "enum", "items", "properties", "required", "anyOf"),
    *("minimum", "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems"),
    *("minProperties", "maxProperties"),
}
ANYTHING = [{"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "object"}]


def assert_known(schema: Any) -> None:
    """Fail for a keyword or a type that Gemini doesn't know."""
    assert set(schema) <= KNOWN
    assert isinstance(schema.get("type"), str) != ("anyOf" in schema)
    assert all(isinstance(choice, str) for choice in schema.get("enum", ()))
    assert ("items" in schema) == (schema.get("type") == "array")
    for member in (*schema.get("properties", {}).values(), *schema.get("anyOf", ())):
        assert_known(member)
    if "items" in schema:
        assert_known(schema["items"])


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "default": "x", "format": "uri"}, {"type": "string"}),
        ({"type": "string", "format": "date-time"}, {"type": "string", "format": "date-time"}),
        ({"type": ["string", "null"]}, {"type": "string", "nullable": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "A."},
            {"type": "string", "description": "A.", "nullable": True},
        ),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"const": "x"}, {"type": "string", "format": "enum", "enum": ["x"]}),
        ({"enum": [1, 2]}, {"type": "integer", "format": "enum", "enum": ["1", "2"]}),
        (
            {"type": ["string", "null"], "enum": ["a", None]},
            {"type": "string", "nullable": True, "format": "enum", "enum": ["a"]},
        ),
        ({"type": "number", "enum": [0.5]}, {"type": "number"}),
        ({"type": "integer", "exclusiveMaximum": 5}, {"type": "integer", "maximum": 4}),
        ({"type": "number", "exclusiveMinimum": 0}, {"type": "number", "minimum": 0}),
        ({"type": "array"}, {"type": "array", "items": {"anyOf": ANYTHING}}),
        (
            {"type": "array", "prefixItems": [{"type": "string"}, {"type": "string"}], "uniqueItems": True},
            {"type": "array", "items": {"type": "string"}},
        ),
        ({"type": "object", "additionalProperties": {"type": "string"}}, {"type": "object"}),
        ({}, {"anyOf": ANYTHING}),
        (
            {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a", "b"], "$schema": "x"},
            {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]},
        ),
        (
            {"allOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, {"title": "T"}]},
            {"type": "object", "title": "T", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        ),
        (
            {"$ref": "#/definitions/Egg", "definitions": {"Egg": {"type": "string"}}},
            {"type": "string"},
        ),
    ],
)
def test_schemas(schema: Any, expected: Any) -> None:
    result = to_gemini_schema(schema)

    assert result == expected
    assert_known(result)


def test_a_type_that_contains_itself_is_cut() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node", "description": "More."}}}

    result = to_gemini_schema(
        {"type": "object", "properties": {"node": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": node}}
    )

    assert_known(result)
    assert result["type"] == "object"


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Egg:
    """An egg."""

    size: Size
    level: Level
    marks: list[str]
    inside: Egg | None = None


def test_the_parameters_of_a_tool_become_known_ones() -> None:
    @tool
    def cook(
        egg: Egg,
        minutes: int | float | None = None,
        how: Literal["soft", "hard"] = "hard",
        notes: dict[str, int] | None = None,
        pair: tuple[str, int] = ("a", 1),
        anything: Any = None,
    ) -> str:
        """Cook an egg."""
        return "done"

    result: Any = to_gemini_schema(cook.spec.parameters)

    assert_known(result)
    assert set(result["properties"]) == {"egg", "minutes", "how", "notes", "pair", "anything"}
    assert result["required"] == ["egg"]
