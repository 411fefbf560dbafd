from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest

from limpet import tool
from limpet.inference.grounding import Question, ground_call
from limpet.inference.quantities import measured_numbers
from limpet.schema import Field
from limpet.tools import Tool
from limpet.wire import JsonObject


@tool
def start_timer(
    hours: int = 0,
    minutes: Annotated[int, Field(ge=0, le=600)] = 0,
    seconds: Annotated[int, Field(ge=0, le=3600)] | None = None,
) -> None:
    """Start a timer."""


@tool
def restart(delay_seconds: Annotated[int, Field(ge=0, le=3600)], mode: Literal["soft", "hard"] = "soft") -> None:
    """Restart the machine."""


@tool
def sleep_timer(duration: int) -> None:
    """Stop the music later.

    Args:
        duration: After how long, in minutes.
    """


@tool
def log_water(liters: float) -> None:
    """Record what was drunk."""


@tool
def convert(value: float, source: str) -> None:
    """Convert a value.

    Args:
        value: The value to convert.
        source: Its unit.
    """


@pytest.mark.parametrize(
    ("asked", "prompt", "written", "placed"),
    [
        (start_timer, "a timer for 15 minutes", {"hours": 15, "minutes": 15}, {"minutes": 15}),
        (start_timer, "timer for 90 seconds", {"minutes": 90}, {"seconds": 90}),
        (start_timer, "90s please", {"minutes": 90}, {"seconds": 90}),
        (start_timer, "1 hour and 20 minutes", {"hours": 1, "minutes": 20}, {"hours": 1, "minutes": 20}),
        (start_timer, "20 minutes, then 20 seconds", {"minutes": 20}, {"minutes": 20}),
        (start_timer, "a ten minute timer", {"hours": 10}, {"minutes": 10}),
        (restart, "restart in two minutes", {"delay_seconds": 2}, {"delay_seconds": 120}),
        (restart, "restart in two minutes", {"delay_seconds": 120}, {"delay_seconds": 120}),
        (restart, "restart in 30", {"delay_seconds": 30}, {"delay_seconds": 30}),
        (sleep_timer, "stop in 2 hours", {"duration": 2}, {"duration": 120}),
        (sleep_timer, "stop in 1 hour 20 minutes", {"duration": 80}, {"duration": 80}),
        (log_water, "I drank 300 ml", {"liters": 300}, {"liters": 0.3}),
        (convert, "convert 3 hours", {"value": 3, "source": "hours"}, {"value": 3, "source": "hours"}),
    ],
)
def test_a_number_goes_where_its_unit_is(
    asked: Tool[Any, Any], prompt: str, written: JsonObject, placed: JsonObject
) -> None:
    kept, found = ground_call(Question(prompt), asked.spec, written)

    assert kept == placed
    assert bool(found.placed) == (kept != written)
    assert not found.invented


@pytest.mark.parametrize(
    ("asked", "prompt", "written"),
    [
        (restart, "restart in 2 hours", {"delay_seconds": 2}),
        (sleep_timer, "stop in 40 seconds", {"duration": 40}),
    ],
    ids=["beyond the limit", "no whole number"],
)
def test_a_number_that_does_not_fit_its_parameter_makes_the_call_wrong(
    asked: Tool[Any, Any], prompt: str, written: JsonObject
) -> None:
    _, found = ground_call(Question(prompt), asked.spec, written)

    assert found.invented


def test_what_is_measured_has_its_unit_spelled_out() -> None:
    assert list(measured_numbers("2 hrs, 5 mins or half a litre")) == [(2, "hour"), (5, "minute"), (0.5, "liter")]
