"""What every store promises: scenarios that each implementation of `host.Storage` is put through.

A test of a store makes `STORE_SCENARIOS` its parameters and gives each scenario a fresh, empty store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from limpet.host import Storage

StoreScenario = Callable[[Storage], Awaitable[None]]

NASTY_KEYS = [
    "plain",
    "conversations/one",
    "conversations/One",
    "../outside",
    "/absolute",
    "a/../../b",
    "..",
    ".",
    "dotted.bin",
    "back\\slash",
    "C:\\drive",
    "space and\ttab\nline",
    "nul\0byte",
    "per%cent%2f",
    "grün/日本語/🦪",
    "con",
    "x" * 700,
    "%",
    '*?"<>|',
]


async def a_missing_key_is_not_an_error(store: Storage) -> None:
    assert await store.get("missing") is None
    await store.delete("missing")
    assert await store.keys() == []


async def what_is_put_is_got(store: Storage) -> None:
    await store.put("key", b"value")

    assert await store.get("key") == b"value"
    assert await store.keys() == ["key"]


async def a_value_is_replaced(store: Storage) -> None:
    await store.put("key", b"a longer first value")
    await store.put("key", b"second")

    assert await store.get("key") == b"second"
    assert await store.keys() == ["key"]


async def a_deleted_key_is_gone(store: Storage) -> None:
    await store.put("key", b"value")
    await store.put("other", b"value")
    await store.delete("key")

    assert await store.get("key") is None
    assert await store.keys() == ["other"]


async def any_bytes_are_kept(store: Storage) -> None:
    for value in (b"", bytes(range(256)), b"\0" * 100_000):
        await store.put("key", value)
        assert await store.get("key") == value


async def keys_are_sorted_and_found_by_prefix(store: Storage) -> None:
    for key in ("b/2", "a", "b/1", "B/3", "b"):
        await store.put(key, key.encode())

    assert await store.keys() == ["B/3", "a", "b", "b/1", "b/2"]
    assert await store.keys("b/") == ["b/1", "b/2"]
    assert await store.keys("b") == ["b", "b/1", "b/2"]
    assert await store.keys("c") == []


async def any_text_is_a_key(store: Storage) -> None:
    for number, key in enumerate(NASTY_KEYS):
        await store.put(key, str(number).encode())

    assert await store.keys() == sorted(NASTY_KEYS)
    for number, key in enumerate(NASTY_KEYS):
        assert await store.get(key) == str(number).encode(), key
        await store.delete(key)
    assert await store.keys() == []


async def writers_at_the_same_time_leave_one_whole_value(store: Storage) -> None:
    values = [bytes([number]) * 1000 for number in range(8)]
    await asyncio.gather(*(store.put("key", value) for value in values))

    assert await store.get("key") in values
    assert await store.keys() == ["key"]


STORE_SCENARIOS: list[StoreScenario] = [
    a_missing_key_is_not_an_error,
    what_is_put_is_got,
    a_value_is_replaced,
    a_deleted_key_is_gone,
    any_bytes_are_kept,
    keys_are_sorted_and_found_by_prefix,
    any_text_is_a_key,
    writers_at_the_same_time_leave_one_whole_value,
]
