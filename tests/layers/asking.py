"""Asking a model as the layers' tests do: a whole answer, an answer beside others, an answer that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from limpet.errors import AgentError, ModelUnavailableError
from limpet.fallback import close_stream
from limpet.messages import Message
from limpet.model import Delta, Model, ModelInfo, ModelRequest
from limpet.providers.scripted import ScriptedModel

REQUEST = ModelRequest((Message.user("hello"),))


def ask(text: str) -> ModelRequest:
    """Make a request of one user's message."""
    return ModelRequest((Message.user(text),))


def down(message: str = "overloaded", *, retry_after_seconds: float | None = None) -> ModelUnavailableError:
    """Make the error of a service that is down for now."""
    return ModelUnavailableError(message, status=503, retry_after_seconds=retry_after_seconds)


async def answer_of(model: Model, request: ModelRequest = REQUEST) -> list[Delta]:
    """Read a whole answer."""
    return [delta async for delta in model.stream(request)]


async def failure_of(
    model: Model, request: ModelRequest = REQUEST, heard: list[Delta] | None = None
) -> AgentError | None:
    """Read an answer until it fails, into `heard`; None when it doesn't."""
    try:
        async for delta in model.stream(request):
            if heard is not None:
                heard.append(delta)
    except AgentError as error:
        return error
    return None


async def settle(times: int = 100) -> None:
    """Let everybody else go on a number of times."""
    for _ in range(times):
        await asyncio.sleep(0)


class Watched:
    """A model around a scripted one that counts the streams which are open, and how each came to its end."""

    def __init__(self, model: ScriptedModel) -> None:
        self._model = model
        self.open = 0
        self.ends: list[str] = []

    @property
    def info(self) -> ModelInfo:
        return self._model.info

    @property
    def requests(self) -> list[ModelRequest]:
        return self._model.requests

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        self.open += 1
        end = "failed"
        try:
            async for delta in self._model.stream(request):
                yield delta
            end = "whole"
        except (asyncio.CancelledError, GeneratorExit):
            end = "closed"
            raise
        finally:
            self.open -= 1
            self.ends.append(end)


async def begin(model: Model, request: ModelRequest = REQUEST, *, deltas: int) -> list[Delta]:
    """Read the first deltas of an answer and go away."""
    stream = model.stream(request)
    try:
        return [await anext(stream) for _ in range(deltas)]
    finally:
        await close_stream(stream)
