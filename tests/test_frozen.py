from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, field, fields, replace
from typing import ClassVar

import pytest

from limpet.frozen import frozen


@frozen
class Point:
    """A point."""

    kind: ClassVar[str] = "point"
    x: int
    y: int = 0
    notes: list[str] = field(default_factory=list)
    secret: str = field(default="", repr=False)


@frozen
class Even:
    number: int

    def __post_init__(self) -> None:
        if self.number % 2:
            raise ValueError("odd")

    def __repr__(self) -> str:
        return "even"


def test_values_are_made_by_place_and_by_name() -> None:
    assert Point(1, 2, ["a"]) == Point(y=2, notes=["a"], x=1)
    assert (Point(1).x, Point(1).y, Point(1).notes) == (1, 0, [])
    assert Point(1).notes is not Point(1).notes


@pytest.mark.parametrize(
    ("args", "given", "reason"),
    [
        ((), {}, "Point lacks 'x'"),
        ((1, 2, [], "", 5), {}, "Point takes 4 values, not 5"),
        ((1,), {"x": 2}, "Point has no 'x', or got it twice"),
        ((1,), {"z": 2}, "Point has no 'z', or got it twice"),
        ((1,), {"kind": "a"}, "Point has no 'kind', or got it twice"),
    ],
)
def test_wrong_arguments_are_refused(args: tuple[object, ...], given: dict[str, object], reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        Point(*args, **given)  # type: ignore[arg-type]


def test_equal_values_have_equal_classes_and_fields() -> None:
    assert Point(1) != Point(2)
    assert Even(2) == Even(2)
    assert Point(2) != Even(2)
    assert hash(Even(2)) == hash(Even(2))
    assert len({Even(2), Even(2), Even(4)}) == 2


def test_values_do_not_change() -> None:
    point = Point(1)

    with pytest.raises(FrozenInstanceError, match="cannot set or delete 'x'"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError, match="cannot set or delete 'x'"):
        del point.x  # type: ignore[misc]
    assert point == Point(1)


def test_values_show_their_fields_but_not_the_hidden_ones() -> None:
    assert repr(Point(1, secret="hunter2")) == "Point(x=1, y=0, notes=[])"
    assert repr(Even(2)) == "even"


def test_values_are_copied_and_pickled() -> None:
    point = Point(1, 2, ["a"])

    for other in (copy.copy(point), copy.deepcopy(point), pickle.loads(pickle.dumps(point))):
        assert other == point


def test_dataclasses_know_them() -> None:
    assert [of.name for of in fields(Point)] == ["x", "y", "notes", "secret"]  # type: ignore[arg-type]
    assert replace(Point(1), y=3) == Point(1, 3)  # type: ignore[type-var]
    assert asdict(Point(1)) == {"x": 1, "y": 0, "notes": [], "secret": ""}  # type: ignore[call-overload]
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)


def test_what_must_hold_is_checked() -> None:
    with pytest.raises(ValueError, match="odd"):
        Even(3)


@pytest.mark.parametrize("option", [{"init": False}, {"compare": False}, {"kw_only": True}])
def test_options_that_are_not_known_are_refused(option: dict[str, bool]) -> None:
    with pytest.raises(TypeError, match="only default and repr are known"):

        @frozen
        class Odd:
            x: int = field(default=0, **option)  # type: ignore[call-overload]
