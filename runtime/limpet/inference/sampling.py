"""Choosing one of the candidates: the best, or by chance.

The candidates are the best few tokens of the vocabulary, ranked where the model runs; what is further down is left out
of every draw. The order is that of transformers: penalties, temperature, `top_k`, `top_p`, `min_p`. The numbers
drawn are the same on every host for the same seed.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from math import exp

_MASK = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose; temperature 0 is the best token, after the penalties."""

    temperature: float = 0.0
    top_k: int = 0
    """Of so many of the best one is drawn; 0: of all candidates."""
    top_p: float = 1.0
    """Of the best that together are this likely one is drawn."""
    min_p: float = 0.0
    """None is drawn that is less likely than this share of the best one's likelihood."""
    repetition_penalty: float = 1.0
    """By this a logit of a token that the answer has already is divided, or multiplied when it is negative."""
    presence_penalty: float = 0.0
    """This is taken from the logit of a token that the answer has already."""


class Sampler:
    """Chooses the tokens of one answer."""

    def __init__(self, sampling: Sampling, seed: int) -> None:
        self._sampling = sampling
        self._random = seed & _MASK
        self._penalizes = sampling.repetition_penalty != 1 or sampling.presence_penalty != 0
        self.is_plain = not self._penalizes and sampling.temperature <= 0
        """Whether it always takes the first."""

    def choose(self, logits: Sequence[float], ids: Sequence[int], used: Set[int]) -> int:
        """Give the place of the token to take; the candidates are sorted, the best first."""
        if self.is_plain:
            return 0
        sampling = self._sampling
        places = list(range(len(ids)))
        if self._penalizes:
            logits = [self._penalized(logit) if id in used else logit for id, logit in zip(ids, logits, strict=True)]
            places.sort(key=lambda place: -logits[place])
        if sampling.temperature <= 0:
            return places[0]
        if sampling.top_k > 0:
            places = places[: sampling.top_k]
        best = logits[places[0]]
        weights = [exp((logits[place] - best) / sampling.temperature) for place in places]
        count = self._count(weights)
        drawn = self._draw() * sum(weights[:count])
        for place, weight in zip(places[:count], weights, strict=False):
            drawn -= weight
            if drawn < 0:
                return place
        return places[count - 1]

    def _penalized(self, logit: float) -> float:
        factor = self._sampling.repetition_penalty
        return (logit / factor if logit > 0 else logit * factor) - self._sampling.presence_penalty

    def _count(self, weights: Sequence[float]) -> int:
        """How many of the best may be drawn; `weights` are relative to the best one's, which is 1."""
        wanted = self._sampling.top_p * sum(weights)
        count, reached = 0, 0.0
        for weight in weights:
            if count and (reached >= wanted or weight < self._sampling.min_p):
                break
            reached += weight
            count += 1
        return count

    def _draw(self) -> float:
        """Give 0 <= x < 1 (SplitMix64, S. Vigna): `random` costs Pyodide an import and differs between versions."""
        self._random = (self._random + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._random
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((mixed ^ (mixed >> 31)) >> 11) / (1 << 53)
