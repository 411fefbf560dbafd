from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import inf, nan

import pytest

from limpet.errors import ConfigurationError, ModelUnavailableError, UnsupportedError
from limpet.events import Progress
from limpet.messages import Message
from limpet.model import ModelInfo, ModelReference, ModelRequest
from limpet.providers import create_embeddings, create_model
from limpet.providers.local_embeddings import EmbeddingSettings, LocalEmbeddings
from tests.fakes.host import make_host
from tests.fakes.session import FakeSession
from tests.inference.small_embedding import PIECES, EmbeddingSession, Models, direction


def ids(*words: str) -> list[int]:
    return [PIECES.index(word) for word in ("[CLS]", *words, "[SEP]")]


def model_of(session: FakeSession, **settings: int) -> LocalEmbeddings:
    return LocalEmbeddings("fake", make_host(inference=Models({"fake": session})), EmbeddingSettings(**settings))


def batches(session: FakeSession) -> list[object]:
    return [what for name, what in session.log if name == "embed"]


async def test_vectors_come_in_the_order_of_the_texts() -> None:
    session = EmbeddingSession()

    vectors = await model_of(session).embed(["Timer", "set the kitchen light", "", "egg"])

    assert vectors == [
        direction(ids("timer")),
        direction(ids("set", "[UNK]", "kitchen", "light")),
        direction(ids()),
        direction(ids("egg")),
    ]


async def test_texts_of_like_length_go_together_and_no_batch_is_larger_than_said() -> None:
    session = EmbeddingSession()
    texts = ["timer", "set kitchen timer", "", "light lamp", "egg", "play music"]

    vectors = await model_of(session, batch_tokens=10).embed(texts)

    assert batches(session) == [
        [ids("set", "kitchen", "timer"), ids("light", "lamp")],
        [ids("play", "music"), ids("timer")],
        [ids("egg"), ids()],
    ]
    assert vectors == [direction(ids(*text.split())) for text in texts]


async def test_a_text_longer_than_a_batch_goes_alone() -> None:
    session = EmbeddingSession()

    await model_of(session, batch_tokens=1).embed(["set timer", "light"])

    assert batches(session) == [[ids("set", "timer")], [ids("light")]]


@pytest.mark.parametrize(("settings", "words"), [({}, 6), ({"max_tokens": 5}, 3), ({"max_tokens": 50}, 6)])
async def test_long_texts_are_cut(settings: dict[str, int], words: int) -> None:
    session = EmbeddingSession(context_length=8)

    await model_of(session, **settings).embed(["timer " * 1000])

    assert batches(session) == [[ids(*["timer"] * words)]]


async def test_no_texts_load_nothing() -> None:
    backend = Models({})

    assert await LocalEmbeddings("fake", make_host(inference=backend)).embed([]) == []


async def test_progress_is_told_of_loading_and_of_texts_in_bytes() -> None:
    told: list[Progress] = []
    session = EmbeddingSession()

    await model_of(session, batch_tokens=4).embed(["timer", "light", "\u00e9gg"], notify=told.append)

    assert told == [
        Progress("local:fake", "load", "model.onnx", 0, 10),
        Progress("local:fake", "ready", "", 10, 10),
        Progress("local:fake", "load", "texts", 0, 14),
        Progress("local:fake", "load", "texts", 5, 14),
        Progress("local:fake", "load", "texts", 10, 14),
        Progress("local:fake", "ready", "texts", 14, 14),
    ]


async def test_cancelling_ends_it_between_batches_and_leaves_the_model_to_others() -> None:
    session = EmbeddingSession()
    session.gate = asyncio.Event()
    task = asyncio.ensure_future(model_of(session, batch_tokens=1).embed(["timer", "light"]))
    await session.has_begun.wait()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    session.gate.set()
    assert batches(session) == []
    assert not session.lock.locked()
    assert await model_of(session).embed(["egg"]) == [direction(ids("egg"))]


async def test_two_callers_take_turns_batch_by_batch() -> None:
    session = EmbeddingSession()

    await asyncio.gather(
        model_of(session, batch_tokens=1).embed(["timer", "light"]),
        model_of(session, batch_tokens=1).embed(["egg", "lamp"]),
    )

    assert batches(session) == [[ids("timer")], [ids("egg")], [ids("light")], [ids("lamp")]]


class BrokenSession(EmbeddingSession):
    """Gives what it is told to."""

    def __init__(self, made: list[list[float]]) -> None:
        super().__init__()
        self.made = made

    async def embed(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        return self.made


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([[1.0, 0.0]], "gave 1 vectors for 2 texts"),
        ([[1.0], [1.0, 0.0]], "gave vectors of different lengths"),
        ([[], []], "gave vectors of different lengths"),
        ([[1.0, 0.0], [nan, 0.0]], "gave a vector that is no vector"),
        ([[inf, 0.0], [-inf, 0.0]], "gave a vector that is no vector"),
    ],
)
async def test_a_broken_answer_is_an_error(made: list[list[float]], message: str) -> None:
    with pytest.raises(ModelUnavailableError, match=message):
        await model_of(BrokenSession(made)).embed(["timer", "light"])


async def test_it_is_made_by_name_and_answers_nothing() -> None:
    host = make_host(inference=Models({"minilm": EmbeddingSession()}))

    model = create_embeddings(ModelReference.parse("local:minilm"), host)

    assert model.info == ModelInfo(
        "local", "minilm", context_length=256, is_local=True, has_tools=False, has_embeddings=True
    )
    assert await model.embed(["lamp"], purpose="query") == [direction(ids("lamp"))]
    with pytest.raises(UnsupportedError, match="local:minilm makes embeddings only"):
        async for _ in create_model(ModelReference.parse("local:minilm"), host).stream(
            ModelRequest((Message.user("hello"),))
        ):
            pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_tokens": 2}, "'max_tokens' is 2"),
        ({"batch_tokens": 0}, "'batch_tokens' is 0"),
        ({"act_at": 0.5}, "no option 'act_at'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        create_model(ModelReference("local", "minilm", options=options), make_host())


async def test_a_host_without_local_models_says_so() -> None:
    model = LocalEmbeddings("minilm", make_host())

    assert not model.info.is_configured
    with pytest.raises(ModelUnavailableError, match="runs no local models"):
        await model.embed(["timer"])


async def test_a_model_that_gives_words_says_so() -> None:
    session = FakeSession(
        lambda sequence: [], files=EmbeddingSession()._files, manifest=dict(EmbeddingSession().manifest)
    )

    with pytest.raises(ModelUnavailableError, match="gives no vectors"):
        await model_of(session).embed(["timer"])
