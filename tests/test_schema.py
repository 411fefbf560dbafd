from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import InitVar, dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum, IntEnum
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    Required,
    TypedDict,
    TypeVar,
    Union,
)
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet.errors import ConfigurationError, ToolArgumentsError
from limpet.schema import MAX_PROBLEMS, Field, decode, encode, schema_of
from limpet.wire import Json, JsonObject


class Heat(Enum):
    LOW = "low"
    HIGH = "high"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Place(Enum):
    HOME = (1.5, 2.5)
    WORK = (3.5, 4.5)


class Nothing(Enum):
    pass


@dataclass(frozen=True)
class Egg:
    """An egg.

    Attributes:
        minutes: How long it boils.
    """

    minutes: float
    heat: Heat = Heat.HIGH
    notes: tuple[str, ...] = ()
    tags: set[str] = field(default_factory=set, hash=False)
    is_done: bool = field(default=False, init=False)


@dataclass
class Branch:
    name: str
    twigs: list[Branch] = field(default_factory=list)
    parent: Branch | None = None


@dataclass
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError("it must be even")


class Stop(TypedDict):
    name: str
    minutes: NotRequired[int]


class Journey(TypedDict, total=False):
    """A way.

    Args:
        stops: Where it halts.
    """

    stops: Required[list[Stop]]
    by: Literal["bus", "train"]


class Point(NamedTuple):
    x: float
    y: float = 0.0


Minutes = NewType("Minutes", int)
T = TypeVar("T")

# A type, its schema, JSON that fits and what it becomes.
TYPES: list[tuple[str, object, JsonObject, Json, object]] = [
    ("str", str, {"type": "string"}, "ten", "ten"),
    ("int", int, {"type": "integer"}, 10, 10),
    ("float", float, {"type": "number"}, 1.5, 1.5),
    ("bool", bool, {"type": "boolean"}, True, True),
    ("none", None, {"type": "null"}, None, None),
    ("any", Any, {}, {"a": [1]}, {"a": [1]}),
    ("object", object, {}, [1], [1]),
    ("json", Json, {}, {"a": [None]}, {"a": [None]}),
    ("json object", JsonObject, {"type": "object"}, {"a": [None]}, {"a": [None]}),
    ("literal", Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}, "b", "b"),
    ("literal mixed", Literal[1, "a", None], {"type": ["integer", "string", "null"], "enum": [1, "a", None]}, 1, 1),
    ("literal of an enum", Literal[Heat.LOW], {"type": "string", "enum": ["low"]}, "low", Heat.LOW),
    ("enum", Heat, {"type": "string", "enum": ["low", "high"]}, "high", Heat.HIGH),
    (
        "enum of numbers",
        Size,
        {"type": "integer", "enum": [1, 2], "description": "1: SMALL, 2: LARGE"},
        2,
        Size.LARGE,
    ),
    ("enum of tuples", Place, {"type": "string", "enum": ["HOME", "WORK"]}, "WORK", Place.WORK),
    ("list", list[int], {"type": "array", "items": {"type": "integer"}}, [1], [1]),
    ("bare list", list, {"type": "array"}, [1, "a"], [1, "a"]),
    ("typing list", typing.List[int], {"type": "array", "items": {"type": "integer"}}, [1], [1]),  # noqa: UP006
    ("sequence", Sequence[int], {"type": "array", "items": {"type": "integer"}}, [1], [1]),
    ("iterable", Iterable[str], {"type": "array", "items": {"type": "string"}}, ["a"], ["a"]),
    ("set", set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, [1, 2, 1], {1, 2}),
    ("frozenset", frozenset[str], {"type": "array", "items": {"type": "string"}, "uniqueItems": True}, [], frozenset()),
    ("abstract set", Set[str], {"type": "array", "items": {"type": "string"}, "uniqueItems": True}, [], frozenset()),
    ("tuple of any length", tuple[int, ...], {"type": "array", "items": {"type": "integer"}}, [1, 2], (1, 2)),
    ("bare tuple", tuple, {"type": "array"}, [1], (1,)),
    (
        "tuple of two",
        tuple[int, str],
        {"type": "array", "minItems": 2, "maxItems": 2, "prefixItems": [{"type": "integer"}, {"type": "string"}]},
        [1, "a"],
        (1, "a"),
    ),
    (
        "tuple of two alike",
        tuple[float, float],
        {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}},
        [1, 2.5],
        (1.0, 2.5),
    ),
    ("dict", dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 1}, {"a": 1}),
    ("bare dict", dict, {"type": "object"}, {"a": [1]}, {"a": [1]}),
    ("mapping", Mapping[str, Any], {"type": "object"}, {"a": [1]}, {"a": [1]}),
    (
        "dict by number",
        dict[int, str],
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"1": "a"},
        {1: "a"},
    ),
    (
        "dict by choice",
        dict[Heat, int],
        {"type": "object", "propertyNames": {"enum": ["low", "high"]}, "additionalProperties": {"type": "integer"}},
        {"low": 1},
        {Heat.LOW: 1},
    ),
    ("optional", int | None, {"type": ["integer", "null"]}, None, None),
    ("typing optional", Optional[int], {"type": ["integer", "null"]}, 3, 3),  # noqa: UP045
    ("typing union", Union[int, str], {"type": ["integer", "string"]}, "3", "3"),  # noqa: UP007
    ("optional literal", Literal["a"] | None, {"type": ["string", "null"], "enum": ["a", None]}, None, None),
    ("number union", int | float, {"type": "number"}, 3, 3),
    ("optional list", list[str] | None, {"type": ["array", "null"], "items": {"type": "string"}}, ["a"], ["a"]),
    (
        "union of lists",
        list[int] | list[str],
        {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "array", "items": {"type": "string"}}]},
        ["1"],
        ["1"],
    ),
    ("anything or null", Any | None, {}, [1], [1]),
    ("date", date, {"type": "string", "format": "date"}, "2026-05-31", date(2026, 5, 31)),
    ("time", time, {"type": "string", "format": "time"}, "18:30", time(18, 30)),
    (
        "datetime",
        datetime,
        {"type": "string", "format": "date-time"},
        "2026-05-31T18:30:00Z",
        datetime.fromisoformat("2026-05-31T18:30:00+00:00"),
    ),
    ("decimal", Decimal, {"type": "string", "format": "decimal"}, "1.10", Decimal("1.10")),
    ("uuid", UUID, {"type": "string", "format": "uuid"}, "00000000-0000-0000-0000-000000000001", UUID(int=1)),
    ("new type", Minutes, {"type": "integer"}, 10, 10),
    ("text", Annotated[int, "How long."], {"type": "integer", "description": "How long."}, 10, 10),
    (
        "limits",
        Annotated[int, Field("How long.", ge=1, lt=600, multiple_of=5)],
        {"type": "integer", "minimum": 1, "exclusiveMaximum": 600, "multipleOf": 5, "description": "How long."},
        10,
        10,
    ),
    (
        "limits of a string",
        Annotated[str, Field(min_length=1, max_length=3, pattern="^[a-z]+$")],
        {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^[a-z]+$"},
        "abc",
        "abc",
    ),
    (
        "limits of a list",
        Annotated[list[str], Field(min_length=1, max_length=3)],
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
        ["a"],
        ["a"],
    ),
    (
        "limits of a dict",
        Annotated[dict[str, str], Field(max_length=3)],
        {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 3},
        {"a": "b"},
        {"a": "b"},
    ),
    (
        "limits inside",
        list[Annotated[int, Field(ge=1)]],
        {"type": "array", "items": {"type": "integer", "minimum": 1}},
        [1],
        [1],
    ),
    ("limits of one of a union", Annotated[int | None, Field(ge=1)], {"type": ["integer", "null"], "minimum": 1}, 2, 2),
    (
        "enum with a text",
        Annotated[Size, "How big."],
        {"type": "integer", "enum": [1, 2], "description": "How big. 1: SMALL, 2: LARGE"},
        1,
        Size.SMALL,
    ),
    (
        "dataclass",
        Egg,
        {
            "type": "object",
            "properties": {
                "minutes": {"type": "number", "description": "How long it boils."},
                "heat": {"type": "string", "enum": ["low", "high"], "default": "high"},
                "notes": {"type": "array", "items": {"type": "string"}, "default": []},
                "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            },
            "required": ["minutes"],
        },
        {"minutes": 10, "heat": "low", "notes": ["a"]},
        Egg(10.0, Heat.LOW, ("a",)),
    ),
    (
        "typed dict",
        Journey,
        {
            "type": "object",
            "properties": {
                "stops": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "minutes": {"type": "integer"}},
                        "required": ["name"],
                    },
                    "description": "Where it halts.",
                },
                "by": {"type": "string", "enum": ["bus", "train"]},
            },
            "required": ["stops"],
        },
        {"stops": [{"name": "a"}]},
        {"stops": [{"name": "a"}]},
    ),
    (
        "named tuple",
        Point,
        {
            "type": "object",
            "properties": {"x": {"type": "number"}, "y": {"type": "number", "default": 0.0}},
            "required": ["x"],
        },
        {"x": 1},
        Point(1.0),
    ),
    (
        "type that contains itself",
        Branch,
        {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "twigs": {"type": "array", "items": {"$ref": "#/$defs/Branch"}},
                "parent": {"$ref": "#/$defs/Branch"},
            },
            "required": ["name"],
            "$defs": {
                "Branch": {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string"},
                        "twigs": {"type": "array", "items": {"$ref": "#/$defs/Branch"}},
                        "parent": {"$ref": "#/$defs/Branch"},
                    },
                    "required": ["name"],
                }
            },
        },
        {"name": "a", "twigs": [{"name": "b"}], "parent": None},
        Branch("a", [Branch("b")]),
    ),
]


@pytest.mark.parametrize(("annotation", "expected"), [(row[1], row[2]) for row in TYPES], ids=[row[0] for row in TYPES])
def test_schema_of_a_type(annotation: object, expected: JsonObject) -> None:
    assert schema_of(annotation) == expected


@pytest.mark.parametrize(
    ("annotation", "value", "expected"), [(row[1], row[3], row[4]) for row in TYPES], ids=[row[0] for row in TYPES]
)
def test_json_becomes_a_value_of_the_type(annotation: object, value: Json, expected: object) -> None:
    result = decode(annotation, value)

    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(("annotation", "value"), [(row[1], row[4]) for row in TYPES], ids=[row[0] for row in TYPES])
def test_a_value_survives_json(annotation: object, value: object) -> None:
    assert decode(annotation, json.loads(json.dumps(encode(value)))) == value


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, "10", 10),
        (int, " -10 ", -10),
        (int, "10.0", 10),
        (int, 10.0, 10),
        (float, 10, 10.0),
        (float, "1.5e3", 1500.0),
        (str, 10, "10"),
        (bool, "true", True),
        (bool, "False", False),
        (Heat, "HIGH", Heat.HIGH),
        (Heat, " High ", Heat.HIGH),
        (Size, "small", Size.SMALL),
        (Size, "2", Size.LARGE),
        (Size, 2.0, Size.LARGE),
        (Literal["Bus", "Train"], "bus", "Bus"),
        (Literal[1, 2], "2", 2),
        (int | None, "null", None),
        (int | None, "3", 3),
        (int | str, "3", "3"),
        (list[int] | int, "3", 3),
        (str | None, "null", "null"),
        (list[int], "[1, 2]", [1, 2]),
        (dict[str, int], '{"a": "1"}', {"a": 1}),
        (Egg, '{"minutes": "3"}', Egg(3.0)),
        (Egg | None, {"minutes": 3, "heat": None}, Egg(3.0)),
    ],
)
def test_what_means_the_same_is_converted(annotation: object, value: Json, expected: object) -> None:
    result = decode(annotation, value)

    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value", "problem"),
    [
        (int, True, "the value must be an integer, not a boolean"),
        (int, 1.5, "the value must be an integer, not a number"),
        (int, "1.5", "the value must be an integer, not a string"),
        (int, "1,000", "the value must be an integer, not a string"),
        (int, "9" * 5000, "the value must be an integer, not a string"),
        (int, 2.0**60, "the value must be an integer, not a number"),
        (int, None, "the value must be an integer, not null"),
        (float, False, "the value must be a number, not a boolean"),
        (float, "nan", "the value must be a number, not a string"),
        (float, "1e999", "the value must be a number, not a string"),
        (float, float("inf"), "the value must be a number, not a number"),
        (float, 10**400, "the value must be a number, not an integer"),
        (float, 2**53 + 1, "the value must be a number, not an integer"),
        (bool, 1, "the value must be true or false, not an integer"),
        (bool, "yes", "the value must be true or false, not a string"),
        (str, 1.0, "the value must be a string, not a number"),
        (str, True, "the value must be a string, not a boolean"),
        (str, ["a"], "the value must be a string, not a list"),
        (Heat, "warm", "the value must be one of 'low', 'high'"),
        (Size, True, "the value must be one of 1, 2"),
        (Literal[1], True, "the value must be one of 1"),
        (list[int], 1, "the value must be a list, not an integer"),
        (list[int], [1, "a"], "the value[1] must be an integer, not a string"),
        (tuple[int, int], [1], "the value must be a list of 2 items, not of 1"),
        (dict[int, int], {"a": 1}, "a key of the value must be an integer, not a string"),
        (date, "31.5.2026", "the value must be a date such as 2026-05-31, not a string"),
        (Decimal, "much", "the value must be a decimal number in a string, not a string"),
        (int | None, "a", "the value must be an integer, not a string"),
        (int | list[int], "a", "the value must be an integer or a list, not a string"),
        (int | list[int], ["a"], "the value[0] must be an integer, not a string"),
        (Stop | Egg, {"minutes": "a"}, "minutes must be a number, not a string"),
        (Annotated[int, Field(ge=1)], 0, "the value must be at least 1"),
        (Annotated[int, Field(gt=1)], 1, "the value must be more than 1"),
        (Annotated[int, Field(le=1)], 2, "the value must be at most 1"),
        (Annotated[int, Field(lt=1)], 1, "the value must be less than 1"),
        (Annotated[float, Field(multiple_of=0.1)], 0.25, "the value must be a multiple of 0.1"),
        (Annotated[str, Field(min_length=2)], "a", "the value must have this many characters at least: 2"),
        (Annotated[str, Field(pattern="^a")], "b", "the value must match the pattern ^a"),
        (Annotated[list[int], Field(max_length=1)], [1, 2], "the value must have this many items at most: 1"),
        (Annotated[int | None, Field(ge=1)], 0, "the value must be at least 1"),
        (Annotated[int, Field(ge=1)] | list[int], 0, "the value must be at least 1"),
        (Egg, {}, "minutes is missing"),
        (Egg, {"minutes": 1, "mintues": 2}, "the value has no mintues (known are: minutes, heat, notes, tags)"),
        (Journey, {"stops": [{}]}, "stops[0].name is missing"),
        (Journey, {"stops": [], "by": "foot"}, "by must be one of 'bus', 'train'"),
        (Even, {"number": 3}, "the value was refused: it must be even"),
    ],
)
def test_what_does_not_fit_is_told_in_words(annotation: object, value: object, problem: str) -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        decode(annotation, value)

    assert caught.value.message == f"the value doesn't fit:\n- {problem}"


def test_multiples_are_not_a_matter_of_binary_fractions() -> None:
    assert decode(Annotated[float, Field(multiple_of=0.1)], 0.3) == 0.3


def test_all_problems_are_told_at_once_but_not_endlessly() -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        decode(list[int], ["a"] * (MAX_PROBLEMS + 5))

    lines = caught.value.message.splitlines()
    assert len(lines) == MAX_PROBLEMS + 2
    assert lines[-1] == "- and 5 more"


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (complex, "complex can't be expressed"),
        (bytes, "bytes can't be expressed"),
        (T, "~T can't be expressed"),
        (type[int], "type[int] can't be expressed"),
        (typing.Callable[[], None], "can't be expressed"),
        (InitVar[int], "can't be expressed"),
        (Literal[b"a"], "b'a' in a Literal"),
        (Nothing, "has no members"),
        (dict[float, int], "the keys of a dict"),
        (set[list[int]], "list[int] can't be an item of a set"),
        (set[Branch], "Branch can't be an item of a set"),
        (Annotated[bool, Field(ge=1)], "ge can't be asked of true or false"),
        (Annotated[int, Field(pattern="a")], "pattern can't be asked of an integer"),
        (Annotated[str, Field(pattern="(")], "isn't a regular expression"),
        (Annotated[int, Field(multiple_of=0)], "must be a number, above 0"),
        (list["Missing"], "'Missing' can't be resolved"),  # type: ignore[name-defined]  # noqa: F821
    ],
)
def test_a_type_without_a_schema_is_refused(annotation: object, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(reason)):
        schema_of(annotation)


def test_a_field_without_a_schema_is_refused() -> None:
    @dataclass
    class Pot:
        lid: Missing  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ConfigurationError, match=r"a field of .*Pot has no known type"):
        schema_of(Pot)


def test_two_classes_of_one_name_stay_apart() -> None:
    def make(kind: type) -> type:
        @dataclass
        class Node:
            value: kind  # type: ignore[valid-type]
            next: Any = None

        Node.__annotations__.update(value=kind, next=Node | None)
        return Node

    one, other = make(int), make(str)
    schema = schema_of(tuple[one, other])  # type: ignore[valid-type]

    assert sorted(schema["$defs"]) == ["Node", "Node-2"]  # type: ignore[arg-type]
    assert decode(tuple[one, other], [{"value": 1}, {"value": "a"}]) == (one(1), other("a"))  # type: ignore[valid-type]


def test_values_that_are_nested_too_deep_are_refused() -> None:
    value: dict[str, object] = {"name": "a"}
    for _ in range(200):
        value = {"name": "a", "parent": value}

    with pytest.raises(ToolArgumentsError, match="nested deeper than 64 levels"):
        decode(Branch, value)


# --- foreign types ----------------------------------------------------------------------------------------------


def test_limits_of_annotated_types_are_understood() -> None:
    limits = pytest.importorskip("annotated_types")

    annotation = Annotated[int, limits.Ge(1), limits.Interval(lt=10), limits.MultipleOf(2)]
    text = Annotated[str, limits.Len(0, 3)]

    assert schema_of(annotation) == {"type": "integer", "minimum": 1, "exclusiveMaximum": 10, "multipleOf": 2}
    assert schema_of(text) == {"type": "string", "maxLength": 3}


def test_pydantic_models_are_used_by_their_own_schema() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Pan(pydantic.BaseModel):  # type: ignore[misc,name-defined]
        size: int
        title: str = "pan"

    class Stove(pydantic.BaseModel):  # type: ignore[misc,name-defined]
        pans: list[Pan]

    Stove.model_rebuild(_types_namespace={"Pan": Pan})
    value = decode(Stove, {"pans": [{"size": "3"}]})

    assert schema_of(Stove) == {
        "type": "object",
        "properties": {
            "pans": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"size": {"type": "integer"}, "title": {"type": "string", "default": "pan"}},
                    "required": ["size"],
                },
            }
        },
        "required": ["pans"],
    }
    assert value == Stove(pans=[Pan(size=3)])
    assert encode(value) == {"pans": [{"size": 3, "title": "pan"}]}
    with pytest.raises(ToolArgumentsError, match=r"pans\.0\.size is wrong: .*integer"):
        decode(Stove, {"pans": [{"size": "big"}]})


def test_pydantic_dataclasses_and_fields_are_understood() -> None:
    pydantic = pytest.importorskip("pydantic")

    @pydantic.dataclasses.dataclass
    class Pan:
        size: int

    assert schema_of(list[Pan])["items"] == {
        "type": "object",
        "properties": {"size": {"type": "integer"}},
        "required": ["size"],
    }
    assert decode(Pan, {"size": "3"}) == Pan(3)
    assert schema_of(Annotated[int, pydantic.Field(ge=1, description="How many.")]) == {
        "type": "integer",
        "minimum": 1,
        "description": "How many.",
    }


def test_pydantic_models_that_contain_themselves_keep_their_reference() -> None:
    pydantic = pytest.importorskip("pydantic")

    Tree = pydantic.create_model("Tree", twigs=(list["Tree"], ...))
    schema = schema_of(list[Tree])

    assert schema["items"] == {"$ref": "#/$defs/Tree"}
    assert list(typing.cast(JsonObject, schema["$defs"])) == ["Tree"]
    assert decode(Tree, {"twigs": [{"twigs": []}]}) == Tree(twigs=[Tree(twigs=[])])


def test_structs_are_used_by_their_own_schema() -> None:
    msgspec = pytest.importorskip("msgspec")
    Pan = msgspec.defstruct("Pan", [("size", int)])
    Stove = msgspec.defstruct("Stove", [("pans", list[Pan])])

    assert schema_of(Stove) == {
        "type": "object",
        "properties": {
            "pans": {
                "type": "array",
                "items": {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]},
            }
        },
        "required": ["pans"],
    }
    assert decode(Stove, {"pans": [{"size": "3"}]}) == Stove([Pan(3)])
    assert encode(Stove([Pan(3)])) == {"pans": [{"size": 3}]}
    with pytest.raises(ToolArgumentsError, match=r"pans\[0\]\.size is wrong: Expected `int`"):
        decode(Stove, {"pans": [{"size": "big"}]})


# --- encode -----------------------------------------------------------------------------------------------------


class Text(str):
    pass


class Array:
    def tolist(self) -> list[float]:
        return [1.0, 2.0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(Text("a"), "a", id="kind of string"),
        pytest.param(float("nan"), None, id="nan"),
        pytest.param(float("-inf"), None, id="infinite"),
        pytest.param((1, [2]), [1, [2]], id="tuple"),
        pytest.param({3, 1, 2}, [1, 2, 3], id="set"),
        pytest.param(
            {1: "a", Heat.LOW: "b", date(2026, 5, 31): "c"}, {"1": "a", "low": "b", "2026-05-31": "c"}, id="keys"
        ),
        pytest.param(Size.LARGE, 2, id="number of an enum"),
        pytest.param(Place.HOME, "HOME", id="name of an enum"),
        pytest.param(Array(), [1.0, 2.0], id="array"),
        pytest.param(Point(1.0), {"x": 1.0, "y": 0.0}, id="named tuple"),
        pytest.param(
            Egg(1.0), {"minutes": 1.0, "heat": "high", "notes": [], "tags": [], "is_done": False}, id="dataclass"
        ),
    ],
)
def test_values_become_json(value: object, expected: Json) -> None:
    result = encode(value)

    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param(b"a", "a bytes can't be written", id="bytes"),
        pytest.param([object()], "a object can't be written", id="object"),
        pytest.param({(1, 2): 3}, "a key of a JSON object", id="key"),
        pytest.param({None: 3}, "a key of a JSON object", id="null as a key"),
        pytest.param(Egg, "can't be written", id="a class"),
    ],
)
def test_what_is_not_json_is_refused(value: object, reason: str) -> None:
    with pytest.raises(TypeError, match=re.escape(reason)):
        encode(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)

    with pytest.raises(TypeError, match="contains itself"):
        encode(value)


scalars = {
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(),
    Heat: st.sampled_from(Heat),
    Size: st.sampled_from(Size),
    Place: st.sampled_from(Place),
    date: st.dates(),
    time: st.times(),
    datetime: st.datetimes(),
    UUID: st.uuids(),
    Literal["a", 1, None]: st.sampled_from(["a", 1, None]),
}


@st.composite
def typed_values(draw: st.DrawFn, depth: int = 2) -> tuple[Any, Any]:
    """Draw a type and a value of it."""
    kinds = (
        ["scalar"] if depth == 0 else ["scalar", "list", "tuple", "places", "set", "dict", "optional", "egg", "point"]
    )
    match draw(st.sampled_from(kinds)):
        case "list":
            annotation, value = draw(typed_values(depth - 1))
            return list[annotation], [value] * draw(st.integers(0, 2))
        case "tuple":
            annotation, value = draw(typed_values(depth - 1))
            return tuple[annotation, ...], (value,) * draw(st.integers(0, 2))
        case "places":
            (one, first), (other, second) = draw(typed_values(depth - 1)), draw(typed_values(depth - 1))
            return tuple[one, other], (first, second)
        case "set":
            annotation = draw(st.sampled_from(list(scalars)))
            return set[annotation], draw(st.sets(scalars[annotation], max_size=3))
        case "dict":
            key = draw(st.sampled_from([str, int, Heat, date]))
            annotation, value = draw(typed_values(depth - 1))
            return dict[key, annotation], dict.fromkeys(draw(st.sets(scalars[key], max_size=2)), value)
        case "optional":
            annotation, value = draw(typed_values(depth - 1))
            return Optional[annotation], draw(st.sampled_from([value, None]))  # noqa: UP045
        case "egg":
            minutes = draw(scalars[float])
            return Egg, Egg(minutes, draw(scalars[Heat]), tuple(draw(st.lists(st.text(), max_size=2))))
        case "point":
            return Point, Point(draw(scalars[float]), draw(scalars[float]))
        case _:
            annotation = draw(st.sampled_from(list(scalars)))
            return annotation, draw(scalars[annotation])


@given(typed_values())
def test_encode_and_decode_are_each_others_reverse(typed: tuple[Any, Any]) -> None:
    annotation, value = typed

    assert decode(annotation, json.loads(json.dumps(encode(value)))) == value
