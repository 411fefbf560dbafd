"""When to ask the same model again, and after how long. Decides; does not wait, and knows no clock.

Back-off doubles from attempt to attempt and is drawn at random from the upper half of that time, so that many tabs
which failed together don't come back together. What a server asks for (`Retry-After`) counts more than our own sum.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import ModelError

_HOPELESS_STATUSES = frozenset({*range(300, 400), 404, 405, 410, 501, 505})
"""The server is there, but what was asked for isn't, and won't be in a second."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# RFC 9110 section 5.6.7: IMF-fixdate, and the two obsolete forms that must be understood.
_HTTP_DATES = (
    re.compile(r"\w{3}, (?P<day>\d\d) (?P<month>\w{3}) (?P<year>\d{4}) (?P<time>\d\d:\d\d:\d\d) GMT", re.ASCII),
    re.compile(r"\w+, (?P<day>\d\d)-(?P<month>\w{3})-(?P<year>\d\d) (?P<time>\d\d:\d\d:\d\d) GMT", re.ASCII),
    re.compile(r"\w{3} (?P<month>\w{3}) (?P<day>[\d ]\d) (?P<time>\d\d:\d\d:\d\d) (?P<year>\d{4})", re.ASCII),
)
_SECONDS = re.compile(r"\d{1,9}(\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient we are with one model; the next model or the user is waiting."""

    max_attempts: int = 3
    first_delay_seconds: float = 0.5
    max_delay_seconds: float = 20.0

    def delay_seconds(self, error: ModelError, *, attempt: int, random: float) -> float | None:
        """Give the pause before the next attempt; None when there is none to make.

        `attempt` counts the attempts made so far, from 1; `random` is in 0..1. A server that asks for more than
        `max_delay_seconds` is not waited for.
        """
        if not error.is_retryable or error.status in _HOPELESS_STATUSES or attempt >= self.max_attempts:
            return None
        delay = self.first_delay_seconds * (1 << min(attempt - 1, 30))
        delay = min(delay, self.max_delay_seconds) * (0.5 + random / 2)
        asked = error.retry_after_seconds
        if asked is None:
            return delay
        return max(asked, delay) if asked <= self.max_delay_seconds else None


def read_retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """Give the seconds that a response's headers ask us to wait, or None. `now` is in seconds since 1970.

    >>> read_retry_after({"retry-after": "2"}, now=0.0)
    2.0
    >>> read_retry_after({"retry-after": "Thu, 01 Jan 1970 00:01:00 GMT"}, now=50.0)
    10.0
    """
    milliseconds = headers.get("retry-after-ms", "").strip()  # Azure and OpenAI send it beside the other
    if _SECONDS.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    moment = _read_http_date(text, now)
    return None if moment is None else max(0.0, moment - now)


def _read_http_date(text: str, now: float) -> float | None:
    # `email.utils` would do it, but costs Pyodide more than the whole package at import.
    for form in _HTTP_DATES:
        match = form.fullmatch(text)
        if match is not None and match["month"].lower() in _MONTHS:
            break
    else:
        return None
    year, month, day = int(match["year"]), _MONTHS.index(match["month"].lower()) + 1, int(match["day"])
    if len(match["year"]) == 2:
        # A two-digit year is the one nearest to now (RFC 9110: not more than 50 years ahead).
        this_year = 1970 + int(now // 31_556_952)
        year += this_year // 100 * 100
        year -= 100 if year > this_year + 50 else 0
    hours, minutes, seconds = (int(field) for field in match["time"].split(":"))
    return _days_since_1970(year, month, day) * 86400 + hours * 3600 + minutes * 60.0 + seconds


def _days_since_1970(year: int, month: int, day: int) -> int:
    # Counted in years that begin with March, so that the leap day is the last.
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 1 - 719468
