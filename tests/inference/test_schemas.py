"""Five hundred schemas made by chance, answered by a model that writes by chance: all answers fit, and all end."""

from __future__ import annotations

import pytest

from limpet.inference.constraint import Constraint
from limpet.inference.engine import Engine
from limpet.inference.grammar import ANSWER, SchemaCompiler
from limpet.inference.token_grammar import GrammarError, TokenGrammar
from limpet.wire import JsonObject
from tests.inference.schema_sweep import digest_of, write
from tests.inference.small_chat import CHAT_TOKENIZER, CHAT_VOCABULARY, END, START, at_random, chat_session
from tests.inference.validate import problems

ENDS = frozenset([0, START, END])
DIGESTS = [
    *(1102488056, 216354363, 2625942044, 452829060, 3237460263),
    *(4020948523, 4141830799, 3739850625, 907026323, 4110575748),
]
"""What the answers come to; a change of the grammar, the vocabulary or the schemas changes them."""


async def write_all(seeds: range) -> int:
    engines = ((seed, Engine(chat_session(at_random(seed)), CHAT_TOKENIZER)) for seed in seeds)
    return digest_of([await write(seed, engine, CHAT_VOCABULARY, ENDS, [START]) for seed, engine in engines])


@pytest.mark.parametrize("batch", range(10))
async def test_every_answer_fits_its_schema_and_ends_and_is_the_same_on_every_host(batch: int) -> None:
    assert await write_all(range(batch * 50, batch * 50 + 50)) == DIGESTS[batch]


async def test_nothing_is_written_where_there_is_no_room_for_the_shortest_answer() -> None:
    city: JsonObject = {"type": "string", "minLength": 9}
    schema: JsonObject = {"type": "object", "properties": {"the city": city}, "required": ["the city"]}
    grammar = TokenGrammar(CHAT_VOCABULARY, SchemaCompiler(ANSWER).rule(schema, schema))
    shortest = len(grammar.ending(grammar.start))

    with pytest.raises(GrammarError, match=f"takes {shortest} tokens, and there is room for {shortest - 1}"):
        Constraint(grammar, shortest - 1, ENDS)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"type": "array", "items": {"type": "null"}, "minItems": 3, "maxItems": 2},
        {"type": "string", "pattern": "^abc$", "minLength": 4, "maxLength": 9},
        {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "minItems": 3},
    ],
    ids=["integer", "array", "pattern", "set"],
)
def test_a_schema_that_nothing_fits_is_refused(schema: JsonObject) -> None:
    whole: JsonObject = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    grammar = TokenGrammar(CHAT_VOCABULARY, SchemaCompiler(ANSWER).rule(whole, whole))

    with pytest.raises(GrammarError, match="nothing fits"):
        Constraint(grammar, 100, ENDS)


def test_an_alternative_that_nothing_fits_is_never_begun() -> None:
    schema: JsonObject = {"anyOf": [{"type": "integer", "minimum": 5, "maximum": 4}, {"type": "string"}]}
    grammar = TokenGrammar(CHAT_VOCABULARY, SchemaCompiler(ANSWER).rule(schema, schema))

    assert grammar.start.only_byte == ord('"')


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (5, {"type": "string"}),
        (True, {"type": "integer"}),
        (1, {"enum": [True]}),
        ("abcd", {"maxLength": 3}),
        ("ab", {"pattern": "^b"}),
        (3, {"exclusiveMaximum": 3}),
        (0.3, {"multipleOf": 0.2}),
        ([1, 1], {"uniqueItems": True}),
        ([1, 2], {"prefixItems": [{}], "items": False}),
        ({"a": 1}, {"required": ["b"]}),
        ({"a": 1}, {"properties": {"b": {}}, "additionalProperties": False}),
        ({"a": 1}, {"propertyNames": {"enum": ["b"]}}),
        ({"a": {"b": None}}, {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"required": ["c"]}}}),
    ],
    ids=str,
)
def test_the_judge_sees_what_is_wrong(value: object, schema: dict[str, object]) -> None:
    assert len(problems(value, schema)) == 1
