"""One build at a time in one folder: a file lock that the system takes back when its holder dies.

Only the standard library: `build.py` uses this file before its virtual environment stands.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .progress import BuildError, say

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

WAIT_LIMIT_SECONDS = 3600.0
POLL_SECONDS = 0.3


@contextmanager
def build_lock(root: Path, wait_limit_seconds: float = WAIT_LIMIT_SECONDS) -> Iterator[None]:
    """Hold `build/lock`, after waiting for whoever has it. Raises `BuildError` when that takes too long."""
    path = root / "build" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        deadline = time.monotonic() + wait_limit_seconds
        is_told = False
        while not _try_lock(file):
            if not is_told:
                say(f"waiting for another build in {root} (it holds {path})")
                is_told = True
            if time.monotonic() > deadline:
                raise BuildError(f"another build has held {path} for {wait_limit_seconds:.0f} s; end it and try again")
            time.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            _unlock(file)


def _try_lock(file: BinaryIO) -> bool:
    try:
        if sys.platform == "win32":
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _unlock(file: BinaryIO) -> None:
    if sys.platform == "win32":
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_UN)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one and never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
