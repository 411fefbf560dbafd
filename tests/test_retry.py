"""When to try again: pure decisions, no waiting."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limpet.errors import (
    AuthenticationError,
    ContextLengthError,
    CorsError,
    InvalidRequestError,
    ModelError,
    ModelUnavailableError,
    OfflineError,
    PolicyRefusalError,
    RateLimitError,
    WireFormatError,
)
from limpet.retry import RetryPolicy, read_retry_after

POLICY = RetryPolicy(max_attempts=3, first_delay_seconds=1.0, max_delay_seconds=20.0)


@pytest.mark.parametrize(
    ("attempt", "random", "delay"),
    [(1, 0.0, 0.5), (1, 1.0, 1.0), (2, 0.0, 1.0), (2, 0.5, 1.5), (3, 0.5, None), (4, 0.5, None)],
)
def test_the_pause_doubles_and_ends_with_the_last_attempt(attempt: int, random: float, delay: float | None) -> None:
    assert POLICY.delay_seconds(ModelUnavailableError("busy"), attempt=attempt, random=random) == delay


def test_the_pause_has_a_cap() -> None:
    policy = RetryPolicy(max_attempts=10_000, max_delay_seconds=20.0)

    assert policy.delay_seconds(ModelUnavailableError("busy"), attempt=9_000, random=1.0) == 20.0


@pytest.mark.parametrize(
    "cls",
    [
        AuthenticationError,
        ContextLengthError,
        CorsError,
        InvalidRequestError,
        OfflineError,
        PolicyRefusalError,
        WireFormatError,
    ],
)
def test_what_will_not_change_is_not_tried_again(cls: type[ModelError]) -> None:
    assert POLICY.delay_seconds(cls("no"), attempt=1, random=0.5) is None


@pytest.mark.parametrize(("status", "is_tried"), [(404, False), (410, False), (307, False), (503, True), (408, True)])
def test_a_missing_model_is_not_tried_again(status: int, is_tried: bool) -> None:
    delay = POLICY.delay_seconds(ModelUnavailableError("no", status=status), attempt=1, random=0.5)

    assert (delay is not None) == is_tried


@pytest.mark.parametrize(
    ("asked", "delay"),
    [
        pytest.param(None, 0.75, id="not told"),
        pytest.param(7.0, 7.0, id="longer than ours"),
        pytest.param(0.0, 0.75, id="shorter than ours"),
        pytest.param(20.0, 20.0, id="as long as we wait"),
        pytest.param(20.5, None, id="longer than we wait"),
    ],
)
def test_what_the_server_asks_for_counts_more(asked: float | None, delay: float | None) -> None:
    error = RateLimitError("slowly", retry_after_seconds=asked)

    assert POLICY.delay_seconds(error, attempt=1, random=0.5) == delay


NOW = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "1"}, 1.0),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:07 GMT"}, 7.0),
        ({"retry-after": "Sun, 22 Nov 2026 09:00:00 GMT"}, 0.0),
        ({"retry-after": "Sunday, 22-Nov-26 10:00:07 GMT"}, 7.0),
        ({"retry-after": "Sun Nov 22 10:00:07 2026"}, 7.0),
        ({"retry-after": "Sun, 22 Foo 2026 10:00:07 GMT"}, None),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:07 CET"}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert read_retry_after(headers, now=NOW) == seconds


@settings(deadline=None)  # Pyodide and busy machines are slow
@given(st.datetimes(datetime(1970, 1, 1), datetime(2400, 1, 1)))
def test_dates_are_the_calendars(moment: datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    text = format_datetime(moment, usegmt=True)

    assert read_retry_after({"retry-after": text}, now=0.0) == moment.timestamp()
