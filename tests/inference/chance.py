"""Numbers that look like chance and are the same on every host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Numbers:
    """A linear congruential generator."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, count: int) -> int:
        """Give a whole number from 0 to `count` - 1."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
        return (self._state >> 33) % count

    def one_of(self, choices: Sequence[T]) -> T:
        """Give one of some."""
        return choices[self.below(len(choices))]
