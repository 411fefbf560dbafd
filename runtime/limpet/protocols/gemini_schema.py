"""JSON Schema into the part of OpenAPI 3.0 that Gemini takes for a function's parameters.

Source: the `Schema` type of Google's API reference. A keyword it doesn't list makes the whole request be refused, so
what can be said otherwise is, and the rest is left out: the arguments are checked against the real schema anyway.
"""

from __future__ import annotations

from typing import cast

from ..json_schema import Definitions, as_schema, flattened, joined, without_null
from ..wire import Json, JsonObject

_WORDS = ("title", "description")
_KEPT = (
    *_WORDS,
    "nullable",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
)
# Others are refused: "only 'enum' and 'date-time' are supported for STRING type".
_FORMATS = {"string": ("date-time",), "number": ("float", "double"), "integer": ("int32", "int64")}
_ANYTHING: JsonObject = {
    "anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "object"}],
}


def to_gemini_schema(schema: JsonObject) -> JsonObject:
    """Rewrite a schema. A type that contains itself becomes an object of any shape where it does.

    >>> to_gemini_schema({"type": ["integer", "null"], "exclusiveMinimum": 0})
    {'type': 'integer', 'nullable': True, 'minimum': 1}
    """
    definitions = {**_objects(schema.get("$defs")), **_objects(schema.get("definitions"))}
    plain = {name: value for name, value in schema.items() if name not in ("$defs", "definitions")}
    return _rewrite(
        flattened(_point_to_defs(plain), {name: _point_to_defs(item) for name, item in definitions.items()})
    )


def _rewrite(schema: JsonObject) -> JsonObject:
    if "$ref" in schema:
        return {"type": "object", **_words(schema)}
    schema = joined(schema)
    if not set(schema) - set(_WORDS):
        return {**_ANYTHING, **_words(schema)}
    members = schema.get("anyOf") or schema.get("oneOf")
    kinds = schema.get("type")
    if isinstance(kinds, list) and len([kind for kind in kinds if kind != "null"]) > 1:
        # Each keyword speaks of one type, so it may stand with each of them.
        members = [{**schema, "type": kind} for kind in kinds]
    if isinstance(members, list):
        return _rewrite_union(schema, [as_schema(member) for member in members])
    result: JsonObject = {}
    if without_null(schema) != schema:
        schema = without_null(schema)
        result["nullable"] = True
    kind = schema.get("type") or _guess_type(schema)
    result = {"type": kind, **result, **{name: schema[name] for name in _KEPT if name in schema}}
    _add_bounds(result, schema)
    _add_choices(result, schema)
    if schema.get("format") in _FORMATS.get(str(kind), ()):
        result["format"] = schema["format"]
    if kind == "array":
        result["items"] = _rewrite_items(schema)
    properties = _objects(schema.get("properties"))
    if kind == "object" and properties:
        result["properties"] = {name: _rewrite(item) for name, item in properties.items()}
        required = schema.get("required")
        names: list[Json] = [name for name in required if name in properties] if isinstance(required, list) else []
        if names:
            result["required"] = names
    return result


def _rewrite_union(schema: JsonObject, members: list[JsonObject]) -> JsonObject:
    left = [member for member in members if member.get("type") != "null"]
    result = _words(schema)
    if len(left) < len(members):
        result["nullable"] = True
    if len(left) == 1:
        return {**_rewrite(left[0]), **result}
    # The description stands once, at the union.
    rewritten = [
        _rewrite({name: value for name, value in member.items() if result.get(name) != value}) for member in left
    ]
    return {"anyOf": list[Json](rewritten), **result}


def _rewrite_items(schema: JsonObject) -> JsonObject:
    first = schema.get("prefixItems")
    if isinstance(first, list) and first:
        unique = [_rewrite(as_schema(item)) for index, item in enumerate(first) if item not in first[:index]]
        return unique[0] if len(unique) == 1 else {"anyOf": list[Json](unique)}
    return _rewrite(as_schema(schema.get("items")))


def _add_bounds(result: JsonObject, schema: JsonObject) -> None:
    step = 1 if result["type"] == "integer" else 0
    for name, bound, sign in (("exclusiveMinimum", "minimum", step), ("exclusiveMaximum", "maximum", -step)):
        value = schema.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and bound not in result:
            result[bound] = value + sign


def _add_choices(result: JsonObject, schema: JsonObject) -> None:
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if not isinstance(choices, list):
        return
    if None in choices:
        result["nullable"] = True
    if result["type"] in ("string", "integer"):  # the choices are strings, whatever the type
        result |= {"format": "enum", "enum": [str(choice) for choice in choices if choice is not None]}


def _words(schema: JsonObject) -> JsonObject:
    return {name: schema[name] for name in _WORDS if name in schema}


def _guess_type(schema: JsonObject) -> str:
    choices = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if isinstance(choices, list) and choices:
        if all(isinstance(choice, int) and not isinstance(choice, bool) for choice in choices if choice is not None):
            return "integer"
        return "string"
    return "array" if "items" in schema or "prefixItems" in schema else "object"


def _point_to_defs(schema: JsonObject) -> JsonObject:
    """Write references in the one spelling that `flattened` reads."""

    def copy(node: Json) -> Json:
        if isinstance(node, list):
            return [copy(item) for item in node]
        if not isinstance(node, dict):
            return node
        result: JsonObject = {name: copy(item) for name, item in node.items()}
        reference = result.get("$ref")
        if isinstance(reference, str):
            result["$ref"] = reference.replace("#/definitions/", "#/$defs/")
        return result

    return cast(JsonObject, copy(schema))


def _objects(value: Json) -> Definitions:
    return {name: item for name, item in as_schema(value).items() if isinstance(item, dict)}
