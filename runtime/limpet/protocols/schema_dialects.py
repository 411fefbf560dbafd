"""What each service takes of JSON Schema when an answer must fit one, as a table, and the rewriting by it.

What a service doesn't know is said otherwise where that is possible, else it is moved into the description: the answer
is checked against the real schema anyway. Services that want every object closed are told so; where they also want
every property required, those that may be left out become nullable, and `json_schema.without_absent` takes such nulls
out again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import cast

from ..errors import UnsupportedError
from ..json_schema import as_items, as_schema, is_closable, joined
from ..wire import Json, JsonObject

_SIZES = frozenset({"minItems", "maxItems"})
_RANGES = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_LENGTHS = frozenset({"minLength", "maxLength"})
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"})
_INFINITY = 1_000_000


@dataclass(frozen=True, slots=True)
class SchemaDialect:
    """What a service takes.

    `keywords` are those it takes beside `type`, `enum`, `anyOf`, `properties`, `items`, `required`, `description`,
    `$ref` and `$defs`; None means that a schema goes as it is. `formats` are the values it takes of `format`,
    `most_min_items` is its largest `minItems`. With `is_closed` objects get `additionalProperties: false`, with
    `has_all_required` every property is required; with `has_one_required` that is done to objects that would have none.
    `strict` is sent where the format has that field. With `has_loose` a schema that can't be closed is sent as it is
    and without `strict`; else it is refused.
    """

    keywords: frozenset[str] | None = None
    formats: frozenset[str] = frozenset()
    most_min_items: int = _INFINITY
    is_closed: bool = False
    has_all_required: bool = False
    has_one_required: bool = False
    strict: bool | None = None
    has_loose: bool = False


AS_IS = SchemaDialect()
"""Servers that compile a schema themselves (vLLM, LM Studio, SGLang) or document no subset."""
# platform.openai.com/docs/guides/structured-outputs, "Supported schemas"
OPENAI = SchemaDialect(
    _SIZES | _RANGES | {"pattern"}, _FORMATS, is_closed=True, has_all_required=True, strict=True, has_loose=True
)
# learn.microsoft.com, "Structured outputs": the same, but for keywords that speak of one type.
AZURE = SchemaDialect(frozenset(), is_closed=True, has_all_required=True, strict=True, has_loose=True)
# Anthropic's "Structured outputs", "JSON Schema limitations", and `transform_schema` of its Python library
ANTHROPIC = SchemaDialect(frozenset({"minItems"}), _FORMATS | {"uri"}, most_min_items=1, is_closed=True)
# docs.aws.amazon.com/bedrock, "Get validated JSON results from models": the limits are those of Anthropic.
BEDROCK = ANTHROPIC
# ai.google.dev/api/generate-content, `responseJsonSchema`: "only a subset of JSON Schema is supported"
GEMINI = SchemaDialect(
    _SIZES | {"minimum", "maximum", "prefixItems", "additionalProperties", "title"},
    frozenset({"date-time", "date", "time"}),
)
# docs.mistral.ai, "Custom structured outputs", and `rec_strict_json_schema` of its Python library
MISTRAL = SchemaDialect(
    _SIZES | _RANGES | _LENGTHS | {"pattern", "default", "const"}, _FORMATS, is_closed=True, strict=True, has_loose=True
)
# docs.cohere.com/docs/structured-outputs: no ranges, lengths, sizes, anchors; each object needs a required property.
COHERE = SchemaDialect(
    frozenset({"const", "additionalProperties"}),
    frozenset({"date-time", "uuid", "date", "time"}),
    has_one_required=True,
)
# inference-docs.cerebras.ai/capabilities/structured-outputs, "Schema limitations"
CEREBRAS = SchemaDialect(frozenset(), is_closed=True, has_all_required=True, strict=True, has_loose=True)
# docs.x.ai, "Structured Outputs", "JSON Schema support": objects are closed unless they say otherwise.
XAI = SchemaDialect(
    _RANGES | {"const", "additionalProperties"}, frozenset({"date", "time", "date-time", "email", "uuid", "ipv4"})
)
# docs.fireworks.ai, "Structured outputs": no sizes, lengths or patterns.
FIREWORKS = SchemaDialect(_RANGES | {"const", "additionalProperties", "default", "title"}, _FORMATS)
# Ollama and llama.cpp make a grammar of it, which refuses a pattern that isn't anchored at both ends.
LLAMA_CPP = SchemaDialect(
    _SIZES | _RANGES | _LENGTHS | {"const", "prefixItems", "additionalProperties", "default", "title"},
    frozenset({"date", "time", "date-time", "uuid"}),
)

_STRUCTURE = ("$defs", "$ref", "anyOf", "enum", "items", "properties", "required", "type")
_UNTOLD = ("$schema", "$id", "title", "description", "discriminator", "additionalProperties", "propertyNames")
_NULL: JsonObject = {"type": "null"}


def render_output(schema: JsonObject, dialect: SchemaDialect) -> tuple[JsonObject, bool | None]:
    """Give the schema as a service takes it, and what its `strict` is to be.

    Raises `UnsupportedError` for a schema that can't be closed where the service wants that.

    >>> render_output({"type": "array", "items": {"type": "integer"}, "minItems": 2}, ANTHROPIC)[0]
    {'type': 'array', 'items': {'type': 'integer'}, 'minItems': 1, 'description': '(minItems: 2)'}
    """
    if dialect.keywords is None:
        return schema, dialect.strict
    if dialect.is_closed and not is_closable(schema):
        if not dialect.has_loose:
            raise UnsupportedError(
                "the answer's type has a dict, Any or itself in it, which the service can't be made to fit; "
                "ask for it by a tool (mode 'tool')"
            )
        return schema, None
    return _rewrite(schema, dialect), dialect.strict


def _rewrite(schema: JsonObject, dialect: SchemaDialect) -> JsonObject:
    assert dialect.keywords is not None
    if "$ref" in schema:
        reference: JsonObject = {"$ref": schema["$ref"]}
        text = schema.get("description")  # which may not stand beside it
        return {"anyOf": [reference], "description": text} if text else reference
    schema = _plain(schema, dialect)
    result: JsonObject = {name: schema[name] for name in schema if name in _STRUCTURE or name in dialect.keywords}
    if schema.get("format") in dialect.formats:
        result["format"] = schema["format"]
    least = result.get("minItems")
    if isinstance(least, int) and least > dialect.most_min_items:
        result["minItems"] = dialect.most_min_items
    _add_words(result, schema)
    for name in ("anyOf", "prefixItems"):
        if isinstance(members := result.get(name), list):
            result[name] = [_rewrite(as_schema(member), dialect) for member in members]
    for name in ("items", "additionalProperties"):
        if isinstance(child := result.get(name), dict):
            result[name] = _rewrite(child, dialect)
    if isinstance(definitions := result.get("$defs"), dict):
        result["$defs"] = {name: _rewrite(as_schema(item), dialect) for name, item in definitions.items()}
    if "properties" in schema:
        _rewrite_properties(result, dialect)
    return result


def _add_words(result: JsonObject, schema: JsonObject) -> None:
    notes = [
        f"{name}: {json.dumps(value, ensure_ascii=False)}"
        for name, value in schema.items()
        if name not in _UNTOLD and name not in _STRUCTURE and result.get(name) != value
    ]
    words = " ".join([str(schema.get("description") or ""), f"({', '.join(notes)})" if notes else ""]).strip()
    if words:
        result["description"] = words


def _rewrite_properties(result: JsonObject, dialect: SchemaDialect) -> None:
    properties = {name: _rewrite(as_schema(item), dialect) for name, item in as_schema(result["properties"]).items()}
    known = as_items(result.get("required"))
    if dialect.has_all_required or (dialect.has_one_required and not known):
        properties = {name: item if name in known else _nullable(item) for name, item in properties.items()}
        result["required"] = list[Json](properties)
    result["properties"] = cast(JsonObject, properties)
    if dialect.is_closed:
        result["additionalProperties"] = False


def _plain(schema: JsonObject, dialect: SchemaDialect) -> JsonObject:
    """Say in the words that all dialects have what can be said in them."""
    assert dialect.keywords is not None
    schema = joined(schema)
    if "oneOf" in schema:
        schema["anyOf"] = schema.pop("oneOf")
    if "const" in schema and "const" not in dialect.keywords:
        schema["enum"] = [schema.pop("const")]
    kind = schema.get("type")
    if isinstance(kind, list):
        schema = _split(schema, kind)
    if kind == "integer":
        for name, bound, step in (("exclusiveMinimum", "minimum", 1), ("exclusiveMaximum", "maximum", -1)):
            limit = schema.get(name)
            if name not in dialect.keywords and bound not in schema and isinstance(limit, int):
                schema = {**{key: value for key, value in schema.items() if key != name}, bound: limit + step}
    places = schema.get("prefixItems")
    if isinstance(places, list) and "prefixItems" not in dialect.keywords:
        unique = [place for index, place in enumerate(places) if place not in places[:index]]
        schema = {name: value for name, value in schema.items() if name != "prefixItems"}
        schema["items"] = unique[0] if len(unique) == 1 else {"anyOf": unique}
        names = ", ".join(str(as_schema(place).get("type", "value")) for place in places)
        schema["description"] = f"{schema.get('description', '')} In this order: {names}.".strip()
    return schema


def _split(schema: JsonObject, kinds: list[Json]) -> JsonObject:
    """Write a list of types as `anyOf`, which all dialects have. Each keyword speaks of one type, `enum` of all."""
    outer: JsonObject = {name: schema[name] for name in ("description", "title", "default", "$defs") if name in schema}
    inner = {name: value for name, value in schema.items() if name not in outer}
    members = [_NULL if kind == "null" else {**_of_type(inner, str(kind)), "type": kind} for kind in kinds]
    return {"anyOf": list[Json](members), **outer} if len(members) > 1 else {**members[0], **outer}


_PYTHON_TYPES = {"string": (str,), "boolean": (bool,), "integer": (int,), "number": (int, float)}
_OF_TYPES: dict[str, frozenset[str]] = {
    "string": _LENGTHS | {"pattern", "format"},
    "number": _RANGES,
    "integer": _RANGES,
    "array": _SIZES | {"items", "prefixItems", "uniqueItems"},
    "object": frozenset({"properties", "required", "additionalProperties", "propertyNames"}),
}
_OF_ANY_TYPE = frozenset[str]().union(*_OF_TYPES.values())


def _of_type(schema: JsonObject, kind: str) -> JsonObject:
    others = _OF_ANY_TYPE - _OF_TYPES.get(kind, frozenset())
    result = {name: value for name, value in schema.items() if name not in others}
    if "enum" in result:
        types = _PYTHON_TYPES.get(kind, ())
        result["enum"] = [choice for choice in as_items(result["enum"]) if type(choice) in types]
    return result


def _nullable(schema: JsonObject) -> JsonObject:
    if schema == _NULL:
        return schema
    text = {name: value for name, value in schema.items() if name == "description"}
    inner = {name: value for name, value in schema.items() if name != "description"}
    members = as_items(inner["anyOf"]) if set(inner) == {"anyOf"} else [inner]
    return {"anyOf": [*(member for member in members if member != _NULL), _NULL], **text}
