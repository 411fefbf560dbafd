"""Writing one answer: the loop of choosing a token, telling its text, and computing what may follow.

It runs over an `Engine` that was brought to the end of the prompt, and of what the constraint forces at the start.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence, Set
from dataclasses import dataclass
from typing import Literal

from ..host import Candidates
from .constraint import Constraint, Feed
from .engine import Engine
from .sampling import Sampler
from .stop import StopWatcher
from .tokenizer import TextStream

_WIDE = 1024
"""So many candidates are asked for where nearly any token fits, but none of the best few does."""


@dataclass(frozen=True, slots=True)
class TokenScore:
    """A chosen token, its log-probability, and the likeliest tokens at its place with theirs."""

    token_id: int
    log_probability: float
    likeliest: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """Where an answer ends, and how many candidates are looked at on the way."""

    most_tokens: int
    end_ids: Set[int]
    stops: Sequence[str] = ()
    top_k: int = 64
    scores: int | None = None
    """How many of the likeliest tokens are noted beside each chosen one; None: nothing is noted."""


class Writer:
    """Writes one answer. What came of it stands in its attributes, also when it is cancelled."""

    def __init__(self, engine: Engine, sampler: Sampler, limits: Limits, constraint: Constraint | None = None) -> None:
        self._engine = engine
        self._sampler = sampler
        self._limits = limits
        self._constraint = constraint
        self._text = TextStream(engine.tokenizer)
        self._watcher = StopWatcher(limits.stops)
        self._used: set[int] = set()
        self.token_ids: list[int] = []
        self.scores: list[TokenScore] = []
        self.finish_reason: Literal["stop", "length"] = "stop"

    @property
    def was_stopped(self) -> bool:
        """Whether a stop sequence ended it, so that the text has less than the tokens."""
        return self._watcher.has_stopped

    async def write(self, candidates: Candidates | None, begun: Feed | None = None) -> AsyncIterator[str]:
        """Yield the text of the answer as it is certain, never an empty piece.

        `begun` is what the constraint began with, and has been computed with the prompt; where it is the whole answer,
        no `candidates` are needed.
        """
        step: Feed | None = begun
        while True:
            if step is None:
                assert candidates is not None
                step = await self._choose(candidates)
            for token_id in step.token_ids:
                self.token_ids.append(token_id)
                self._used.add(token_id)
                if text := self._watcher.feed(self._text.feed(token_id)):
                    yield text
                if self._watcher.has_stopped:
                    return
            if step.is_done:
                break
            if len(self.token_ids) >= self._limits.most_tokens:
                self.finish_reason = "length"
                break
            if step is not begun:
                candidates = await self._engine.feed(step.token_ids, top_k=self._limits.top_k)
            step = None
        if text := self._watcher.feed(self._text.close()) + self._watcher.close():
            yield text

    async def _choose(self, candidates: Candidates) -> Feed:
        sampler = self._sampler
        if self._constraint is None:
            place = sampler.choose(candidates.logits, candidates.ids, self._used)
            token_id, logit = candidates.ids[place], candidates.logits[place]
            self._note(candidates, token_id, logit)
            return Feed([], is_done=True) if token_id in self._limits.end_ids else Feed([token_id])
        while True:
            step = self._constraint.step(candidates, self._pick, is_greedy=sampler.is_plain)
            if isinstance(step, Feed):
                if step.logit is not None:
                    self._note(candidates, step.token_ids[0], step.logit)
                return step
            top_k = self._limits.top_k if step.allowed is not None else _WIDE
            candidates = await self._engine.rank(top_k=top_k, allowed=step.allowed)

    def _pick(self, logits: Sequence[float], ids: Sequence[int]) -> int:
        return self._sampler.choose(logits, ids, self._used)

    def _note(self, candidates: Candidates, token_id: int, logit: float) -> None:
        count = self._limits.scores
        if count is not None:
            total = candidates.log_sum_exp
            pairs = zip(candidates.ids[:count], candidates.logits[:count], strict=True)
            self.scores.append(
                TokenScore(token_id, logit - total, tuple((other, value - total) for other, value in pairs))
            )
