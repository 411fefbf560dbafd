"""The configured providers behind one address: by the name of a route, the healthiest of its models answers.

Health is what this process has seen: failures and the time to the first words. It is plain data, so requests that share
it need not share a loop. A model that fails before it is sure to answer is followed by the next.
"""

from __future__ import annotations

import base64
from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from sys import byteorder

from ..errors import ModelError
from ..events import ModelStart
from ..fallback import FallbackModel, close_stream
from ..host import Clock, Host
from ..layers.cache import Cache
from ..model import Delta, Model, ModelInfo, ModelReference, ModelRequest
from ..protocols.chat_completions import ChatCompletions
from ..providers import create_embeddings, create_model, import_provider
from ..providers.service import Service
from ..wire import JsonObject
from .http import HttpError
from .openai_chat import EmbeddingRequest
from .settings import COOLDOWN_SECONDS, Route

_MOST_FAILURES = 3
# A whole answer comes after a long silence.
_WHOLE_SECONDS = 600.0
# How much the last time to an answer counts against those before it.
_WEIGHT = 0.2


@dataclass(slots=True)
class Health:
    """How a model has done lately. `busy` is how many answers are under way."""

    failures: int = 0
    failed_at: float = 0.0
    seconds: float = 0.0
    busy: int = 0

    def rank(self, now: float, cooldown_seconds: float = COOLDOWN_SECONDS) -> tuple[bool, float]:
        """Give what a model is sorted by: those that are down last, then the quick ones with little to do."""
        is_down = self.failures >= _MOST_FAILURES and now - self.failed_at < cooldown_seconds
        return is_down, (self.seconds + 0.001) * (1 + self.busy)


class Gateway:
    """Gives the model behind a route's name; lives as long as its Worker."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        *,
        cache_seconds: float = 0,
        cooldown_seconds: float = COOLDOWN_SECONDS,
    ) -> None:
        self._routes = routes
        self._cache_seconds = cache_seconds
        self._cooldown_seconds = cooldown_seconds
        self._health: dict[str, Health] = {}

    @property
    def names(self) -> list[str]:
        """The routes' names."""
        return list(self._routes)

    def health(self, reference: ModelReference) -> Health:
        """Give the record of one model of a route."""
        return self._health.setdefault(f"{reference.id} {reference.base_url}", Health())

    def model(self, name: str, host: Host, *, is_whole: bool = False) -> Model:
        """Give the model for one request; `is_whole`: nobody waits for its first words.

        Raises `HttpError` (404, 400) and `ConfigurationError`.
        """
        route = self._route(name)
        if route.is_embedding:
            raise HttpError(400, "wrong_model", f"{name} makes embeddings")
        references = self._by_health(route, host.clock.now())
        models: list[Model] = []
        for reference in references:
            model: Model = _create(reference, host, is_whole=is_whole)
            model = _Watched(model, self.health(reference), host.clock)
            if self._cache_seconds:
                prefix = f"cache/{name}/{reference.base_url or ''}/"
                model = Cache(self._cache_seconds, prefix).wrap(model, host)
            models.append(model)
        return models[0] if len(models) == 1 else FallbackModel(models)

    async def embed(self, request: EmbeddingRequest, host: Host) -> JsonObject:
        """Make the answer to a request for embeddings. Raises `HttpError`, `ModelError`, `ConfigurationError`."""
        route = self._route(request.model)
        if not route.is_embedding:
            raise HttpError(400, "wrong_model", f"{request.model} makes no embeddings")
        references = self._by_health(route, host.clock.now())
        for place, reference in enumerate(references):
            health = self.health(reference)
            try:
                vectors = await create_embeddings(reference, host).embed(request.texts)
            except ModelError as error:
                if error.fallback_reason is not None:
                    health.failures, health.failed_at = health.failures + 1, host.clock.now()
                if error.fallback_reason is None or place + 1 == len(references):
                    raise
            else:
                health.failures = 0
                return _embedding_json(request, vectors)
        raise AssertionError("a route has a model")

    def _by_health(self, route: Route, now: float) -> list[ModelReference]:
        return sorted(route.models, key=lambda reference: self.health(reference).rank(now, self._cooldown_seconds))

    def _route(self, name: str) -> Route:
        route = self._routes.get(name)
        if route is None:
            raise HttpError(404, "model_not_found", "there is no model of this name here; GET /v1/models lists them")
        return route


def _create(reference: ModelReference, host: Host, *, is_whole: bool) -> Model:
    """Make a model; one that speaks chat completions is asked for its whole answer when that will do.

    Reading twenty words of a stream takes twice as long as reading them in one.
    """
    service: object = getattr(import_provider(reference.provider), "SERVICE", None)
    if not (is_whole and isinstance(service, Service) and isinstance(service.protocol, ChatCompletions)):
        return create_model(reference, host)
    options = {"timeout_seconds": _WHOLE_SECONDS, **reference.options}
    return _Whole(create_model(replace(reference, options=options), host))


class _Whole:
    """Asks a model that speaks chat completions not to stream."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def info(self) -> ModelInfo:
        return self._model.info

    def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        extra = {**request.extra, "stream": False, "stream_options": None}
        return self._model.stream(replace(request, extra=extra))


def _embedding_json(request: EmbeddingRequest, vectors: Sequence[Sequence[float]]) -> JsonObject:
    data: list[JsonObject] = [
        {"object": "embedding", "index": index, "embedding": _pack(vector) if request.is_base64 else list(vector)}
        for index, vector in enumerate(vectors)
    ]
    tokens = sum(len(text) // 4 + 1 for text in request.texts)
    usage: JsonObject = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": request.model, "usage": usage}  # type: ignore[dict-item]


def _pack(vector: Sequence[float]) -> str:
    floats = array("f", vector)
    if byteorder == "big":
        floats.byteswap()
    return base64.b64encode(floats.tobytes()).decode()


class _Watched:
    """Writes down how one model does."""

    def __init__(self, model: Model, health: Health, clock: Clock) -> None:
        self._model = model
        self._health = health
        self._clock = clock

    @property
    def info(self) -> ModelInfo:
        return self._model.info

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        health, now = self._health, self._clock.now
        began = now()
        health.busy += 1
        stream = self._model.stream(request)
        try:
            async for delta in stream:
                if isinstance(delta, ModelStart):
                    health.seconds += _WEIGHT * (now() - began - health.seconds)
                yield delta
            health.failures = 0
        except ModelError as error:
            if error.fallback_reason is not None:
                health.failures, health.failed_at = health.failures + 1, now()
            raise
        finally:
            health.busy -= 1
            await close_stream(stream)
