"""Numbers that were said with a unit, put where that unit is.

A small model hears `15 minutes` and writes `hours: 15`, or `90 seconds` and writes `minutes: 90`. What was said is
certain, and so is what the tools' parameters are measured in: where both are known and differ, the number goes to the
parameter that has the unit, or else is converted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..wire import JsonObject
from .prompt import resolve_schema
from .quantities import Measured

_SIZES: dict[str, tuple[str, float]] = {
    "second": ("time", 1),
    "minute": ("time", 60),
    "hour": ("time", 3600),
    "day": ("time", 86400),
    "week": ("time", 604800),
    "milliliter": ("volume", 1),
    "liter": ("volume", 1000),
    "gram": ("mass", 1),
    "kilogram": ("mass", 1000),
    "meter": ("length", 1),
    "kilometer": ("length", 1000),
}
_NAME = re.compile(r"[a-z]+")
_DESCRIBED = re.compile(r"\bin (?:whole )?([a-z]+)s\b|\(([a-z]+)s\)", re.IGNORECASE)


def place_measured(
    measured: Sequence[Measured], schema: Mapping[str, object], arguments: JsonObject
) -> tuple[JsonObject, list[str], list[str]]:
    """Give the arguments with each number of a wrong unit moved or converted.

    The second value names the arguments that were changed, the third those whose number has a wrong unit and can't be
    changed into a right one.
    """
    units = _units_of(schema)
    if not measured or not units:
        return arguments, [], []
    required = schema.get("required")
    placed = dict(arguments)
    changed: list[str] = []
    wrong: list[str] = []
    for name, unit in units.items():
        value = placed.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        said = _said_otherwise(value, unit, measured)
        if said is None:
            continue
        other = next((place for place, its in units.items() if its == said.unit and place != name), None)
        is_free = other is not None and placed.get(other) in (None, 0, value) and _takes(schema, other, value)
        if other is not None and is_free and not (isinstance(required, Sequence) and name in required):
            del placed[name]
            placed[other] = value
            changed.append(name)
            continue
        converted = _whole(round(value * _SIZES[said.unit][1] / _SIZES[unit][1], 6))
        if _takes(schema, name, converted):
            placed[name] = converted
            changed.append(name)
        else:
            wrong.append(name)
    return placed, changed, wrong


def _said_otherwise(value: float, unit: str, measured: Sequence[Measured]) -> Measured | None:
    """Give what was said when the number was said, but with another unit of its kind only."""
    kind, size = _SIZES[unit]
    alike = [said for said in measured if said.unit in _SIZES and _SIZES[said.unit][0] == kind]
    in_unit = [said.value * _SIZES[said.unit][1] / size for said in alike]
    if any(abs(value - fair) < 1e-6 for fair in (*in_unit, sum(in_unit))):
        return None
    return next((said for said in alike if said.value == value), None)


def _units_of(schema: Mapping[str, object]) -> dict[str, str]:
    """Give the unit of each parameter whose name or description tells it."""
    properties = schema.get("properties")
    units: dict[str, str] = {}
    for name, child in properties.items() if isinstance(properties, Mapping) else ():
        words = _NAME.findall(str(name).lower())
        named = [word.removesuffix("s") for word in words if word.removesuffix("s") in _SIZES]
        text = str(child.get("description", "")) if isinstance(child, Mapping) else ""
        described = [one or two for one, two in _DESCRIBED.findall(text.lower())]
        found = {*named} or {word for word in described if word in _SIZES}
        if len(found) == 1:
            units[str(name)] = found.pop()
    return units


def _takes(schema: Mapping[str, object], name: str, value: float) -> bool:
    """Whether a parameter may have a number."""
    properties = schema["properties"]
    assert isinstance(properties, Mapping)
    child = resolve_schema(properties[name], schema)
    options = child.get("anyOf")
    return any(_has_room(option, value) for option in (options if isinstance(options, list) else [child]))


def _has_room(schema: object, value: float) -> bool:
    if not isinstance(schema, Mapping):
        return False
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    if "number" not in kinds and not ("integer" in kinds and value == int(value)):
        return False
    low, high = schema.get("minimum", value), schema.get("maximum", value)
    return isinstance(low, (int, float)) and isinstance(high, (int, float)) and low <= value <= high


def _whole(value: float) -> float:
    return int(value) if value == int(value) else value
