"""A store that forgets all when the program ends: for tests, and for runs that need not be kept."""

from __future__ import annotations

from collections.abc import Mapping


class MemoryStorage:
    """Keeps bytes in a dict; `data` is what it holds to begin with."""

    def __init__(self, data: Mapping[str, bytes] | None = None) -> None:
        self._data = dict(data or {})

    async def get(self, key: str) -> bytes | None:
        return self._data.get(key)

    async def put(self, key: str, value: bytes) -> None:
        self._data[key] = bytes(value)

    async def delete(self, key: str) -> None:
        self._data.pop(key, None)

    async def keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self._data if key.startswith(prefix))
