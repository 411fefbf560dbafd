"""A real ONNX model of a few kilobytes on `onnxruntime`: what holds for it holds for any model.json."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

from models.tiny.make import make

from limpet.errors import ModelUnavailableError
from limpet.events import ToolCallEnd
from limpet.hosts.onnx_session import OnnxBackend, OnnxSession
from limpet.inference.automaton import Automaton
from limpet.inference.grammar import tool_call_rule
from limpet.messages import Message
from limpet.model import ModelRequest, ToolSpec
from limpet.providers.local import LocalModel, LocalSettings
from tests.fakes.host import make_host
from tests.inference.small import TOOLS
from tests.suites.stream_grammar import assert_stream

IDS = [2, 4, 60, 70, 80, 90, 100]


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    make(folder / "tiny")
    return folder


async def load(models_dir: Path, cache_dir: Path | None = None) -> OnnxSession:
    return await OnnxBackend(models_dir, cache_dir=cache_dir, threads=1).load("tiny", lambda *_: None)


async def test_feeding_at_once_or_one_by_one_is_the_same(models_dir: Path) -> None:
    session = await load(models_dir)
    at_once = await session.forward(IDS, top_k=300)

    await session.reset()
    for token_id in IDS[:-1]:
        await session.forward([token_id], top_k=1)
    one_by_one = await session.forward(IDS[-1:], top_k=300)

    assert session.length == len(IDS)
    assert dict(zip(at_once.ids, at_once.logits, strict=True)) == pytest.approx(
        dict(zip(one_by_one.ids, one_by_one.logits, strict=True)), abs=1e-4
    )
    assert at_once.scalars["confidence"] == pytest.approx(one_by_one.scalars["confidence"], abs=1e-5)


async def test_candidates_are_ranked_and_may_be_limited(models_dir: Path) -> None:
    session = await load(models_dir)
    everything = await session.forward(IDS, top_k=300)
    best = await session.forward([], top_k=3)
    among = await session.forward([], top_k=2, allowed=[7, 299, 100, 5])

    assert everything.logits == sorted(everything.logits, reverse=True)
    assert (best.ids, best.logits) == (everything.ids[:3], everything.logits[:3])
    assert among.ids == [token_id for token_id in everything.ids if token_id in (5, 7, 100, 299)][:2]
    assert among.log_sum_exp == best.log_sum_exp > max(everything.logits)


async def test_equal_logits_are_ranked_by_id(models_dir: Path) -> None:
    session = await load(models_dir)
    await session.forward(IDS, top_k=1)
    assert session._logits is not None
    session._logits = session._logits * 0

    assert (await session.forward([], top_k=4)).ids == [0, 1, 2, 3]


async def test_a_snapshot_is_come_back_to_from_anywhere(models_dir: Path) -> None:
    session = await load(models_dir)
    await session.forward(IDS, top_k=1)
    await session.snapshot("prefix")
    expected = await session.forward([120, 121], top_k=5)
    await session.forward([130] * 40, top_k=1)

    assert await session.restore("prefix")
    assert session.length == len(IDS)
    assert await session.forward([120, 121], top_k=5) == expected
    assert not await session.restore("another")
    assert session.length == len(IDS) + 2


async def test_two_snapshots_do_not_write_over_each_other(models_dir: Path) -> None:
    session = await load(models_dir)
    await session.forward(IDS, top_k=1)
    await session.snapshot("one")
    one = await session.forward([120], top_k=5)
    await session.reset()
    await session.forward(IDS[::-1], top_k=1)
    await session.snapshot("two")
    two = await session.forward([120], top_k=5)

    assert await session.restore("one")
    assert await session.forward([120], top_k=5) == one
    assert await session.restore("two")
    assert await session.forward([120], top_k=5) == two


async def test_a_snapshot_outlives_the_process(models_dir: Path, tmp_path: Path) -> None:
    first = await load(models_dir, tmp_path)
    await first.forward(IDS, top_k=1)
    await first.snapshot("prefix")
    expected = await first.forward([120], top_k=5)

    second = await load(models_dir, tmp_path)

    assert await second.restore("prefix")
    assert await second.forward([120], top_k=5) == expected


async def test_a_temporary_snapshot_is_not_written(models_dir: Path, tmp_path: Path) -> None:
    session = await load(models_dir, tmp_path)
    await session.forward(IDS, top_k=1)
    await session.snapshot("aside", is_temporary=True)
    await session.reset()

    assert await session.restore("aside")
    assert session.length == len(IDS)
    assert names_in(tmp_path) == []


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def damage(folder: Path) -> None:
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:100])


async def test_a_damaged_snapshot_is_none(models_dir: Path, tmp_path: Path) -> None:
    first = await load(models_dir, tmp_path)
    await first.forward(IDS, top_k=1)
    await first.snapshot("prefix")
    damage(tmp_path)

    assert not await (await load(models_dir, tmp_path)).restore("prefix")


async def test_a_cancelled_run_is_waited_for_before_the_next(models_dir: Path) -> None:
    session = await load(models_dir)
    await session.forward(IDS, top_k=1)
    await session.snapshot("prefix")
    expected = await session.forward([120], top_k=5)
    task = asyncio.create_task(session.forward([130] * 500, top_k=1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await session.restore("prefix")
    assert await session.forward([120], top_k=5) == expected


async def test_a_model_is_loaded_once_and_again_after_it_was_closed(models_dir: Path) -> None:
    backend = OnnxBackend(models_dir, threads=1)
    seen: list[str] = []
    first, second = await asyncio.gather(
        backend.load("tiny", lambda status, *_: seen.append(status)), backend.load("tiny", lambda *_: None)
    )
    await first.close()
    await first.close()

    assert first is second
    assert seen == ["load", "ready"]
    with pytest.raises(ModelUnavailableError, match="closed"):
        await first.forward(IDS, top_k=1)
    assert await backend.load("tiny", lambda *_: None) is not first


async def test_what_is_not_there_is_told(models_dir: Path, tmp_path: Path) -> None:
    backend = OnnxBackend(models_dir)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.json").write_text(json.dumps({"graph": {"file": "none.onnx"}}))
    session = await load(models_dir)

    assert await backend.availability("tiny") == "available"
    assert await backend.availability("large") == "unavailable"
    assert await backend.availability("../models/tiny") == "available"
    with pytest.raises(ModelUnavailableError, match="no local model 'large'"):
        await backend.load("large", lambda *_: None)
    with pytest.raises(ModelUnavailableError, match="damaged"):
        await OnnxBackend(tmp_path).load("broken", lambda *_: None)
    with pytest.raises(ModelUnavailableError, match="has no file"):
        await session.read("../../secret")
    assert (await session.read("tokenizer.json")).startswith(b"{")


@pytest.mark.parametrize("prompt", ["ten minutes", "hello", "\u00fc\u2603 ...", "a" * 300], ids=repr)
async def test_a_real_model_writes_what_the_grammar_allows_however_senseless(models_dir: Path, prompt: str) -> None:
    host = make_host(inference=OnnxBackend(models_dir, threads=1))
    model = LocalModel("tiny", host, LocalSettings(act_at=0.0, grounding=False, max_thought_tokens=8))
    request = ModelRequest((Message.user(prompt),), TOOLS, tool_choice="required")

    answer = await model.answer(request, lambda _: None)
    again = await model.answer(request, lambda _: None)

    calls = Automaton(tool_call_rule(TOOLS, allow_none=False))
    assert calls.walk(calls.start, answer.calls_text.encode()) is not None
    assert answer.calls_text
    assert again.token_ids == answer.token_ids
    assert (answer.usage.cached_tokens, again.usage.cached_tokens > 0) == (0, True)


async def test_the_stream_of_a_real_model_follows_the_grammar(models_dir: Path) -> None:
    host = make_host(inference=OnnxBackend(models_dir, threads=1))
    # Values out of small lists only: random weights would write a string until the limit cuts them off.
    switch = {"type": "object", "properties": {"on": {"const": True}}, "required": ["on"]}
    request = ModelRequest((Message.user("on"),), (ToolSpec("lamp", "", switch),), tool_choice="required")
    settings = LocalSettings(act_at=0.0, grounding=False, think=False)

    deltas = [delta async for delta in LocalModel("tiny", host, settings).stream(request)]

    assert_stream(deltas)
    assert any(isinstance(delta, ToolCallEnd) and delta.arguments == '{"on":true}' for delta in deltas)
