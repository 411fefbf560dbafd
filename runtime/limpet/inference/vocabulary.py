"""A vocabulary in the order of its bytes: which tokens fit a grammar, found without a look at each of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from .automaton import Automaton, State
from .tokenizer import AnyTokenizer


class Vocabulary:
    """What constrained decoding needs of a tokenizer, made once for a model."""

    def __init__(self, tokenizer: AnyTokenizer) -> None:
        self.tokenizer = tokenizer
        # Tokens that begin alike are neighbours.
        pairs = sorted((spelled, token_id) for token_id, spelled in enumerate(tokenizer.bytes_of) if spelled)
        self._spelled = [spelled for spelled, _ in pairs]
        self._ids = [token_id for _, token_id in pairs]
        self.alphabet = frozenset(spelled[0] for spelled in self._spelled if len(spelled) == 1)
        """The bytes that have a token of their own: any text of these can be written."""

    def fitting(self, automaton: Automaton, state: State) -> list[int]:
        """Give the ids of all tokens that may follow a state."""
        return sorted(self._search(automaton, state, 0, len(self._ids), 0))

    def has_longer(self, text: bytes, automaton: Automaton, state: State) -> bool:
        """Whether a token begins with `text` and goes on as the state after `text` allows."""
        low = bisect_left(self._spelled, text)
        high = bisect_left(self._spelled, text + b"\xff\xff", low)
        while low < high and self._spelled[low] == text:
            low += 1
        return next(self._search(automaton, state, low, high, len(text)), None) is not None

    def _search(self, automaton: Automaton, state: State, low: int, high: int, depth: int) -> Iterator[int]:
        """Yield the tokens in `low..high`, equal in their first `depth` bytes, whose other bytes may follow a state.

        A part of the vocabulary whose next byte doesn't fit is passed over as a whole.
        """
        spelled = self._spelled
        waiting = [(low, high, depth, state)]
        while waiting:
            low, high, depth, state = waiting.pop()
            while low < high and len(spelled[low]) == depth:
                yield self._ids[low]
                low += 1
            while low < high:
                head = spelled[low][: depth + 1]
                end = high
                if spelled[high - 1][depth] != head[-1]:
                    end = bisect_left(spelled, head[:-1] + bytes([head[-1] + 1]), low, high)
                following = automaton.step(state, head[-1])
                if following is not None:
                    waiting.append((low, end, depth + 1, following))
                low = end
