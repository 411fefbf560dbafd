"""Vectors of texts, made where the agent runs: `create_embeddings(limpet.model("local:minilm"), host)`.

A text is cut off after the tokens that the model can see (256 of MiniLM, about 190 English words). Texts of like length
go through the model together, so that little of a batch is padding, and a batch is small: it decides how much memory
is taken and how soon a cancelled call ends, and larger ones are no faster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from ..errors import ConfigurationError, ModelUnavailableError, UnsupportedError
from ..events import Progress
from ..host import Host, InferenceSession
from ..inference.catalog import CATALOG
from ..inference.wordpiece import WordPieceTokenizer
from ..model import Delta, ModelInfo, ModelRequest, Purpose
from .local_session import Notify, load_session, read_settings

_TEXTS_IN_TURN = 32
"""Texts that are tokenised between two chances of others to run."""
_TOKENIZERS: WeakKeyDictionary[InferenceSession, WordPieceTokenizer] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class EmbeddingSettings:
    """What `ModelReference.options` may say."""

    max_tokens: int = 0
    """Where a text is cut off, if earlier than the model has to; 0: it isn't."""
    batch_tokens: int = 512
    """How many tokens, padding included, go through the model together: at least one text, however long."""


def embedding_settings(options: Mapping[str, object]) -> EmbeddingSettings:
    """Read the settings of a local model for embeddings. Raises `ConfigurationError` naming the option."""
    settings = read_settings(EmbeddingSettings, options)
    if settings.max_tokens < 0 or settings.max_tokens in (1, 2):
        raise ConfigurationError(f"the option 'max_tokens' is {settings.max_tokens}, not 0 or at least 3")
    if settings.batch_tokens < 1:
        raise ConfigurationError(f"the option 'batch_tokens' is {settings.batch_tokens}, not at least 1")
    return settings


class LocalEmbeddings:
    """A model of `host.inference` that gives vectors of length 1, loaded when it is first asked."""

    def __init__(self, name: str, host: Host, settings: EmbeddingSettings | None = None) -> None:
        self._host = host
        self._settings = settings or EmbeddingSettings()
        known = CATALOG.get(name)
        self._info = ModelInfo(
            "local",
            name,
            context_length=known.context_length if known else 0,
            is_local=True,
            has_tools=False,
            is_configured=host.inference is not None,
            has_embeddings=True,
        )

    @property
    def info(self) -> ModelInfo:
        """What is known of it before it is loaded."""
        return self._info

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        """Raise `UnsupportedError`: it answers nothing."""
        raise UnsupportedError(
            f"{self._info.id} makes embeddings only", provider=self._info.provider, model=self._info.name
        )
        yield

    async def embed(
        self, texts: Sequence[str], *, purpose: Purpose = "document", notify: Notify | None = None
    ) -> list[list[float]]:
        """Give the vector of each text, in order, all of one length; the scalar product of two is their likeness.

        The model makes no difference between purposes. `notify` is told of the loading, and of texts that take more
        than one batch as of a file `texts`, in bytes. Cancelling ends the work after the batch that has begun.
        """
        tell: Notify = notify or (lambda progress: None)
        if not texts:
            return []
        session = await load_session(self._host, self._info, tell)
        tokenizer = await _tokenizer(session)
        sequences = await self._tokenize(tokenizer, texts, session)
        batches = list(_batches(sequences, self._settings.batch_tokens))
        sizes = [len(text.encode("utf-8", "replace")) for text in texts]
        vectors: list[list[float]] = [[] for _ in texts]
        done = 0
        for batch in batches:
            if len(batches) > 1:
                tell(Progress(self._info.id, "load", "texts", done, sum(sizes)))
            async with session.lock:
                made = await session.embed([sequences[place] for place in batch])
            if len(made) != len(batch):
                raise self._broken(f"gave {len(made)} vectors for {len(batch)} texts")
            for place, vector in zip(batch, made, strict=True):
                vectors[place] = vector
                done += sizes[place]
        if len(batches) > 1:
            tell(Progress(self._info.id, "ready", "texts", done, done))
        if len({len(vector) for vector in vectors}) != 1 or not vectors[0]:
            raise self._broken("gave vectors of different lengths")
        # What is not a number is unlike itself, and so is a sum that has it.
        total = sum(map(sum, vectors))
        if total != total:
            raise self._broken("gave a vector that is no vector")
        return vectors

    async def _tokenize(
        self, tokenizer: WordPieceTokenizer, texts: Sequence[str], session: InferenceSession
    ) -> list[list[int]]:
        limit = session.manifest.get("context_length")
        limits = [limit for limit in (limit, self._settings.max_tokens) if isinstance(limit, int) and limit]
        most = min(limits, default=256)
        sequences: list[list[int]] = []
        for place, text in enumerate(texts):
            sequences.append(tokenizer.encode_sequence(text, most))
            if place % _TEXTS_IN_TURN == _TEXTS_IN_TURN - 1:
                await asyncio.sleep(0)
        return sequences

    def _broken(self, what: str) -> ModelUnavailableError:
        return ModelUnavailableError(
            f"{self._info.id} {what}: build or download it again", provider="local", model=self._info.name
        )


async def _tokenizer(session: InferenceSession) -> WordPieceTokenizer:
    tokenizer = _TOKENIZERS.get(session)
    if tokenizer is None:
        described = session.manifest.get("tokenizer")
        file = described.get("file") if isinstance(described, dict) else None
        data = await session.read(str(file or "tokenizer.json"))
        tokenizer = _TOKENIZERS[session] = WordPieceTokenizer.parse(data)
    return tokenizer


def _batches(sequences: Sequence[Sequence[int]], most_tokens: int) -> Iterator[list[int]]:
    """Yield the places of texts that go together: the longest first, and each batch as wide as its first."""
    batch: list[int] = []
    for place in sorted(range(len(sequences)), key=lambda place: -len(sequences[place])):
        if batch and len(sequences[batch[0]]) * (len(batch) + 1) > most_tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
