"""The page's event loop: what asyncio promises holds on it too. Only Pyodide has it."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "emscripten", reason="Pyodide's event loop")


@pytest.fixture
def loop() -> Iterator[Any]:
    """The running loop as a draining one, and as it was afterwards."""
    running: Any = asyncio.get_event_loop()
    before = type(running)

    async def install() -> None:
        import_module("limpet.hosts.loop").install_drain_loop()

    import_module("pyodide.ffi").run_sync(install())
    yield running
    running.__class__ = before


async def test_callbacks_run_in_order_and_with_their_context(loop: Any) -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="none")
    seen: list[object] = []
    context = contextvars.copy_context()
    context.run(name.set, "given")

    loop.call_soon(seen.append, 1)
    loop.call_soon(lambda: seen.append(name.get()), context=context)
    loop.call_soon(seen.append, 2).cancel()
    loop.call_later(0, seen.append, 3)
    await asyncio.sleep(0.01)

    assert type(loop).__name__ == "DrainLoop"
    assert seen == [1, "given", 3]


async def test_a_callback_that_fails_stops_no_other(loop: Any) -> None:
    seen: list[object] = []
    told: list[Any] = []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    error = RuntimeError("on purpose")

    def fail() -> None:
        raise error

    try:
        loop.call_soon(fail)
        loop.call_soon(seen.append, "after")
        await asyncio.sleep(0.01)
    finally:
        loop.set_exception_handler(None)

    assert (seen, told) == (["after"], [error])


async def test_tasks_time_limits_and_cancellation_work(loop: Any) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    waiting = asyncio.create_task(never())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiting, 0.01)
    queue: asyncio.Queue[int] = asyncio.Queue()
    results = await asyncio.gather(queue.get(), queue.put(7), asyncio.sleep(0, "slept"))

    assert waiting.cancelled()
    assert results == [7, None, "slept"]


async def test_a_busy_loop_lets_javascript_go_on(loop: Any) -> None:
    js = import_module("js")
    seen: list[str] = []
    keep = import_module("limpet.hosts.ffi").keep
    kept = keep(lambda: seen.append("javascript"))
    try:
        js.setTimeout(kept.proxy, 0)
        for _ in range(200_000):
            await asyncio.sleep(0)
            if seen:
                break
    finally:
        kept.release()

    assert seen == ["javascript"]


async def test_a_promise_of_javascript_can_be_waited_for(loop: Any) -> None:
    promise = import_module("js").Promise.resolve(5)

    assert await asyncio.gather(promise, asyncio.sleep(0, 1)) == [5, 1]
