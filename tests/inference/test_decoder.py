from __future__ import annotations

from collections.abc import Callable, Sequence

from limpet.host import Candidates
from limpet.inference.automaton import Automaton
from limpet.inference.decoder import Decoder, Feed, Rank, ids_to_text
from limpet.inference.grammar import tool_call_rule
from limpet.inference.prompt import turn_ids
from tests.inference.small import TOKENIZER, TOOLS, VOCABULARY

CALLS = Automaton(tool_call_rule(TOOLS))
END_THINK = TOKENIZER.markers["</think>"]
END_TURN = TOKENIZER.markers["<|im_end|>"]


def candidates(*ids: int, gap: float = 2.0) -> Candidates:
    return Candidates(list(ids), [-gap * place for place in range(len(ids))], 0.5)


def drive(decoder: Decoder, rank: Callable[[list[int]], Sequence[int]]) -> list[Feed | Rank]:
    """Answer the decoder until it is done; `rank` is given the tokens so far."""
    steps: list[Feed | Rank] = []
    fed: list[int] = []
    allowed: Sequence[int] | None = None
    for _ in range(500):
        ids = [token_id for token_id in rank(fed) if allowed is None or token_id in allowed]
        step = decoder.step(candidates(*(ids or list(allowed or ())[:1])))
        if step is None:
            return steps
        steps.append(step)
        allowed = step.allowed if isinstance(step, Rank) else None
        if isinstance(step, Feed):
            fed += step.token_ids
    raise AssertionError("the decoder never ended")


def script(text: str) -> Callable[[list[int]], Sequence[int]]:
    """Rank what a model would write that says exactly this."""
    target = TOKENIZER.encode_template(text)
    return lambda fed: target[len(fed) : len(fed) + 1] or [END_TURN]


ANSWER = '\nten\n</think>\n<tool_call>[{"name":"set_timer","arguments":{"minutes":10}}]</tool_call><|im_end|>'


def test_an_answer_is_the_same_with_and_without_forced_bytes() -> None:
    decoder = Decoder(VOCABULARY, CALLS)
    free = Decoder(VOCABULARY, None)

    steps = drive(decoder, script(ANSWER))
    free_steps = drive(free, script(ANSWER))

    assert decoder.token_ids == free.token_ids == TOKENIZER.encode_template(ANSWER)
    assert decoder.calls_text == '[{"name":"set_timer","arguments":{"minutes":10}}]'
    assert (decoder.thoughts, decoder.thought_count) == ("ten", len(TOKENIZER.encode("\nten\n")))
    assert len(steps) < len(free_steps) / 3
    assert decoder.evidence.overrides == 0


def test_a_token_that_does_not_fit_is_passed_over_and_noted() -> None:
    decoder = Decoder(VOCABULARY, CALLS, think=False)
    wrong, right = TOKENIZER.encode("x")[0], TOKENIZER.encode('[{"')[0]

    step = decoder.step(candidates(wrong, right))

    assert isinstance(step, Feed)
    assert step.token_ids[0] == right
    assert decoder.evidence.overrides == 1
    assert abs(decoder.evidence.least_fit - 0.1353) < 0.001


def test_when_no_candidate_fits_all_that_fit_are_asked_for() -> None:
    decoder = Decoder(VOCABULARY, CALLS, think=False)

    step = decoder.step(candidates(TOKENIZER.encode("x")[0]))

    assert isinstance(step, Rank)
    assert sorted(TOKENIZER.bytes_of[token_id] for token_id in step.allowed) == [b"[", b"[", b"[]", b'[{"']
    assert decoder.evidence.least_fit == 0


def test_an_invented_enum_becomes_an_allowed_one_and_counts_as_an_override() -> None:
    decoder = Decoder(VOCABULARY, CALLS, think=False)
    possible = '[{"name":"set_light","arguments":{"room":"kitchen","is_on":true}}]'
    cellar = TOKENIZER.encode("c")[0]

    drive(decoder, lambda fed: [cellar, *script(possible)(fed)])

    assert decoder.calls_text == '[{"name":"set_light","arguments":{"room":"kitchen","is_on":true}}]'
    assert decoder.evidence.overrides > 0


def test_thoughts_have_a_limit() -> None:
    decoder = Decoder(VOCABULARY, CALLS, most_thoughts=5)
    letter = TOKENIZER.encode("z")[0]
    empty = TOKENIZER.encode("[]")[0]

    drive(decoder, lambda fed: [empty if END_THINK in fed else letter, empty])

    assert decoder.thoughts == "zzzzz"
    assert decoder.evidence.was_thinking_cut
    assert decoder.calls_text == "[]"


def test_calls_have_a_limit() -> None:
    decoder = Decoder(VOCABULARY, CALLS, think=False, most_answer=40)
    opening = '[{"name":"set_timer","arguments":{"minutes":1,"label":"'

    drive(decoder, lambda fed: [*script(opening + "z" * 300)(fed)])

    assert decoder.evidence.was_cut


def test_a_model_that_ends_its_turn_while_thinking_is_asked_for_calls() -> None:
    decoder = Decoder(VOCABULARY, CALLS)

    steps = drive(decoder, lambda fed: [END_TURN] if not fed else TOKENIZER.encode("[]"))

    assert len(steps) == 2
    assert ids_to_text(TOKENIZER, decoder.token_ids) == "</think>\n<tool_call>[]</tool_call><|im_end|>"


def test_a_turn_ends_with_the_marker_that_begins_the_answer() -> None:
    thinking = ids_to_text(TOKENIZER, turn_ids(TOKENIZER, "  hi <think> "))
    direct = ids_to_text(TOKENIZER, turn_ids(TOKENIZER, "hi", think=False))

    assert thinking == "\nhi <think><|im_end|>\n<|im_start|>assistant\n<think>"
    assert turn_ids(TOKENIZER, "  hi <think> ").count(TOKENIZER.markers["<think>"]) == 1
    assert direct == "\nhi<|im_end|>\n<|im_start|>assistant\n<tool_call>"
