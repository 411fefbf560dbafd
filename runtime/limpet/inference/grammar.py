"""Tools' schemas as a grammar: which bytes a model may write so that every call of it is valid.

`tool_call_rule` gives the rule of a JSON array of calls, `[{"name":"...","arguments":{...}},...]`, written compactly
and with the properties in the order in which they are declared, as tool-calling models are trained to write them.
Understood of JSON Schema: `type` (also a list), `enum`, `const`, `anyOf`, `oneOf`, `allOf` of one, `$ref`,
`properties`, `required`, `additionalProperties`, `items`, `prefixItems`, `minItems`, `maxItems`, `minLength`,
`maxLength`, `minimum`, `maximum`, exclusive bounds of integers, small `multipleOf`, and the formats `date`, `time` and
`date-time`. Other keywords don't narrow the grammar; the tool checks them when it is called.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from math import ceil, floor

from ..model import ToolSpec
from .automaton import NOTHING, Choice, Deferred, Literal, OneOf, Repeat, Rule, Sequenced
from .number_rules import integer_rule, number_rule

_LONGEST_STRING = 240
"""Characters of a string without `maxLength`: a small model that has lost its way would write until its limit."""
_MOST_ITEMS = 24
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


_DATE = Sequenced(
    OneOf((0x31, 0x32)),
    Repeat(_DIGIT, 3, 3),
    Literal(b"-"),
    Choice(
        Sequenced(_months(b"01", b"03", b"05", b"07", b"08", b"10", b"12"), _days(b"9", b"30", b"31")),
        Sequenced(_months(b"04", b"06", b"09", b"11"), _days(b"9", b"30")),
        # Whether a year is a leap year is left to the tool.
        Sequenced(_months(b"02"), _days(b"9")),
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
}


def tool_call_rule(tools: Sequence[ToolSpec], *, allow_none: bool = True, allow_quotes: bool = False) -> Rule:
    """Give the rule of an array of calls of these tools.

    `allow_none` admits the empty array: no tool fits. `allow_quotes` admits escaped quotation marks in strings; without
    them a model that has lost its way can't wander off inside a string (`"1010\\"}}]...`), so they are for prompts
    that have such marks themselves.
    """
    compiler = SchemaCompiler(allow_quotes=allow_quotes)
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
    """Turns JSON Schemas into rules."""

    def __init__(self, *, allow_quotes: bool = False) -> None:
        self._character = _QUOTED_CHARACTER if allow_quotes else _CHARACTER
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
        for keyword in ("anyOf", "oneOf", "allOf"):
            if keyword in schema and (keyword != "allOf" or len(_items(schema[keyword])) == 1):
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
                low = _bound(schema, "minimum", "exclusiveMinimum", max)
                return number_rule(low, _bound(schema, "maximum", "exclusiveMaximum", min))
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
            least = _count(schema, "minLength", 0)
            text = Repeat(self._character, least, _count(schema, "maxLength", max(least, _LONGEST_STRING)))
        return Sequenced(Literal(b'"'), text, Literal(b'"'))

    def _array(self, schema: Mapping[str, object], root: Mapping[str, object]) -> Rule:
        first = [self.rule(item, root) for item in _items(schema.get("prefixItems", ()))]
        rest = schema.get("items", True)
        least = _count(schema, "minItems", len(first))
        most = _count(schema, "maxItems", len(first) if rest is False else max(least, _MOST_ITEMS))
        item = self.rule(rest, root)
        comma = Literal(b",")
        # Built from the end: what may follow after so many items.
        after: Rule = Repeat(Sequenced(comma, item), max(least - max(len(first), 1), 0), most - max(len(first), 1))
        for place in range(len(first) - 1, 0, -1):
            following = Sequenced(comma, first[place], after)
            after = Choice(NOTHING, following) if least <= place else following
        filled = Sequenced(first[0] if first else item, after)
        inside: Rule = NOTHING if most == 0 else Choice(NOTHING, filled) if least == 0 else filled
        return Sequenced(Literal(b"["), inside, Literal(b"]"))

    def _object(self, schema: Mapping[str, object], root: Mapping[str, object]) -> Rule:
        properties = schema.get("properties")
        if not isinstance(properties, Mapping) or not properties:
            return self._map(schema.get("additionalProperties", properties is None), root)
        required = {str(name) for name in _items(schema.get("required", ()))}
        end: Rule = Literal(b"}")
        # Built from the end: the rest of the object with nothing written yet, and with something before it.
        empty, started = end, end
        for name, value in reversed(list(properties.items())):
            pair = Sequenced(Literal(_json(str(name)) + b":"), self.rule(value, root), started)
            following = Sequenced(Literal(b","), pair)
            if name in required:
                empty, started = pair, following
            else:
                empty, started = Choice(pair, empty), Choice(following, started)
        return Sequenced(Literal(b"{"), empty)

    def _map(self, values: object, root: Mapping[str, object]) -> Rule:
        if values is False:
            return Literal(b"{}")
        pair = Sequenced(self._string({"maxLength": 60}), Literal(b":"), self.rule(values, root))
        more = Repeat(Sequenced(Literal(b","), pair), 0, _MOST_ITEMS - 1)
        return Sequenced(Literal(b"{"), Choice(NOTHING, Sequenced(pair, more)), Literal(b"}"))

    def _any_value(self) -> Rule:
        kinds = ("string", "number", "boolean", "null", "array", "object")
        return Choice(*(self._typed(kind, {}, {}) for kind in kinds))


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _items(value: object) -> Sequence[object]:
    return value if isinstance(value, (list, tuple)) else ()


def _count(schema: Mapping[str, object], keyword: str, default: int) -> int:
    value = schema.get(keyword)
    return value if isinstance(value, int) else default


def _bound(schema: Mapping[str, object], keyword: str, exclusive: str, pick: Callable[..., float]) -> float | None:
    bounds = [value for name in (keyword, exclusive) if isinstance(value := schema.get(name), (int, float))]
    return pick(bounds) if bounds else None


def _integer(schema: Mapping[str, object]) -> Rule:
    at_least, above = _bound(schema, "minimum", "", max), _bound(schema, "exclusiveMinimum", "", max)
    at_most, below = _bound(schema, "maximum", "", min), _bound(schema, "exclusiveMaximum", "", min)
    lows = [*([] if at_least is None else [ceil(at_least)]), *([] if above is None else [floor(above) + 1])]
    highs = [*([] if at_most is None else [floor(at_most)]), *([] if below is None else [ceil(below) - 1])]
    low, high = max(lows, default=None), min(highs, default=None)
    step = schema.get("multipleOf")
    if isinstance(step, int) and step > 1 and low is not None and high is not None and (high - low) // step < 1000:
        values = range(-(-low // step) * step, high + 1, step)
        return Choice(*(Literal(str(value).encode()) for value in values))
    return integer_rule(low, high)


def _resolve(path: str, root: Mapping[str, object]) -> object:
    node: object = root
    for name in path.removeprefix("#").split("/")[1:]:
        node = node.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(node, Mapping) else None
    return node
