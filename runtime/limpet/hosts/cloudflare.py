"""The host of a Cloudflare Worker: its `fetch`, its bindings, and streams to its clients. Nothing outlives a request.

A promise belongs to the request in which it was made, so nothing here keeps one, and no lock of asyncio is shared
between requests; only inside a Durable Object that would be allowed.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

import js  # type: ignore[import-not-found]  # only Pyodide has it

from ..errors import FetchError
from ..host import Fetch, Host, HttpRequest, HttpResponse, InferenceBackend, Storage
from .ffi import Foreign, ForeignError, Kept, Pump, call, from_bytes, keep, to_bytes, to_json, to_object, wait


class WorkersFetch:
    """Sends requests with the Worker's `fetch`. A redirect is an answer like any other: it is not followed."""

    async def __call__(self, request: HttpRequest, /) -> HttpResponse:
        watch = _Silence(request.timeout_seconds)
        options: dict[str, object] = {
            "method": request.method,
            "headers": to_object(request.headers),
            "signal": watch.signal,
            "redirect": "manual",
        }
        if request.body is not None:
            options["body"] = from_bytes(request.body)
        response: _Response | None = None
        try:
            answer = await wait(call(js.fetch, request.url, to_object(options)))
            response = _Response(answer, request.url, watch)
            return response
        except ForeignError as error:
            raise _failure("timeout" if watch.is_broken else "unreachable", request.url) from error
        finally:
            if response is None:
                watch.stop()


class _Silence:
    """Aborts a request when nothing was heard of it for too long: one timer for all of an answer, not one a piece."""

    def __init__(self, seconds: float) -> None:
        self._abort = js.AbortController.new()
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._timer = self._loop.call_later(seconds, self._look)
        self.is_broken = False

    @property
    def signal(self) -> Foreign:
        """What the request listens to."""
        return self._abort.signal

    def hear(self) -> None:
        """Note that something came."""
        self._heard_at = self._loop.time()

    def stop(self) -> None:
        """End the request and the watch; harmless when called twice."""
        self._timer.cancel()
        self._abort.abort()

    def _look(self) -> None:
        left = self._heard_at + self._seconds - self._loop.time()
        if left > 0.001:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self.is_broken = True
            self._abort.abort()


class _Response:
    def __init__(self, answer: Foreign, url: str, watch: _Silence) -> None:
        self.status = int(answer.status)
        self.headers: Mapping[str, str] = read_headers(answer.headers)
        self._url = url
        self._watch = watch
        self._pieces: asyncio.Queue[bytes | ForeignError | None] = asyncio.Queue()
        self._pump: Pump | None = None
        self._whole: Foreign = None
        length = self.headers.get("content-length", "")
        if length.isdecimal() and int(length) <= _SHORT_BYTES:
            self._whole = answer  # one promise is cheaper than a pump
        elif answer.body:
            self._pump = Pump(answer.body, self._receive)
        else:
            self._pieces.put_nowait(None)

    def _receive(self, piece: bytes | ForeignError | None) -> None:
        self._watch.hear()
        self._pieces.put_nowait(piece)

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            if self._whole is not None:
                try:
                    yield to_bytes(await wait(self._whole.arrayBuffer()))
                except ForeignError as error:
                    raise _failure("timeout" if self._watch.is_broken else "reset", self._url) from error
                return
            while (piece := await self._pieces.get()) is not None:
                if isinstance(piece, ForeignError):
                    raise _failure("timeout" if self._watch.is_broken else "reset", self._url) from piece
                yield piece
        finally:
            await self.close()

    async def close(self) -> None:
        if self._pump is not None:
            self._pump.abort()
        self._watch.stop()


_SHORT_BYTES = 1_000_000


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
    # As one text: asking for each of them takes ten times as long.
    found: dict[str, str] = json.loads(to_json(js.Object.fromEntries(headers)))
    return found


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
    inference: InferenceBackend | None = None,
) -> Host:
    """Make the host of a Worker or of one of its Durable Objects. `secret` answers from the Worker's secrets."""
    return Host(
        fetch=fetch or WorkersFetch(),
        storage=storage,
        clock=SystemClock(),
        secret=secret,
        random=random,
        new_id=new_id,
        inference=inference,
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
    """A body as a `ReadableStream`, into which Python pours; what is there at once goes in one piece.

    Being asked for each piece would take 0.3 ms each time in Pyodide 314. A client that goes away ends the pouring.
    """

    def __init__(self, pieces: AsyncIterator[bytes], log: Callable[[BaseException], object]) -> None:
        self._pieces = pieces
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._controller: Foreign = None
        self._ready = bytearray()
        self._flushing: asyncio.Handle | None = None
        self._room: asyncio.Future[None] | None = None
        self._kept: list[Kept] = [keep(self._begin), keep(self._make_room), keep(self._cancel)]
        names = ("start", "pull", "cancel")
        source = to_object({name: kept.proxy for name, kept in zip(names, self._kept, strict=True)})
        self.stream: Foreign = js.ReadableStream.new(source, to_object({"highWaterMark": _PIECES_AHEAD}))
        self._pouring = asyncio.create_task(self._pour())

    def _begin(self, controller: Foreign) -> None:
        self._controller = controller

    async def _pour(self) -> None:
        try:
            async for piece in self._pieces:
                self._ready += piece
                if self._flushing is None:
                    self._flushing = self._loop.call_soon(self._flush)
                if len(self._ready) > _BYTES_AHEAD or self._controller.desiredSize <= 0:
                    self._flush()
                    while self._controller.desiredSize <= 0:
                        self._room = self._loop.create_future()
                        await self._room
            self._flush()
            self._controller.close()
        except Exception as error:  # an entry point's stream: the status is sent, all that is left is to break it off
            self._log(error)
            self._controller.error(js.Error.new("the stream broke off"))
        finally:
            if self._flushing is not None:
                self._flushing.cancel()
            if isinstance(self._pieces, AsyncGenerator):
                await self._pieces.aclose()
            # JavaScript may be in one of the functions; it must not be gone under its hands.
            for kept in self._kept:
                self._loop.call_soon(kept.release)

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if self._ready:
            data = bytes(self._ready)
            self._ready.clear()
            self._controller.enqueue(from_bytes(data))

    def _make_room(self, _: object) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _cancel(self, _: object) -> None:
        self._ready.clear()
        self._pouring.cancel()


# A client that takes its time holds the pouring up when so much is on its way.
_BYTES_AHEAD = 64 * 1024
_PIECES_AHEAD = 16
