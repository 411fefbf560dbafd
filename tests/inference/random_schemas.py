"""Schemas made by chance, the same on every host: all that an answer's schema may say."""

from __future__ import annotations

from typing import Any

from tests.inference.chance import Numbers

NAMES = ["a", "name", "the city", "\u00fc", 'quo"te', "x_1", "is_true"]
WORDS = ["x", "true", "the", "a name", "\u00e9t\u00e9", 'say "hi"', "", "\u4e2d\u6587", "back\\slash", "1"]
PATTERNS = [
    *(r"^\d{3}-\d{4}$", r"^[a-z]+@[a-z]+\.(com|org)$", r"^(foo|ba[rz])*x?$", r"a", r"^[^,\"]{2,5}$", r"^\w+\s\S+$"),
    *(r"\u00e9[0-9]", r"^[A-Z]{2}\d*?$", r"^(?:yes|no)$", r"^.+$", r"\.$"),
]


def random_schema(numbers: Numbers, depth: int = 0, *, has_definitions: bool = False) -> dict[str, Any]:
    """Give a schema; at depth 0 it is an object, as those of outputs are."""
    if depth == 0:
        schema = _object(numbers, 0, has_definitions)
        if has_definitions:
            schema["$defs"] = {
                "Node": {
                    "type": "object",
                    "properties": {
                        "value": {"type": "integer"},
                        "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                    },
                    "required": ["value", "next"],
                }
            }
        return schema
    simple = [_integer, _number, _string, _pattern, _enum, _constant, _plain]
    nested = [_array, _set, _tuple, _object, _map, _union] if depth < 3 else []
    if has_definitions and numbers.below(8) == 0:
        return {"$ref": "#/$defs/Node"}
    return numbers.one_of([*simple, *nested])(numbers, depth, has_definitions)


def _integer(numbers: Numbers, depth: int, _: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    low = numbers.below(2400) - 1200
    if numbers.below(2):
        schema[numbers.one_of(["minimum", "exclusiveMinimum"])] = low
    if numbers.below(2):
        schema[numbers.one_of(["maximum", "exclusiveMaximum"])] = low + 20 + numbers.below(3000)
    if numbers.below(5) == 0:
        schema["multipleOf"] = numbers.one_of([2, 3, 5, 10, 0.5, 2.5])
    return schema


def _number(numbers: Numbers, depth: int, _: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "number"}
    low = (numbers.below(24000) - 12000) / numbers.one_of([1, 8, 10, 1000])
    if numbers.below(2):
        schema[numbers.one_of(["minimum", "exclusiveMinimum"])] = low
    if numbers.below(2):
        schema[numbers.one_of(["maximum", "exclusiveMaximum"])] = low + 1 + numbers.below(900) / 7
    if numbers.below(6) == 0:
        schema["multipleOf"] = numbers.one_of([0.1, 0.25, 0.5, 0.01])
    return schema


def _string(numbers: Numbers, depth: int, _: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if numbers.below(2):
        schema["minLength"] = numbers.below(5)
    if numbers.below(2):
        schema["maxLength"] = 5 + numbers.below(8)
    return schema


def _pattern(numbers: Numbers, depth: int, _: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "pattern": numbers.one_of(PATTERNS)}
    if numbers.below(3) == 0:
        schema |= {"minLength": 4, "maxLength": 40} if schema["pattern"] in (r"a", r"^.+$", r"^\w+\s\S+$") else {}
    return schema


def _enum(numbers: Numbers, depth: int, _: bool) -> dict[str, Any]:
    values: list[Any] = [*WORDS, 1, 12, -3, 2.5, True, False, None]
    return {"enum": list({repr(value): value for value in (numbers.one_of(values) for _ in range(4))}.values())}


def _constant(numbers: Numbers, depth: int, _: bool) -> dict[str, Any]:
    return {"const": numbers.one_of([*WORDS, 7, False, None])}


def _plain(numbers: Numbers, depth: int, _: bool) -> dict[str, Any]:
    return {"type": numbers.one_of(["boolean", "null", "integer", "string", ["integer", "null"], ["string", "number"]])}


def _array(numbers: Numbers, depth: int, has_definitions: bool) -> dict[str, Any]:
    schema = {"type": "array", "items": random_schema(numbers, depth + 1, has_definitions=has_definitions)}
    least = numbers.below(3)
    if numbers.below(2):
        schema |= {"minItems": least, "maxItems": least + numbers.below(3)}
    return schema


def _set(numbers: Numbers, depth: int, _: bool) -> dict[str, Any]:
    items = numbers.one_of([_enum(numbers, depth, False), {"type": "boolean"}])
    schema = {"type": "array", "items": items, "uniqueItems": True}
    return schema | ({"minItems": 1} if numbers.below(2) else {})


def _tuple(numbers: Numbers, depth: int, has_definitions: bool) -> dict[str, Any]:
    places = [random_schema(numbers, depth + 1, has_definitions=has_definitions) for _ in range(1 + numbers.below(3))]
    return {"type": "array", "prefixItems": places, "minItems": len(places), "maxItems": len(places)}


def _object(numbers: Numbers, depth: int, has_definitions: bool) -> dict[str, Any]:
    names = list(dict.fromkeys(numbers.one_of(NAMES) for _ in range(1 + numbers.below(4))))
    properties = {name: random_schema(numbers, depth + 1, has_definitions=has_definitions) for name in names}
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in names if numbers.below(3)],
        "additionalProperties": False,
    }


def _map(numbers: Numbers, depth: int, has_definitions: bool) -> dict[str, Any]:
    schema = {
        "type": "object",
        "additionalProperties": random_schema(numbers, depth + 1, has_definitions=has_definitions),
    }
    if numbers.below(2):
        schema |= {"propertyNames": {"enum": ["a", "b", 'c"', "\u00e9"]}, "minProperties": 1, "maxProperties": 3}
    return schema


def _union(numbers: Numbers, depth: int, has_definitions: bool) -> dict[str, Any]:
    return {"anyOf": [random_schema(numbers, depth + 1, has_definitions=has_definitions) for _ in range(2)]}
