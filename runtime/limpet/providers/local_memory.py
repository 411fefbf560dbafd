"""Several local models in a small memory: one is closed before another is loaded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from ..host import InferenceBackend, InferenceSession, LoadProgress
from ..inference.catalog import CATALOG
from ..wire import Availability


@dataclass(slots=True)
class _Open:
    """The models that were loaded in this way, the one used longest ago first."""

    sessions: dict[str, InferenceSession] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


# By the back end that has them: models are made anew for every run, it stays.
_OPEN: WeakKeyDictionary[InferenceBackend, _Open] = WeakKeyDictionary()


class SmallMemory:
    """A back end whose models together take at most `most_bytes`, as far as the catalog knows their sizes.

    Whoever loads and uses its models holds `turn`, so that none is closed in the middle of an answer. Models that
    others loaded from the same back end are not counted, and one that others use as well is closed for them too.
    """

    def __init__(self, backend: InferenceBackend, most_bytes: int) -> None:
        self._backend = backend
        self._most_bytes = most_bytes
        self._open = _OPEN.setdefault(backend, _Open())

    @property
    def turn(self) -> asyncio.Lock:
        """Held for a whole answer."""
        return self._open.turn

    async def availability(self, model_id: str) -> Availability:
        """Say whether a model is there."""
        return await self._backend.availability(model_id)

    async def load(self, model_id: str, progress: LoadProgress) -> InferenceSession:
        """Load a model, or give its session, after closing those that leave no room for it."""
        sessions = self._open.sessions
        for name, session in list(sessions.items()):
            if name != model_id and sum(map(_size_of, {*sessions, model_id})) > self._most_bytes:
                async with session.lock:
                    await session.close()
                del sessions[name]
        session = await self._backend.load(model_id, progress)
        sessions.pop(model_id, None)
        sessions[model_id] = session
        return session


def _size_of(model_id: str) -> int:
    known = CATALOG.get(model_id)
    return known.memory_bytes if known else 0
