"""Rules for the JSON numbers within bounds, digit by digit."""

from __future__ import annotations

from math import ceil, floor

from .automaton import NOTHING, Choice, Literal, OneOf, Repeat, Rule, Sequenced

_DIGIT = OneOf((0x30, 0x39))
_LARGEST = 10**15 - 1
"""Integers without a bound end here: fifteen digits survive a JavaScript number."""
_MOST_FRACTION_DIGITS = 6
_MOST_MULTIPLES = 1000
_ALMOST = 1e-9


def integer_rule(low: int | None, high: int | None) -> Rule:
    """Give the rule of the integers in `low..high`; None is no bound. An empty range gives a rule nothing fits."""
    low = -_LARGEST if low is None else low
    high = _LARGEST if high is None else high
    options: list[Rule] = []
    if low < 0:
        options.append(Sequenced(Literal(b"-"), _natural(max(1, -high), -low)))
    if high >= 0:
        options.append(_natural(max(0, low), high))
    return Choice(*options)


def number_rule(
    low: float | None, high: float | None, *, above: float | None = None, below: float | None = None
) -> Rule:
    """Give the rule of the plain decimals in `low..high` with at most six digits after the point.

    `above` and `below` are bounds that are not among them.
    """
    lows = [_inward(bound, 1, is_open=is_open) for bound, is_open in ((low, False), (above, True)) if bound is not None]
    highs = [
        _inward(bound, -1, is_open=is_open) for bound, is_open in ((high, False), (below, True)) if bound is not None
    ]
    low, high = max(lows, default=None), min(highs, default=None)
    options: list[Rule] = []
    if low is None or low < 0:
        smallest = 0.0 if high is None else max(0.0, -high)
        options.append(Sequenced(Literal(b"-"), _decimal(smallest, None if low is None else -low)))
    if high is None or high >= 0:
        options.append(_decimal(0.0 if low is None else max(0.0, low), high))
    return Choice(*options)


def multiples_rule(step: float, low: float | None, high: float | None, *, only_integers: bool) -> Rule:
    """Give the rule of the multiples of `step` in `low..high`, of many the thousand that are nearest to zero."""
    digits = 0 if only_integers else len(f"{step:.9f}".rstrip("0").partition(".")[2])
    if only_integers and step != int(step):
        step = next((count * step for count in range(1, 1001) if _is_whole(count * step)), 1.0)
    first = -_MOST_MULTIPLES // 2 if low is None else ceil(low / step - _ALMOST)
    last = _MOST_MULTIPLES // 2 if high is None else floor(high / step + _ALMOST)
    if low is None:
        first = min(first, last - _MOST_MULTIPLES // 2)
    if high is None:
        last = max(last, first + _MOST_MULTIPLES // 2)
    if last - first >= _MOST_MULTIPLES:
        middle = min(max(0, first + _MOST_MULTIPLES // 2), last - _MOST_MULTIPLES // 2)
        first, last = middle - _MOST_MULTIPLES // 2, middle + _MOST_MULTIPLES // 2
    texts = (f"{count * step:.{digits}f}" for count in range(first, last + 1))
    return Choice(*(Literal((text.rstrip("0").rstrip(".") if "." in text else text).encode()) for text in texts))


def _is_whole(value: float) -> bool:
    return abs(value - round(value)) < _ALMOST


def _inward(bound: float, direction: int, *, is_open: bool) -> float:
    """Give the bound with six digits after the point, moved into the range where that is needed."""
    text = f"{bound:.{_MOST_FRACTION_DIGITS}f}"
    millionths = int(text.replace(".", ""))
    rounded = float(text)
    if (bound - rounded) * direction > 0 or (is_open and bound == rounded):
        millionths += direction
    return millionths / 1_000_000


def _natural(low: int, high: int) -> Rule:
    """The integers in `low..high`, both not negative, without leading zeros."""
    options = []
    for length in range(len(str(low)), len(str(high)) + 1):
        first = max(low, 10 ** (length - 1) if length > 1 else 0)
        last = min(high, 10**length - 1)
        if first <= last:
            options.append(_digits(str(first), str(last)))
    return Choice(*options)


def _digits(low: str, high: str) -> Rule:
    """The texts of digits from `low` to `high`, which are of one length."""
    if not low:
        return NOTHING
    rest = len(low) - 1
    if low == "0" * len(low) and high == "9" * len(high):
        return Repeat(_DIGIT, len(low), len(low))
    if low[0] == high[0]:
        return Sequenced(_one_digit(low[0], high[0]), _digits(low[1:], high[1:]))
    options: list[Rule] = [
        Sequenced(_one_digit(low[0], low[0]), _digits(low[1:], "9" * rest)),
        Sequenced(_one_digit(high[0], high[0]), _digits("0" * rest, high[1:])),
    ]
    if ord(high[0]) - ord(low[0]) > 1:
        between = _one_digit(chr(ord(low[0]) + 1), chr(ord(high[0]) - 1))
        options.append(Sequenced(between, Repeat(_DIGIT, rest, rest)))
    return Choice(*options)


def _one_digit(low: str, high: str) -> Rule:
    return Literal(low.encode()) if low == high else OneOf((ord(low), ord(high)))


def _decimal(low: float, high: float | None) -> Rule:
    """The decimals in `low..high`, both not negative."""
    point = Literal(b".")
    any_fraction = Choice(NOTHING, Sequenced(point, Repeat(_DIGIT, 1, _MOST_FRACTION_DIGITS)))
    low_whole, low_digits = _split(low)
    if high is None:
        high_whole, high_digits = _LARGEST + 1, ""
    else:
        high_whole, high_digits = _split(high)
    if low_whole > high_whole:
        return Choice()
    options: list[Rule] = []
    first_free = low_whole
    if low_digits or low_whole == high_whole:
        fractions: list[Rule] = [] if low_digits else [NOTHING]
        bounds = _fraction(low_digits, high_digits if low_whole == high_whole else None)
        fractions.append(Sequenced(point, bounds))
        options.append(Sequenced(Literal(str(low_whole).encode()), Choice(*fractions)))
        first_free += 1
    if first_free < high_whole:
        options.append(Sequenced(_natural(first_free, high_whole - 1), any_fraction))
    if first_free <= high_whole and high is not None:
        last = Choice(NOTHING, Sequenced(point, _fraction("", high_digits)))
        options.append(Sequenced(Literal(str(high_whole).encode()), last))
    return Choice(*options)


def _split(value: float) -> tuple[int, str]:
    whole, _, digits = f"{value:.{_MOST_FRACTION_DIGITS}f}".partition(".")
    return int(whole), digits.rstrip("0")


def _fraction(low: str, high: str | None) -> Rule:
    """Digits after a point, one at least, that are `low` or more and, unless it is None, `high` or less."""
    options = []
    for length in range(1, _MOST_FRACTION_DIGITS + 1):
        first = _round_up(low, length)
        last = "9" * length if high is None else high[:length].ljust(length, "0")
        if first is not None and first <= last:
            options.append(_digits(first, last))
    return Choice(*options)


def _round_up(digits: str, length: int) -> str | None:
    """The least text of `length` digits that is not below `digits` as a fraction; None when there is none."""
    cut = digits[:length].ljust(length, "0")
    if not digits[length:].strip("0"):
        return cut
    more = str(int(cut) + 1).rjust(length, "0")
    return more if len(more) == length else None
