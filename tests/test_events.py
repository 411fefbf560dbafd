from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limpet.errors import ConfigurationError, RateLimitError, WireError
from limpet.events import (
    EVENTS as EVENTS_BY_TYPE,
)
from limpet.events import (
    Event,
    RunEnd,
    TextDelta,
    TurnEnd,
    Usage,
    error_to_wire,
    event_from_wire,
    event_to_wire,
    usage_from_wire,
    usage_to_wire,
)
from tests.wire_values import EVENTS, field_hints, sample_of, values_of

SECRET = "hunter2"


@pytest.mark.parametrize("cls", EVENTS, ids=lambda cls: cls.type)
@settings(max_examples=25)
@given(st.data(), st.integers(min_value=0), st.text())
def test_events_survive_json(cls: type[Event], values: st.DataObject, id: int, run_id: str) -> None:
    event = values.draw(values_of(cls))
    data = json.loads(json.dumps(event_to_wire(event, id=id, run_id=run_id)))

    assert event_from_wire(data) == event
    assert (data["type"], data["id"], data["run_id"]) == (event.type, id, run_id)


@given(values_of(Usage))
def test_usage_survives_json(usage: Usage) -> None:
    assert usage_from_wire(json.loads(json.dumps(usage_to_wire(usage)))) == usage


def test_an_event_looks_like_this() -> None:
    assert event_to_wire(TextDelta("t1", "Ten"), id=3, run_id="r") == {
        "type": "text_delta",
        "part_id": "t1",
        "text": "Ten",
        "id": 3,
        "run_id": "r",
    }
    assert event_to_wire(RunEnd("cancelled", 1, Usage(1, 2, 3, 4)), id=9, run_id="r") == {
        "type": "run_end",
        "finish_reason": "cancelled",
        "turns": 1,
        "usage": {"input_tokens": 1, "output_tokens": 2, "cached_tokens": 3, "reasoning_tokens": 4},
        "id": 9,
        "run_id": "r",
    }


def test_every_event_is_known_by_its_type() -> None:
    assert list(EVENTS_BY_TYPE.values()) == list(EVENTS)
    assert all(name == cls.type for name, cls in EVENTS_BY_TYPE.items())


def test_usages_are_added_up() -> None:
    assert Usage(1, 2, 3, 4) + Usage(10, 20, 30, 40) == Usage(11, 22, 33, 44)
    assert Usage(1, 2, 3, 4).total_tokens == 3


FIELDS = [(cls, name) for cls in EVENTS for name in field_hints(cls)]


@pytest.mark.parametrize(("cls", "name"), FIELDS, ids=[f"{cls.type}-{name}" for cls, name in FIELDS])
def test_a_wrong_field_is_named_without_its_value(cls: type[Any], name: str) -> None:
    wire: dict[str, Any] = dict(event_to_wire(sample_of(cls), id=0, run_id="r"))
    wire[name] = {SECRET}  # a set fits nowhere

    with pytest.raises(WireError, match="usage" if name == "usage" else f"'{name}'") as caught:
        event_from_wire(wire)
    assert SECRET not in str(caught.value)


REQUIRED = [(cls, field.name) for cls in EVENTS for field in fields(cls) if field.default is MISSING]


@pytest.mark.parametrize(("cls", "name"), REQUIRED, ids=[f"{cls.type}-{name}" for cls, name in REQUIRED])
def test_a_missing_field_is_named(cls: type[Any], name: str) -> None:
    wire: dict[str, Any] = dict(event_to_wire(sample_of(cls), id=0, run_id="r"))
    del wire[name]

    with pytest.raises(WireError, match="usage" if name == "usage" else f"lacks the field '{name}'"):
        event_from_wire(wire)


@pytest.mark.parametrize("cls", [TurnEnd, RunEnd])
def test_a_wrong_count_of_tokens_is_named(cls: type[Event]) -> None:
    counts = {"input_tokens": 1, "output_tokens": SECRET}
    wire = {"type": cls.type, "turn": 1, "turns": 1, "model": "", "finish_reason": "stop", "usage": counts}

    with pytest.raises(WireError, match="usage: the field 'output_tokens' must be int") as caught:
        event_from_wire(wire)
    assert SECRET not in str(caught.value)


def test_an_event_of_an_unknown_type_is_refused() -> None:
    with pytest.raises(WireError, match="an event needs a 'type' of run_start, turn_start"):
        event_from_wire({"type": SECRET})


def test_only_errors_of_ours_are_told() -> None:
    assert error_to_wire(RateLimitError("too many", retry_after_seconds=3)) == {
        "name": "RateLimitError",
        "message": "too many",
        "is_retryable": True,
    }
    assert error_to_wire(ConfigurationError("wrong"))["is_retryable"] is False
    told = error_to_wire(KeyError(SECRET))
    assert told["name"] == "KeyError"
    assert SECRET not in told["message"]
