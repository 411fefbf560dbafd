"""The shapes in `wire.py` and the dataclasses that they are the shapes of must agree."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NotRequired, Required, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet import events, messages, wire
from limpet.errors import FallbackReason, WireError
from limpet.wire import Json, JsonObject, is_json, one_of, pick_class, read_fields, write_fields
from tests.wire_values import EVENTS, PARTS, field_hints, json_values

SHAPES = {name: shape for name, shape in vars(wire).items() if is_typeddict(shape)}
PAIRS = [(messages.Message, "MessageWire"), (events.Usage, "UsageWire")]
PAIRS += [(cls, f"{cls.__name__}Wire") for cls in (*PARTS, *EVENTS)]
# What a field is in JSON, where that is not what it is in Python.
IN_JSON: dict[Any, Any] = {
    events.Usage: wire.UsageWire,
    tuple[messages.Part, ...]: list[wire.PartWire],
}


def fields_of_shape(shape: type) -> dict[str, tuple[Any, bool]]:
    """Give type and required-ness of each field of a TypedDict.

    `__required_keys__` can't tell: under `from __future__ import annotations` it has the NotRequired ones in it.
    """
    result = {}
    for name, hint in get_type_hints(shape, include_extras=True).items():
        is_wrapped = get_origin(hint) in (Required, NotRequired)
        result[name] = (get_args(hint)[0] if is_wrapped else hint, get_origin(hint) is not NotRequired)
    return result


@pytest.mark.parametrize(("cls", "shape"), PAIRS, ids=[cls.__name__ for cls, _ in PAIRS])
def test_every_value_has_the_shape_of_its_own_fields(cls: type, shape: str) -> None:
    expected: dict[str, tuple[Any, bool]] = {}
    if hasattr(cls, "type"):
        expected["type"] = (Literal[cls.type], True)
    if cls in EVENTS:
        expected |= {"id": (int, True), "run_id": (str, True)}
    for name, hint in field_hints(cls).items():
        # None is written out as null, but for what is mostly absent.
        is_left_out = name == "provider_metadata" or (cls is messages.Message and name == "model")
        in_json = IN_JSON.get(hint, hint)
        if is_left_out:
            in_json = next(member for member in get_args(hint) if member is not type(None))
        expected[name] = (in_json, not is_left_out)
    if cls is events.TurnEnd:
        expected["cost"] = (float, False)  # told by the page's worker, which knows the prices

    assert fields_of_shape(SHAPES[shape]) == expected


def test_unions_have_every_shape() -> None:
    assert {shape.__name__ for shape in get_args(wire.PartWire)} == {f"{cls.__name__}Wire" for cls in PARTS}
    assert {shape.__name__ for shape in get_args(wire.EventWire)} == {f"{cls.__name__}Wire" for cls in EVENTS}


@pytest.mark.parametrize("union", [wire.PartWire, wire.EventWire, wire.Command, wire.Report])
def test_members_of_a_union_are_told_apart_by_their_type(union: Any) -> None:
    types = [get_args(fields_of_shape(shape)["type"][0]) for shape in get_args(union)]

    assert all(len(names) == 1 for names in types)
    assert len(set(types)) == len(types)


def test_every_shape_is_reached_from_what_crosses() -> None:
    reached: set[str] = set()

    def reach(hint: Any) -> None:
        if is_typeddict(hint) and hint.__name__ not in reached:
            reached.add(hint.__name__)
            for inner, _ in fields_of_shape(hint).values():
                reach(inner)
        for member in get_args(hint):
            reach(member)

    for union in (wire.Command, wire.Report):
        reach(union)

    assert set(SHAPES) - reached == set(), "nothing sends these"


def test_closed_sets_are_the_same_everywhere() -> None:
    assert get_args(wire.RoleName) == get_args(messages.Role) == messages.ROLES
    assert set(get_args(wire.FinishReason)) < set(get_args(wire.RunFinishReason))
    assert get_type_hints(wire.FallbackWire)["reason"] == FallbackReason


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, True),
        ({"a": [1, 1.5, "b", True, None]}, True),
        ({1: 2}, False),
        ((1, 2), False),
        (b"a", False),
        ([{"a": object()}], False),
    ],
)
def test_json_is_told_from_other_values(value: object, expected: bool) -> None:
    assert is_json(value) is expected


@given(json_values)
def test_all_json_is_json(value: Json) -> None:
    assert is_json(value)


@dataclass(frozen=True)
class Sample:
    type: ClassVar[Literal["sample"]] = "sample"
    name: str
    count: int = 0
    share: float | None = None
    data: JsonObject | None = None
    provider_metadata: JsonObject | None = None


def test_fields_are_written_and_read() -> None:
    sample = Sample("a", 1, 0.5, {"b": []}, {"c": 1})
    data = write_fields(sample)

    assert data == {
        "type": "sample",
        "name": "a",
        "count": 1,
        "share": 0.5,
        "data": {"b": []},
        "provider_metadata": {"c": 1},
    }
    assert Sample(**read_fields(Sample, data, "a sample")) == sample  # type: ignore[arg-type]


def test_what_is_absent_is_not_written_and_defaults_when_read() -> None:
    assert "provider_metadata" not in write_fields(Sample("a"))
    assert read_fields(Sample, {"name": "a"}, "a sample") == {"name": "a"}


def test_unknown_fields_are_skipped() -> None:
    assert read_fields(Sample, {"name": "a", "newer": 1}, "a sample") == {"name": "a"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "a sample must be a JSON object, not list"),
        ("{}", "a sample must be a JSON object, not str"),
        ({}, "a sample lacks the field 'name'"),
        ({"name": 3}, "a sample: the field 'name' must be str, not int"),
        ({"name": None}, "a sample: the field 'name' must be str, not NoneType"),
        ({"name": "a", "count": True}, "a sample: the field 'count' must be int, not bool"),
        ({"name": "a", "count": 1.0}, "a sample: the field 'count' must be int, not float"),
        ({"name": "a", "share": "1"}, "a sample: the field 'share' must be float | None, not str"),
        ({"name": "a", "data": [1]}, "a sample: the field 'data' must be JsonObject | None, not list"),
        ({"name": "a", "data": {"b": {1}}}, "a sample: the field 'data' must be JsonObject | None, not dict"),
    ],
)
def test_a_wrong_field_is_named(data: object, message: str) -> None:
    with pytest.raises(WireError) as caught:
        read_fields(Sample, data, "a sample")

    assert caught.value.message == message


@pytest.mark.parametrize("data", [None, [], {}, {"type": 3}, {"type": None}, {"type": ["sample"]}, {"type": "other"}])
def test_a_type_that_is_not_known_is_refused(data: object) -> None:
    with pytest.raises(WireError, match="a thing needs a 'type' of sample"):
        pick_class(data, {"sample": Sample}, "a thing")


@given(st.text() | st.none() | st.integers())
def test_closed_sets_take_their_members_only(value: object) -> None:
    assert one_of(("a", "b"))(value) is (value in ("a", "b"))


def test_numbers_that_are_not_finite_are_not_json() -> None:
    assert not is_json(math.nan)
    assert not is_json([math.inf])
