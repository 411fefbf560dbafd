"""The host of a Cloudflare Worker: its `fetch`, its bindings, and streams to its clients. Nothing outlives a request.

A promise belongs to the request in which it was made, so nothing here keeps one, and no lock of asyncio is shared
between requests; only inside a Durable Object that would be allowed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

import js  # type: ignore[import-not-found]  # only Pyodide has it

from ..errors import FetchError
from ..host import Fetch, Host, HttpRequest, HttpResponse, Storage
from .ffi import Foreign, ForeignError, Kept, Pump, call, from_bytes, keep, to_object, wait


class WorkersFetch:
    """Sends requests with the Worker's `fetch`. A redirect is an answer like any other: it is not followed."""

    async def __call__(self, request: HttpRequest, /) -> HttpResponse:
        stop = js.AbortController.new()
        options: dict[str, object] = {
            "method": request.method,
            "headers": to_object(request.headers),
            "signal": stop.signal,
            "redirect": "manual",
        }
        if request.body is not None:
            options["body"] = from_bytes(request.body)
        answer: Foreign = None
        try:
            async with asyncio.timeout(request.timeout_seconds):
                answer = await wait(call(js.fetch, request.url, to_object(options)))
        except TimeoutError:
            raise _failure("timeout", request.url) from None
        except ForeignError as error:
            raise _failure("unreachable", request.url) from error
        finally:
            if answer is None:
                stop.abort()
        return _Response(answer, request, stop)


class _Response:
    def __init__(self, answer: Foreign, request: HttpRequest, stop: Foreign) -> None:
        self.status = int(answer.status)
        self.headers: Mapping[str, str] = read_headers(answer.headers)
        self._url, self._timeout_seconds = request.url, request.timeout_seconds
        self._stop = stop
        self._pieces: asyncio.Queue[bytes | ForeignError | None] = asyncio.Queue()
        self._pump: Pump | None = None
        if answer.body:
            self._pump = Pump(answer.body, self._pieces.put_nowait)
        else:
            self._pieces.put_nowait(None)

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            while (piece := await self._next()) is not None:
                if isinstance(piece, ForeignError):
                    raise _failure("reset", self._url) from piece
                yield piece
        finally:
            await self.close()

    async def _next(self) -> bytes | ForeignError | None:
        if not self._pieces.empty():  # a timer costs 0.1 ms in Pyodide 314
            return self._pieces.get_nowait()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._pieces.get()
        except TimeoutError:
            raise _failure("timeout", self._url) from None

    async def close(self) -> None:
        if self._pump is not None:
            self._pump.abort()
        self._stop.abort()


def _failure(kind: str, url: str) -> FetchError:
    origin = "/".join(url.split("/", 3)[:3])
    match kind:
        case "timeout":
            return FetchError(f"{origin} was silent for too long", kind="timeout")
        case "reset":
            return FetchError(f"{origin} broke off the connection", kind="reset")
        case _:
            return FetchError(f"nobody answers at {origin}", kind="unreachable")


def read_headers(headers: Foreign) -> dict[str, str]:
    """Read a `Headers` object; names are in lower case there already."""
    return {str(name): str(value) for name, value in headers.entries()}


class SystemClock:
    """The time of the machine. It stands still between I/O, as Cloudflare has it."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def new_id() -> str:
    """Give a short unique text."""
    return os.urandom(9).hex()


def random() -> float:
    """Give 0 <= x < 1 from the system, for a restored interpreter would repeat `random.random()`."""
    return int.from_bytes(os.urandom(6), "big") / (1 << 48)


def create_host(
    *,
    storage: Storage,
    secret: Callable[[str], str | None],
    base_urls: Mapping[str, str],
    fetch: Fetch | None = None,
) -> Host:
    """Make the host of a Worker or of one of its Durable Objects. `secret` answers from the Worker's secrets."""
    return Host(
        fetch=fetch or WorkersFetch(),
        storage=storage,
        clock=SystemClock(),
        secret=secret,
        random=random,
        new_id=new_id,
        base_urls=dict(base_urls),
    )


def binding(env: object, name: str) -> Foreign:
    """Give a binding, None when it isn't there."""
    return getattr(env, name, None)


def text_of(env: object, name: str) -> str | None:
    """Give a variable or a secret, None when it isn't set."""
    value = getattr(env, name, None)
    return value if isinstance(value, str) else None


class BodyStream:
    """A body as a `ReadableStream`: Python is asked for each piece, and told when the client has gone."""

    def __init__(self, pieces: AsyncIterator[bytes], log: Callable[[BaseException], object]) -> None:
        self._pieces = pieces
        self._log = log
        self._pulling: asyncio.Task[object] | None = None
        self._kept: list[Kept] = [keep(self._pull), keep(self._cancel)]
        source = to_object({"pull": self._kept[0].proxy, "cancel": self._kept[1].proxy})
        self.stream: Foreign = js.ReadableStream.new(source, to_object({"highWaterMark": 0}))

    async def _pull(self, controller: Foreign) -> None:
        self._pulling = asyncio.current_task()
        try:
            piece = await anext(self._pieces)
        except StopAsyncIteration:
            controller.close()
            self._release()
        except asyncio.CancelledError:
            return  # the client has gone, `_cancel` does the rest
        except Exception as error:  # an entry point's stream: the status is sent, all that is left is to break it off
            self._log(error)
            controller.error(js.Error.new("the stream broke off"))
            self._release()
        else:
            controller.enqueue(from_bytes(piece))
        finally:
            self._pulling = None

    async def _cancel(self, reason: object) -> None:
        try:
            if self._pulling is not None:
                self._pulling.cancel()
                await asyncio.wait({self._pulling})
            if isinstance(self._pieces, AsyncGenerator):
                await self._pieces.aclose()
        finally:
            self._release()

    def _release(self) -> None:
        # JavaScript may still hold the function it is in; it must not be gone under its hands.
        loop = asyncio.get_running_loop()
        for kept in self._kept:
            loop.call_soon(kept.release)
        self._kept = []
