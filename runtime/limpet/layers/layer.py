"""What a layer is, and what all of them share.

A layer is a value of settings. What it puts around a model keeps the counts, serves many runs at the same time, and
keeps the grammar of a stream: closing its stream closes the one inside, and nothing goes on afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from copy import copy
from typing import Protocol

from ..errors import ConfigurationError
from ..events import Usage
from ..host import Host
from ..model import Finish, Model, ModelInfo

CACHED_USAGE = "cached_usage"
"""In the `provider_metadata` of a replayed answer's end: what the answer had cost when it was new."""


class Layer(Protocol):
    """Settings of one thing that is added to a model."""

    def wrap(self, model: Model, host: Host) -> Model:
        """Give a model around `model`. Raises `ConfigurationError`."""
        ...


class Wrapped(Model):
    """A model around another one; what is known of that one is known of it."""

    def __init__(self, model: Model, host: Host) -> None:
        self._model = model
        self._host = host

    @property
    def info(self) -> ModelInfo:
        """What is known of the model inside."""
        return self._model.info

    def without_retries(self) -> Model:
        """Give the same, around a model that asks once only."""
        other = copy(self)
        other._model = without_retries(other._model)
        return other


def check_layers(layers: object) -> None:
    """Raise `ConfigurationError` unless these are layers."""
    if not isinstance(layers, Sequence):
        raise ConfigurationError(f"layers are given as a list, such as layers=[Cache()], not {layers!r}")
    for layer in layers:
        if isinstance(layer, type) or not callable(getattr(layer, "wrap", None)):
            raise ConfigurationError(
                f"a layer is an object with wrap(model, host), such as limpet.layers.retry.Retry(), not {layer!r}"
            )


def apply(layers: Sequence[Layer], model: Model, host: Host) -> Model:
    """Put layers around a model, the first of them outermost. Raises `ConfigurationError`."""
    for layer in reversed(layers):
        model = layer.wrap(model, host)
    return model


def without_retries(model: Model) -> Model:
    """Give the model without its own retries, where it has any."""
    strip: Callable[[], Model] | None = getattr(model, "without_retries", None)
    return model if strip is None else strip()


def check_above_zero(layer: object, *names: str) -> None:
    """Raise `ConfigurationError` unless each of these settings is None or a number above 0."""
    for name in names:
        value = getattr(layer, name)
        if value is not None and not (isinstance(value, (int, float)) and value > 0):
            raise ConfigurationError(f"{name} of {type(layer).__name__} must be more than 0, not {value!r}")


def known_usage(finish: Finish) -> Usage | None:
    """Give what an answer used, None when its provider didn't tell; a replay is known to have used nothing."""
    is_known = finish.usage.total_tokens or CACHED_USAGE in (finish.provider_metadata or {})
    return finish.usage if is_known else None


def look(task: asyncio.Task[object]) -> None:
    """Look at a task's end, as its done-callback: asyncio complains of an exception that nobody looked at."""
    if not task.cancelled():
        task.exception()
