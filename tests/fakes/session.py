"""A local model without a model: a session that ranks tokens as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from limpet.errors import ModelUnavailableError
from limpet.host import Candidates, LoadProgress
from limpet.wire import Availability, JsonObject

Ranker = Callable[[list[int]], Sequence[int]]
"""Given all tokens so far, the ids that may come next, best first."""


class FakeSession:
    """Ranks by a function, notes every call in `log`, and keeps sequences as lists of ids.

    The best of the ranked ids has the logit 0, each further one 2 less; the rest of the vocabulary follows at -30.
    `gate`, when there is one, is waited for in every `forward`; `has_begun` is set by the first. With `can_rewind`
    False it is a model whose state can't be shortened; with `embed_one` it is one that gives vectors.
    """

    def __init__(
        self,
        rank: Ranker,
        *,
        files: Mapping[str, bytes],
        manifest: JsonObject | None = None,
        scalars: Mapping[str, float] | None = None,
        vocab_size: int = 300,
        can_rewind: bool = True,
        embed_one: Callable[[list[int]], list[float]] | None = None,
    ) -> None:
        self._rank = rank
        self._files = dict(files)
        self._manifest: JsonObject = manifest or {"id": "fake", "bos_token_id": 2, "context_length": 4096}
        self._vocab_size = vocab_size
        self._can_rewind = can_rewind
        self._embed_one = embed_one
        self._lock = asyncio.Lock()
        self.scalars = dict(scalars or {"confidence": 0.9})
        self.gate: asyncio.Event | None = None
        self.has_begun = asyncio.Event()
        self.sequence: list[int] = []
        self.snapshots: dict[str, list[int]] = {}
        self.log: list[tuple[str, object]] = []
        self.is_closed = False

    @property
    def manifest(self) -> JsonObject:
        return self._manifest

    @property
    def lock(self) -> asyncio.Lock:
        return self._lock

    @property
    def length(self) -> int:
        return len(self.sequence)

    async def read(self, name: str) -> bytes:
        return self._files[name]

    async def forward(
        self, token_ids: Sequence[int], *, top_k: int, allowed: Sequence[int] | None = None
    ) -> Candidates:
        self.log.append(("rank" if not token_ids else "forward", list(allowed or token_ids)))
        self.has_begun.set()
        if self.gate is not None:
            await self.gate.wait()
        self.sequence += token_ids
        ranked = list(self._rank(self.sequence))
        wanted, known = len(ranked), set(ranked)
        ranked += [token_id for token_id in range(self._vocab_size) if token_id not in known]
        pairs = [(token_id, -2.0 * place if place < wanted else -30.0) for place, token_id in enumerate(ranked)]
        if allowed is not None:
            fitting = set(allowed)
            pairs = [pair for pair in pairs if pair[0] in fitting]
        best = pairs[:top_k]
        return Candidates([token_id for token_id, _ in best], [logit for _, logit in best], 0.1, self.scalars)

    async def embed(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        self.log.append(("embed", [list(sequence) for sequence in batch]))
        if self._embed_one is None:
            raise ModelUnavailableError("this model gives no vectors", provider="local", model="fake")
        return [self._embed_one(list(sequence)) for sequence in batch]

    async def rewind(self, length: int) -> bool:
        self.log.append(("rewind", length))
        if not 0 <= length <= len(self.sequence) or (length < len(self.sequence) and not self._can_rewind):
            return False
        del self.sequence[length:]
        return True

    async def reset(self) -> None:
        self.log.append(("reset", None))
        self.sequence = []

    async def snapshot(self, key: str, *, is_temporary: bool = False) -> None:
        self.log.append(("snapshot", key))
        self.snapshots[key] = list(self.sequence)

    async def restore(self, key: str) -> bool:
        self.log.append(("restore", key))
        if key not in self.snapshots:
            return False
        self.sequence = list(self.snapshots[key])
        return True

    async def close(self) -> None:
        self.is_closed = True


class FakeBackend:
    """Gives one session for every name, after reporting that it loads."""

    def __init__(self, session: FakeSession) -> None:
        self.session = session
        self._has_loaded = False

    async def availability(self, model_id: str) -> Availability:
        return "available"

    async def load(self, model_id: str, progress: LoadProgress) -> FakeSession:
        if not self._has_loaded:
            progress("load", "model.onnx", 0, 100)
            self._has_loaded = True
        progress("ready", "", 100, 100)
        return self.session
