"""A JSON Schema checker that knows nothing of the grammar: the judge of what the grammar lets through."""

from __future__ import annotations

import re
from typing import Any


def problems(value: Any, schema: dict[str, Any], root: dict[str, Any] | None = None, path: str = "$") -> list[str]:
    """List what is wrong with a value; nothing is when it fits."""
    root = schema if root is None else root
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    found: list[str] = []

    def check(is_kept: bool, keyword: str) -> None:
        if not is_kept:
            found.append(f"{path}: {keyword} {schema.get(keyword)!r} is broken by {value!r}")

    if "const" in schema:
        check(_same(value, schema["const"]), "const")
    if "enum" in schema:
        check(any(_same(value, one) for one in schema["enum"]), "enum")
    if "anyOf" in schema:
        check(any(not problems(value, one, root) for one in schema["anyOf"]), "anyOf")
    for one in schema.get("allOf", []):
        found += problems(value, one, root, path)
    kinds = schema.get("type")
    if kinds is not None:
        check(any(_is_a(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)), "type")
    if isinstance(value, str):
        check(schema.get("minLength", 0) <= len(value), "minLength")
        check(len(value) <= schema.get("maxLength", len(value)), "maxLength")
        check(re.search(schema.get("pattern", ""), value) is not None, "pattern")
    elif isinstance(value, bool):
        pass
    elif isinstance(value, (int, float)):
        check(value >= schema.get("minimum", value), "minimum")
        check(value <= schema.get("maximum", value), "maximum")
        check("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"], "exclusiveMinimum")
        check("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"], "exclusiveMaximum")
        times = value / schema.get("multipleOf", 1)
        check("multipleOf" not in schema or abs(times - round(times)) < 1e-6, "multipleOf")
    elif isinstance(value, list):
        check(schema.get("minItems", 0) <= len(value), "minItems")
        check(len(value) <= schema.get("maxItems", len(value)), "maxItems")
        check(not schema.get("uniqueItems") or len({repr(item) for item in value}) == len(value), "uniqueItems")
        places = schema.get("prefixItems", [])
        rest = schema.get("items", {})
        check(rest is not False or len(value) <= len(places), "items")
        for index, item in enumerate(value):
            inner = places[index] if index < len(places) else rest
            found += problems(item, inner or {}, root, f"{path}[{index}]")
    elif isinstance(value, dict):
        properties, other = schema.get("properties", {}), schema.get("additionalProperties", True)
        check(all(name in value for name in schema.get("required", [])), "required")
        check(other is not False or set(value) <= set(properties), "additionalProperties")
        check(schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value)), "minProperties")
        names = schema.get("propertyNames", {}).get("enum")
        check(names is None or set(value) <= set(names), "propertyNames")
        for name, item in value.items():
            inner = properties.get(name, other if isinstance(other, dict) else {})
            found += problems(item, inner, root, f"{path}.{name}")
    return found


def _is_a(value: Any, kind: str) -> bool:
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    types = {"string": str, "boolean": bool, "null": type(None), "array": list, "object": dict}
    return isinstance(value, types[kind])


def _same(value: Any, other: Any) -> bool:
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)
