"""The host for Pyodide, in a browser's worker or in Node: what JavaScript hands over, as the core's protocols.

`web/src/` has the other half of each class here. Decisions stay on this side; JavaScript opens, reads and aborts.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, Protocol, cast

from ..errors import ContextLengthError, FetchError, ModelTooBigError, ModelUnavailableError, ToolError
from ..host import (
    Candidates,
    Host,
    HttpRequest,
    HttpResponse,
    InferenceBackend,
    InferenceSession,
    LoadProgress,
    Storage,
)
from ..wire import Availability, CachedModelWire, DeviceWire, Json, JsonObject, LoadStatus, StorageWire
from .ffi import (
    Foreign,
    ForeignError,
    JsJob,
    Kept,
    finish,
    from_bytes,
    from_ints,
    keep,
    start,
    to_bytes,
    to_floats,
    to_ints,
    wait,
)
from .pool_wire import call_text, content_of


class JsFetch(Protocol):
    """`HostFetch` of `web/src/host-fetch.ts`."""

    def send(
        self, method: str, url: str, headers: str, body: object, timeout_seconds: float, on_chunk: object, /
    ) -> JsJob: ...


class JsSession(Protocol):
    """`HostSession` of `web/src/host-inference.ts`."""

    @property
    def manifest(self) -> str: ...

    @property
    def length(self) -> int: ...

    def read(self, name: str, /) -> JsJob: ...

    def forward(self, ids: object, k: int, allowed: object, /) -> JsJob: ...

    def embed(self, ids: object, lengths: object, /) -> JsJob: ...

    def rewind(self, length: int, /) -> JsJob: ...

    def reset(self) -> JsJob: ...

    def snapshot(self, key: str, is_temporary: bool, /) -> JsJob: ...

    def restore(self, key: str, /) -> JsJob: ...

    def close(self) -> JsJob: ...


class JsInference(Protocol):
    """`HostInference` of `web/src/host-inference.ts`. A model is named by the URL of its folder."""

    def availability(self, url: str, /) -> object: ...

    def describe(self, url: str, /) -> object: ...

    def load(self, url: str, allow_download: bool, threads: int | None, on_progress: object, /) -> JsJob: ...

    def download(self, url: str, on_progress: object, /) -> JsJob: ...

    def remove(self, url: str, /) -> object: ...

    def list(self) -> object: ...

    def storage(self) -> object: ...

    def device(self) -> object: ...


class JsPool(Protocol):
    """`HostPool` of `web/src/tool-pool.ts`."""

    def call(self, call: str, on_progress: object, /) -> JsJob: ...


class BrowserFetch:
    """Sends requests with the browser's `fetch`."""

    def __init__(self, fetch: JsFetch) -> None:
        self._fetch = fetch

    async def __call__(self, request: HttpRequest, /) -> HttpResponse:
        body = _Body(request.url)
        job = self._fetch.send(
            request.method,
            request.url,
            json.dumps(dict(request.headers)),
            None if request.body is None else from_bytes(request.body),
            request.timeout_seconds,
            body.receiver.proxy,
        )
        response = None
        try:
            head = await start(job)
            response = _Response(int(head.status), json.loads(head.headers), body, job)
            return response
        except ForeignError as error:
            raise _fetch_error(error.name, request.url) from error
        finally:
            if response is None:
                body.receiver.release()


class _Body:
    """What JavaScript pumps over, until somebody reads it."""

    def __init__(self, url: str) -> None:
        self.pieces: asyncio.Queue[bytes | FetchError | None] = asyncio.Queue()
        self.receiver: Kept = keep(self._receive)
        self._url = url

    def _receive(self, chunk: object, failure: str | None) -> None:
        if chunk is not None:
            self.pieces.put_nowait(to_bytes(chunk))
        else:
            self.pieces.put_nowait(None if failure is None else _fetch_error(failure, self._url))


class _Response:
    def __init__(self, status: int, headers: dict[str, str], body: _Body, job: JsJob) -> None:
        self.status = status
        self.headers: Mapping[str, str] = headers
        self._body = body
        self._job = job

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            while (piece := await self._body.pieces.get()) is not None:
                if isinstance(piece, FetchError):
                    raise piece
                yield piece
        finally:
            await self.close()

    async def close(self) -> None:
        # In this order: JavaScript looks at the abort before it calls the receiver.
        self._job.abort()
        self._body.receiver.release()


def _fetch_error(name: str, url: str) -> FetchError:
    origin = "/".join(url.split("/", 3)[:3])
    match name:
        case "offline":
            return FetchError("there is no network", kind="offline")
        case "cors":
            return FetchError(f"{origin} does not let this page read its answer (CORS)", kind="cors")
        case "timeout":
            return FetchError(f"{origin} was silent for too long", kind="timeout")
        case "reset":
            return FetchError(f"{origin} broke off the connection", kind="reset")
        case _:
            return FetchError(f"nobody answers at {origin}", kind="unreachable")


class SystemClock:
    """The time of the machine."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class BridgeBackend:
    """Local models over onnxruntime-web. Sessions stay open: the next run finds its model loaded.

    `models_url` is the folder of the models and ends with a slash.
    """

    def __init__(self, inference: JsInference, models_url: str, *, allow_download: bool, threads: int | None) -> None:
        self._inference = inference
        self._models_url = models_url
        self._allow_download = allow_download
        self._threads = threads
        self._sessions: dict[str, _BridgeSession] = {}

    async def availability(self, model_id: str) -> Availability:
        with _model_errors(model_id):
            return cast(Availability, await wait(self._inference.availability(self._url(model_id))))

    async def describe(self, model_id: str) -> JsonObject:
        """Give the model's `model.json`. Raises `ModelUnavailableError`."""
        with _model_errors(model_id):
            return cast(JsonObject, json.loads(await wait(self._inference.describe(self._url(model_id)))))

    async def load(self, model_id: str, progress: LoadProgress) -> InferenceSession:
        session = self._sessions.get(model_id)
        if session is None:
            with _model_errors(model_id), _reporting(progress) as receiver:
                opened = await finish(
                    self._inference.load(self._url(model_id), self._allow_download, self._threads, receiver.proxy)
                )
            # Two runs may have waited for the same model: they must share one session, for its lock.
            session = self._sessions.setdefault(model_id, _BridgeSession(model_id, opened, self._sessions))
        return session

    async def download(self, model_id: str, progress: LoadProgress) -> None:
        """Fetch a model because the user asked for it; it is loaded when it is first needed.

        Raises `ModelUnavailableError`, of which `ModelTooBigError` says that it does not fit.
        """
        with _model_errors(model_id), _reporting(progress) as receiver:
            await finish(self._inference.download(self._url(model_id), receiver.proxy))

    async def delete(self, model_id: str) -> None:
        """Close a model and delete what is kept of it. One that computes finishes first."""
        session = self._sessions.get(model_id)
        async with session.lock if session else asyncio.Lock():
            self._sessions.pop(model_id, None)
            with _model_errors(model_id):
                await wait(self._inference.remove(self._url(model_id)))

    async def cached(self) -> list[CachedModelWire]:
        """List the models of which something is kept here, the one used last first."""
        with _model_errors(""):
            models = json.loads(await wait(self._inference.list()))
        return [
            {
                "model_id": model["url"][len(self._models_url) : -1],
                "size_bytes": model["size_bytes"],
                "stored_bytes": model["stored_bytes"],
                "is_complete": model["is_complete"],
                "used_at": model["used_at"] / 1000,
            }
            for model in models
            if model["url"].startswith(self._models_url)
        ]

    async def storage(self) -> StorageWire:
        """Say where models are kept, how full that is, and whether the browser may clear it."""
        with _model_errors(""):
            return cast(StorageWire, json.loads(await wait(self._inference.storage())))

    async def device(self) -> DeviceWire | None:
        """Say what this device can do; measuring it takes a second, once. None: it can't be measured."""
        with _model_errors(""):
            profile = json.loads(await wait(self._inference.device()))
        if profile is None:
            return None
        used = [
            speed["tokens_per_second"]
            for speed in profile["speeds"]
            if speed["execution_provider"] == profile["execution_provider"] and speed["threads"] == profile["threads"]
        ]
        return {
            "execution_provider": profile["execution_provider"],
            "threads": profile["threads"],
            "cores": profile["cores"],
            "is_isolated": profile["is_isolated"],
            "has_simd": profile["has_simd"],
            "gpu": profile["gpu"]["name"] if profile["gpu"] and not profile["gpu"]["is_fallback"] else None,
            "memory_bytes": profile["memory"]["budget_bytes"],
            "probe_tokens_per_second": used[0] if used else None,
        }

    def _url(self, model_id: str) -> str:
        return f"{self._models_url}{model_id}/"


@contextmanager
def _reporting(progress: LoadProgress) -> Iterator[Kept]:
    """Lend JavaScript the function that it tells its progress to."""

    def report(status: LoadStatus, file: str, loaded: int, total: int) -> None:
        progress(status, file, int(loaded), int(total))

    receiver = keep(report)
    try:
        yield receiver
    finally:
        receiver.release()


class _BridgeSession:
    def __init__(self, model_id: str, session: JsSession, open_sessions: dict[str, _BridgeSession]) -> None:
        self.lock = asyncio.Lock()
        self.manifest: JsonObject = json.loads(session.manifest)
        self._model_id = model_id
        self._session = session
        self._open_sessions = open_sessions

    @property
    def length(self) -> int:
        return int(self._session.length)

    async def read(self, name: str) -> bytes:
        return to_bytes(await self._finish(self._session.read(name)))

    async def forward(
        self, token_ids: Sequence[int], *, top_k: int, allowed: Sequence[int] | None = None
    ) -> Candidates:
        chosen = None if allowed is None else from_ints(allowed)
        reply = await self._finish(self._session.forward(from_ints(token_ids), top_k, chosen))
        return Candidates(
            ids=to_ints(reply.ids),
            logits=to_floats(reply.logits),
            log_sum_exp=float(reply.logSumExp),
            scalars=json.loads(reply.scalars),
        )

    async def embed(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        if not batch:
            return []
        # As two flat arrays: each list that crosses costs more than all of its numbers.
        ids = from_ints([token_id for sequence in batch for token_id in sequence])
        lengths = from_ints([len(sequence) for sequence in batch])
        flat = to_floats(await self._finish(self._session.embed(ids, lengths)))
        width = len(flat) // len(batch)
        return [flat[start : start + width] for start in range(0, len(flat), width)]

    async def rewind(self, length: int) -> bool:
        return bool(await self._finish(self._session.rewind(length)))

    async def reset(self) -> None:
        await self._finish(self._session.reset())

    async def snapshot(self, key: str, *, is_temporary: bool = False) -> None:
        await self._finish(self._session.snapshot(key, is_temporary))

    async def restore(self, key: str) -> bool:
        return bool(await self._finish(self._session.restore(key)))

    async def close(self) -> None:
        self._forget()
        await self._finish(self._session.close())

    async def _finish(self, job: JsJob) -> Foreign:
        try:
            with _model_errors(self._model_id):
                return await finish(job)
        except ModelUnavailableError as error:
            if isinstance(error.__cause__, ForeignError) and error.__cause__.name in _FATAL:
                self._forget()
            raise

    def _forget(self) -> None:
        if self._open_sessions.get(self._model_id) is self:
            del self._open_sessions[self._model_id]


class PagePool:
    """The pool as the tools of one agent see it; `source` is the text of the agent's file."""

    def __init__(self, pool: JsPool, source: str, file: str) -> None:
        self._pool = pool
        self._home = {"source": source, "file": file}

    async def call(
        self, function: Callable[..., Foreign], name: str, arguments: JsonObject, on_progress: Callable[[Json], None], /
    ) -> Json:
        """Call a tool in a worker that has nothing else to do, and end the worker when this is cancelled."""
        receiver = keep(lambda text: on_progress(json.loads(text)))
        try:
            call = call_text(function, name, arguments, self._home)
            return content_of(await finish(self._pool.call(call, receiver.proxy)))
        except ForeignError as error:
            raise ToolError(f"{name} was broken off: {error.message}") from error
        finally:
            receiver.release()


# After these a session is of no more use: the next run opens the model anew.
_FATAL = ("closed", "out_of_memory", "internal")

_ADVICE: Mapping[str, str] = {
    "not_downloaded": "it has to be downloaded first: press its Download button",
    "offline": "it is not downloaded yet and there is no network",
    "http": "the server of this page does not have it",
    "bad_content": "the server of this page sent something else in its place",
    "bad_hash": "what arrived is not what its manifest promises; download it again",
    "quota": "there is not enough room for it; free some space for this site",
    "out_of_memory": "there is not enough memory for it; close other tabs",
    "unsupported": "this browser lacks what it needs",
}


_TOO_BIG: Mapping[str, Literal["memory", "storage"]] = {"too_big": "memory", "quota": "storage"}


def _too_big(model_id: str, error: ForeignError) -> ModelTooBigError:
    numbers = {name: int(cast(float, value)) for name, value in error.details.items()}
    advice = "; free some space for this site" if error.name == "quota" else ""
    return ModelTooBigError(
        f"local:{model_id}: {error.message}{advice}",
        resource=_TOO_BIG[error.name],
        needed_bytes=numbers["needed"],
        available_bytes=numbers.get("available"),
        provider="local",
        model=model_id,
    )


@contextmanager
def _model_errors(model_id: str) -> Iterator[None]:
    """Turn what the bridge threw into `ModelUnavailableError`, or into `ContextLengthError`."""
    try:
        yield
    except ForeignError as error:
        if error.name == "too_long":
            raise ContextLengthError(f"local:{model_id}: {error.message}", provider="local", model=model_id) from error
        if error.name in _TOO_BIG and isinstance(error.details.get("needed"), (int, float)):
            raise _too_big(model_id, error) from error
        says = _ADVICE.get(error.name, f"it failed in the runtime ({error.name})")
        raise ModelUnavailableError(f"local:{model_id}: {says}", provider="local", model=model_id) from error


def new_id() -> str:
    """Give a short unique text."""
    # Not `uuid`: importing it takes 50 ms in Pyodide.
    return os.urandom(9).hex()


def random() -> float:
    """Give 0 <= x < 1 from the system, for a restored interpreter would repeat `random.random()`."""
    return int.from_bytes(os.urandom(6), "big") / (1 << 48)


def create_host(
    *,
    fetch: JsFetch,
    storage: Storage,
    inference: InferenceBackend | None,
    secret: Callable[[str], str | None],
    base_urls: Mapping[str, str] | None = None,
) -> Host:
    """Make the host of a page's worker. `secret` answers from the page's memory."""
    return Host(
        fetch=BrowserFetch(fetch),
        storage=storage,
        clock=SystemClock(),
        secret=secret,
        random=random,
        new_id=new_id,
        inference=inference,
        base_urls=dict(base_urls or {}),
        is_browser=True,
    )
