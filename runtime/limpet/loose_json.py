"""Read the JSON object that a model meant, from the text that it wrote.

Models wrap arguments in fences and prose, leave trailing commas, write Python's `True` and single quotes, or put the
JSON into a JSON string. All that has one meaning is read. What has none, or two, is refused, and so is everything that
was cut off: a bracket is never closed for the model, since half an argument is not what it meant.
"""

from __future__ import annotations

import json
import re
from typing import cast

from .errors import ToolArgumentsError
from .wire import Json, JsonObject

MAX_CHARACTERS = 1_000_000
"""Longer texts are not looked at."""
MAX_DEPTH = 64
"""How deep lists and objects may be nested: the stack of WebAssembly is small."""

_WORDS: dict[str, Json] = {"true": True, "false": False, "null": None, "none": None}


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return number


def _refuse_constant(text: str) -> Json:
    raise ValueError(f"{text} is not a JSON value")


# Lenient in one thing: line ends and tabs may stand in strings as they are.
_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant, strict=False)


def loads(text: str) -> Json:
    """Read strict JSON within the limits above. Raises `ValueError` only.

    >>> loads('{"minutes": 10}')
    {'minutes': 10}
    """
    _check_limits(text)
    return cast(Json, _DECODER.decode(text))


def parse_object(text: str | None) -> JsonObject:
    r"""Read the one object that `text` holds; nothing at all, or null, is an empty object.

    Raises `ToolArgumentsError` with a text that tells the model what to send instead.

    >>> parse_object("Here you are:\n```json\n{'minutes': 10, 'loud': True,}\n```")
    {'minutes': 10, 'loud': True}
    >>> parse_object('"{\\"minutes\\": 10}"')
    {'minutes': 10}
    >>> parse_object(None)
    {}
    """
    try:
        value = read_loose(text)
    except ValueError as error:
        raise ToolArgumentsError(
            f"the arguments are not one whole JSON object: {error}. "
            'Send them as one JSON object, such as {"name": "value"}.'
        ) from None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ToolArgumentsError(
            f'the arguments must be one JSON object, such as {{"name": "value"}}, not {kind_of(value)}.'
        )
    return value


def read_loose(text: str | None) -> Json:
    """Read the object in `text`, or any value that is all of it in strict JSON; None when there is nothing.

    Raises `ValueError` that says what is wrong.

    >>> read_loose("That makes {'minutes': 10}.")
    {'minutes': 10}
    """
    value: Json = text
    try:
        for _ in range(4):  # the value; or a JSON string that holds it, and that once more
            if not isinstance(value, str):
                break
            inner = value.strip().removeprefix("\ufeff")
            value = _read(inner) if inner else None
    except ValueError as error:
        raise ValueError(_reason(error)) from None
    return value


def kind_of(value: object) -> str:
    """Name a JSON value's type in words, with its article.

    >>> kind_of(True), kind_of([]), kind_of(1.5)
    ('a boolean', 'a list', 'a number')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    for types, words in (
        (str, "a string"),
        (int, "an integer"),
        (float, "a number"),
        ((list, tuple), "a list"),
        (dict, "an object"),
    ):
        if isinstance(value, types):
            return words
    return type(value).__name__


def _reason(error: ValueError) -> str:
    # A JSONDecodeError's own text would be fine; Python's on integers of 5,000 digits would not.
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return str(error) if type(error) is ValueError and len(str(error)) < 80 else "a value can't be read"


def _check_limits(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"more than {MAX_CHARACTERS} characters")
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return
    depth = 0
    is_string = False
    for match in re.finditer(r'\\.|["\[\]{}]', text):
        token = match[0]
        if token == '"':
            is_string = not is_string
        elif not is_string and token in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        elif not is_string and token in "]}":
            depth -= 1


def _read(text: str) -> Json:
    try:
        return loads(text)
    except ValueError:
        start = text.find("{")
        if start < 0:
            raise
    if re.match(r'\{\s*\\"', text):  # {\"minutes\": 10}: all quotes are escaped, as if it stood in a string
        return loads(f'"{text}"')
    # A single bad escape may be what fails, so the limits were perhaps not what `loads` complained of.
    _check_limits(text)
    scanner = _Scanner(text, start)
    value = scanner.read_object(1)
    rest = text[scanner.place :]
    if "{" in rest or "}" in rest:
        raise ValueError("there is more than one object")
    if text[:start].rstrip().endswith("[") and not re.match(r"[\s,]*\]", rest):
        raise ValueError("a list is not closed")
    return value


class _Scanner:
    """Reads JSON as people and Python write it, from one place on. Raises `ValueError`."""

    def __init__(self, text: str, place: int) -> None:
        self.text = text
        self.place = place

    def read_object(self, depth: int) -> JsonObject:
        result: JsonObject = {}
        self.place += 1
        while self._peek() != "}":
            name = self._read_name()
            if self._peek() != ":":
                raise self._wrong("expected ':'")
            self.place += 1
            result[name] = self._read_value(depth)
            self._skip_comma("}")
        self.place += 1
        return result

    def _read_list(self, depth: int) -> list[Json]:
        result: list[Json] = []
        self.place += 1
        while self._peek() != "]":
            result.append(self._read_value(depth))
            self._skip_comma("]")
        self.place += 1
        return result

    def _read_value(self, depth: int) -> Json:
        if depth >= MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        first = self._peek()
        if first == "{":
            return self.read_object(depth + 1)
        if first == "[":
            return self._read_list(depth + 1)
        if first == "'":
            return self._read_single_quoted()
        word = self._match(r"[A-Za-z]+")
        if word and word.lower() in _WORDS:
            self.place += len(word)
            return _WORDS[word.lower()]
        if first in '"-0123456789':
            value, self.place = _DECODER.raw_decode(self.text, self.place)
            return cast(Json, value)
        raise self._wrong("expected a value")

    def _read_name(self) -> str:
        first = self._peek()
        if first == "'":
            return self._read_single_quoted()
        if first == '"':
            value, self.place = _DECODER.raw_decode(self.text, self.place)
            return cast(str, value)
        word = self._match(r"[A-Za-z_]\w*")
        if not word:
            raise self._wrong("expected a name in quotes")
        self.place += len(word)
        return word

    def _read_single_quoted(self) -> str:
        quoted = self._match(r"(?s)'[^'\\]*(?:\\.[^'\\]*)*'")
        if not quoted:
            raise self._wrong("a string is not closed")
        # As JSON would write it: \' loses its backslash, a bare " gains one.
        body = re.sub(r'(?s)\\.|"', lambda found: {"\\'": "'", '"': '\\"'}.get(found[0], found[0]), quoted[1:-1])
        value, _ = _DECODER.raw_decode(f'"{body}"')
        self.place += len(quoted)
        return cast(str, value)

    def _skip_comma(self, closer: str) -> None:
        following = self._peek()
        if following == ",":
            self.place += 1
        elif following != closer:
            raise self._wrong(f"expected ',' or '{closer}'")

    def _peek(self) -> str:
        self.place += len(self._match(r"\s*"))
        if self.place >= len(self.text):
            raise ValueError("it is cut off before the end")
        return self.text[self.place]

    def _match(self, pattern: str) -> str:
        match = re.compile(pattern).match(self.text, self.place)
        return match[0] if match else ""

    def _wrong(self, what: str) -> ValueError:
        return ValueError(f"{what} at character {self.place}")
