"""What a type becomes: a `Shape`, which tells its JSON Schema and reads JSON into the type's values.

`schema.py` makes shapes from Python types. A reader collects every problem instead of stopping at the first, since each
turn of a model costs seconds. Nothing is guessed: a value is converted only where none of it is lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from .json_schema import Definitions, adopt, described, merged, same_name, without_null
from .loose_json import MAX_DEPTH, kind_of, loads
from .wire import Json, JsonObject

_WRONG = object()


class Reader:
    """What was found wrong so far. While `is_exact` nothing is converted: a union asks its members so first."""

    __slots__ = ("depth", "is_exact", "problems")

    def __init__(self, *, is_exact: bool = False, depth: int = 0) -> None:
        self.problems: list[str] = []
        self.is_exact = is_exact
        self.depth = depth

    def wrong(self, path: str, expected: str, value: object) -> None:
        """Note that a value is of the wrong kind."""
        self.problems.append(f"{_place(path)} must be {expected}, not {kind_of(value)}")

    def note(self, path: str, problem: str) -> None:
        """Note any other problem."""
        self.problems.append(f"{_place(path)} {problem}")

    def opened(self, value: object, kind: type[list[object]] | type[dict[str, object]]) -> object:
        """Give the list or object that a JSON string holds; anything else as it is."""
        if isinstance(value, str) and not self.is_exact and value.lstrip()[:1] == ("[" if kind is list else "{"):
            try:
                return loads(value)
            except ValueError:
                return value
        return value

    def enter(self, path: str) -> bool:
        """Go one level down; False, with a problem noted, when that is too deep."""
        if self.depth >= MAX_DEPTH:
            self.note(path[:80], f"is nested deeper than {MAX_DEPTH} levels")
            return False
        self.depth += 1
        return True


def _place(path: str) -> str:
    return f"the value{path}" if path[:1] in ("", "[") else path


class Shape(Protocol):
    """One type. `words` name it with its article; `family` says which constraints it takes: those of a number,
    string, array or object, or none (empty)."""

    words: str
    family: str

    def schema(self, definitions: Definitions) -> JsonObject:
        """Give a new JSON Schema, and put those of named types into `definitions`."""
        ...

    def read(self, value: object, path: str, reader: Reader) -> object:
        """Turn JSON into a value of the type. When it doesn't fit, what is returned means nothing."""
        ...


class Scalar:
    """A type of single values: `accept` takes what fits, `convert` what can be made to fit; both may give `_WRONG`."""

    def __init__(
        self,
        words: str,
        schema: JsonObject,
        accept: Callable[[object], object],
        convert: Callable[[object], object] = lambda value: _WRONG,
        family: str = "",
    ) -> None:
        self.words = words
        self.family = family
        self._schema = schema
        self._accept = accept
        self._convert = convert

    def schema(self, definitions: Definitions) -> JsonObject:
        return dict(self._schema)

    def read(self, value: object, path: str, reader: Reader) -> object:
        result = self._accept(value)
        if result is _WRONG and not reader.is_exact:
            result = self._convert(value)
        if result is _WRONG:
            reader.wrong(path, self.words, value)
        return result


def _accept_string(value: object) -> object:
    return value if isinstance(value, str) else _WRONG


def _convert_string(value: object) -> object:
    # An integer has one spelling. A float does not (1.0 may have been written 1.00).
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _WRONG


def _accept_integer(value: object) -> object:
    return value if isinstance(value, int) and not isinstance(value, bool) else _WRONG


def _convert_integer(value: object) -> object:
    if isinstance(value, str):
        if not re.fullmatch(r"\s*[+-]?[0-9]{1,100}(\.0{1,20})?\s*", value):
            return _WRONG
        return int(value.partition(".")[0])
    # From 2**53 on a float stands for several integers.
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return _WRONG


def _accept_number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return _WRONG
    try:
        number = float(value)
    except OverflowError:
        return _WRONG
    return number if number == value and number - number == 0 else _WRONG


def _convert_number(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(
        r"\s*[+-]?[0-9]{1,100}(\.[0-9]{1,100})?([eE][+-]?[0-9]{1,3})?\s*", value
    ):
        return _WRONG
    return _accept_number(float(value))


def _accept_boolean(value: object) -> object:
    return value if isinstance(value, bool) else _WRONG


def _convert_boolean(value: object) -> object:
    return {"true": True, "false": False}.get(value.strip().lower(), _WRONG) if isinstance(value, str) else _WRONG


def _accept_null(value: object) -> object:
    return None if value is None else _WRONG


def _convert_null(value: object) -> object:
    return None if isinstance(value, str) and value.strip().lower() in ("", "null", "none") else _WRONG


STRING = Scalar("a string", {"type": "string"}, _accept_string, _convert_string, "string")
INTEGER = Scalar("an integer", {"type": "integer"}, _accept_integer, _convert_integer, "number")
NUMBER = Scalar("a number", {"type": "number"}, _accept_number, _convert_number, "number")
BOOLEAN = Scalar("true or false", {"type": "boolean"}, _accept_boolean, _convert_boolean)
NULL = Scalar("null", {"type": "null"}, _accept_null, _convert_null)
ANYTHING = Scalar("anything", {}, lambda value: value)


def text_format(words: str, schema: JsonObject, parse: Callable[[str], object]) -> Scalar:
    """Make the shape of a type that is written as a string; `parse` raises `ValueError`."""

    def accept(value: object) -> object:
        try:
            return parse(value) if isinstance(value, str) else _WRONG
        except (ValueError, ArithmeticError):  # decimal's errors are arithmetic
            return _WRONG

    return Scalar(words, schema, accept)


class Choice:
    """A closed set of values: `choices` are pairs of JSON and Python value, `names` other spellings."""

    family = ""

    def __init__(self, choices: Sequence[tuple[Json, object]], names: Mapping[str, object], note: str = "") -> None:
        self._choices = list(choices)
        self._names = names
        self._note = note
        self.words = "one of " + ", ".join(str(json) if json is None else repr(json) for json, _ in choices)

    def schema(self, definitions: Definitions) -> JsonObject:
        values: list[Json] = [json for json, _ in self._choices]
        kinds: list[Json] = list(dict.fromkeys(_type_name(value) for value in values))
        schema: JsonObject = {"type": kinds[0] if len(kinds) == 1 else kinds, "enum": values}
        if self._note:
            schema["description"] = self._note
        return schema

    def read(self, value: object, path: str, reader: Reader) -> object:
        for json, result in self._choices:
            if type(json) is type(value) and json == value:
                return result
        if not reader.is_exact:
            if isinstance(value, str):
                spelled = [self._names[value]] if value in self._names else self._spelled(value.strip().casefold())
                if spelled and all(result is spelled[0] for result in spelled):
                    return spelled[0]
            elif isinstance(value, float) and (number := _convert_integer(value)) is not _WRONG:
                return self.read(number, path, reader)
        # The values are the tool's, not the model's, so they may be told.
        reader.note(path, f"must be {self.words}")
        return None

    def _spelled(self, text: str) -> list[object]:
        found = [result for name, result in self._names.items() if name.casefold() == text]
        return found + [
            result
            for json, result in self._choices
            if json is not None and not isinstance(json, bool) and str(json).casefold() == text
        ]


def _type_name(value: Json) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return names[type(value)]  # choices are scalars


class Items:
    """A list, set or tuple of any length; `make` builds it from the items."""

    words = "a list"
    family = "array"

    def __init__(self, item: Shape, make: Callable[[Iterable[object]], object], *, is_unique: bool = False) -> None:
        self._item = item
        self._make = make
        self._is_unique = is_unique

    def schema(self, definitions: Definitions) -> JsonObject:
        schema: JsonObject = {"type": "array"}
        if items := self._item.schema(definitions):
            schema["items"] = items
        if self._is_unique:
            schema["uniqueItems"] = True
        return schema

    def read(self, value: object, path: str, reader: Reader) -> object:
        value = reader.opened(value, list)
        if not isinstance(value, list):
            reader.wrong(path, self.words, value)
        elif reader.enter(path):
            before = len(reader.problems)
            items = [self._item.read(item, f"{path}[{index}]", reader) for index, item in enumerate(value)]
            reader.depth -= 1
            if len(reader.problems) == before:
                return self._make(items)
        return None


class Places:
    """A tuple with one shape for each place."""

    family = ""

    def __init__(self, items: Sequence[Shape]) -> None:
        self._items = list(items)
        self.words = f"a list of {len(items)} items"

    def schema(self, definitions: Definitions) -> JsonObject:
        schemas: list[Json] = [item.schema(definitions) for item in self._items]
        schema: JsonObject = {"type": "array", "minItems": len(schemas), "maxItems": len(schemas)}
        if schemas and all(item == schemas[0] for item in schemas):
            schema["items"] = schemas[0]
        elif schemas:
            schema["prefixItems"] = schemas
        return schema

    def read(self, value: object, path: str, reader: Reader) -> object:
        value = reader.opened(value, list)
        if not isinstance(value, list):
            reader.wrong(path, self.words, value)
        elif len(value) != len(self._items):
            reader.note(path, f"must be {self.words}, not of {len(value)}")
        elif reader.enter(path):
            pairs = enumerate(zip(self._items, value, strict=True))
            result = tuple(shape.read(item, f"{path}[{index}]", reader) for index, (shape, item) in pairs)
            reader.depth -= 1
            return result
        return None


class Entries:
    """A dict whose keys are read from strings."""

    words = "an object"
    family = "object"

    def __init__(self, key: Shape, item: Shape) -> None:
        self._key = key
        self._item = item

    def schema(self, definitions: Definitions) -> JsonObject:
        schema: JsonObject = {"type": "object"}
        if names := self._key.schema(definitions).get("enum"):
            schema["propertyNames"] = {"enum": names}
        if items := self._item.schema(definitions):
            schema["additionalProperties"] = items
        return schema

    def read(self, value: object, path: str, reader: Reader) -> object:
        value = reader.opened(value, dict)
        result: dict[object, object] = {}
        if not isinstance(value, Mapping):
            reader.wrong(path, self.words, value)
        elif reader.enter(path):
            before = len(reader.problems)
            is_exact, reader.is_exact = reader.is_exact, False  # JSON's keys are strings, also those of dict[int, ...]
            keys = [self._key.read(name, f"a key of {_place(path)}", reader) for name in value]
            reader.is_exact = is_exact
            items = [self._item.read(item, f"{path}.{str(name)[:40]}", reader) for name, item in value.items()]
            reader.depth -= 1
            if len(reader.problems) == before:
                result = dict(zip(keys, items, strict=True))
        return result


class RecordField:
    """One field of a `Record`. `default` is JSON for the schema, and is left out there when it is None."""

    __slots__ = ("default", "description", "is_required", "name", "shape")

    def __init__(
        self, name: str, shape: Shape, *, is_required: bool = True, default: Json = None, description: str = ""
    ) -> None:
        self.name = name
        self.shape = shape
        self.is_required = is_required
        self.default = default
        self.description = description

    def schema(self, definitions: Definitions) -> JsonObject:
        schema = self.shape.schema(definitions)
        if not self.is_required and self.default is None:
            # It may be left out, which says the same as null in fewer words. Null is still read.
            schema = without_null(schema)
        if self.description and not (isinstance(self.shape, Limited) and self.shape.description):
            schema = described(schema, self.description)
        if self.default is not None:
            schema["default"] = self.default
        return schema


class Record:
    """An object with named fields; `build` makes the value from those that were given."""

    words = "an object"
    family = ""

    def __init__(
        self, build: Callable[..., object], fields: Iterable[RecordField], *, skipped: Iterable[str] = ()
    ) -> None:
        self.build = build
        self.fields = {field.name: field for field in fields}
        self._skipped = frozenset(skipped)  # told by `encode`, but not for others to set

    def schema(self, definitions: Definitions) -> JsonObject:
        properties: JsonObject = {name: field.schema(definitions) for name, field in self.fields.items()}
        schema: JsonObject = {"type": "object", "properties": properties}
        if required := [name for name, field in self.fields.items() if field.is_required]:
            schema["required"] = list[Json](required)
        return schema

    def read(self, value: object, path: str, reader: Reader) -> object:
        value = reader.opened(value, dict)
        if not isinstance(value, Mapping):
            reader.wrong(path, self.words, value)
            return None
        before = len(reader.problems)
        values: dict[str, object] = {}
        for name, field in self.fields.items():
            place = f"{path}.{name}" if path else name
            if name not in value:
                if field.is_required:
                    reader.note(place, "is missing")
            elif value[name] is not None or field.is_required:
                values[name] = field.shape.read(value[name], place, reader)
            else:
                self._read_null(field, place, reader, values)
        unknown = [str(name)[:40] for name in value if name not in self.fields and name not in self._skipped]
        if unknown:
            known = ", ".join(self.fields) or "none"
            reader.note(path, f"has no {', '.join(unknown[:5])} (known are: {known})")
        if len(reader.problems) > before:
            return None
        try:
            return self.build(**values)
        except (TypeError, ValueError) as error:  # a __post_init__ that checks
            reader.note(path, f"was refused: {str(error)[:200]}")
            return None

    @staticmethod
    def _read_null(field: RecordField, place: str, reader: Reader, values: dict[str, object]) -> None:
        # Null in place of an optional argument means the default, unless null is a value of its own.
        trial = Reader(is_exact=True, depth=reader.depth)
        result = field.shape.read(None, place, trial)
        if not trial.problems:
            values[field.name] = result


class Union:
    """One of several shapes: the first that takes the value as it is, else the first that can convert it."""

    family = ""

    def __init__(self, members: Sequence[Shape]) -> None:
        self.members = list(members)
        self.words = " or ".join(dict.fromkeys(member.words for member in members))

    def schema(self, definitions: Definitions) -> JsonObject:
        return merged([member.schema(definitions) for member in self.members])

    def read(self, value: object, path: str, reader: Reader) -> object:
        failures: list[list[str]] = []
        for is_exact in (True,) if reader.is_exact else (True, False):
            for member in self.members:
                trial = Reader(is_exact=is_exact, depth=reader.depth)
                result = member.read(value, path, trial)
                if not trial.problems:
                    return result
                if member is not NULL and is_exact == reader.is_exact:
                    failures.append(trial.problems)
        # A member that took the value's kind and complains of something inside is the one that was meant.
        specific = [found for found in failures if len(found) > 1 or not _is_mismatch(found[0], path)]
        if specific or len(failures) == 1:
            closest: list[str] = min(specific or failures, key=len)
            reader.problems.extend(closest)
        else:
            reader.wrong(path, self.words, value)
        return None


def _is_mismatch(problem: str, path: str) -> bool:
    rest = problem.removeprefix(f"{_place(path)} must be ")
    return rest != problem and (", not " in rest or rest.startswith("one of "))


class Named:
    """A shape with a name of its own, so that it may contain itself. Counts the level for the record in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.target: Shape = ANYTHING
        self.words = "an object"
        self.family = ""
        self._newest: JsonObject = {}

    def schema(self, definitions: Definitions) -> JsonObject:
        if self.name not in definitions:
            definitions[self.name] = self._newest = {}  # meets itself below
            definitions[self.name] = self._newest = self.target.schema(definitions)
        elif definitions[self.name] is not self._newest:
            raise same_name(self.name)
        return {"$ref": f"#/$defs/{self.name}"}

    def read(self, value: object, path: str, reader: Reader) -> object:
        if not reader.enter(path):
            return None
        result = self.target.read(value, path, reader)
        reader.depth -= 1
        return result


class Foreign:
    """A type that brings its own JSON Schema; `convert` notes its own problems."""

    words = "an object"
    family = ""

    def __init__(self, schema: Callable[[], JsonObject], convert: Callable[[object, str, Reader], object]) -> None:
        self._schema = schema
        self._convert = convert

    def schema(self, definitions: Definitions) -> JsonObject:
        schema = self._schema()
        adopt(schema, definitions)
        return schema

    def read(self, value: object, path: str, reader: Reader) -> object:
        return self._convert(reader.opened(value, dict), path, reader)


class Limited:
    """A shape with a description or with limits, which are keywords of JSON Schema."""

    def __init__(self, shape: Shape, description: str, limits: JsonObject) -> None:
        self._shape = shape
        self.description = description
        self._limits = limits
        self.words = shape.words
        self.family = shape.family

    def schema(self, definitions: Definitions) -> JsonObject:
        schema = self._shape.schema(definitions) | self._limits
        return described(schema, self.description) if self.description else schema

    def read(self, value: object, path: str, reader: Reader) -> object:
        before = len(reader.problems)
        result = self._shape.read(value, path, reader)
        if len(reader.problems) == before:
            for keyword, limit in self._limits.items():
                is_kept, words = LIMITS[keyword]
                if not is_kept(result, limit):
                    reader.note(path, f"must {words} {limit}")
        return result


def _is_multiple(value: object, of: object) -> bool:
    assert isinstance(value, (int, float))
    assert isinstance(of, (int, float))
    if isinstance(value, int) and isinstance(of, int):
        return value % of == 0
    # 0.3 is a multiple of 0.1 to everybody but binary fractions.
    return abs(value / of - round(value / of)) < 1e-9


LIMITS: dict[str, tuple[Callable[..., bool], str]] = {
    "minimum": (lambda value, limit: value >= limit, "be at least"),
    "maximum": (lambda value, limit: value <= limit, "be at most"),
    "exclusiveMinimum": (lambda value, limit: value > limit, "be more than"),
    "exclusiveMaximum": (lambda value, limit: value < limit, "be less than"),
    "multipleOf": (_is_multiple, "be a multiple of"),
    "minLength": (lambda value, limit: len(value) >= limit, "have this many characters at least:"),
    "maxLength": (lambda value, limit: len(value) <= limit, "have this many characters at most:"),
    "pattern": (lambda value, limit: re.search(limit, value) is not None, "match the pattern"),
    "minItems": (lambda value, limit: len(value) >= limit, "have this many items at least:"),
    "maxItems": (lambda value, limit: len(value) <= limit, "have this many items at most:"),
    "minProperties": (lambda value, limit: len(value) >= limit, "have this many entries at least:"),
    "maxProperties": (lambda value, limit: len(value) <= limit, "have this many entries at most:"),
}
