"""Python types as JSON Schema, JSON as typed values, and values as JSON.

Known are `str int float bool None`, `Literal`, `Enum`, `list tuple set frozenset dict` and their abstract bases,
unions, dataclasses, `TypedDict`, `NamedTuple`, `NewType`, dates and times, `Decimal`, `UUID`, `Any`, and all of these
in `Annotated` with a description or limits. Pydantic models and msgspec structs are used through their own methods, and
these libraries are never imported from here. Schemas hold no `$ref` but for types that contain themselves.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from .docstrings import parse_docstring
from .errors import ConfigurationError, ToolArgumentsError
from .foreign import foreign_shape, is_struct
from .json_schema import Definitions, flattened
from .shapes import (
    ANYTHING,
    BOOLEAN,
    INTEGER,
    NULL,
    NUMBER,
    STRING,
    Choice,
    Entries,
    Items,
    Limited,
    Named,
    Places,
    Reader,
    Record,
    RecordField,
    Shape,
    Union,
    text_format,
)
from .wire import Json, JsonObject

MAX_PROBLEMS = 10
"""So many problems are told at once; of more only the number."""
_MAX_DEPTH = 64


class Field:
    """What `Annotated` may say of a value: a description and limits, named as in `annotated-types`.

    `ge gt le lt multiple_of` are for numbers, `pattern` for strings (found anywhere in it, as JSON Schema has it),
    `min_length` and `max_length` for strings, lists and dicts.

    >>> from typing import Annotated
    >>> schema_of(Annotated[int, Field("How long, in minutes.", ge=1, le=600)])
    {'type': 'integer', 'minimum': 1, 'maximum': 600, 'description': 'How long, in minutes.'}
    """

    __slots__ = ("description", "ge", "gt", "le", "lt", "max_length", "min_length", "multiple_of", "pattern")

    def __init__(
        self,
        description: str = "",
        *,
        ge: float | None = None,
        gt: float | None = None,
        le: float | None = None,
        lt: float | None = None,
        multiple_of: float | None = None,
        min_length: int | None = None,
        max_length: int | None = None,
        pattern: str | None = None,
    ) -> None:
        self.description = description
        self.ge = ge
        self.gt = gt
        self.le = le
        self.lt = lt
        self.multiple_of = multiple_of
        self.min_length = min_length
        self.max_length = max_length
        self.pattern = pattern


def schema_of(annotation: object) -> JsonObject:
    """Give the JSON Schema of a type. Raises `ConfigurationError` when it has none.

    >>> schema_of(list[int] | None)
    {'type': ['array', 'null'], 'items': {'type': 'integer'}}
    """
    return render(shape_of(annotation))


def decode(annotation: object, value: object) -> object:
    """Turn JSON into a value of a type, converting where nothing is lost.

    Raises `ToolArgumentsError` that lists all problems, `ConfigurationError` when the type isn't one we know.

    >>> decode(dict[str, float], {"eggs": "10"})
    {'eggs': 10.0}
    """
    reader = Reader()
    result = shape_of(annotation).read(value, "", reader)
    if reader.problems:
        raise ToolArgumentsError(list_problems("the value doesn't fit", reader.problems))
    return result


def list_problems(heading: str, problems: list[str]) -> str:
    """Write problems as a list under a heading, at most `MAX_PROBLEMS` of them."""
    shown = [f"\n- {problem}" for problem in problems[:MAX_PROBLEMS]]
    more = len(problems) - len(shown)
    return f"{heading}:{''.join(shown)}" + (f"\n- and {more} more" if more > 0 else "")


def encode(value: object) -> Json:
    """Turn a value of any type named above into JSON. Raises `TypeError` for others, or when it contains itself.

    A set becomes a sorted list, a date its ISO text, a number that is not finite null (as JavaScript writes it), and
    arrays that have `tolist` are taken by it.
    """
    return _encode(value, 0)


def _encode(value: object, depth: int) -> Json:
    kind = type(value)
    if value is None or kind is str or kind is bool or kind is int:
        return cast(Json, value)
    if depth > _MAX_DEPTH:
        raise TypeError(f"a value is nested deeper than {_MAX_DEPTH} levels, or contains itself")
    if isinstance(value, Enum):
        return value.value if _has_json_values(kind) else value.name
    if isinstance(value, float):
        return float(value) if value - value == 0 else None
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Mapping):
        return {_encode_key(key): _encode(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        if hasattr(value, "_fields"):  # a NamedTuple
            return {name: _encode(item, depth + 1) for name, item in zip(value._fields, value, strict=True)}
        return [_encode(item, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_encode(item, depth + 1) for item in value), key=repr)
    return _encode_object(value, depth)


def _encode_object(value: object, depth: int) -> Json:
    dump = getattr(value, "model_dump", None)  # Pydantic
    if callable(dump):
        return _encode(dump(mode="json"), depth + 1)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _encode(getattr(value, field.name), depth + 1) for field in dataclasses.fields(value)}
    if is_struct(type(value)):
        return _encode(sys.modules["msgspec"].to_builtins(value), depth + 1)
    for method in ("isoformat", "tolist"):  # dates; numpy's scalars and arrays
        if callable(convert := getattr(value, method, None)):
            return _encode(convert(), depth + 1)
    if _full_name(type(value)) in ("uuid.UUID", "decimal.Decimal"):
        return str(value)
    raise TypeError(
        f"a {type(value).__qualname__} can't be written as JSON; use text, numbers, lists, dicts or dataclasses"
    )


def _encode_key(key: object) -> str:
    encoded = _encode(key, _MAX_DEPTH)
    if isinstance(encoded, str):
        return encoded
    if isinstance(encoded, int) and not isinstance(encoded, bool):
        return str(encoded)
    raise TypeError(f"a key of a JSON object must be a string, not a {type(key).__qualname__}")


# --- types to shapes --------------------------------------------------------------------------------------------


def shape_of(annotation: object, *, where: str = "", namespace: Mapping[str, object] | None = None) -> Shape:
    """Make the shape of a type. Raises `ConfigurationError` that begins with `where`.

    `namespace` has names that forward references inside the type may need.
    """
    return ShapeMaker(namespace or {}).shape_of(annotation, where)


def render(shape: Shape) -> JsonObject:
    """Give a shape's JSON Schema, with named types written out where they stand."""
    definitions: Definitions = {}
    schema = shape.schema(definitions)
    return flattened(schema, definitions) if definitions else schema


_SCALARS: dict[object, Shape] = {
    str: STRING,
    int: INTEGER,
    float: NUMBER,
    bool: BOOLEAN,
    None: NULL,
    type(None): NULL,
    Any: ANYTHING,
    object: ANYTHING,
}
_WRAPPERS = {typing.Required, typing.NotRequired, getattr(typing, "ReadOnly", None), typing.Final} - {None}
_UNIONS = (typing.Union, types.UnionType)
_COLLECTIONS: dict[object, Callable[[Iterable[object]], object]] = {
    list: list,
    set: set,
    frozenset: frozenset,
    tuple: tuple,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Collection: list,
    collections.abc.Iterable: list,
    collections.abc.Set: frozenset,
    collections.abc.MutableSet: set,
}
_DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
# By name, so that nothing is imported: where a type is used, its module is loaded already.
_TEXT_FORMATS = {
    "datetime.date": ("a date such as 2026-05-31", "date", "fromisoformat"),
    "datetime.datetime": ("a date and time such as 2026-05-31T18:30:00", "date-time", "fromisoformat"),
    "datetime.time": ("a time such as 18:30:00", "time", "fromisoformat"),
    "uuid.UUID": ("a UUID", "uuid", ""),
    "decimal.Decimal": ("a decimal number in a string", "decimal", ""),
}
_KEYWORDS = {
    "number": {
        "ge": "minimum",
        "gt": "exclusiveMinimum",
        "le": "maximum",
        "lt": "exclusiveMaximum",
        "multiple_of": "multipleOf",
    },
    "string": {"min_length": "minLength", "max_length": "maxLength", "pattern": "pattern"},
    "array": {"min_length": "minItems", "max_length": "maxItems"},
    "object": {"min_length": "minProperties", "max_length": "maxProperties"},
}
_LIMIT_NAMES = ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern")


class ShapeMaker:
    """Makes shapes that stand in one schema. Remembers classes: they may contain themselves, or come twice."""

    def __init__(self, namespace: Mapping[str, object]) -> None:
        self._namespace = namespace
        self._named: dict[int, Named] = {}
        self._where = ""

    def shape_of(self, annotation: object, where: str) -> Shape:
        """Make the shape of a type. Raises `ConfigurationError` that begins with `where`."""
        self._where = where
        return self._make(annotation)

    def _make(self, annotation: object) -> Shape:
        if annotation is None or isinstance(annotation, type) or annotation is Any:
            if scalar := _SCALARS.get(annotation):
                return scalar
        elif annotation == Json:
            return ANYTHING
        origin = get_origin(annotation)
        if origin is None:
            return self._plain(annotation)
        arguments = get_args(annotation)
        if origin is Annotated:
            return self._limited(self._make(arguments[0]), arguments[1:])
        if origin in _UNIONS:
            return self._union(arguments)
        if origin is Literal:
            return self._literal(arguments)
        if origin in _WRAPPERS:
            return self._make(arguments[0])
        if origin in _COLLECTIONS or origin in _DICTS:
            return self._collection(origin, arguments)
        raise self._refuse(annotation)

    def _plain(self, annotation: object) -> Shape:
        if type(annotation).__hash__ is None:  # a value, such as [], in the place of a type
            raise self._refuse(annotation)
        if annotation in _COLLECTIONS or annotation in _DICTS:
            return self._collection(annotation, ())
        if isinstance(target := getattr(annotation, "__supertype__", None), (type, types.GenericAlias)):  # NewType
            return self._make(target)
        if type(annotation).__name__ == "TypeAliasType":
            return self._once(annotation, lambda: self._make(annotation.__value__))  # type: ignore[attr-defined]
        if isinstance(annotation, type):
            return self._class(annotation)
        raise self._refuse(annotation)

    def _class(self, cls: type) -> Shape:
        if issubclass(cls, Enum):
            return self._enum(cls)
        if (name := _full_name(cls)) in _TEXT_FORMATS:
            words, form, method = _TEXT_FORMATS[name]
            parse = getattr(cls, method) if method else cls
            return text_format(words, {"type": "string", "format": form}, parse)
        if foreign := foreign_shape(cls):
            return foreign
        if dataclasses.is_dataclass(cls) or _is_typed_dict(cls) or _is_named_tuple(cls):
            return self._once(cls, lambda: self._record(cls))
        raise self._refuse(cls)

    def _once(self, annotation: object, make: Callable[[], Shape]) -> Shape:
        if named := self._named.get(id(annotation)):
            return named
        name = str(getattr(annotation, "__name__", "Type"))
        taken = sum(other.name.partition("-")[0] == name for other in self._named.values())
        named = self._named[id(annotation)] = Named(f"{name}-{taken + 1}" if taken else name)
        named.target = make()
        return named

    def _record(self, cls: type) -> Record:
        hints = self._hints(cls)
        defaults = _defaults(cls, hints)
        for field in getattr(cls, "__dataclass_fields__", {}).values():
            if "InitVar" in str(field.type) or isinstance(field.type, dataclasses.InitVar):
                raise ConfigurationError(f"{self._where}{cls.__qualname__}.{field.name}: InitVar isn't supported")
        texts = parse_docstring(cls.__doc__)[1]
        build = dict if _is_typed_dict(cls) else cls
        return Record(
            build,
            [
                RecordField(
                    name,
                    self._make(hints[name]),
                    is_required=default is inspect.Parameter.empty,
                    default=self._default(default, f"{cls.__qualname__}.{name}"),
                    description=texts.get(name, ""),
                )
                for name, default in defaults.items()
            ],
            skipped=set(getattr(cls, "__dataclass_fields__", ())) - set(defaults),
        )

    def _hints(self, cls: type) -> dict[str, object]:
        try:
            try:
                return typing.get_type_hints(cls, include_extras=True)
            except NameError:
                # A class of a function, or of a module that is not in sys.modules.
                return typing.get_type_hints(cls, localns=dict(self._namespace), include_extras=True)
        except (NameError, TypeError, SyntaxError) as error:
            raise ConfigurationError(f"{self._where}a field of {cls.__qualname__} has no known type: {error}") from None

    def _default(self, default: object, name: str) -> Json:
        if default is inspect.Parameter.empty or default is _LATER:
            return None
        try:
            return encode(default)
        except TypeError as error:
            raise ConfigurationError(f"{self._where}the default of {name}: {error}") from None

    def _enum(self, cls: type[Enum]) -> Shape:
        members = list(cls)
        if not members:
            raise ConfigurationError(f"{self._where}the enum {cls.__qualname__} has no members")
        note = ""
        if _has_json_values(cls) and not all(isinstance(member.value, str) for member in members):
            note = ", ".join(f"{member.value!r}: {member.name}" for member in members)
        return Choice([(encode(member), member) for member in members], cls.__members__, note)

    def _literal(self, values: tuple[object, ...]) -> Shape:
        for value in values:
            if value is not None and not isinstance(value, (str, int, Enum)):
                raise ConfigurationError(f"{self._where}{value!r} in a Literal can't be written as JSON")
        names = {value.name: value for value in values if isinstance(value, Enum)}
        return Choice([(encode(value), value) for value in values], names)

    def _union(self, members: tuple[object, ...]) -> Shape:
        return Union([self._make(member) for member in members])

    def _collection(self, origin: object, arguments: tuple[object, ...]) -> Shape:
        if origin in _DICTS:
            key, item = arguments or (str, Any)
            shape = self._make(key)
            if not (shape in (STRING, INTEGER) or isinstance(shape, Choice) or "format" in shape.schema({})):
                raise ConfigurationError(f"{self._where}the keys of a dict must be str, int, Literal, Enum or a date")
            return Entries(shape, self._make(item))
        if origin is tuple and arguments and arguments[-1] is not Ellipsis:
            return Places([self._make(item) for item in arguments])
        if origin is tuple and "tuple[()]" in str(arguments):
            return Places([])
        item = arguments[0] if arguments else Any
        is_unique = origin in (set, frozenset, collections.abc.Set, collections.abc.MutableSet)
        if is_unique and not _is_hashable(item):
            raise ConfigurationError(f"{self._where}{_name_of(item)} can't be an item of a set; use a list")
        return Items(self._make(item), _COLLECTIONS[origin], is_unique=is_unique)

    def _limited(self, shape: Shape, metadata: tuple[object, ...]) -> Shape:
        description = ""
        limits: dict[str, object] = {}
        for item in metadata:
            if isinstance(item, str):
                description = item
                continue
            for text in (getattr(item, "description", None), getattr(item, "documentation", None)):
                description = text if isinstance(text, str) and text else description
            inner = getattr(item, "metadata", None)  # Pydantic's FieldInfo holds its limits in a list
            for source in [item, *(inner if isinstance(inner, list) else [])]:
                limits |= {name: value for name in _LIMIT_NAMES if (value := getattr(source, name, None)) is not None}
        # annotated-types says `min_length=0` for no limit.
        if limits.get("min_length") == 0:
            del limits["min_length"]
        return self._with_limits(shape, description, limits)

    def _with_limits(self, shape: Shape, description: str, limits: Mapping[str, object]) -> Shape:
        if isinstance(shape, Union) and limits:
            takers = [
                member.family in _KEYWORDS and set(limits) <= set(_KEYWORDS[member.family]) for member in shape.members
            ]
            if any(takers):
                members = zip(shape.members, takers, strict=True)
                shape = Union([self._with_limits(one, "", limits) if takes else one for one, takes in members])
                limits = {}
        keywords: JsonObject = {}
        for name, limit in limits.items():
            keyword = _KEYWORDS.get(shape.family, {}).get(name)
            if keyword is None:
                raise ConfigurationError(f"{self._where}{name} can't be asked of {shape.words}")
            keywords[keyword] = self._limit(name, limit)
        return Limited(shape, description, keywords) if keywords or description else shape

    def _limit(self, name: str, limit: object) -> Json:
        if name == "pattern":
            limit = getattr(limit, "pattern", limit)
            try:
                re.compile(cast(str, limit))
            except (re.error, TypeError) as error:
                raise ConfigurationError(
                    f"{self._where}the pattern {limit!r} isn't a regular expression: {error}"
                ) from None
            return cast(str, limit)
        is_number = isinstance(limit, (int, float)) and not isinstance(limit, bool)
        if not is_number or (name == "multiple_of" and cast(float, limit) <= 0):
            raise ConfigurationError(f"{self._where}{name} must be a number, above 0 for multiple_of, not {limit!r}")
        return cast(float, limit)

    def _refuse(self, annotation: object) -> ConfigurationError:
        name = _name_of(annotation)
        if isinstance(annotation, (str, typing.ForwardRef)):
            name = annotation if isinstance(annotation, str) else annotation.__forward_arg__
            return ConfigurationError(f"{self._where}the name {name!r} can't be resolved")
        return ConfigurationError(f"{self._where}the type {name} can't be expressed in JSON Schema")


_LATER = object()  # a default that is made when it is needed


def _defaults(cls: type, hints: Mapping[str, object]) -> dict[str, object]:
    """Give each field that can be set its default, or `Parameter.empty` when it is required."""
    empty = inspect.Parameter.empty
    if _is_typed_dict(cls):
        required: frozenset[str] = cls.__required_keys__  # type: ignore[attr-defined]
        # Under `from __future__ import annotations` that set has NotRequired keys in it: the hints know better.
        return {
            name: empty
            if _wrapper(hint, typing.Required) or (name in required and not _wrapper(hint, typing.NotRequired))
            else _LATER
            for name, hint in hints.items()
        }
    if dataclasses.is_dataclass(cls):
        return {
            field.name: field.default
            if field.default is not dataclasses.MISSING
            else (empty if field.default_factory is dataclasses.MISSING else _LATER)
            for field in dataclasses.fields(cls)
            if field.init
        }
    given: Mapping[str, object] = cls._field_defaults  # type: ignore[attr-defined]
    return {name: given.get(name, empty) for name in cls._fields}  # type: ignore[attr-defined]


def _wrapper(hint: object, wrapper: object) -> bool:
    origin = get_origin(hint)
    if origin is wrapper:
        return True
    inner = get_args(hint)[:1] if origin is Annotated or origin in _WRAPPERS else ()
    return any(_wrapper(item, wrapper) for item in inner)


def _has_json_values(cls: type) -> bool:
    return all(isinstance(member.value, (str, int)) for member in cast(type[Enum], cls))


def _is_typed_dict(cls: type) -> bool:
    return issubclass(cls, dict) and hasattr(cls, "__required_keys__")


def _is_named_tuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_field_defaults")


def _is_hashable(item: object) -> bool:
    origin = get_origin(item) or item
    if origin in (tuple, frozenset, Annotated, *_UNIONS):
        return (
            all(_is_hashable(part) for part in get_args(item))
            if origin is not Annotated
            else _is_hashable(get_args(item)[0])
        )
    return not isinstance(origin, type) or (getattr(origin, "__hash__", None) is not None and origin not in _DICTS)


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _name_of(annotation: object) -> str:
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation).removeprefix("typing.")
