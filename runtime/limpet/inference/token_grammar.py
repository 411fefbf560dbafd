"""A grammar over the tokens of one vocabulary, with what was found out about its states.

Made once for a grammar and a model, and shared by all answers: a state that was met before costs a look into a dict.
"""

from __future__ import annotations

from .automaton import Automaton, Rule, State
from .vocabulary import Vocabulary

_FREE = 48
"""A state in which so many bytes may follow is free text, in which any token may begin."""


class GrammarError(ValueError):
    """Nothing that the vocabulary can spell fits the grammar, or nothing that the limit has room for."""


class TokenGrammar:
    """What may follow, in tokens."""

    def __init__(self, vocabulary: Vocabulary, rule: Rule) -> None:
        self._vocabulary = vocabulary
        self._bytes_of = vocabulary.tokenizer.bytes_of
        self._automaton = Automaton(rule, vocabulary.alphabet)
        self._following: dict[State, dict[int, State | None]] = {}
        self._fitting: dict[State, list[int]] = {}
        self._forced: dict[State, tuple[list[int], State]] = {}
        self.start = self._automaton.start

    def follow(self, state: State, token_id: int) -> State | None:
        """Give the state after a token; None when it doesn't fit, as one without bytes never does."""
        known = self._following.get(state)
        if known is None:
            known = self._following[state] = {}
        if token_id not in known:
            spelled = self._bytes_of[token_id]
            known[token_id] = self._automaton.walk(state, spelled) if spelled else None
        return known[token_id]

    def fitting(self, state: State) -> list[int]:
        """Give the ids of all tokens that may follow."""
        if state not in self._fitting:
            self._fitting[state] = self._vocabulary.fitting(self._automaton, state)
        return self._fitting[state]

    def is_free(self, state: State) -> bool:
        """Whether so much may follow that among many candidates one surely fits."""
        return sum(high - low + 1 for low, high, _ in state.moves) >= _FREE

    def forced(self, state: State) -> tuple[list[int], State]:
        """Give the tokens that must follow, which may be none, and the state after them."""
        if state not in self._forced:
            run, after = self._automaton.forced(state)
            tokens = self._spell(run)
            # `": ` before a value: the space belongs to ` true`, which the model knows; a lone one it hardly ever saw.
            if not after.is_final and (run[-1:] == b" " or not self.is_free(after)):
                tokens, after = self._healed(state, tokens, after)
            self._forced[state] = (tokens, after)
        return self._forced[state]

    def ending(self, state: State) -> list[int]:
        """Give the tokens of the shortest way to the end, which there must be."""
        return self._spell(self._automaton.shortest(state))

    def exit(self, state: State) -> tuple[list[int], State]:
        """Give the first byte of the shortest way to the end as a token, and the state after it."""
        byte = self._automaton.shortest(state)[:1]
        after = self._automaton.walk(state, byte)
        assert after is not None
        return self._spell(byte), after

    def can_end(self, state: State, tokens: int) -> bool:
        """Whether the end can be reached within so many tokens. A byte takes one token at most."""
        return state.distance <= tokens or len(self.ending(state)) <= tokens

    def _spell(self, run: bytes) -> list[int]:
        return self._vocabulary.tokenizer.encode_bytes(run)

    def _healed(self, state: State, tokens: list[int], after: State) -> tuple[list[int], State]:
        """Leave the end of a run to the model where one of its tokens reaches over that end."""
        spelled = [self._bytes_of[token_id] for token_id in tokens]
        for place in range(len(tokens)):
            if self._vocabulary.has_longer(b"".join(spelled[place:]), self._automaton, after):
                before = self._automaton.walk(state, b"".join(spelled[:place]))
                assert before is not None
                return tokens[:place], before
        return tokens, after
