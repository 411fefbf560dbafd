"""Ask a second time when the first takes too long to begin, and listen to whoever begins first.

Each request is read by a task of its own until its model is sure to answer. Then the other one is cancelled, which
closes its connection, and the winner's stream is handed on as it is: nothing is said twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from ..errors import ModelError, WireFormatError
from ..events import Fallback, ModelStart
from ..fallback import close_stream
from ..host import Host
from ..model import Delta, Model, ModelReference, ModelRequest, Notice
from ..providers import create_model
from .layer import Wrapped, check_above_zero, look


@dataclass(frozen=True, slots=True)
class Hedge:
    """Ask again after `delay_seconds` without a `ModelStart`: the same model, or `to`.

    When one of the two fails, the other is still waited for; when both do, the first one's error is raised. A failure
    before the second was asked is raised at once: asking again is `Retry`'s, asking another `FallbackModel`'s work.
    When `to` wins, a `Fallback` notice before its `ModelStart` tells so; a second request to the same model is not
    told of. `to` is asked as it is, without the layers around the first, and not at all when it isn't configured.
    """

    delay_seconds: float
    to: ModelReference | str | Model | None = None

    def __post_init__(self) -> None:
        check_above_zero(self, "delay_seconds")

    def wrap(self, model: Model, host: Host) -> Model:
        """Give a model that is asked twice when it is slow."""
        to = create_model(self.to, host) if isinstance(self.to, (str, ModelReference)) else self.to
        return _Hedged(self.delay_seconds, to, model, host)


class _Hedged(Wrapped):
    def __init__(self, delay_seconds: float, to: Model | None, model: Model, host: Host) -> None:
        super().__init__(model, host)
        self._delay_seconds = delay_seconds
        self._to = to

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        inbox: asyncio.Queue[_Inbox] = asyncio.Queue()
        racers = [_Racer(self._model, request, inbox)]
        failures: dict[_Racer, ModelError] = {}
        timer = asyncio.ensure_future(self._host.clock.sleep(self._delay_seconds))
        timer.add_done_callback(look)
        timer.add_done_callback(lambda _: inbox.put_nowait(None))
        try:
            while True:
                item = await inbox.get()
                if item is None:
                    other = self._to or self._model
                    if other.info.is_configured:
                        racers.append(_Racer(other, request, inbox))
                elif not isinstance(item, _Racer):
                    yield item
                elif isinstance(end := item.reading.result(), ModelStart):
                    break
                else:
                    failures[item] = end
                    if len(failures) == len(racers):
                        raise failures[racers[0]]
            timer.cancel()
            for racer in racers:
                if racer is not item:
                    racer.drop()
            if item.model.info.id != self.info.id:
                yield self._switch(item.model, failures.get(racers[0]))
            yield end
            async for delta in item.stream:
                yield delta
        finally:
            timer.cancel()
            await asyncio.wait({timer, *(racer.drop() for racer in racers)})

    def _switch(self, to: Model, failure: ModelError | None) -> Fallback:
        if failure is not None:
            return Fallback(self.info.id, to.info.id, failure.fallback_reason or "unavailable", failure.message)
        says = f"{self.info.id} had not begun after {self._delay_seconds:g} seconds, and {to.info.id} was faster"
        return Fallback(self.info.id, to.info.id, "unavailable", says)


class _Racer:
    """One of the requests. It puts its notices into the inbox, and at last itself: it has begun, or failed."""

    def __init__(self, model: Model, request: ModelRequest, inbox: asyncio.Queue[_Inbox]) -> None:
        self.model = model
        self.stream = model.stream(request)
        self.reading = asyncio.create_task(self._read(inbox))
        self.reading.add_done_callback(look)
        self.reading.add_done_callback(lambda _: inbox.put_nowait(self))
        self._dropping: asyncio.Task[None] | None = None

    async def _read(self, inbox: asyncio.Queue[_Inbox]) -> ModelStart | ModelError:
        try:
            async for delta in self.stream:
                if isinstance(delta, ModelStart):
                    return delta
                inbox.put_nowait(delta)  # type: ignore[arg-type]  # before its start a model yields notices only
        except ModelError as error:
            return error
        info = self.model.info
        return WireFormatError(f"{info.id} ended without an answer", provider=info.provider, model=info.name)

    def drop(self) -> asyncio.Task[None]:
        """Stop the request; gives the task that sees to it. Harmless when called again."""
        if self._dropping is None:
            self.reading.cancel()
            self._dropping = asyncio.create_task(self._close())
            self._dropping.add_done_callback(look)
        return self._dropping

    async def _close(self) -> None:
        await asyncio.wait({self.reading})
        await close_stream(self.stream)


_Inbox = Notice | _Racer | None
"""A notice, a request whose reading has ended, or None when the time is over."""
