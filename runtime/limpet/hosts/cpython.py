"""A plain CPython process as host: sockets, the system's clock, keys from the environment."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping

from ..host import Host, InferenceBackend, Storage
from .http1 import Http1Fetch


class SystemClock:
    """The clock of this machine."""

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait; cancelling ends it at once."""
        await asyncio.sleep(seconds)


def create_host(
    *,
    storage: Storage,
    inference: InferenceBackend | None = None,
    secrets: Mapping[str, str] | None = None,
    base_urls: Mapping[str, str] | None = None,
) -> Host:
    """Make the host of a CPython process. `secrets` are API keys by name; without it they are environment variables."""
    keys = os.environ if secrets is None else secrets
    return Host(
        fetch=Http1Fetch(),
        storage=storage,
        clock=SystemClock(),
        secret=lambda name: keys.get(name),
        random=_random,
        new_id=_new_id,
        inference=inference,
        base_urls=dict(base_urls or {}),
    )


def _random() -> float:
    return (int.from_bytes(os.urandom(7), "big") >> 3) / (1 << 53)


def _new_id() -> str:
    return os.urandom(8).hex()
