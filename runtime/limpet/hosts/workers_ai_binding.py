"""Workers AI by the binding of a Cloudflare Worker: a `Fetch` that asks `env.AI` where the others ask the network.

The wire format is that of the REST interface, so a remote model does not notice. There is no key: whoever runs the
Worker pays. Source: Cloudflare's documents ("Workers AI Bindings", "Errors") and the binding's own code in `workerd`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from ..errors import FetchError
from ..host import Fetch, HttpRequest, HttpResponse
from .ffi import Foreign, ForeignError, Pump, from_json, to_json, to_object, wait

_CODE = re.compile(r"(\d{4,5}): ?(.*)", re.DOTALL)
_ESCAPE = re.compile(rb"%([0-9A-F]{2})")


class AiBinding(Protocol):
    """`env.AI`."""

    def run(self, model: str, inputs: object, options: object, /) -> Foreign: ...


class WorkersAIFetch:
    """Answers what is sent to `base_url` with the binding; all else goes `elsewhere`."""

    def __init__(self, ai: AiBinding, *, base_url: str, elsewhere: Fetch) -> None:
        self._ai = ai
        self._prefix = f"{base_url}/run/"
        self._elsewhere = elsewhere

    async def __call__(self, request: HttpRequest, /) -> HttpResponse:
        if not request.url.startswith(self._prefix):
            return await self._elsewhere(request)
        model = _unquote(request.url.removeprefix(self._prefix))
        inputs = from_json((request.body or b"{}").decode())
        promise = self._ai.run(model, inputs, to_object({"returnRawResponse": True}))
        answer: Foreign = None
        try:
            async with asyncio.timeout(request.timeout_seconds):
                answer = await wait(promise)
        except TimeoutError:
            raise _silence() from None
        except ForeignError as error:
            return _complete(500, _describe(error))
        finally:
            if answer is None:
                # The binding can't be told to stop; what it still brings is thrown away.
                promise.then(_cancel, lambda _: None)
        return _respond(answer, request.timeout_seconds)


def _respond(answer: Foreign, timeout_seconds: float) -> HttpResponse:
    """Read what `run` gave: a response; before `returnRawResponse` was known, a stream or an object."""
    if hasattr(answer, "pipeTo"):
        return _Response(200, {}, timeout_seconds, answer)
    status = getattr(answer, "status", None)
    if isinstance(status, int) and hasattr(answer, "headers"):
        headers = {str(name): str(value) for name, value in answer.headers.entries()}
        return _Response(status, headers, timeout_seconds, answer.body)
    return _complete(200, to_json(answer))


def _complete(status: int, text: str) -> HttpResponse:
    return _Response(status, {"content-type": "application/json"}, 0.0, None, text.encode("utf-8", "replace"))


def _describe(error: ForeignError) -> str:
    """Write an error that was thrown as the body that it was made of."""
    match = _CODE.match(error.message)
    code, text = (int(match[1]), match[2]) if match else (0, error.message)
    return json.dumps({"internalCode": code, "name": error.name, "description": text})


def _cancel(answer: Foreign) -> None:
    stream = getattr(answer, "body", None) or answer
    if hasattr(stream, "cancel"):
        stream.cancel()


def _unquote(text: str) -> str:
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), text.encode()).decode("utf-8", "replace")


class _Response:
    """An answer, from a stream or of one piece."""

    def __init__(
        self, status: int, headers: Mapping[str, str], timeout_seconds: float, stream: Foreign, piece: bytes = b""
    ) -> None:
        self.status = status
        self.headers = headers
        self._timeout_seconds = timeout_seconds
        self._pieces: asyncio.Queue[bytes | ForeignError | None] = asyncio.Queue()
        self._pump: Pump | None = None
        if stream:
            self._pump = Pump(stream, self._pieces.put_nowait)
        else:
            self._pieces.put_nowait(piece)
            self._pieces.put_nowait(None)

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            while (piece := await self._next()) is not None:
                if isinstance(piece, ForeignError):
                    raise FetchError("the binding broke off its answer", kind="reset") from piece
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
            raise _silence() from None

    async def close(self) -> None:
        if self._pump is not None:
            self._pump.abort()


def _silence() -> FetchError:
    return FetchError("the binding was silent for too long", kind="timeout")
