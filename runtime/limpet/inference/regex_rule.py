"""Regular expressions as rules over bytes.

Read is what Python and JSON Schema (ECMA 262) have in common: literals, `.`, classes, `\\d \\w \\s` and their
opposites, groups, `|`, all quantifiers, and anchors at the ends. What the two read differently is narrowed to what both
accept: `\\d`, `\\w` and `\\s` are ASCII's. Look-around, back references, word boundaries and flags are no regular
expressions in the strict sense, or change what others mean: they raise `PatternError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .automaton import NOTHING, Automaton, Choice, Deferred, OneOf, Repeat, Rule, Sequenced, State
from .code_points import Ranges, complement, intersection, plain_rule, union

_MOST = 1000
"""The highest number in a quantifier: more would be meant for texts that no small model writes."""
_ALL = ((0x09, 0x0A), (0x20, 0x7E), (0xA0, 0xD7FF), (0xE000, 0xFFFD), (0x10000, 0x10FFFF))
"""What negated classes are taken from: no control characters but tab and line feed."""
_DOT = intersection(_ALL, complement([(0x00, 0x1F), (0x2028, 0x2029)]))
_PRINTABLE = ((0x20, 0x7E),)
_PLAIN = ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E))
"""ASCII that stands for itself in a JSON string."""
_DIGITS = ((0x30, 0x39),)
_LETTERS = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACES = ((0x09, 0x0D), (0x20, 0x20))
_CLASSES: dict[str, Ranges] = {
    "d": _DIGITS,
    "w": _LETTERS,
    "s": _SPACES,
    **{name: intersection(_PRINTABLE, complement(of)) for name, of in (("D", _DIGITS), ("W", _LETTERS))},
    "S": ((0x21, 0x7E),),
}
_CONTROLS = {"t": 0x09, "n": 0x0A, "v": 0x0B, "f": 0x0C, "r": 0x0D, "0": 0x00}
_COUNTS = re.compile(r"\{(\d+)(,?)(\d*)\}")
_GROUP = re.compile(r"\?(?::|P?<[A-Za-z_]\w*>)")
_NUMBER = re.compile(r"u([0-9A-Fa-f]{4})|u\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{2})")

Encode = Callable[[Ranges], Rule]
"""Gives the rule of one character out of some."""


class PatternError(ValueError):
    """A pattern that is none, or says what no automaton can follow."""


def regex_rule(pattern: str, *, encode: Encode = plain_rule, is_search: bool = False) -> Rule:
    """Give the rule of the texts that a pattern matches as a whole. Raises `PatternError`.

    With `is_search` it is those in which it matches somewhere, which is how JSON Schema means it.
    """
    return _Parser(pattern, encode).parse(is_search)


def bounded_regex_rule(pattern: str, least: int, most: int) -> Rule:
    """Give the rule of the JSON strings in which a pattern matches, of `least` to `most` characters, quotes left out.

    Raises `PatternError`. They are of ASCII that needs no escape, so that every byte is a character.
    """

    def encode(ranges: Ranges) -> Rule:
        return plain_rule(intersection(ranges, _PLAIN))

    automaton = Automaton(regex_rule(pattern, encode=encode, is_search=True))
    edges: dict[State, list[tuple[State, OneOf]]] = {}
    rules: dict[tuple[State, int], Rule] = {}

    def edges_of(state: State) -> list[tuple[State, OneOf]]:
        if state not in edges:
            bytes_of: dict[State, list[tuple[int, int]]] = {}
            for byte in range(0x20, 0x7F):
                following = automaton.step(state, byte)
                if following is not None:
                    bytes_of.setdefault(following, []).append((byte, byte))
            edges[state] = [(following, OneOf(*union(ranges))) for following, ranges in bytes_of.items()]
        return edges[state]

    def rule_of(state: State, count: int) -> Rule:
        options: list[Rule] = [NOTHING] if state.is_accepting and count >= least else []
        for following, byte in edges_of(state):
            if count + 1 + following.distance <= most:
                options.append(Sequenced(byte, deferred(following, count + 1)))
        return Choice(*options)

    def deferred(state: State, count: int) -> Rule:
        key = (state, count)
        if key not in rules:
            rules[key] = Deferred(lambda: rule_of(state, count))
        return rules[key]

    return deferred(automaton.start, 0)


class _Parser:
    """Reads one pattern from left to right."""

    def __init__(self, pattern: str, encode: Encode) -> None:
        self._pattern = pattern
        self._place = 0
        self._encode = encode
        self._sets: dict[tuple[tuple[int, int], ...], Rule] = {}

    def parse(self, is_search: bool) -> Rule:
        anything = Repeat(self._set(_ALL), 0, None)
        options: list[Rule] = []
        while True:
            is_at_start = self._take("^") or self._take("\\A")
            rule = self._sequence()
            is_at_end = self._take("$") or self._take("\\Z")
            before = NOTHING if is_at_start or not is_search else anything
            after = NOTHING if is_at_end or not is_search else anything
            options.append(Sequenced(before, rule, after))
            if not self._take("|"):
                break
        if self._place < len(self._pattern):
            raise self._error("a closing bracket without an opening one, or an anchor that is not at an end")
        return Choice(*options)

    def _alternatives(self) -> Rule:
        options = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        return options[0] if len(options) == 1 else Choice(*options)

    def _sequence(self) -> Rule:
        items: list[Rule] = []
        while self._place < len(self._pattern) and self._peek() not in "|)$" and not self._is_next("\\Z"):
            items.append(self._quantified(self._atom()))
        return items[0] if len(items) == 1 else Sequenced(*items)

    def _quantified(self, rule: Rule) -> Rule:
        bounds = self._bounds()
        if bounds is None:
            return rule
        least, most = bounds
        if least > _MOST or (most is not None and not least <= most <= _MOST):
            raise self._error(f"a quantifier that is not in order or above {_MOST}")
        self._take("?")  # a lazy one matches the same texts
        if self._bounds() is not None:
            raise self._error("one quantifier after the other")
        return Repeat(rule, least, most)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return bounds
        counts = _COUNTS.match(self._pattern, self._place)
        if counts is None:
            return None
        self._place = counts.end()
        least = int(counts[1])
        return least, int(counts[3]) if counts[3] else None if counts[2] else least

    def _atom(self) -> Rule:
        letter = self._next()
        match letter:
            case "(":
                return self._group()
            case "[":
                return self._set(self._class())
            case ".":
                return self._set(_DOT)
            case "\\":
                return self._set(self._escape())
            case "^" | "*" | "+" | "?":
                raise self._error(f"{letter!r} where nothing is before it, or not at an end")
        return self._set([(ord(letter), ord(letter))])

    def _group(self) -> Rule:
        if self._peek() == "?":
            found = _GROUP.match(self._pattern, self._place)
            if found is None:
                raise self._error("look-around or a flag")
            self._place = found.end()
        rule = self._alternatives()
        if not self._take(")"):
            raise self._error("a group that is not closed, or an anchor inside it")
        return rule

    def _class(self) -> Ranges:
        is_negated = self._take("^")
        ranges: list[tuple[int, int]] = []
        has_named = False
        is_first = True
        while is_first or self._peek() != "]":
            is_first = False
            low, high = self._member(), None
            following = self._pattern[self._place : self._place + 2]
            if _is_one(low) and following[:1] == "-" and following[1:] not in ("", "]"):
                self._next()
                high = self._member()
                if not _is_one(high) or high[0][0] < low[0][0]:
                    raise self._error("a range that is not in order")
            has_named = has_named or not _is_one(low)
            ranges.extend([(low[0][0], high[0][0])] if high else low)
        self._next()
        if not is_negated:
            return union(ranges)
        # Beyond ASCII the two readings of `[^\w]` differ.
        return intersection(_PRINTABLE if has_named else _ALL, complement(ranges))

    def _member(self) -> Ranges:
        if self._take("\\"):
            return self._escape(is_in_class=True)
        code = ord(self._next())
        return [(code, code)]

    def _escape(self, *, is_in_class: bool = False) -> Ranges:
        number = _NUMBER.match(self._pattern, self._place)
        if number is not None:
            self._place = number.end()
            code = int(number[1] or number[2] or number[3], 16)
            return [(code, code)]
        letter = self._next()
        if letter in _CLASSES:
            return _CLASSES[letter]
        if letter in _CONTROLS:
            return [(_CONTROLS[letter], _CONTROLS[letter])]
        if is_in_class and letter == "b":
            return [(0x08, 0x08)]
        if letter.isalnum():
            raise self._error(f"the escape \\{letter}")
        return [(ord(letter), ord(letter))]

    def _set(self, ranges: Ranges) -> Rule:
        # The same set is the same rule, so that a state is met again.
        key = tuple(union(ranges))
        if key not in self._sets:
            self._sets[key] = self._encode(key)
        return self._sets[key]

    def _peek(self) -> str:
        if self._place >= len(self._pattern):
            raise self._error("an end where more was expected")
        return self._pattern[self._place]

    def _next(self) -> str:
        letter = self._peek()
        self._place += 1
        return letter

    def _is_next(self, text: str) -> bool:
        return self._pattern.startswith(text, self._place)

    def _take(self, text: str) -> bool:
        if not self._is_next(text):
            return False
        self._place += len(text)
        return True

    def _error(self, what: str) -> PatternError:
        return PatternError(f"the pattern {self._pattern!r} has {what} (at {self._place}), which can't be followed")


def _is_one(ranges: Ranges) -> bool:
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]
