"""The numbers that an English sentence speaks of, in digits or in words.

`spoken_numbers("half an hour")` has 30 among them. It errs on the side of finding too many: it serves to notice numbers
that a model made up, not to understand the sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_UNITS = re.findall(
    r"\w+",
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen",
)
_TENS = re.findall(r"\w+", "twenty thirty forty fifty sixty seventy eighty ninety")
_ORDINALS = re.findall(
    r"\w+",
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth",
)
_SCALES = {"hundred": 100, "thousand": 1000, "grand": 1000, "million": 10**6, "billion": 10**9, "k": 1000}
_SMALL: dict[str, float] = {
    **{word: float(value) for value, word in enumerate(_UNITS)},
    **{word: float(value) for value, word in enumerate(_ORDINALS)},
    **{word: 20.0 + 10 * place for place, word in enumerate(_TENS)},
    **{word[:-1] + "ieth": 20.0 + 10 * place for place, word in enumerate(_TENS)},
    "oh": 0.0,
    "nought": 0.0,
    "fourty": 40.0,
    "half": 0.5,
    "quarter": 0.25,
    "quarters": 0.25,
    "thirds": 1 / 3,
    "dozen": 12.0,
    "dozens": 12.0,
    "couple": 2.0,
    "pair": 2.0,
    "both": 2.0,
    "twice": 2.0,
    "double": 2.0,
    "once": 1.0,
    "single": 1.0,
    "triple": 3.0,
    "score": 20.0,
    "fortnight": 14.0,
    "noon": 12.0,
    "midday": 12.0,
    "a": 1.0,
    "an": 1.0,
    "another": 1.0,
}
_VAGUE = frozenset({"both", "twice", "double", "triple", "second", "third", "couple", "pair", "score"})
_IMPLIED: dict[str, tuple[float, ...]] = {
    "midnight": (0.0, 12.0, 24.0),
    "half": (50.0, 30.0),
    "halfway": (50.0, 0.5),
    "quarter": (25.0, 15.0),
    "full": (100.0,),
    "fully": (100.0,),
    "maximum": (100.0,),
    "max": (100.0,),
    "all": (100.0,),
    "off": (0.0,),
    "mute": (0.0,),
    "silent": (0.0,),
    "minimum": (0.0,),
    "freezing": (0.0, 32.0),
    "boiling": (100.0, 212.0),
    "tonight": (20.0,),
}
_FACTORS: dict[str, tuple[float, ...]] = {
    # What a number before this unit may be turned into: seconds, minutes, hours, days; metres, grams, cents.
    "second": (1 / 60, 1000),
    "minute": (60, 1 / 60),
    "hour": (60, 3600, 1 / 24),
    "day": (24, 1440, 86400, 1 / 7),
    "week": (7, 168, 1 / 4),
    "month": (30, 1 / 12),
    "year": (12, 365, 52),
    "decade": (10,),
    "dozen": (12,),
    "percent": (0.01,),
    "milliliter": (0.001,),
    "millilitre": (0.001,),
    "ml": (0.001,),
    "gram": (0.001,),
    "g": (0.001,),
    "kilometer": (1000,),
    "kilometre": (1000,),
    "km": (1000,),
    "meter": (100, 0.001),
    "metre": (100, 0.001),
    "kilo": (1000,),
    "kilogram": (1000,),
    "kg": (1000,),
    "liter": (1000,),
    "litre": (1000,),
    "dollar": (100,),
    "euro": (100,),
    "pound": (100,),
}
_WORD = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+|[a-z]+|[:/%-]")
_DIGITS = _UNITS[:10]
_POINT = re.compile(rf"\s+point((?:\s+(?:\d+|{'|'.join(_DIGITS)})\b)+)")
_ABBREVIATIONS = {
    "sec": "second", "secs": "second", "s": "second", "min": "minute", "mins": "minute", "m": "minute", "hr": "hour",
    "hrs": "hour", "h": "hour", "d": "day", "wk": "week", "wks": "week", "%": "percent", "yr": "year", "yrs": "year",
}  # fmt: skip
_SPELLED_OUT = {
    "ml": "milliliter", "millilitre": "milliliter", "l": "liter", "litre": "liter", "g": "gram", "kg": "kilogram",
    "kilo": "kilogram", "km": "kilometer", "kilometre": "kilometer", "metre": "meter",
}  # fmt: skip


class Measured(NamedTuple):
    """A number that was said with a unit; the unit is any word that follows it."""

    value: float
    unit: str


def spoken_numbers(text: str) -> set[float]:
    """Give the numbers a text has, and those it may stand for (`two hours`: 2, 120 and 7200; `7 pm`: 7 and 19)."""
    found: set[float] = set()
    words = _words(text)
    runs = list(_runs(words))
    for value, end, parts in runs:
        readings = set(_readings(value, words, end))
        found.update(readings)
        if value in readings:
            found.update(parts)
    for word in words:
        found.update(_IMPLIED.get(word, ()))
    found.update(_combined(words, runs))
    return {round(value, 6) for value in found}


def mentioned_numbers(text: str) -> Iterator[set[float]]:
    """Yield for each number of a text all that it may stand for; articles and fractions of no certain meaning are none.

    >>> [sorted(mention) for mention in mentioned_numbers("volume to 35, please")]
    [[35.0]]
    """
    words = _words(text)
    start = 0
    for value, end, parts in _runs(words):
        spelled = words[start:end]
        is_certain = any(word[0].isdigit() for word in spelled) or any(
            word in _SMALL and _SMALL[word] >= 2 and word not in _VAGUE for word in spelled
        )
        if is_certain:
            readings = set(_readings(value, words, end))
            yield {round(reading, 6) for reading in (readings | set(parts) if value in readings else readings)}
        start = end


def measured_numbers(text: str) -> Iterator[Measured]:
    """Yield each number that has a word after it, with that word in the singular, spelled out: `90s` is 90 second.

    >>> list(measured_numbers("an hour and 20 mins"))
    [Measured(value=1.0, unit='hour'), Measured(value=20.0, unit='minute')]
    """
    words = _words(text)
    fraction_end = -1
    for value, end, _ in _runs(words):
        if end - 1 == fraction_end and words[end - 1] in ("a", "an"):
            # `half an hour` is no whole one.
            continue
        fraction_end = end if 0 < value < 1 else -1
        word = next((word for word in words[end : end + 3] if word not in ("of", "an", "a", "-")), "")
        singular = word.rstrip("s") if len(word) > 2 else word
        unit = _ABBREVIATIONS.get(word, _SPELLED_OUT.get(singular, singular))
        if unit.isalpha():
            yield Measured(value, unit)


def _words(text: str) -> list[str]:
    lowered = text.lower().replace("\u2019", "'").replace("\u00bd", " half ").replace("\u00bc", " quarter ")
    return _WORD.findall(_POINT.sub(_decimals, lowered))


def _decimals(match: re.Match[str]) -> str:
    """Write the digits after a spoken point as such: `thirty seven point two` becomes `thirty seven .2`."""
    digits = (word if word.isdigit() else str(_DIGITS.index(word)) for word in re.findall(r"[a-z]+|\d+", match[1]))
    return f" .{''.join(digits)}"


def _runs(words: list[str]) -> Iterator[tuple[float, int, list[float]]]:
    """Yield each number with the place after it and the numbers it is made of."""
    place = 0
    while place < len(words):
        if _value(words[place]) is None:
            place += 1
            continue
        total, current, parts, start = 0.0, 0.0, [], place
        while place < len(words):
            word = words[place]
            value = _value(word)
            if value is not None and not (word in ("a", "an") and place > start):
                parts.append(value)
                joins = place == start or _joins(current, value)
                if not joins:
                    break
                current += value
            elif word in _SCALES and place > start:
                current = (current or 1) * _SCALES[word]
                if _SCALES[word] >= 1000:
                    total, current = total + current, 0.0
            elif not _links(words, place, start):
                break
            place += 1
        yield total + current, place, parts


def _links(words: list[str], place: int, start: int) -> bool:
    """Whether a word holds a number together: `two hundred and ten`, `twenty-five`, `three and a quarter`."""
    if place == start or words[place] not in ("and", "-", "a"):
        return False
    following = words[place + 1 : place + 3]
    if words[place] == "a":
        return words[place - 1] == "and" and following[:1] != [] and following[0] in ("half", "quarter")
    if following[:1] == ["a"]:
        return words[place] == "and" and following[1:] != [] and following[1] in ("half", "quarter")
    return bool(following) and _value(following[0]) is not None


def _value(word: str) -> float | None:
    if word[0].isdigit() or word[0] == ".":
        return float(word.replace(",", ""))
    return _SMALL.get(word)


def _joins(current: float, value: float) -> bool:
    """Whether a number goes on: `twenty` + `five`, `two hundred` + `ten`, `two` + `and a half`."""
    if 0 < value < 1:
        return current == int(current)
    magnitude = 10 if value < 10 else 100 if value < 100 else 1000
    return current >= magnitude and current % magnitude == 0


def _readings(value: float, words: list[str], end: int) -> Iterator[float]:
    if "negative" in words[max(end - 3, 0) : end] or (end >= 2 and words[end - 2] == "minus"):
        yield -value
        return
    yield value
    following = [word.rstrip("s") if len(word) > 2 else word for word in words[end : end + 3]]
    following = [_ABBREVIATIONS.get(word, word) for word in following]
    for word in following:
        for factor in _FACTORS.get(word, ()):
            yield value * factor
        if word in ("pm", "p", "afternoon", "evening", "night") and value <= 12:
            yield value % 12 + 12
        if word in ("am", "a", "morning") and value == 12:
            yield 0.0
    if value < 12:
        # `at seven` may be the evening.
        yield value + 12
    if end < len(words) and words[end] in ("k",):
        yield value * 1000
    if words[end - 1 : end] and end >= 2 and words[end - 2] == "-":
        yield -value
    if end >= 2 and words[end - 2] == "below":
        yield -value


def _combined(words: list[str], runs: list[tuple[float, int, list[float]]]) -> Iterator[float]:
    """Yield what several numbers say together: `1 hour 20 minutes`, `a quarter to seven`, `half past two`."""
    text = " ".join(words)
    seconds, pieces = 0.0, 0
    for value, end, _ in runs:
        unit = next(
            (
                _ABBREVIATIONS.get(word, word.rstrip("s") if len(word) > 2 else word)
                for word in words[end : end + 2]
                if word not in ("of", "an", "a")
            ),
            "",
        )
        size = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}.get(unit, 0)
        seconds += value * size
        pieces += size > 0
    # `an hour and a half`, `two hours and a quarter`: the fraction comes after its unit.
    for match in re.finditer(r"\b(second|minute|hour|day|week)s? and (?:a )?(half|quarter|three quarters)\b", text):
        size = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}[match[1]]
        for fraction in (0.5, 0.25, 0.75):
            if fraction == {"half": 0.5, "quarter": 0.25}.get(match[2], 0.75):
                seconds += fraction * size
                pieces += 1
                for value, _, _ in runs:
                    yield value + fraction
                    yield (value + fraction) * size / 60
    # `1h30`, `1:30`: hours and minutes, or minutes and seconds.
    for match in re.finditer(r"(\d+) (?:h|hrs?|hours?|:) (\d\d?)\b", text):
        whole, part = float(match[1]), float(match[2])
        yield from (whole * 60 + part, whole + part / 60, (whole * 60 + part) * 60)
    for match in re.finditer(r"(?:(\d+) (?:and )?)?(\d) / ([2-9])\b", text):
        yield float(match[1] or 0) + float(match[2]) / float(match[3])
    if pieces > 1:
        for size in (1, 60, 3600, 86400):
            yield seconds / size
    if "three quarters" in text:
        yield from (0.75, 45.0, 75.0, 2700.0)
    for match in re.finditer(r"(?:^|\W)(half|quarter|\w+)(?: minutes?)? (past|to|before|after|till) (\w+)", text):
        minutes = {"half": 30.0, "quarter": 15.0}.get(match[1], _value(match[1]))
        hour = _value(match[3])
        if minutes is not None and hour is not None and minutes < 60:
            is_before = match[2] in ("to", "before", "till")
            yield 60 - minutes if is_before else minutes
            for start in (hour, hour + 12):
                yield start - 1 if is_before else start
