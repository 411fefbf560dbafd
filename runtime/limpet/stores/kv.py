"""A store in a KV namespace of Cloudflare Workers: for what may be a minute old and is read often, such as a cache.

What was written elsewhere is seen after up to a minute, and a key may be written about once a second; so no
conversation belongs here. A name may have 512 bytes: a longer key goes by its hash, the key itself beside it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Protocol

from ..errors import StorageError
from ..hosts.ffi import Foreign, ForeignError, from_bytes, to_bytes, to_json, to_object, wait

_SHORT, _LONG = "k/", "h/"
_LONGEST_NAME = 500
_LONGEST_KEY = 900
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_/:")


class JsNamespace(Protocol):
    """A KV namespace; each method gives a promise."""

    def get(self, name: str, kind: str, /) -> Foreign: ...

    def put(self, name: str, value: object, options: object, /) -> Foreign: ...

    def delete(self, name: str, /) -> Foreign: ...

    def list(self, options: object, /) -> Foreign: ...


class KvStorage:
    """Keeps bytes in a namespace."""

    def __init__(self, namespace: JsNamespace) -> None:
        self._namespace = namespace

    async def get(self, key: str) -> bytes | None:
        value = await _settle(self._namespace.get(_name(key), "arrayBuffer"), "read", key)
        # Not its truth: an empty buffer is false too, and null is an object of its own in Pyodide 314.
        return to_bytes(value) if hasattr(value, "byteLength") else None

    async def put(self, key: str, value: bytes) -> None:
        name = _name(key)
        metadata = {"key": key} if name.startswith(_LONG) else {}
        options = to_object({"metadata": to_object(metadata)})
        await _settle(self._namespace.put(name, from_bytes(value), options), "write", key)

    async def delete(self, key: str) -> None:
        await _settle(self._namespace.delete(_name(key)), "delete", key)

    async def keys(self, prefix: str = "") -> list[str]:
        short = [_decode(name) for name, _ in await self._list(_SHORT + _encode(prefix)[:_LONGEST_NAME])]
        long = [str(metadata["key"]) for _, metadata in await self._list(_LONG)]
        return sorted(key for key in (*short, *long) if key.startswith(prefix))

    async def _list(self, prefix: str) -> list[tuple[str, dict[str, object]]]:
        found: list[tuple[str, dict[str, object]]] = []
        cursor: str | None = None
        while True:
            options = {"prefix": prefix} if cursor is None else {"prefix": prefix, "cursor": cursor}
            page = json.loads(to_json(await _settle(self._namespace.list(to_object(options)), "list", prefix)))
            found += [(key["name"], key.get("metadata") or {}) for key in page["keys"]]
            if page["list_complete"]:
                return found
            cursor = page["cursor"]


def _name(key: str) -> str:
    name = _SHORT + _encode(key)
    if len(name) <= _LONGEST_NAME:
        return name
    if len(key.encode("utf-8", "surrogatepass")) > _LONGEST_KEY:
        raise StorageError(f"a key of {len(key)} characters is too long for KV", key=key)
    return _LONG + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _encode(key: str) -> str:
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in key.encode("utf-8", "surrogatepass"))


def _decode(name: str) -> str:
    first, *rest = name.removeprefix(_SHORT).split("%")
    data = first.encode() + b"".join(bytes.fromhex(piece[:2]) + piece[2:].encode() for piece in rest)
    return data.decode("utf-8", "surrogatepass")


async def _settle(promise: Foreign, doing: str, key: str) -> Foreign:
    try:
        return await wait(promise)
    except ForeignError as error:
        raise StorageError(f"KV could not {doing} {key!r}: {error.name}", key=key) from error
