"""A value that fits a JSON Schema, always the same one; good enough for the schemas that Limpet sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FORMATS = {
    "date": "2026-11-22",
    "date-time": "2026-11-22T21:00:00Z",
    "time": "21:00:00Z",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "email": "a@example.com",
    "uri": "https://example.com/",
    "duration": "PT10M",
}


def fit(schema: Mapping[str, Any]) -> Any:
    """Give a value.

    >>> fit({"type": "object", "properties": {"minutes": {"type": "integer", "minimum": 1}}})
    {'minutes': 1}
    """
    return _fit(schema, schema)


def _fit(schema: Any, root: Mapping[str, Any]) -> Any:
    if not isinstance(schema, Mapping):
        return "anything"
    if "$ref" in schema:
        return _fit(_resolve(schema["$ref"], root), root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for name in ("anyOf", "oneOf"):
        choices = [choice for choice in schema.get(name, ()) if choice.get("type") != "null"]
        if choices:
            return _fit(choices[0], root)
    if schema.get("allOf"):
        merged: dict[str, Any] = {}
        for part in schema["allOf"]:
            merged |= _resolve(part["$ref"], root) if "$ref" in part else part
        return _fit(merged, root)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "string"
    return _KINDS.get(kind.lower(), _string)(schema, root)  # Gemini writes the types in capitals


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for step in reference.lstrip("#").split("/"):
        if step:
            found = found[step.replace("~1", "/").replace("~0", "~")]
    return found


def _string(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    text = _FORMATS.get(schema.get("format", ""), "eggs")
    text += "x" * (int(schema.get("minLength", 0)) - len(text))
    return text[: int(schema.get("maxLength", len(text)))]


def _integer(schema: Mapping[str, Any], root: Mapping[str, Any]) -> int:
    low = int(max(schema.get("minimum", 1), schema.get("exclusiveMinimum", 0) + 1))
    step = int(schema.get("multipleOf", 1))
    value = -(-low // step) * step
    high = schema.get("maximum", schema.get("exclusiveMaximum", value + 1) - 1)
    return int(min(value, high))


def _number(schema: Mapping[str, Any], root: Mapping[str, Any]) -> float:
    low = max(schema.get("minimum", 1.5), schema.get("exclusiveMinimum", 0.0) + 0.5)
    return float(min(low, schema.get("maximum", low)))


def _array(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[Any]:
    places = [_fit(item, root) for item in schema.get("prefixItems", ())]
    most = schema.get("maxItems", 1)
    wanted = max(int(schema.get("minItems", 0)), min(1, most), len(places))
    return places + [_fit(schema.get("items", {"type": "string"}), root) for _ in range(wanted - len(places))]


def _object(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties", {})
    # All of them, but of one that contains itself only what must be there.
    names = schema.get("required", ()) if "$ref" in repr(properties) else properties
    return {name: _fit(properties[name], root) for name in names}


_KINDS: Mapping[str, Any] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": lambda *_: True,
    "null": lambda *_: None,
    "array": _array,
    "object": _object,
}
