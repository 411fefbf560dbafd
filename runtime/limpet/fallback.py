"""The first of several models that is sure to answer.

A model that fails before its `ModelStart` has said nothing, so the next one may be asked, and a `Fallback` event tells
from what to what and why. After `ModelStart` a failure ends the answer: nothing is ever said twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from copy import copy

from .errors import ConfigurationError, LowConfidenceError, ModelError, WireFormatError
from .events import Fallback, ModelStart, TextDelta, TextEnd, TextStart
from .messages import Message
from .model import Delta, Finish, Model, ModelInfo, ModelRequest


class FallbackModel:
    """Asks its models in order until one is sure to answer.

    Models that are not configured are left out, unless none is: then each is asked, so that their errors tell what is
    missing. Within a run it begins with the model that wrote the run's last message. When all were unsure it ends
    honestly, with the last one's `honest_answer`.
    """

    def __init__(self, models: Sequence[Model]) -> None:
        if not models:
            raise ConfigurationError("a fallback needs at least one model")
        self._models = tuple(models)

    @property
    def models(self) -> tuple[Model, ...]:
        """The models that may be asked now, in order."""
        return tuple(model for model in self._models if model.info.is_configured) or self._models

    @property
    def info(self) -> ModelInfo:
        """The first model's, but with what any of them can do and the longest context of them.

        That is 0 (unknown) when a remote one's is. A shorter one says when it is asked that the conversation is too
        long for it.
        """
        infos = [model.info for model in self.models]
        lengths = [info.context_length for info in infos if info.context_length or not info.is_local]
        return ModelInfo(
            infos[0].provider,
            infos[0].name,
            context_length=max(lengths) if lengths and all(lengths) else 0,
            is_local=all(info.is_local for info in infos),
            has_tools=any(info.has_tools for info in infos),
            has_images=any(info.has_images for info in infos),
            is_configured=any(info.is_configured for info in infos),
            has_parallel_tools=any(info.has_parallel_tools for info in infos),
            has_json_schema=any(info.has_json_schema for info in infos),
            has_schema_with_tools=any(info.has_schema_with_tools for info in infos),
            has_required_tools=any(info.has_required_tools for info in infos),
            has_reasoning=any(info.has_reasoning for info in infos),
            has_embeddings=infos[0].has_embeddings,
            browser_access=infos[0].browser_access,
        )

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        """Answer with the first model that is sure to. Raises the last `ModelError` when none is."""
        models = _begin_with_last_used(self.models, request.messages)
        failures: list[tuple[str, ModelError]] = []
        for index, model in enumerate(models):
            is_started = False
            stream = model.stream(request)
            try:
                async for delta in stream:
                    is_started = is_started or isinstance(delta, ModelStart)
                    yield delta
                if is_started:
                    return
                failure: ModelError = WireFormatError(
                    f"{model.info.id} ended without an answer", provider=model.info.provider, model=model.info.name
                )
            except ModelError as error:
                if is_started or error.fallback_reason is None:
                    raise
                failure = error
            finally:
                await close_stream(stream)
            failures.append((model.info.id, failure))
            if index + 1 < len(models):
                assert failure.fallback_reason is not None
                yield Fallback(model.info.id, models[index + 1].info.id, failure.fallback_reason, failure.message)
        last = failures[-1][1]
        if isinstance(last, LowConfidenceError) and all(isinstance(error, LowConfidenceError) for _, error in failures):
            yield ModelStart(failures[-1][0], last.confidence)
            yield TextStart("honest")
            if last.honest_answer:
                yield TextDelta("honest", last.honest_answer)
            yield TextEnd("honest")
            yield Finish("stop")
            return
        raise _combined(failures)


async def close_stream(stream: AsyncIterator[object]) -> None:
    """Stop the work behind an iterator, if it can be stopped; harmless at its end."""
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()


def _begin_with_last_used(models: tuple[Model, ...], messages: Sequence[Message]) -> tuple[Model, ...]:
    """Turn the order so that the model which wrote this run's last message is first, then those after it."""
    for message in reversed(messages):
        if message.role == "user":
            break
        if message.role == "assistant":
            for index, model in enumerate(models):
                if model.info.id == message.model:
                    return models[index:] + models[:index]
            break
    return models


def _combined(failures: list[tuple[str, ModelError]]) -> ModelError:
    """Give the last error, its text telling what each model said."""
    last = failures[-1][1]
    if len(failures) == 1:
        return last
    error = copy(last)
    # Many errors begin with their model's name already.
    said = [error.message if error.message.startswith(id) else f"{id}: {error.message}" for id, error in failures]
    error.message = "no model could answer: " + "; ".join(said)
    error.args = (error.message,)
    error.__cause__ = last
    return error
