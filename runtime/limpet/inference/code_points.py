"""Sets of characters as rules over their UTF-8 bytes, plain or as they stand in a JSON string."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .automaton import Choice, Literal, OneOf, Rule, Sequenced

Ranges = Sequence[tuple[int, int]]
"""Code points from and to, both included."""

_LENGTHS = ((0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x10FFFF))
"""Where the code points of two, three and four bytes begin and end; half of a surrogate pair is no character."""
_SHORT_ESCAPES = {0x08: b"\\b", 0x09: b"\\t", 0x0A: b"\\n", 0x0C: b"\\f", 0x0D: b"\\r", 0x22: b'\\"', 0x5C: b"\\\\"}


def union(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sort ranges and join those that touch."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return joined


def intersection(left: Ranges, right: Ranges) -> list[tuple[int, int]]:
    """Give what is in both."""
    pairs = ((max(a, c), min(b, d)) for a, b in left for c, d in right)
    return union((low, high) for low, high in pairs if low <= high)


def complement(ranges: Ranges) -> list[tuple[int, int]]:
    """Give all that is in none of the ranges."""
    found: list[tuple[int, int]] = []
    start = 0
    for low, high in [*union(ranges), (0x110000, 0x110000)]:
        if start < low:
            found.append((start, low - 1))
        start = high + 1
    return found


def plain_rule(ranges: Ranges) -> Rule:
    """Give the rule of one character out of some."""
    options: list[Rule] = []
    ascii_ranges = intersection(ranges, [(0, 0x7F)])
    if ascii_ranges:
        options.append(OneOf(*ascii_ranges))
    for length in _LENGTHS:
        for low, high in intersection(ranges, [length]):
            options.append(_between(chr(low).encode(), chr(high).encode()))
    return options[0] if len(options) == 1 else Choice(*options)


def json_rule(ranges: Ranges) -> Rule:
    """Give the rule of one character out of some as it stands in a JSON string: escaped where it must be."""
    escaped = intersection(ranges, [(0, 0x1F), (0x22, 0x22), (0x5C, 0x5C)])
    options: list[Rule] = [
        Literal(_SHORT_ESCAPES.get(code, b"\\u%04x" % code)) for low, high in escaped for code in range(low, high + 1)
    ]
    others = intersection(ranges, [(0x20, 0x21), (0x23, 0x5B), (0x5D, 0x10FFFF)])
    if others:
        options.append(plain_rule(others))
    return options[0] if len(options) == 1 else Choice(*options)


def _between(low: bytes, high: bytes) -> Rule:
    """The byte sequences from `low` to `high`, which are of one length, with continuation bytes behind the first."""
    if len(low) == 1:
        return OneOf((low[0], high[0]))
    if low[0] == high[0]:
        return Sequenced(OneOf((low[0], low[0])), _between(low[1:], high[1:]))
    rest = len(low) - 1
    first, last = low[0], high[0]
    options: list[Rule] = []
    if low[1:] != b"\x80" * rest:
        options.append(Sequenced(OneOf((first, first)), _between(low[1:], b"\xbf" * rest)))
        first += 1
    if high[1:] != b"\xbf" * rest:
        options.append(Sequenced(OneOf((last, last)), _between(b"\x80" * rest, high[1:])))
        last -= 1
    if first <= last:
        options.append(Sequenced(OneOf((first, last)), _between(b"\x80" * rest, b"\xbf" * rest)))
    return Choice(*options)
