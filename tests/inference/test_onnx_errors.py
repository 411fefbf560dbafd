"""What `onnxruntime` refuses on CPython comes out as an error of ours, and the next model answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

from models.onnx_graph import GraphWriter
from models.tiny import make_chat, make_embedding

from limpet.errors import ContextLengthError, ModelUnavailableError
from limpet.events import Fallback
from limpet.fallback import FallbackModel
from limpet.hosts.onnx_session import OnnxBackend, OnnxSession
from limpet.messages import Message
from limpet.model import ModelRequest
from limpet.providers.local_chat import LocalChatModel
from limpet.providers.scripted import ScriptedModel
from tests.fakes.host import make_host


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    make_chat.make(tmp_path / "tiny-chat")
    return tmp_path


async def load(models_dir: Path, name: str) -> OnnxSession:
    return await OnnxBackend(models_dir, threads=1).load(name, lambda *_: None)


def make_hungry(models_dir: Path) -> None:
    """Let the model ask for 64 TB as soon as it is given more than three tokens at once."""
    graph = GraphWriter("hungry")
    count = graph.node("Shape", graph.input("input_ids", "int64", [1, "tokens"]), start=1, end=2)
    size = graph.node("Where", graph.node("Greater", count, graph.ints(3)), graph.ints(1 << 44), graph.ints(1))
    rows = graph.node("ConstantOfShape", size)
    total = graph.node("ReduceSum", rows, keepdims=1)
    path = models_dir / "tiny-chat" / "model.json"
    described = json.loads(path.read_text(encoding="utf-8"))
    width = described["graph"]["logits_shape"][0]
    graph.output(graph.node("Expand", total, graph.ints(width)), "logits", "float32", [width])
    (models_dir / "tiny-chat" / "model.onnx").write_bytes(graph.model({}).SerializeToString())
    described["graph"] = {
        **{key: described["graph"][key] for key in ("file", "input_ids", "input_ids_shape", "logits", "logits_shape")},
        "state": [],
    }
    path.write_text(json.dumps(described), encoding="utf-8")


async def test_a_refused_allocation_leaves_the_session_as_it_was(models_dir: Path) -> None:
    make_hungry(models_dir)
    session = await load(models_dir, "tiny-chat")
    before = await session.forward([1], top_k=3)

    with pytest.raises(ModelUnavailableError, match="local:tiny-chat: there is not enough memory for it"):
        await session.forward([1, 2, 3, 4], top_k=3)

    assert session.length == 1
    assert await session.forward([], top_k=3) == before
    await session.close()


async def test_after_a_refused_allocation_the_next_model_answers(models_dir: Path) -> None:
    make_hungry(models_dir)
    local = LocalChatModel("tiny-chat", make_host(inference=OnnxBackend(models_dir, threads=1)))
    model = FallbackModel([local, ScriptedModel(["Hello."], name="other:one")])

    deltas = [delta async for delta in model.stream(ModelRequest((Message.user("hi"),)))]

    [turned] = [delta for delta in deltas if isinstance(delta, Fallback)]
    assert (turned.to_model, turned.reason) == ("other:one", "unavailable")
    assert "there is not enough memory for it" in turned.message


async def test_a_graph_that_is_none_is_told_as_damaged(models_dir: Path) -> None:
    (models_dir / "tiny-chat" / "model.onnx").write_bytes(b"<html>not found</html>")

    with pytest.raises(ModelUnavailableError, match=r"is damaged \(InvalidProtobuf\); build it again"):
        await load(models_dir, "tiny-chat")


async def test_a_token_outside_the_vocabulary_is_an_error_of_ours(models_dir: Path) -> None:
    session = await load(models_dir, "tiny-chat")

    with pytest.raises(ModelUnavailableError, match="failed in onnxruntime"):
        await session.forward([1, 99_999], top_k=1)

    assert session.length == 0


async def test_a_text_too_long_for_a_vector_is_refused(tmp_path: Path) -> None:
    make_embedding.make(tmp_path / "tiny-embedding")
    session = await load(tmp_path, "tiny-embedding")
    most = session.manifest["context_length"]
    assert isinstance(most, int)
    assert len(await session.embed([[2] * most, [], [3]])) == 3

    with pytest.raises(ContextLengthError, match=f"{most + 1} tokens do not fit into its context of {most}"):
        await session.embed([[2], [2] * (most + 1)])
