"""Answers to schemas made by chance, written by any chat model: each is checked, and all come to one number."""

from __future__ import annotations

import json
from collections.abc import Set

from limpet.inference.constraint import Constraint
from limpet.inference.engine import Engine
from limpet.inference.grammar import ANSWER, SchemaCompiler
from limpet.inference.sampling import Sampler, Sampling
from limpet.inference.token_grammar import TokenGrammar
from limpet.inference.vocabulary import Vocabulary
from limpet.inference.writer import Limits, Writer
from tests.inference.chance import Numbers
from tests.inference.random_schemas import random_schema
from tests.inference.validate import problems


async def write(seed: int, engine: Engine, vocabulary: Vocabulary, ends: Set[int], prompt: list[int]) -> str:
    """Write an answer to the schema of a seed, within a budget that may be a tight one."""
    numbers = Numbers(seed)
    schema = random_schema(numbers, has_definitions=seed % 7 == 0)
    grammar = TokenGrammar(vocabulary, SchemaCompiler(ANSWER).rule(schema, schema))
    budget = len(grammar.ending(grammar.start)) + numbers.one_of([0, 1, 2, 5, 20, 100, 400])
    sampling = Sampling(temperature=1.0) if seed % 3 == 0 else Sampling()
    constraint = Constraint(grammar, budget, ends)
    begun = constraint.begin()
    writer = Writer(engine, Sampler(sampling, seed), Limits(budget, ends, top_k=16), constraint)
    candidates = None
    if not begun.is_done:
        candidates, _ = await engine.prefill([*prompt, *begun.token_ids], top_k=16)
    text = "".join([piece async for piece in writer.write(candidates, begun)])
    assert engine.tokenizer.decode(writer.token_ids) == text
    assert problems(json.loads(text), schema) == [], f"seed {seed}: {text!r} for {schema}"
    assert len(writer.token_ids) <= budget, f"seed {seed}: {len(writer.token_ids)} tokens, {budget} were allowed"
    assert writer.finish_reason == "stop", f"seed {seed}: {text!r}"
    return text


def digest_of(texts: list[str]) -> int:
    """Give a number that tells these texts from others."""
    digest = 0
    for byte in "\n".join(texts).encode():
        digest = (digest * 31 + byte) & 0xFFFFFFFF
    return digest
