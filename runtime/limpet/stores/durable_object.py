"""A store in a Durable Object's SQLite, through `ctx.storage.sql` of Cloudflare Workers.

Writing is done when `put` returns, and on disk after `sync`: Cloudflare holds answers back until then, plain workerd
does not. A value is cut into rows, since a row may have 2 MB. Keys are bytes, for SQLite's own text functions end at a
NUL, and so that their order is that of Python's.
"""

from __future__ import annotations

from typing import Protocol

from ..errors import StorageError
from ..hosts.ffi import Foreign, ForeignError, call, from_bytes, to_bytes, wait

_SCHEMA_VERSION = 1
_ROW_BYTES = 1_000_000


class JsSql(Protocol):
    """`ctx.storage.sql`."""

    def exec(self, query: str, /, *bindings: object) -> Foreign: ...


class JsDurableStorage(Protocol):
    """`ctx.storage`."""

    @property
    def sql(self) -> JsSql: ...

    def sync(self) -> Foreign: ...


class DurableObjectStorage:
    """Keeps bytes in a table of this object. Made once for each object; raises `StorageError` when it can't be."""

    def __init__(self, storage: JsDurableStorage) -> None:
        self._storage = storage
        self._sql = storage.sql
        self._migrate()

    async def get(self, key: str) -> bytes | None:
        rows = self._rows("SELECT value FROM store WHERE key = ? ORDER BY part", key, _to_key(key))
        return b"".join(to_bytes(row[0]) for row in rows) if rows else None

    async def put(self, key: str, value: bytes) -> None:
        # Nothing is awaited between these, so they are one transaction.
        self._rows("DELETE FROM store WHERE key = ?", key, _to_key(key))
        for part, start in enumerate(range(0, len(value) or 1, _ROW_BYTES)):
            piece = from_bytes(value[start : start + _ROW_BYTES])
            self._rows("INSERT INTO store (key, part, value) VALUES (?, ?, ?)", key, _to_key(key), part, piece)

    async def delete(self, key: str) -> None:
        self._rows("DELETE FROM store WHERE key = ?", key, _to_key(key))

    async def keys(self, prefix: str = "") -> list[str]:
        begin = _encode(prefix)
        query, bindings = "SELECT key FROM store WHERE part = 0 AND key >= ?", [from_bytes(begin)]
        if (end := _after(begin)) is not None:
            query, bindings = f"{query} AND key < ?", [*bindings, from_bytes(end)]
        rows = self._rows(f"{query} ORDER BY key", prefix, *bindings)
        return [to_bytes(row[0]).decode("utf-8", "surrogatepass") for row in rows]

    async def sync(self) -> None:
        """Wait until what was written is on disk."""
        try:
            await wait(self._storage.sync())
        except ForeignError as error:
            raise StorageError(f"the Durable Object's store could not write: {error.name}") from error

    def _migrate(self) -> None:
        self._rows("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)", "")
        versions = [int(row[0]) for row in self._rows("SELECT version FROM schema_version", "")]
        if versions and versions[0] > _SCHEMA_VERSION:
            raise StorageError(f"the store has schema {versions[0]}, which a newer Limpet wrote; this one reads 1")
        if not versions:
            self._rows(
                "CREATE TABLE IF NOT EXISTS store (key BLOB NOT NULL, part INTEGER NOT NULL, value BLOB NOT NULL, "
                "PRIMARY KEY (key, part)) WITHOUT ROWID",
                "",
            )
            self._rows("INSERT INTO schema_version (version) VALUES (?)", "", _SCHEMA_VERSION)

    def _rows(self, query: str, key: str, *bindings: object) -> Foreign:
        try:
            cursor = call(self._sql.exec, query, *bindings)
            return call(cursor.raw().toArray)
        except ForeignError as error:
            text = f"the Durable Object's store failed at {key!r}: {error.name}"
            raise StorageError(text, key=key) from error


def _encode(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _to_key(key: str) -> Foreign:
    return from_bytes(_encode(key))


def _after(prefix: bytes) -> bytes | None:
    """Give the first bytes behind all that begin with `prefix`; None when there are none."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None
