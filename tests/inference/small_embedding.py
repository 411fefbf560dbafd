"""A model of embeddings without a model: each word has a direction of its own, and words of like meaning share it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from math import sqrt

from limpet.errors import ModelUnavailableError
from limpet.host import LoadProgress
from limpet.wire import Availability
from tests.fakes.session import FakeSession

SPECIAL = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}
WORDS = ["timer", "light", "egg", "##s", "lamp", "set", "kitchen", "alarm", "wake", "music", "play"]
PIECES = [*SPECIAL, *WORDS]
# What the model knows and words don't say.
MEANING = {"egg": "timer", "lamp": "light", "wake": "alarm"}


def direction(ids: list[int]) -> list[float]:
    """Give the vector of a text: how often each word is in it, of length 1; zeros when none is."""
    vector = [0.0] * len(PIECES)
    for token_id in ids:
        if token_id >= len(SPECIAL):
            word = PIECES[token_id]
            vector[PIECES.index(MEANING.get(word, word))] += 1
    length = sqrt(sum(number * number for number in vector)) or 1.0
    return [number / length for number in vector]


class EmbeddingSession(FakeSession):
    """Gives vectors; `gate`, when there is one, is waited for in every batch."""

    def __init__(self, *, context_length: int = 8) -> None:
        document = {"type": "wordpiece", "pieces": PIECES, "special": SPECIAL, "lowercase": True}
        super().__init__(
            lambda sequence: [],
            files={"words.json": json.dumps(document).encode()},
            manifest={"id": "fake", "context_length": context_length, "tokenizer": {"file": "words.json"}},
            embed_one=direction,
        )

    async def embed(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        self.has_begun.set()
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        return await super().embed(batch)


class Models:
    """A back end of several models by name; `there` says what is there, `asked` in which order they were loaded."""

    def __init__(self, sessions: Mapping[str, FakeSession], there: Mapping[str, Availability] | None = None) -> None:
        self._sessions = sessions
        self._there = dict(there or {})
        self.asked: list[str] = []

    async def availability(self, model_id: str) -> Availability:
        return self._there.get(model_id, "available" if model_id in self._sessions else "unavailable")

    async def load(self, model_id: str, progress: LoadProgress) -> FakeSession:
        await asyncio.sleep(0)
        if await self.availability(model_id) != "available":
            raise ModelUnavailableError("it is not here", provider="local", model=model_id)
        self.asked.append(model_id)
        progress("load", "model.onnx", 0, 10)
        progress("ready", "", 10, 10)
        return self._sessions[model_id]
