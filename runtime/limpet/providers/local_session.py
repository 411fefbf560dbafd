"""What the providers of local models share: loading a session, telling what is going on, and reading options."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from ..errors import ConfigurationError, LowConfidenceError, ModelUnavailableError
from ..events import Progress, Usage
from ..host import Host, InferenceSession
from ..model import Delta, ModelInfo
from ..wire import LoadStatus

Notify = Callable[[Progress], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of asking a model that may be unsure: its answer or, with `unsure`, none; and what that has cost."""

    usage: Usage
    deltas: list[Delta]
    unsure: LowConfidenceError | None = None


class Work(Generic[T]):
    """Something that takes a while and tells of its progress; left early, it is cancelled and has ended."""

    def __init__(self, make: Callable[[Notify], Coroutine[Any, Any, T]]) -> None:
        self._make = make
        self._task: asyncio.Task[T] | None = None

    async def notices(self) -> AsyncIterator[Progress]:
        """Do it, and yield what it tells. Raises what it raises."""
        told: asyncio.Queue[Progress | None] = asyncio.Queue()
        task = self._task = asyncio.create_task(self._make(told.put_nowait))
        task.add_done_callback(lambda _: told.put_nowait(None))
        try:
            while (notice := await told.get()) is not None:
                yield notice
            task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    @property
    def result(self) -> T:
        """What came of it, once its notices have ended."""
        assert self._task is not None
        return self._task.result()


async def load_session(host: Host, info: ModelInfo, notify: Notify) -> InferenceSession:
    """Load the model that `info` names, or give its session. Raises `ModelUnavailableError`."""
    if host.inference is None:
        raise ModelUnavailableError("this host runs no local models", provider=info.provider, model=info.name)
    has_loaded = False

    def report(status: LoadStatus, file: str, loaded: int, total: int) -> None:
        nonlocal has_loaded
        # A model that was ready before says so at every question; nobody wants to hear it.
        has_loaded = has_loaded or status != "ready"
        if has_loaded:
            notify(Progress(info.id, status, file, loaded, total))

    return await host.inference.load(info.name, report)


def read_settings(cls: type[T], options: Mapping[str, object]) -> T:
    """Make the settings that the options name. Raises `ConfigurationError` naming the option that is wrong."""
    defaults = cls()
    known = {field.name: getattr(defaults, field.name) for field in fields(cls)}  # type: ignore[arg-type]
    for name, value in options.items():
        if name not in known:
            raise ConfigurationError(f"a local model has no option {name!r}; known are {', '.join(known)}")
        expected = type(known[name])
        fits = isinstance(value, (int, float) if expected is float else expected)
        if not fits or (expected is not bool and isinstance(value, bool)):
            raise ConfigurationError(
                f"the option {name!r} of a local model is {value!r}, not of type {expected.__name__}"
            )
    return cls(**{**known, **options})
