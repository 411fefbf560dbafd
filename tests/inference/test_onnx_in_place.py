"""State that stands in the host's own buffers, on `onnxruntime`: with a chat model of a few kilobytes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

from models.tiny import make, make_chat

from limpet.errors import ContextLengthError, ModelUnavailableError
from limpet.host import Candidates
from limpet.hosts import onnx_session
from limpet.hosts.onnx_session import OnnxBackend, OnnxSession
from limpet.hosts.onnx_state import LEAST_CAPACITY

IDS = [1, 100, 101, 102, 50, 60, 70]
MORE = [80, 81, 82]
LONG = [3 + place % 250 for place in range(LEAST_CAPACITY + 20)]


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make_chat.make(folder / "tiny-chat")
    make.make(folder / "tiny")
    return folder


async def load(models_dir: Path, name: str = "tiny-chat", cache_dir: Path | None = None) -> OnnxSession:
    return await OnnxBackend(models_dir, cache_dir=cache_dir, threads=1).load(name, lambda *_: None)


def assert_same(candidates: Candidates, expected: Candidates) -> None:
    assert dict(zip(candidates.ids, candidates.logits, strict=True)) == pytest.approx(
        dict(zip(expected.ids, expected.logits, strict=True)), abs=1e-4
    )


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_pieces_of_any_size_give_the_same(models_dir: Path, size: int) -> None:
    session = await load(models_dir)
    expected = await session.forward(IDS, top_k=300)

    await session.reset()
    for start in range(0, len(IDS), size):
        candidates = await session.forward(IDS[start : start + size], top_k=300)

    assert session.length == len(IDS)
    assert_same(candidates, expected)


@pytest.mark.parametrize("length", [0, 1, 4, 6])
async def test_what_was_rewound_leaves_no_trace(models_dir: Path, length: int) -> None:
    session = await load(models_dir)
    expected = await session.forward(IDS[:length] + MORE, top_k=300)
    await session.reset()
    await session.forward(IDS, top_k=1)

    assert await session.rewind(length)
    assert session.length == length
    with pytest.raises(ModelUnavailableError, match="could be ranked"):
        await session.forward([], top_k=1)
    assert_same(await session.forward(MORE, top_k=300), expected)


async def test_rewinding_to_where_it_is_changes_nothing(models_dir: Path) -> None:
    for name in ("tiny-chat", "tiny"):
        session = await load(models_dir, name)
        expected = await session.forward(IDS, top_k=5)

        assert await session.rewind(len(IDS))
        assert await session.forward([], top_k=5) == expected


@pytest.mark.parametrize(("name", "length"), [("tiny-chat", 8), ("tiny-chat", -1), ("tiny", 6), ("tiny", 0)])
async def test_what_cannot_be_rewound_stays(models_dir: Path, name: str, length: int) -> None:
    session = await load(models_dir, name)
    expected = await session.forward(IDS, top_k=5)

    assert not await session.rewind(length)
    assert session.length == len(IDS)
    assert await session.forward([], top_k=5) == expected


async def test_buffers_grow_with_what_is_in_them(models_dir: Path) -> None:
    session = await load(models_dir)
    expected = await session.forward(LONG, top_k=300)

    await (await load(models_dir)).close()
    growing = await load(models_dir)
    await growing.forward(LONG[:200], top_k=1)
    for start in range(200, len(LONG), 19):
        candidates = await growing.forward(LONG[start : start + 19], top_k=300)

    assert_same(candidates, expected)


async def test_snapshots_hold_what_was_in_use(models_dir: Path, tmp_path: Path) -> None:
    session = await load(models_dir, cache_dir=tmp_path)
    await session.forward(IDS, top_k=1)
    await session.snapshot("prefix")
    expected = await session.forward(MORE, top_k=300)
    await session.forward(LONG, top_k=1)
    (file,) = await asyncio.to_thread(lambda: list(tmp_path.iterdir()))

    assert await session.restore("prefix")
    assert session.length == len(IDS)
    assert_same(await session.forward(MORE, top_k=300), expected)
    # Two layers of keys and values of 16 numbers each, and what surrounds them in the file.
    assert len(IDS) * 2 * 2 * 16 * 4 < file.stat().st_size < 4096
    later = await load(models_dir, cache_dir=tmp_path)
    assert await later.restore("prefix")
    assert_same(await later.forward(MORE, top_k=300), expected)


async def test_snapshots_are_as_many_as_there_is_memory_for(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await load(models_dir)
    await session.forward(IDS, top_k=1)
    monkeypatch.setattr(onnx_session, "_MOST_SNAPSHOT_BYTES", 2.5 * len(IDS) * 2 * 2 * 16 * 4)
    for key in ("one", "two", "three"):
        await session.snapshot(key)

    assert [await session.restore(key) for key in ("one", "two", "three")] == [False, True, True]


async def test_after_a_cancelled_run_it_can_be_rewound(models_dir: Path) -> None:
    session = await load(models_dir)
    await session.forward(IDS, top_k=1)
    expected = await session.forward(MORE, top_k=300)
    await session.rewind(len(IDS))
    task = asyncio.create_task(session.forward(LONG, top_k=1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await session.rewind(len(IDS))
    assert_same(await session.forward(MORE, top_k=300), expected)


async def test_more_than_the_context_is_refused(models_dir: Path) -> None:
    session = await load(models_dir)
    await session.forward(IDS, top_k=1)

    with pytest.raises(ContextLengthError, match="513 tokens do not fit into its context of 512"):
        await session.forward([5] * (513 - len(IDS)), top_k=1)
    assert session.length == len(IDS)
    await session.forward([5] * (512 - len(IDS)), top_k=1)
    assert session.length == 512


async def test_a_model_of_words_gives_no_vectors(models_dir: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="no vectors"):
        await (await load(models_dir)).embed([IDS])
