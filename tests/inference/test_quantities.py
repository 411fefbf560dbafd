from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet.inference.quantities import mentioned_numbers, spoken_numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("ten minutes for the eggs", {10, 600}),
        ("half an hour", {30, 0.5, 1800}),
        ("an hour and a half", {90, 1.5, 5400}),
        ("two and a half hours", {150, 2.5}),
        ("three quarters of an hour", {45, 0.75}),
        ("a quarter to seven", {6, 45, 18}),
        ("half past two", {2, 30, 14}),
        ("nine fifteen", {9, 15}),
        ("7:30 pm", {7, 30, 19}),
        ("at 8 in the evening", {8, 20}),
        ("1 hour 20 minutes", {80}),
        ("1h30", {90}),
        ("1 1/2 cups", {1.5}),
        ("three and a quarter cups", {3.25}),
        ("a dozen eggs", {12}),
        ("two dozen", {24}),
        ("twenty-five", {25}),
        ("one hundred and twenty", {120}),
        ("three hundred thousand", {300_000}),
        ("forty five seconds", {45}),
        ("1,250.50 dollars", {1250.5}),
        ("5k", {5000}),
        ("minus five degrees", {-5}),
        ("the 3rd of May", {3}),
        ("half volume", {50}),
        ("full brightness", {100}),
        ("noon", {12}),
        ("a couple of hours", {2, 120}),
        ("thirty seven point two degrees", {37.2}),
        ("zero point two five", {0.25}),
        ("2 point 5", {2.5}),
    ],
)
def test_numbers_are_found(text: str, numbers: set[float]) -> None:
    assert numbers <= spoken_numbers(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("negative 5 minutes", 5),
        ("set a timer for the bread", 30),
        ("turn it down", 20),
        ("900 degrees", 96),
        ("wake me at 7", 30),
    ],
)
def test_numbers_are_not_made_up(text: str, number: float) -> None:
    assert number not in spoken_numbers(text)


@given(st.integers(0, 10**9))
def test_digits_are_found(number: int) -> None:
    assert number in spoken_numbers(f"set it to {number} please")
    assert number in spoken_numbers(f"set it to {number:,} please")


@given(st.text(max_size=80))
def test_any_text_is_read(text: str) -> None:
    assert all(isinstance(number, float) for number in spoken_numbers(text))


def test_what_is_minus_is_not_plus() -> None:
    assert all(10 not in mention for mention in mentioned_numbers("minus ten minutes for the eggs"))
