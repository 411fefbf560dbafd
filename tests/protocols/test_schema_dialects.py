"""What becomes of a schema for each service: nothing that it refuses is left, and nothing is lost without a word."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from limpet.errors import ModelError, UnsupportedError
from limpet.json_schema import is_closable, without_absent
from limpet.messages import Message
from limpet.model import ModelReference, ModelRequest, ToolSpec
from limpet.protocols import schema_dialects
from limpet.protocols.schema_dialects import (
    ANTHROPIC,
    AS_IS,
    AZURE,
    BEDROCK,
    CEREBRAS,
    COHERE,
    FIREWORKS,
    GEMINI,
    LLAMA_CPP,
    MISTRAL,
    OPENAI,
    XAI,
    SchemaDialect,
    render_output,
)
from limpet.providers import PROVIDERS, create_model
from limpet.wire import Json, JsonObject
from tests.fakes.fetch import FakeFetch, FakeResponse
from tests.fakes.host import make_host

GO = (Message.user("Go."),)
POINT: JsonObject = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}
EVERYTHING: JsonObject = {
    "title": "Everything",
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 9, "pattern": "^[a-z]+$", "description": "A name."},
        "day": {"type": "string", "format": "date"},
        "site": {"type": "string", "format": "iri"},
        "count": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10, "multipleOf": 2},
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 3, "uniqueItems": True},
        "pair": {
            "type": "array",
            "prefixItems": [{"type": "string"}, {"type": "integer"}],
            "minItems": 2,
            "maxItems": 2,
        },
        "size": {"type": ["string", "null"], "enum": ["S", "M", None]},
        "mixed": {"type": ["string", "integer"], "minLength": 2, "minimum": 3},
        "kind": {"type": "string", "const": "a"},
        "place": {"oneOf": [POINT, {"type": "null"}]},
        "joined": {"allOf": [POINT, {"properties": {"y": {"type": "number"}}, "required": ["y"]}]},
        "left": {"type": "integer", "default": 5, "description": "May be left out."},
        "note": {"type": ["string", "null"]},
    },
    "required": ["name", "day", "site", "count", "share", "tags", "pair", "size", "mixed", "kind", "place", "joined"],
}
OPEN: JsonObject = {
    "type": "object",
    "properties": {"ages": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}},
    "required": ["ages"],
}
CYCLE: JsonObject = {
    "type": "object",
    "properties": {"next": {"$ref": "#/$defs/Node", "description": "The next."}},
    "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}},
}

# What each service's documents say it takes, beside what all take: a second reading of them than the table's.
COMMON = {"type", "description", "properties", "required", "items", "enum", "anyOf", "$ref", "$defs"}
RANGES = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
TAKEN: dict[str, set[str]] = {
    "OPENAI": COMMON | RANGES | {"additionalProperties", "pattern", "format", "minItems", "maxItems"},
    "AZURE": COMMON | {"additionalProperties"},
    "ANTHROPIC": COMMON | {"additionalProperties", "format", "minItems"},
    "BEDROCK": COMMON | {"additionalProperties", "format", "minItems"},
    "GEMINI": COMMON
    | {"additionalProperties", "title", "format", "minimum", "maximum", "minItems", "maxItems", "prefixItems"},
    "MISTRAL": COMMON
    | RANGES
    | {"additionalProperties", "const", "default", "pattern", "format"}
    | {"minLength", "maxLength", "minItems", "maxItems"},
    "COHERE": COMMON | {"additionalProperties", "const", "format"},
    "CEREBRAS": COMMON | {"additionalProperties"},
    "XAI": COMMON | RANGES | {"additionalProperties", "const", "format"},
    "FIREWORKS": COMMON | RANGES | {"additionalProperties", "const", "default", "title", "format"},
    "LLAMA_CPP": COMMON
    | RANGES
    | {"additionalProperties", "const", "default", "title", "format", "prefixItems"}
    | {"minLength", "maxLength", "minItems", "maxItems"},
}
ROWS: dict[str, SchemaDialect] = {
    name: row for name, row in vars(schema_dialects).items() if isinstance(row, SchemaDialect) and row is not AS_IS
}
CLOSED = {name for name, row in ROWS.items() if row.is_closed}


def nodes(schema: Json) -> Iterator[JsonObject]:
    """Give each schema in a schema."""
    assert isinstance(schema, dict)
    yield schema
    lists: list[Any] = [schema.get("anyOf", []), schema.get("prefixItems", [])]
    lists += [list(schema.get(name, {}).values()) for name in ("properties", "$defs")]  # type: ignore[union-attr]
    lists += [[schema[name]] for name in ("items", "additionalProperties") if isinstance(schema.get(name), dict)]
    for group in lists:
        for child in group:
            yield from nodes(child)


def test_the_table_has_a_row_for_each_that_is_documented_here() -> None:
    assert set(ROWS) == set(TAKEN)
    assert {"OPENAI", "AZURE", "ANTHROPIC", "BEDROCK", "MISTRAL", "CEREBRAS"} == CLOSED


@pytest.mark.parametrize("name", ROWS)
def test_nothing_is_sent_that_a_service_does_not_take(name: str) -> None:
    sent, strict = render_output(EVERYTHING, ROWS[name])

    assert {keyword for node in nodes(sent) for keyword in node} <= TAKEN[name]
    assert all(isinstance(node.get("type", ""), str) for node in nodes(sent))
    objects = [node for node in nodes(sent) if node.get("type") == "object"]
    assert all(node.get("additionalProperties") == (False if name in CLOSED else None) for node in objects)
    assert strict is ROWS[name].strict


@pytest.mark.parametrize("name", ROWS)
def test_what_is_not_sent_is_said(name: str) -> None:
    properties: Any = render_output(EVERYTHING, ROWS[name])[0]["properties"]
    original: Any = EVERYTHING["properties"]

    for keyword in ("minLength", "maxLength", "pattern", "minimum", "maximum", "minItems", "maxItems", "default"):
        for field, schema in original.items():
            if field != "mixed" and keyword in schema:
                said = f"{keyword}: {json.dumps(schema[keyword])}" in properties[field].get("description", "")
                kept = properties[field].get(keyword) == schema[keyword]
                kept = kept or any(node.get(keyword) == schema[keyword] for node in nodes(properties[field]))
                assert said != kept, (field, keyword)


def test_a_schema_for_openai() -> None:
    sent, strict = render_output(EVERYTHING, OPENAI)

    null = {"type": "null"}
    point = {**POINT, "additionalProperties": False}
    assert strict is True
    assert sent == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "pattern": "^[a-z]+$", "description": "A name. (minLength: 1, maxLength: 9)"},
            "day": {"type": "string", "format": "date"},
            "site": {"type": "string", "description": '(format: "iri")'},
            "count": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10, "multipleOf": 2},
            "share": {"type": "number", "minimum": 0, "maximum": 1},
            "tags": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 2,
                "maxItems": 3,
                "description": "(uniqueItems: true)",
            },
            "pair": {
                "type": "array",
                "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                "minItems": 2,
                "maxItems": 2,
                "description": "In this order: string, integer.",
            },
            "size": {"anyOf": [{"type": "string", "enum": ["S", "M"]}, null]},
            "mixed": {
                "anyOf": [{"type": "string", "description": "(minLength: 2)"}, {"type": "integer", "minimum": 3}]
            },
            "kind": {"type": "string", "enum": ["a"]},
            "place": {"anyOf": [point, null]},
            "joined": {
                "type": "object",
                "properties": {"x": {"type": "number"}, "y": {"type": "number"}},
                "required": ["x", "y"],
                "additionalProperties": False,
            },
            "left": {"anyOf": [{"type": "integer"}, null], "description": "May be left out. (default: 5)"},
            "note": {"anyOf": [{"type": "string"}, null]},
        },
        "required": list(EVERYTHING["properties"]),  # type: ignore[arg-type]
        "additionalProperties": False,
    }


def test_a_schema_for_anthropic_leaves_out_what_may_be_left_out() -> None:
    sent: Any = render_output(EVERYTHING, ANTHROPIC)[0]

    assert sent["required"] == EVERYTHING["required"]
    assert sent["properties"]["left"] == {"type": "integer", "description": "May be left out. (default: 5)"}
    assert sent["properties"]["tags"] == {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "description": "(minItems: 2, maxItems: 3, uniqueItems: true)",
    }
    assert sent["properties"]["count"]["description"] == "(multipleOf: 2, minimum: 1, maximum: 9)"


def test_gemini_is_told_of_integers_in_the_bounds_it_knows() -> None:
    sent: Any = render_output(EVERYTHING, GEMINI)[0]

    count = {"type": "integer", "minimum": 1, "maximum": 9, "description": "(multipleOf: 2)"}
    assert sent["properties"]["count"] == count
    assert sent["properties"]["pair"] == EVERYTHING["properties"]["pair"]  # type: ignore[index,call-overload]


def test_cohere_has_one_required_property_in_each_object() -> None:
    schema: JsonObject = {"type": "object", "properties": {"a": {"type": "integer"}}}

    assert render_output(schema, COHERE)[0] == {
        "type": "object",
        "properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
        "required": ["a"],
    }


def test_servers_without_a_subset_get_the_schema_as_it_is() -> None:
    assert render_output(EVERYTHING, AS_IS) == (EVERYTHING, None)


@pytest.mark.parametrize(
    "schema", [OPEN, CYCLE, {"type": "object", "properties": {"any": {}}}], ids=["dict", "cycle", "any"]
)
@pytest.mark.parametrize("name", sorted(CLOSED))
def test_what_cant_be_closed_is_sent_loosely_or_refused(name: str, schema: JsonObject) -> None:
    if ROWS[name].has_loose:
        assert render_output(schema, ROWS[name]) == (schema, None)
    else:
        with pytest.raises(UnsupportedError, match="mode 'tool'"):
            render_output(schema, ROWS[name])


def test_a_free_dict_keeps_the_schema_of_its_values_where_objects_may_be_open() -> None:
    sent: Any = render_output(OPEN, COHERE)[0]

    assert sent["properties"]["ages"] == {
        "type": "object",
        "additionalProperties": {"type": "integer", "description": "(minimum: 0)"},
    }


def test_nothing_stands_beside_a_reference() -> None:
    sent: Any = render_output(CYCLE, GEMINI)[0]

    assert sent["properties"]["next"] == {"anyOf": [{"$ref": "#/$defs/Node"}], "description": "The next."}
    assert sent["$defs"] == CYCLE["$defs"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (EVERYTHING, True),
        (OPEN, False),
        (CYCLE, False),
        ({"type": "array"}, False),
        ({"type": "array", "items": {}}, False),
        ({"type": "array", "prefixItems": [{"type": "string"}], "items": False}, True),
        ({"type": "object", "properties": {"a": {"description": "Anything."}}}, False),
        ({"type": "object", "properties": {"a": {"enum": [1]}}, "additionalProperties": False}, True),
        ({"type": ["object", "null"]}, False),
    ],
)
def test_whether_a_schema_can_be_closed(schema: JsonObject, expected: bool) -> None:
    assert is_closable(schema) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"name": "a", "left": None, "note": None}, {"name": "a", "note": None}),
        ({"name": None, "unknown": None}, {"name": None, "unknown": None}),
        ({"size": None, "place": None, "kind": None}, {"size": None, "place": None, "kind": None}),
        ([{"left": None}], [{"left": None}]),
        (None, None),
    ],
)
def test_nulls_for_what_was_left_out_are_taken_out(value: Json, expected: Json) -> None:
    assert without_absent(value, EVERYTHING) == expected


def test_nulls_are_taken_out_at_any_depth() -> None:
    item: JsonObject = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"enum": [1, None]}}}
    schema: JsonObject = {
        "type": "object",
        "properties": {
            "list": {"type": "array", "items": {"$ref": "#/$defs/Item"}},
            "pair": {"type": "array", "prefixItems": [item, POINT]},
            "one": {"anyOf": [item, POINT]},
            "map": {"type": "object", "additionalProperties": item},
        },
        "$defs": {"Item": item},
    }
    full: Json = {"a": None, "b": None}

    value = without_absent({"list": [full], "pair": [full, {"x": None}], "one": full, "map": {"k": full}}, schema)

    left = {"b": None}
    assert value == {"list": [left], "pair": [left, {"x": None}], "one": left, "map": {"k": left}}


# --- who has which row ---


async def sent_body(name: str, options: Mapping[str, object], request: ModelRequest) -> Any:
    """Give what a provider sends for a request."""
    fetch = FakeFetch(FakeResponse(status=400))
    reference = ModelReference.parse(name)
    host = make_host(fetch=fetch, secrets=dict.fromkeys(ABLE_KEYS, "KEY"))
    model = create_model(replace(reference, options=options), host)
    with pytest.raises(ModelError):
        async for _ in model.stream(request):
            pass
    return json.loads(fetch.sent[0].body or b"")


ABLE_KEYS = (
    *("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AWS_BEARER_TOKEN_BEDROCK", "GEMINI_API_KEY"),
    *("MISTRAL_API_KEY", "COHERE_API_KEY", "CEREBRAS_API_KEY", "XAI_API_KEY", "FIREWORKS_API_KEY", "TOGETHER_API_KEY"),
    "GOOGLE_API_KEY",
)
AZURE_RESOURCE = {"resource": "r"}


@pytest.mark.parametrize(
    ("name", "options", "row", "place"),
    [
        ("openai:m", {}, OPENAI, ("response_format", "json_schema", "schema")),
        ("openai:m", {"api": "responses"}, OPENAI, ("text", "format", "schema")),
        ("azure:m", AZURE_RESOURCE, AZURE, ("response_format", "json_schema", "schema")),
        ("azure:m", {**AZURE_RESOURCE, "api": "responses"}, AZURE, ("text", "format", "schema")),
        (
            "azure:m",
            {**AZURE_RESOURCE, "api_version": "2024-10-21"},
            AZURE,
            ("response_format", "json_schema", "schema"),
        ),
        ("anthropic:m", {}, ANTHROPIC, ("output_config", "format", "schema")),
        ("bedrock:m", {}, BEDROCK, ("outputConfig", "textFormat", "structure", "jsonSchema", "schema")),
        ("gemini:m", {}, GEMINI, ("generationConfig", "responseJsonSchema")),
        ("vertex:gemini-3", {}, GEMINI, ("generationConfig", "responseJsonSchema")),
        ("mistral:m", {}, MISTRAL, ("response_format", "json_schema", "schema")),
        ("cohere:m", {}, COHERE, ("response_format", "json_schema")),
        ("cerebras:m", {}, CEREBRAS, ("response_format", "json_schema", "schema")),
        ("xai:m", {}, XAI, ("response_format", "json_schema", "schema")),
        ("fireworks:m", {}, FIREWORKS, ("response_format", "json_schema", "schema")),
        ("llamacpp:m", {}, LLAMA_CPP, ("response_format", "json_schema", "schema")),
        ("ollama:m", {}, LLAMA_CPP, ("format",)),
        ("together:m", {}, AS_IS, ("response_format", "json_schema", "schema")),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) if isinstance(value, dict) else "",
)
async def test_each_service_is_sent_what_it_takes(
    name: str, options: dict[str, object], row: SchemaDialect, place: tuple[str, ...]
) -> None:
    sent = await sent_body(name, options, ModelRequest(GO, output_schema=EVERYTHING))
    for key in place[:-1]:
        sent = sent[key]
    schema = sent[place[-1]]

    expected, strict = render_output(EVERYTHING, row)
    assert (json.loads(schema) if isinstance(schema, str) else schema) == expected
    assert sent.get("strict") is strict


@pytest.mark.parametrize(("name", "row"), [("xai:m", XAI), ("openai:m", AS_IS), ("together:m", AS_IS)])
async def test_parameters_of_tools_are_rewritten_where_the_same_rules_hold(name: str, row: SchemaDialect) -> None:
    sent = await sent_body(name, {}, ModelRequest(GO, tools=(ToolSpec("go", "Go.", EVERYTHING),)))

    assert sent["tools"][0]["function"]["parameters"] == render_output(EVERYTHING, row)[0]


def test_what_services_refuse_together_is_told() -> None:
    host = make_host(secrets=dict.fromkeys(ABLE_KEYS, "KEY"))
    infos = [create_model(ModelReference(name, "m"), host).info for name in PROVIDERS if name != "local"]

    assert {info.provider for info in infos if not info.has_schema_with_tools} == {
        *("ollama", "vllm", "llamacpp", "lmstudio", "openai_compatible"),
        *("cerebras", "cohere", "gemini", "vertex", "workers_ai"),
    }
    assert {info.provider for info in infos if not info.has_required_tools} == {
        *("ollama", "deepseek", "moonshot", "zai"),
    }
    assert create_model(ModelReference("vertex", "claude-1", options={"project": "p"}), host).info.has_schema_with_tools
