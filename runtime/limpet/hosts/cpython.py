"""A plain CPython process as host: sockets, the system's clock, keys from the environment."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping

from ..host import Host, InferenceBackend, Storage
from ..stores.memory import MemoryStorage
from .http1 import Http1Fetch
from .process_pool import ProcessPool

_BASE_URL = "_BASE_URL"


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
    storage: Storage | None = None,
    inference: InferenceBackend | None = None,
    secrets: Mapping[str, str] | None = None,
    base_urls: Mapping[str, str] | None = None,
) -> Host:
    """Make the host of a CPython process.

    `storage` is in memory when it isn't given. `secrets` are API keys by name, `base_urls` addresses by provider;
    without the one or the other, environment variables are asked: `OPENAI_API_KEY`, `OPENAI_BASE_URL`.
    """
    keys = os.environ if secrets is None else secrets
    if base_urls is None:
        found = {name: url for name, url in os.environ.items() if name.endswith(_BASE_URL) and url}
        base_urls = {name.removesuffix(_BASE_URL).lower(): url for name, url in found.items()}
    return Host(
        fetch=Http1Fetch(),
        storage=MemoryStorage() if storage is None else storage,
        clock=SystemClock(),
        secret=lambda name: keys.get(name),
        random=_random,
        new_id=_new_id,
        inference=inference,
        pool=ProcessPool(),
        base_urls=dict(base_urls),
    )


def _random() -> float:
    return (int.from_bytes(os.urandom(7), "big") >> 3) / (1 << 53)


def _new_id() -> str:
    return os.urandom(8).hex()
