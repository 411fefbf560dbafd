"""Tools' schemas as a grammar: which bytes a model may write so that every call of it is valid.

`tool_call_rule` gives the rule of a JSON array of calls, `[{"name":"...","arguments":{...}},...]`, written compactly
and with the properties in the order in which they are declared, as tool-calling models are trained to write them.
Understood of JSON Schema: `type` (also a list), `enum`, `const`, `anyOf`, `oneOf`, `allOf`, `$ref`, `properties`,
`required`, `additionalProperties`, `items`, `prefixItems`, `minItems`, `maxItems`, `minLength`, `maxLength`, all bounds
of numbers, `multipleOf`, and the formats `date`, `time`, `date-time`, `uuid` and `decimal`; where an answer is to be
exact also `pattern`, `propertyNames` by `enum`, `minProperties`, `maxProperties`, and `uniqueItems` of items that are
one of a few. Other keywords don't narrow the grammar; who reads the answer checks them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import cast

from ..json_schema import joined
from ..model import ToolSpec
from ..wire import JsonObject
from .automaton import NOTHING, Choice, Deferred, Literal, OneOf, Repeat, Rule, Sequenced
from .code_points import json_rule
from .number_rules import integer_rule, multiples_rule, number_rule
from .regex_rule import bounded_regex_rule, regex_rule

_LONGEST_STRING = 240
"""Characters of a string without `maxLength`: a small model that has lost its way would write until its limit."""
_MOST_ITEMS = 24
_LARGEST = 1 << 30
_MOST_CALLS = 8

_CONTINUATION = OneOf((0x80, 0xBF))
_MULTIBYTE: tuple[Rule, ...] = (
    # The well-formed sequences of table 3-7 of the Unicode standard.
    Sequenced(OneOf((0xC2, 0xDF)), _CONTINUATION),
    Sequenced(Literal(b"\xe0"), OneOf((0xA0, 0xBF)), _CONTINUATION),
    Sequenced(OneOf((0xE1, 0xEC), (0xEE, 0xEF)), _CONTINUATION, _CONTINUATION),
    Sequenced(Literal(b"\xed"), OneOf((0x80, 0x9F)), _CONTINUATION),
    Sequenced(Literal(b"\xf0"), OneOf((0x90, 0xBF)), _CONTINUATION, _CONTINUATION),
    Sequenced(OneOf((0xF1, 0xF3)), _CONTINUATION, _CONTINUATION, _CONTINUATION),
    Sequenced(Literal(b"\xf4"), OneOf((0x80, 0x8F)), _CONTINUATION, _CONTINUATION),
)
_PLAIN = OneOf((0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7F))
_CHARACTER = Choice(_PLAIN, *_MULTIBYTE, Sequenced(Literal(b"\\"), OneOf((0x5C, 0x5C), (0x6E, 0x6E), (0x74, 0x74))))
_QUOTED_CHARACTER = Choice(_CHARACTER, Literal(b'\\"'))

_DIGIT = OneOf((0x30, 0x39))
_HEX = OneOf((0x30, 0x39), (0x61, 0x66))


def _days(last_of_the_twenties: bytes, *late: bytes) -> Rule:
    twenties = Sequenced(Literal(b"2"), OneOf((0x30, last_of_the_twenties[0])))
    return Choice(
        Sequenced(Literal(b"0"), OneOf((0x31, 0x39))),
        Sequenced(Literal(b"1"), _DIGIT),
        twenties,
        *(Literal(day) for day in late),
    )


def _months(*names: bytes) -> Rule:
    return Sequenced(Choice(*(Literal(name) for name in names)), Literal(b"-"))


_DATE = Choice(
    Sequenced(
        OneOf((0x31, 0x32)),
        Repeat(_DIGIT, 3, 3),
        Literal(b"-"),
        Choice(
            Sequenced(_months(b"01", b"03", b"05", b"07", b"08", b"10", b"12"), _days(b"9", b"30", b"31")),
            Sequenced(_months(b"04", b"06", b"09", b"11"), _days(b"9", b"30")),
            Sequenced(_months(b"02"), _days(b"8")),
        ),
    ),
    # Of the leap years that end a century, 2000 is left out as well.
    Sequenced(
        OneOf((0x31, 0x32)),
        _DIGIT,
        Choice(
            Sequenced(Literal(b"0"), OneOf((0x34, 0x34), (0x38, 0x38))),
            Sequenced(OneOf(*((digit, digit) for digit in b"2468")), OneOf(*((digit, digit) for digit in b"048"))),
            Sequenced(OneOf(*((digit, digit) for digit in b"13579")), OneOf(*((digit, digit) for digit in b"26"))),
        ),
        Literal(b"-02-29"),
    ),
)
_SIXTY = Sequenced(OneOf((0x30, 0x35)), _DIGIT)
_TIME = Sequenced(
    Choice(Sequenced(OneOf((0x30, 0x31)), _DIGIT), Sequenced(Literal(b"2"), OneOf((0x30, 0x33)))),
    Literal(b":"),
    _SIXTY,
    Choice(NOTHING, Sequenced(Literal(b":"), _SIXTY)),
)
_FORMATS: dict[str, Rule] = {
    "date": _DATE,
    "time": _TIME,
    "date-time": Sequenced(_DATE, Literal(b"T"), _TIME),
    "uuid": Sequenced(
        Repeat(_HEX, 8, 8),
        *(Sequenced(Literal(b"-"), Repeat(_HEX, n, n)) for n in (4, 4, 4)),
        Literal(b"-"),
        Repeat(_HEX, 12, 12),
    ),
    "decimal": Sequenced(
        Repeat(Literal(b"-"), 0, 1),
        Choice(Literal(b"0"), Sequenced(OneOf((0x31, 0x39)), Repeat(_DIGIT, 0, 14))),
        Repeat(Sequenced(Literal(b"."), Repeat(_DIGIT, 1, 6)), 0, 1),
    ),
}


@dataclass(frozen=True, slots=True)
class Style:
    """How JSON is to be written, and how closely a schema is followed."""

    allow_quotes: bool = False
    """Whether strings may have escaped quotation marks."""
    is_exact: bool = False
    """Whether nothing else will check the answer."""
    longest_string: int | None = _LONGEST_STRING
    """Characters of a string without `maxLength`; None: whoever uses the grammar sees to an end."""
    colon: bytes = b":"
    comma: bytes = b","


ANSWER = Style(is_exact=True, longest_string=None, colon=b": ", comma=b", ")
"""As chat models write JSON: with a space after colons and commas."""


def tool_call_rule(tools: Sequence[ToolSpec], *, allow_none: bool = True, allow_quotes: bool = False) -> Rule:
    """Give the rule of an array of calls of these tools.

    `allow_none` admits the empty array: no tool fits. `allow_quotes` admits escaped quotation marks in strings; without
    them a model that has lost its way can't wander off inside a string (`"1010\\"}}]...`), so they are for prompts
    that have such marks themselves.
    """
    compiler = SchemaCompiler(Style(allow_quotes=allow_quotes))
    calls = [
        Sequenced(
            Literal(b'{"name":' + _json(tool.name) + b',"arguments":'),
            compiler.rule(tool.parameters, tool.parameters),
            Literal(b"}"),
        )
        for tool in tools
    ]
    call = Choice(*calls)
    more = Repeat(Sequenced(Literal(b","), call), 0, _MOST_CALLS - 1)
    filled = Sequenced(Literal(b"["), call, more, Literal(b"]"))
    return Choice(filled, Literal(b"[]")) if allow_none else filled


class SchemaCompiler:
    """Turns JSON Schemas into rules. Raises `PatternError` where a pattern can't be followed exactly."""

    def __init__(self, style: Style = Style()) -> None:
        self._style = style
        self._character = _QUOTED_CHARACTER if style.allow_quotes else _CHARACTER
        self._colon, self._comma = Literal(style.colon), Literal(style.comma)
        self._references: dict[tuple[int, str], Rule] = {}
        self._anything = Deferred(self._any_value)

    def rule(self, schema: object, root: Mapping[str, object]) -> Rule:
        """Give the rule of the JSON texts that a schema admits; `root` is where its `$ref`s point into."""
        if not isinstance(schema, Mapping):
            return self._anything
        if "$ref" in schema:
            return self._reference(str(schema["$ref"]), root)
        if "const" in schema:
            return Literal(_json(schema["const"]))
        if "enum" in schema:
            return Choice(*(Literal(_json(value)) for value in _items(schema["enum"])))
        if len(_items(schema.get("allOf"))) > 1:
            schema = joined(cast(JsonObject, schema))
        for keyword in ("anyOf", "oneOf", "allOf"):
            if keyword in schema:
                return Choice(*(self.rule(option, root) for option in _items(schema[keyword])))
        kind = schema.get("type", "object" if "properties" in schema else None)
        if isinstance(kind, str):
            return self._typed(kind, schema, root)
        if kind is None:
            return self._anything
        return Choice(*(self._typed(str(name), schema, root) for name in _items(kind)))

    def _typed(self, kind: str, schema: Mapping[str, object], root: Mapping[str, object]) -> Rule:
        match kind:
            case "string":
                return self._string(schema)
            case "integer":
                return _integer(schema)
            case "number":
                return _number(schema)
            case "boolean":
                return Choice(Literal(b"true"), Literal(b"false"))
            case "null":
                return Literal(b"null")
            case "array":
                return self._array(schema, root)
            case "object":
                return self._object(schema, root)
            case _:
                return self._anything

    def _reference(self, path: str, root: Mapping[str, object]) -> Rule:
        key = (id(root), path)
        if key not in self._references:
            self._references[key] = Deferred(lambda: self.rule(_resolve(path, root), root))
        return self._references[key]

    def _string(self, schema: Mapping[str, object]) -> Rule:
        text = _FORMATS.get(str(schema.get("format")))
        if text is None:
            least, most = _count(schema, "minLength", 0), self._longest(schema)
            if "pattern" in schema and self._style.is_exact:
                text = self._pattern(str(schema["pattern"]), least, most if "maxLength" in schema else None)
            else:
                text = _repeat(self._character, least, most)
        return Sequenced(Literal(b'"'), text, Literal(b'"'))

    def _longest(self, schema: Mapping[str, object]) -> int | None:
        longest = self._style.longest_string
        if longest is not None:
            longest = max(longest, _count(schema, "minLength", 0) or 0)
        return _count(schema, "maxLength", longest)

    def _pattern(self, pattern: str, least: int | None, most: int | None) -> Rule:
        if not least and most is None:
            return regex_rule(pattern, encode=json_rule, is_search=True)
        least = least or 0
        return bounded_regex_rule(pattern, least, min(least + _LONGEST_STRING, _LARGEST if most is None else most))

    def _array(self, schema: Mapping[str, object], root: Mapping[str, object]) -> Rule:
        first = [self.rule(item, root) for item in _items(schema.get("prefixItems", ()))]
        rest = schema.get("items", True)
        least = _count(schema, "minItems", len(first)) or 0
        most = _count(schema, "maxItems", len(first) if rest is False else max(least, _MOST_ITEMS)) or 0
        if schema.get("uniqueItems") is True and self._style.is_exact and not first:
            values = _finite(rest)
            if values is not None:
                return Sequenced(Literal(b"["), self._some(list(map(Literal, values)), least, most), Literal(b"]"))
        item = self.rule(rest, root)
        # Built from the end: what may follow after so many items.
        began = max(len(first), 1)
        after = _repeat(Sequenced(self._comma, item), max(least - began, 0), max(most - began, 0))
        for place in range(len(first) - 1, 0, -1):
            following = Sequenced(self._comma, first[place], after)
            after = Choice(NOTHING, following) if least <= place else following
        filled = Sequenced(first[0] if first else item, after)
        inside: Rule = NOTHING if most == 0 else Choice(NOTHING, filled) if least == 0 else filled
        return Sequenced(Literal(b"["), inside, Literal(b"]")) if least <= most else Choice()

    def _some(self, items: Sequence[Rule], least: int, most: int) -> Rule:
        """Give the rule of `least` to `most` of the items, each at most once, in their order."""
        # Built from the end: what may follow when so many are written and the items from a place on are left.
        after = [NOTHING if count >= least else Choice() for count in range(most + 1)]
        for item in reversed(items):
            after = [
                Choice(Sequenced(self._comma if count else NOTHING, item, after[count + 1]), after[count])
                if count < most
                else after[count]
                for count in range(most + 1)
            ]
        return after[0]

    def _object(self, schema: Mapping[str, object], root: Mapping[str, object]) -> Rule:
        properties = schema.get("properties")
        required = [str(name) for name in _items(schema.get("required", ()))]
        if not isinstance(properties, Mapping) or not properties:
            if not required or not self._style.is_exact:
                return self._map(schema, root)
            properties = dict.fromkeys(required, schema.get("additionalProperties", True))
        end: Rule = Literal(b"}")
        # Built from the end: the rest of the object with nothing written yet, and with something before it.
        empty, started = end, end
        for name, value in reversed(list(properties.items())):
            pair = Sequenced(self._key(str(name)), self.rule(value, root), started)
            following = Sequenced(self._comma, pair)
            if name in required:
                empty, started = pair, following
            else:
                empty, started = Choice(pair, empty), Choice(following, started)
        return Sequenced(Literal(b"{"), empty)

    def _key(self, name: str) -> Rule:
        return Literal(_json(name) + self._style.colon)

    def _map(self, schema: Mapping[str, object], root: Mapping[str, object]) -> Rule:
        values = schema.get("additionalProperties", schema.get("properties") is None)
        if values is False:
            return Literal(b"{}")
        item = self.rule(values, root)
        least, most = 0, _MOST_ITEMS
        names = schema.get("propertyNames")
        if self._style.is_exact:
            least = _count(schema, "minProperties", 0) or 0
            most = _count(schema, "maxProperties", max(least, most)) or 0
            if isinstance(names, Mapping) and "enum" in names:
                pairs = [Sequenced(self._key(str(name)), item) for name in _items(names["enum"])]
                return Sequenced(Literal(b"{"), self._some(pairs, least, min(most, len(pairs))), Literal(b"}"))
        pair = Sequenced(self._string({"maxLength": 60}), self._colon, item)
        more = _repeat(Sequenced(self._comma, pair), max(least - 1, 0), max(most - 1, 0))
        filled = Sequenced(pair, more)
        inside: Rule = NOTHING if most == 0 else filled if least else Choice(NOTHING, filled)
        return Sequenced(Literal(b"{"), inside, Literal(b"}")) if least <= most else Choice()

    def _any_value(self) -> Rule:
        kinds = ("string", "number", "boolean", "null", "array", "object")
        return Choice(*(self._typed(kind, {}, {}) for kind in kinds))


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _items(value: object) -> Sequence[object]:
    return value if isinstance(value, (list, tuple)) else ()


def _count(schema: Mapping[str, object], keyword: str, default: int | None) -> int | None:
    value = schema.get(keyword)
    return value if isinstance(value, int) else default


def _repeat(item: Rule, least: int | None, most: int | None) -> Rule:
    """Repeat a rule; nothing fits when `most` is below `least`."""
    least = least or 0
    return Repeat(item, least, most) if most is None or least <= most else Choice()


def _finite(schema: object) -> list[bytes] | None:
    """Give all values that a schema admits, as JSON, when they are few and named."""
    if not isinstance(schema, Mapping):
        return None
    if "enum" in schema:
        return list(dict.fromkeys(map(_json, _items(schema["enum"]))))
    return [b"false", b"true"] if schema.get("type") == "boolean" else None


def _bound(schema: Mapping[str, object], keyword: str) -> float | None:
    value = schema.get(keyword)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _integer(schema: Mapping[str, object]) -> Rule:
    at_least, above = _bound(schema, "minimum"), _bound(schema, "exclusiveMinimum")
    at_most, below = _bound(schema, "maximum"), _bound(schema, "exclusiveMaximum")
    lows = [*([] if at_least is None else [ceil(at_least)]), *([] if above is None else [floor(above) + 1])]
    highs = [*([] if at_most is None else [floor(at_most)]), *([] if below is None else [ceil(below) - 1])]
    low, high = max(lows, default=None), min(highs, default=None)
    step = _bound(schema, "multipleOf")
    if step is not None and step > 0 and step != 1:
        return multiples_rule(step, low, high, only_integers=True)
    return integer_rule(low, high)


def _number(schema: Mapping[str, object]) -> Rule:
    low, above = _bound(schema, "minimum"), _bound(schema, "exclusiveMinimum")
    high, below = _bound(schema, "maximum"), _bound(schema, "exclusiveMaximum")
    step = _bound(schema, "multipleOf")
    if step is None or step <= 0:
        return number_rule(low, high, above=above, below=below)
    lows = [*([] if low is None else [low]), *([] if above is None else [above + step / 1000])]
    highs = [*([] if high is None else [high]), *([] if below is None else [below - step / 1000])]
    return multiples_rule(step, max(lows, default=None), min(highs, default=None), only_integers=False)


def _resolve(path: str, root: Mapping[str, object]) -> object:
    node: object = root
    for name in path.removeprefix("#").split("/")[1:]:
        node = node.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(node, Mapping) else None
    return node
