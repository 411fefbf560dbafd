"""One answer that fits a grammar: which tokens to feed next, out of the candidates.

It never waits. What can go on in one way only is fed at once, in one pass with the token before it. The answer ends
within its budget, whatever the model wants: no token is taken after which the shortest end would not fit any more, and
when none is left, that end is fed. A text that goes round and round is ended after `MOST_VISITS` tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from math import inf

from ..host import Candidates
from .automaton import State
from .token_grammar import GrammarError, TokenGrammar

MOST_VISITS = 160
"""So many tokens a text without a limit of its own may have: a small model that repeats itself never ends it."""

Choose = Callable[[Sequence[float], Sequence[int]], int]
"""Given logits and ids, the best first, the place of the one to take."""


@dataclass(frozen=True, slots=True)
class Feed:
    """Append these tokens; the first was chosen, unless all are forced, and with `is_done` they end the answer."""

    token_ids: list[int]
    is_done: bool = False
    logit: float | None = None
    """That of the chosen token, None when there is none."""


@dataclass(frozen=True, slots=True)
class Rank:
    """None of the candidates fits: show more of them, or the best among these."""

    allowed: list[int] | None


class Constraint:
    """The state of one answer. Raises `GrammarError` when nothing that fits has room in the budget."""

    def __init__(self, grammar: TokenGrammar, budget: int, end_ids: Set[int]) -> None:
        self._grammar = grammar
        self._end_ids = end_ids
        self._left = budget
        self._state = grammar.start
        self._visits: dict[State, int] = {}
        self._is_overridden = False
        self.overrides = 0
        """Places where the model's first choice did not fit."""
        self.choices = 0
        """Places where there was something to choose."""
        self.forced = 0
        """Tokens that were not chosen."""
        self.was_closed = False
        """Whether the budget ended the answer."""
        if grammar.start.distance == inf:
            raise GrammarError("nothing fits what the answer must be")
        if not grammar.can_end(grammar.start, budget):
            shortest = len(grammar.ending(grammar.start))
            raise GrammarError(f"the shortest answer that fits takes {shortest} tokens, and there is room for {budget}")

    def begin(self) -> Feed:
        """Give the tokens with which every answer begins; there may be none."""
        return self._feed([], self._state, None)

    def step(self, candidates: Candidates, choose: Choose, *, is_greedy: bool = True) -> Feed | Rank:
        """Choose what follows. With `is_greedy` the first that fits is taken, and no other looked at."""
        fitting: list[int] = []
        logits: list[float] = []
        is_cramped = False
        for token_id, logit in zip(candidates.ids, candidates.logits, strict=True):
            following = self._follow(token_id)
            if following is None:
                continue
            if not self._grammar.can_end(following, self._left - 1):
                is_cramped = True
                continue
            fitting.append(token_id)
            logits.append(logit)
            if is_greedy:
                break
        if not fitting:
            if is_cramped:
                self.was_closed = True
                return self._close([], self._state)
            return self._rank()
        if not self._is_overridden and candidates.ids[0] != fitting[0]:
            self.overrides += 1
        self.choices += 1
        place = 0 if is_greedy else choose(logits, fitting)
        token_id = fitting[place]
        if token_id in self._end_ids:
            return Feed([], is_done=True)
        following = self._follow(token_id)
        assert following is not None
        self._left -= 1
        return self._feed([token_id], following, logits[place])

    def _follow(self, token_id: int) -> State | None:
        if token_id in self._end_ids:
            return self._state if self._state.is_accepting else None
        return self._grammar.follow(self._state, token_id)

    def _rank(self) -> Feed | Rank:
        if not self._is_overridden:
            self.overrides += 1
        has_asked, self._is_overridden = self._is_overridden, True
        if self._grammar.is_free(self._state) and not has_asked:
            return Rank(None)
        ends = sorted(self._end_ids) if self._state.is_accepting else []
        allowed = ends + self._grammar.fitting(self._state)
        return Rank(allowed) if allowed else self._close([], self._state)

    def _feed(self, chosen: list[int], state: State, logit: float | None) -> Feed:
        """Take what must follow a state; the chosen token before it is counted already."""
        self._is_overridden = False
        run, after = self._grammar.forced(state)
        self._visits[after] = visits = self._visits.get(after, 0) + 1
        if visits > MOST_VISITS and not after.is_accepting:
            more, after = self._grammar.exit(after)
            run = run + more
        if not self._grammar.can_end(after, self._left - len(run)):
            self.was_closed = True
            return self._close(chosen, state, logit)
        self._state = after
        self._left -= len(run)
        self.forced += len(run)
        is_done = after.is_final or (visits > MOST_VISITS and after.is_accepting)
        return Feed(chosen + run, is_done, logit)

    def _close(self, chosen: list[int], state: State, logit: float | None = None) -> Feed:
        ending = self._grammar.ending(state)
        self.forced += len(ending)
        return Feed(chosen + ending, is_done=True, logit=logit)
