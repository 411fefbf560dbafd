"""What the beginning of a JSON text says for certain.

A model writes its answer piece by piece, and a page wants to show what is there so far. At every step the value given
here is a prefix of the final one: strings are prefixes, lists have fewer items, objects fewer keys, and nothing of it
is taken back. A number is told when it has ended, since 1 may become 12; a key with its value; an escape, or a
surrogate pair of two escapes, when it is whole. Of a key that comes twice the last one counts, as `json` has it.

Each character is looked at once, however many the pieces. The text up to the last place that is certain, with its
brackets closed, is then read by `json` itself, which costs a fiftieth of that.
"""

from __future__ import annotations

import json
import re
from typing import cast

from .loose_json import MAX_DEPTH
from .wire import Json

_SPACE = re.compile(r"[ \t\r\n]*")
# As lenient in one thing as `loose_json`: line ends and tabs may stand in strings as they are.
_CHARACTERS = re.compile(r'[^"\\]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\]*)*')
_BEGUN_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?")
_HIGH_SURROGATE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?=[ \t\r\n,\]}])")
# What may yet become a number, a literal.
_BEGUN_NUMBER = re.compile(r"-?[0-9]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]*)?")
_LITERALS = ("true", "false", "null")
_BLOCK = 4096
_MAX_DIGITS = 4000  # Python refuses to read longer integers
_CLOSERS = {"{": "}", "[": "]"}
_DECODER = json.JSONDecoder(strict=False)


class PartialReader:
    """Takes a JSON text in pieces; `value` is what it says so far, and is made anew each time it is asked for.

    `is_known` tells an unknown value from null. `is_whole` is True when the value is complete; what follows it is not
    looked at. A number that is the whole text is complete only with a blank behind it. `is_broken` means that the text
    can't be JSON, or is nested deeper than `MAX_DEPTH`: the value stays what it was.
    """

    def __init__(self) -> None:
        self.is_known = False
        self.is_whole = False
        self.is_broken = False
        # What was read for good, so that adding to the text costs little; then the rest.
        self._done: list[str] = []
        self._text = ""
        self._place = 0
        # How far the string at the place was read, when it isn't whole.
        self._read_to = 0
        self._closers: list[str] = []
        # What may stand at the place: a value, a key, a ":" or a ","; with "first" a closing bracket may stand there.
        self._expected = "value"
        self._is_first = False
        # How far the text is certain, and what makes JSON of that much.
        self._certain = 0
        self._tail = ""

    @property
    def value(self) -> Json:
        """The value so far, None as long as nothing is known."""
        if not self.is_known:
            return None
        text = [*self._done, self._text[: self._certain], self._tail, *reversed(self._closers)]
        return cast(Json, _DECODER.decode("".join(text)))

    def feed(self, piece: str) -> None:
        """Take the next piece."""
        if self.is_whole or self.is_broken:
            return
        self._text += piece
        while not self.is_whole and not self.is_broken:
            self._place = self._skip(self._place)
            if self._place >= len(self._text) or not self._step(self._text[self._place]):
                break
        done = min(self._certain, self._place)
        if done > _BLOCK:
            self._done.append(self._text[:done])
            self._text = self._text[done:]
            self._certain -= done
            self._place -= done
            self._read_to -= done

    def _skip(self, place: int) -> int:
        match = _SPACE.match(self._text, place)
        return match.end() if match else place

    def _step(self, first: str) -> bool:
        """Take the next token; False when it hasn't ended, or is wrong."""
        if self._is_first and first == self._closers[-1]:
            return self._close()
        match self._expected:
            case "value":
                return self._open(first) if first in _CLOSERS else self._take_scalar(first)
            case "key" if first == '"':
                return self._take_key()
            case ":" if first == ":":
                self._place += 1
                self._expected = "value"
                return True
            case "," if first == ",":
                self._place += 1
                self._expected = "key" if self._closers[-1] == "}" else "value"
                return True
            case "," if first == self._closers[-1]:
                return self._close()
        return self._break()

    def _open(self, first: str) -> bool:
        if len(self._closers) >= MAX_DEPTH:
            return self._break()
        self._closers.append(_CLOSERS[first])
        self._place += 1
        self._settle(self._place)
        self._expected = "key" if first == "{" else "value"
        self._is_first = True
        return True

    def _close(self) -> bool:
        self._closers.pop()
        self._end_value(self._place + 1)
        return True

    def _take_scalar(self, first: str) -> bool:
        if first == '"':
            return self._take_string()
        match = _NUMBER.match(self._text, self._place)
        if match is not None:
            is_integer = match[0].lstrip("-").isdigit()
            is_readable = len(match[0]) <= _MAX_DIGITS and (is_integer or abs(float(match[0])) != float("inf"))
            if is_readable:
                self._end_value(match.end())
            return is_readable or self._break()
        rest = self._text[self._place : self._place + 5]
        for literal in _LITERALS:
            if rest.startswith(literal):
                self._end_value(self._place + len(literal))
                return True
            if literal.startswith(rest):
                return False
        begun = _BEGUN_NUMBER.match(self._text, self._place)
        return False if begun is not None and begun.end() == len(self._text) else self._break()

    def _take_string(self) -> bool:
        end = self._end_of_string()
        if self._text[end : end + 1] == '"':
            self._end_value(end + 1)
            return True
        if _HIGH_SURROGATE.fullmatch(self._text, end - 6, end) and self._is_escape(end - 6):
            end -= 6  # the other half may come
        self._settle(end, '"')
        return False

    def _take_key(self) -> bool:
        end = self._end_of_string()
        if self._text[end : end + 1] != '"':
            return False
        self._place = end + 1
        self._expected = ":"
        self._is_first = False
        return True

    def _end_of_string(self) -> int:
        """Give where the whole characters of the string end; what follows is its quote, or not all there."""
        match = _CHARACTERS.match(self._text, max(self._read_to, self._place + 1))
        assert match is not None
        self._read_to = match.end()
        if match.end() < len(self._text) and self._text[match.end()] != '"':
            begun = _BEGUN_ESCAPE.match(self._text, match.end())
            self.is_broken = begun is None or begun.end() < len(self._text)
        return match.end()

    def _is_escape(self, place: int) -> bool:
        before = self._text[self._place : place]
        return (len(before) - len(before.rstrip("\\"))) % 2 == 0

    def _end_value(self, place: int) -> None:
        self._place = place
        self._settle(place)
        self._expected = ","
        self._is_first = False
        self.is_whole = not self._closers

    def _settle(self, place: int, tail: str = "") -> None:
        self._certain, self._tail, self.is_known = place, tail, True

    def _break(self) -> bool:
        self.is_broken = True
        return False


def parse_partial(text: str) -> tuple[Json, bool]:
    r"""Give what the beginning of a JSON text says for certain, None for nothing, and whether that is the whole value.

    >>> parse_partial('{"city": "K\\u00f6l')
    ({'city': 'Köl'}, False)
    >>> parse_partial('{"city": "Köln", "people": 108')
    ({'city': 'Köln'}, False)
    """
    reader = PartialReader()
    reader.feed(text)
    return reader.value, reader.is_whole
