"""A host in which nothing is real: storage in memory, a fake clock, and a fetch that refuses."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

from limpet.errors import FetchError
from limpet.host import Clock, Fetch, Host, HttpRequest, HttpResponse, InferenceBackend, Storage
from limpet.stores.memory import MemoryStorage
from tests.fakes.clock import FakeClock


async def refuse_fetch(request: HttpRequest, /) -> HttpResponse:
    """Fail as a machine without a network does."""
    raise FetchError(f"there is no network to reach {request.url}", kind="offline")


def make_host(
    *,
    fetch: Fetch = refuse_fetch,
    storage: Storage | None = None,
    clock: Clock | None = None,
    inference: InferenceBackend | None = None,
    secrets: Mapping[str, str] | None = None,
    base_urls: Mapping[str, str] | None = None,
    is_browser: bool = False,
) -> Host:
    """Make a host of fakes; ids are id-0, id-1 and so on, and jitter is always a half."""
    numbers = count()
    return Host(
        fetch,
        MemoryStorage() if storage is None else storage,
        FakeClock() if clock is None else clock,
        dict(secrets or {}).get,
        lambda: 0.5,
        lambda: f"id-{next(numbers)}",
        inference=inference,
        base_urls=dict(base_urls or {}),
        is_browser=is_browser,
    )
