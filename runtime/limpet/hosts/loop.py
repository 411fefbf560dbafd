"""Pyodide's event loop with a queue of its own: a task switch costs 3 to 10 us instead of 80 to 140.

The stock `WebLoop` (Pyodide 314) hands every callback to JavaScript: one message, one proxy, one promise each. Here
callbacks wait in a deque; one message starts a drain that runs them for at most `SLICE_SECONDS` and then lets the
worker's own messages have their turn. Timers stay with JavaScript, which has them.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from time import perf_counter
from typing import Any

from pyodide.webloop import WebLoop  # type: ignore[import-not-found]  # only Pyodide has these
from pyodide_js._api import scheduleCallback  # type: ignore[import-not-found]

from .ffi import Kept, keep

SLICE_SECONDS = 0.008


class DrainLoop(WebLoop):  # type: ignore[misc]  # a class of Pyodide's
    """Takes the place of the running loop's class; `install_drain_loop` does it."""

    _ready: deque[asyncio.Handle]
    _drainer: Kept
    _is_kicked: bool

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        if not self._is_kicked:
            self._is_kicked = True
            scheduleCallback(self._drainer.proxy, 0)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        if delay <= 0:
            return self.call_soon(callback, *args, context=context)
        handle: asyncio.Handle = super().call_later(delay, callback, *args, context=context)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        # Pyodide's own futures and tasks have a `then`, which nobody here uses and each one pays for.
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Coroutine[Any, Any, Any] | Generator[Any, Any, Any], *, name: str | None = None, **options: Any
    ) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, name=name, **options)

    def _drain(self) -> None:
        # Both are of the thread state, of which Pyodide may give each call another one.
        self._install_running_loop()
        self._install_asyncgen_hooks()
        ready = self._ready
        until = perf_counter() + SLICE_SECONDS
        while ready:
            # As many as there are now: what they add is looked at after the clock.
            for _ in range(len(ready)):
                handle = ready.popleft()
                if not handle.cancelled():
                    handle._run()
            if perf_counter() > until:
                break
        if ready:
            scheduleCallback(self._drainer.proxy, 0)
        else:
            self._is_kicked = False


def install_drain_loop() -> None:
    """Make the running loop one with a queue; harmless when it is one, or when it is no loop of Pyodide's."""
    loop: Any = asyncio.get_running_loop()
    if type(loop) is WebLoop:
        loop._ready = deque()
        loop._is_kicked = False
        loop.__class__ = DrainLoop
        loop._drainer = keep(loop._drain)
