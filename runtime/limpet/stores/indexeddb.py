"""A store in the browser's IndexedDB, through the JavaScript of `web/src/host-storage.ts`."""

from __future__ import annotations

import json
from typing import Protocol

from ..errors import StorageError
from ..hosts.ffi import Foreign, ForeignError, from_bytes, to_bytes, wait


class JsStorage(Protocol):
    """`HostStorage` of `web/src/host-storage.ts`; each method gives a promise."""

    def get(self, key: str, /) -> object: ...

    def put(self, key: str, value: object, /) -> object: ...

    def delete(self, key: str, /) -> object: ...

    def keys(self, prefix: str, /) -> object: ...


class IndexedDbStorage:
    """Keeps bytes in one object store of this origin; the user's browser may clear it."""

    def __init__(self, storage: JsStorage) -> None:
        self._storage = storage

    async def get(self, key: str) -> bytes | None:
        value = await _settle(self._storage.get(key), "read", key)
        return None if value is None else to_bytes(value)

    async def put(self, key: str, value: bytes) -> None:
        await _settle(self._storage.put(key, from_bytes(value)), "write", key)

    async def delete(self, key: str) -> None:
        await _settle(self._storage.delete(key), "delete", key)

    async def keys(self, prefix: str = "") -> list[str]:
        # JavaScript sorts by UTF-16 units, we by characters.
        return sorted(json.loads(await _settle(self._storage.keys(prefix), "list", prefix)))


_ADVICE = {
    "QuotaExceededError": "; free some space for this site",
    "VersionError": "; a newer version of this page has used it, reload to get that one",
}


async def _settle(promise: object, doing: str, key: str) -> Foreign:
    try:
        return await wait(promise)
    except ForeignError as error:
        advice = _ADVICE.get(error.name, "")
        raise StorageError(f"the browser's store could not {doing} {key!r}: {error.name}{advice}", key=key) from error
