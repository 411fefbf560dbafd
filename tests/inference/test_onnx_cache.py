"""What `onnxruntime` on CPython keeps in files, and what it refuses to load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

from models.tiny.make import make

from limpet.errors import ModelTooBigError
from limpet.events import Fallback
from limpet.fallback import FallbackModel
from limpet.host import InferenceBackend
from limpet.hosts.onnx_session import OnnxBackend
from limpet.messages import Message
from limpet.model import ModelRequest
from limpet.providers.local import LocalModel
from limpet.providers.scripted import ScriptedModel
from tests.fakes.host import make_host
from tests.inference.small import TOOLS


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    for name in ("tiny", "tiny-two"):
        make(tmp_path / name)
        described = json.loads((tmp_path / name / "model.json").read_text())
        (tmp_path / name / "model.json").write_text(json.dumps({**described, "id": name, "memory_bytes": 3_000_000}))
    return tmp_path


async def load(backend: InferenceBackend, model_id: str) -> None:
    await backend.load(model_id, lambda *_: None)


async def test_snapshots_in_files_are_counted_and_deleted_by_their_model(models_dir: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    backend = OnnxBackend(models_dir, cache_dir=cache, threads=1)
    assert backend.cached() == {}
    for name, keys in {"tiny": ["a", "b"], "tiny-two": ["a"]}.items():
        session = await backend.load(name, lambda *_: None)
        await session.forward([2, 4, 60], top_k=1)
        for key in keys:
            await session.snapshot(key)
    (cache / "notes.npz").write_bytes(b"of somebody else")

    sizes = backend.cached()
    assert {name: size > 1000 for name, size in sizes.items()} == {"tiny": True, "tiny-two": True}
    assert sum(sizes.values()) == sum(path.stat().st_size for path in cache.glob("tiny*"))

    backend.delete_cached("tiny")
    assert backend.cached() == {"tiny-two": sizes["tiny-two"]}
    backend.delete_cached("tiny-two")
    assert [path.name for path in cache.iterdir()] == ["notes.npz"]
    assert OnnxBackend(models_dir).cached() == {}


async def test_a_model_that_needs_more_memory_than_it_may_have_is_refused(models_dir: Path) -> None:
    with pytest.raises(ModelTooBigError, match=r"it needs 3 MB of memory, 2 MB are left for it") as caught:
        await load(OnnxBackend(models_dir, memory_bytes=2_000_000), "tiny")

    error = caught.value
    assert (error.resource, error.needed_bytes, error.available_bytes) == ("memory", 3_000_000, 2_000_000)
    assert (error.provider, error.model, error.is_retryable) == ("local", "tiny", False)


async def test_open_models_count_until_they_are_closed(models_dir: Path) -> None:
    backend = OnnxBackend(models_dir, memory_bytes=5_000_000, threads=1)
    session = await backend.load("tiny", lambda *_: None)
    with pytest.raises(ModelTooBigError) as caught:
        await load(backend, "tiny-two")
    assert caught.value.available_bytes == 2_000_000

    await session.close()

    await load(backend, "tiny-two")


async def test_a_fallback_turns_to_the_next_model(models_dir: Path) -> None:
    host = make_host(inference=OnnxBackend(models_dir, memory_bytes=1))
    model = FallbackModel([LocalModel("tiny", host), ScriptedModel(["Hello."], name="other:one")])

    deltas = [delta async for delta in model.stream(ModelRequest((Message.user("hi"),), TOOLS))]

    [turned] = [delta for delta in deltas if isinstance(delta, Fallback)]
    assert (turned.from_model, turned.to_model, turned.reason) == ("local:tiny", "other:one", "unavailable")
    assert "needs 3 MB of memory, 0 MB are left for it" in turned.message
