"""A store in a folder: one file a key, replaced whole.

The name of a file is its key with everything but small letters, digits, `-` and `_` written as `%` and two hex digits
a byte (RFC 3986 section 2.1, with small digits). So a key can't leave the folder, `A` and `a` stay apart on file
systems that don't tell them apart, and a name with a dot is never a key's. Long names are cut into folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import StorageError

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")
_ENDING = ".bin"
# File systems allow 255 bytes a name.
_NAME_LENGTH = 200


class FileStorage:
    """Keeps bytes in files of `folder`, which is made at the first `put`.

    A value is written beside its place and then moved there, so that a reader, or a start after a crash, finds the old
    value or the new one and never half of it. The files are small, so they are read and written in place: a thread
    would cost more, and Pyodide has none.
    """

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder)

    async def get(self, key: str) -> bytes | None:
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _failure("read", key, error) from error

    async def put(self, key: str, value: bytes) -> None:
        path = self._path(key)
        draft = path.with_name(f".{os.urandom(8).hex()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                _write(draft, value)
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
        except OSError as error:
            raise _failure("written", key, error) from error

    async def delete(self, key: str) -> None:
        try:
            self._path(key).unlink(missing_ok=True)
        except OSError as error:
            raise _failure("deleted", key, error) from error

    async def keys(self, prefix: str = "") -> list[str]:
        try:
            return sorted(key for key in self._keys() if key.startswith(prefix))
        except OSError as error:
            raise _failure("listed", prefix, error) from error

    def _keys(self) -> Iterator[str]:
        for path in self._folder.rglob("*" + _ENDING):
            name = "".join(path.relative_to(self._folder).parts).removesuffix(_ENDING)
            if not name.startswith("."):
                yield _decode(name)

    def _path(self, key: str) -> Path:
        name = _encode(key)
        pieces = [name[start : start + _NAME_LENGTH] for start in range(0, len(name), _NAME_LENGTH)] or [""]
        return self._folder.joinpath(*pieces[:-1], pieces[-1] + _ENDING)


def _write(path: Path, value: bytes) -> None:
    # A folder of conversations is nobody else's business.
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(value)
        file.flush()
        os.fsync(file.fileno())


def _encode(key: str) -> str:
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in key.encode("utf-8", "surrogatepass"))


def _decode(name: str) -> str:
    first, *rest = name.split("%")
    data = first.encode() + b"".join(bytes.fromhex(piece[:2]) + piece[2:].encode() for piece in rest)
    return data.decode("utf-8", "surrogatepass")


def _failure(done: str, key: str, error: OSError) -> StorageError:
    return StorageError(f"the file of {key!r} can't be {done}: {error.strerror or type(error).__name__}", key=key)
