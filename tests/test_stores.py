"""The stores in memory and in a folder, put through the suite; and what a folder must promise besides."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limpet import StorageError
from limpet.host import Storage
from limpet.stores.file import FileStorage
from limpet.stores.memory import MemoryStorage
from tests.suites.store_suite import STORE_SCENARIOS, StoreScenario

STORES: dict[str, Callable[[Path], Storage]] = {
    "memory": lambda folder: MemoryStorage(),
    "file": lambda folder: FileStorage(folder / "not" / "made" / "yet"),
}


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("make", STORES.values(), ids=STORES)
@pytest.mark.parametrize("scenario", STORE_SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_store_suite(scenario: StoreScenario, make: Callable[[Path], Storage], tmp_path: Path) -> None:
    await scenario(make(tmp_path))


async def test_a_store_in_memory_may_begin_with_something() -> None:
    data = {"key": b"value"}
    store = MemoryStorage(data)
    await store.delete("key")

    assert data == {"key": b"value"}


async def test_a_folder_keeps_its_values_for_the_next_process(tmp_path: Path) -> None:
    await FileStorage(tmp_path).put("conversations/one", b"value")

    assert await FileStorage(str(tmp_path)).get("conversations/one") == b"value"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(key=st.text(st.characters(exclude_categories=()), max_size=300))
async def test_no_key_leaves_the_folder(tmp_path: Path, key: str) -> None:
    folder = tmp_path / "store"
    store = FileStorage(folder)
    await store.put(key, b"value")

    assert await store.keys() == [key]
    assert await store.get(key) == b"value"
    assert names_in(tmp_path) == ["store"]
    await store.delete(key)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


async def test_names_differ_where_a_file_system_ignores_case(tmp_path: Path) -> None:
    store = FileStorage(tmp_path)
    for key in ("Key", "key", "KEY"):
        await store.put(key, key.encode())

    names = names_in(tmp_path)
    assert len({name.lower() for name in names}) == 3


async def test_a_draft_that_a_crash_left_is_not_a_key(tmp_path: Path) -> None:
    store = FileStorage(tmp_path)
    await store.put("key", b"value")
    (tmp_path / ".0123.tmp").write_bytes(b"half")
    (tmp_path / "stranger.txt").write_bytes(b"not ours")

    assert await store.keys() == ["key"]


async def test_a_failed_put_leaves_the_old_value_and_no_draft(tmp_path: Path) -> None:
    store = FileStorage(tmp_path / "store")
    await store.put("key", b"old")
    place = next((tmp_path / "store").iterdir())
    place.unlink()
    place.mkdir()
    (place / "inside").write_bytes(b"")

    with pytest.raises(StorageError, match="'key'") as caught:
        await store.put("key", b"new")

    assert caught.value.key == "key"
    assert [path.name for path in (tmp_path / "store").iterdir()] == [place.name]


@pytest.mark.parametrize("method", ["get", "put", "delete", "keys"])
async def test_trouble_with_the_folder_is_a_storage_error(tmp_path: Path, method: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = FileStorage(tmp_path / "file")

    if method == "keys":
        assert await store.keys() == []
    elif method == "put":
        with pytest.raises(StorageError):
            await store.put("key", b"value")
    else:
        with pytest.raises(StorageError):
            await getattr(store, method)("key")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
async def test_what_is_stored_is_for_its_owner_only(tmp_path: Path) -> None:
    await FileStorage(tmp_path).put("key", b"value")

    assert all((tmp_path / name).stat().st_mode & 0o077 == 0 for name in names_in(tmp_path))
