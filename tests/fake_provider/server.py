"""The server: an event loop in a thread of its own, one connection a request."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from .answers import Answer, answer_from_json, reply_to
from .faults import Fault, fault_from_json, random_fault
from .formats import FORMATS, Format, Frames, find_format
from .formats.format import dump
from .lists import answer_embeddings, answer_models
from .record import Record, Scope, SeenConnection, SeenRequest
from .sending import Sender

PREFIXES = {
    "anthropic": "/anthropic/v1",
    "azure": "/azure",
    "bedrock": "/bedrock",
    "cohere": "/cohere/v2",
    "gemini": "/gemini/v1beta",
    "ollama": "/ollama",
    "vertex": "/vertex/v1/projects/kitchen/locations/global",
    "workers_ai": "/workers_ai/accounts/kitchen/ai",
}
"""Where a provider's interface begins; that of every other one at `/<provider>/v1`. Only the end of a path counts."""
_MAX_BYTES = 64 * 1024 * 1024
_SCOPE = "/~"
_CONTROL = "/-/"


class FakeProvider:
    """Serves from `with` to its end.

    `cors` says whether pages are let in. With `fault_rate`, so many of the questions that no test has faults for are
    struck by one drawn with `seed`. Never outlives `lifetime_seconds`.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        cors: bool = True,
        models: Sequence[str] = ("fake",),
        fault_rate: float = 0.0,
        seed: int = 0,
        lifetime_seconds: float = 300.0,
    ) -> None:
        self.record = Record()
        self._port = port
        self._cors = cors
        self._models = models
        self._fault_rate = fault_rate
        self._chance = random.Random(seed)
        self._lifetime_seconds = lifetime_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.mistakes: list[BaseException] = []
        """What failed in the server itself, such as a question that it can't read; `close` raises the first."""
        self._is_up = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fake provider", daemon=True)

    # --- for tests ---

    @property
    def address(self) -> str:
        """`http://127.0.0.1:port`"""
        return f"http://127.0.0.1:{self._port}"

    def base_url(self, provider: str = "openai", scope: str = "") -> str:
        """Give the base URL under which a provider of this name is spoken to, within a scope."""
        return f"{self.address}{_SCOPE + scope if scope else ''}{PREFIXES.get(provider, f'/{provider}/v1')}"

    def scope(self, name: str = "") -> Scope:
        """Give a scope; the one without a name is that of the plain addresses."""
        return self.record.scope(name)

    @property
    def replies(self) -> Any:
        """The scripted answers of the plain addresses."""
        return self.scope().replies

    @property
    def faults(self) -> Any:
        """The faults of the plain addresses."""
        return self.scope().faults

    @property
    def requests(self) -> list[SeenRequest]:
        """What the plain addresses were sent, without preflights."""
        return [request for request in self.scope().requests if request.method != "OPTIONS"]

    def wait_for_close(self, scope: str = "", count: int = 1, timeout_seconds: float = 10.0) -> SeenConnection:
        """Wait until the client has closed so many unfinished answers; give the last. Raises `TimeoutError`."""
        found: list[SeenConnection] = []

        def is_so() -> bool:
            connections = self.scope(scope).connections
            found[:] = [seen for seen in connections if seen.closed_by == "client" and not seen.is_complete]
            return len(found) >= count

        if not self.record.wait_for(is_so, timeout_seconds):
            raise TimeoutError(f"the client closed {len(found)} of {count} unfinished answers")
        return found[count - 1]

    def wait_until_quiet(self, timeout_seconds: float = 10.0) -> int:
        """Wait until no connection is open; give how many are after that time."""
        self.record.wait_for(lambda: self.record.open_connections() == 0, timeout_seconds)
        return self.record.open_connections()

    # --- life ---

    def start(self) -> None:
        self._thread.start()
        self._is_up.wait(10)
        if self._failure is not None:
            raise self._failure

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until it has ended by itself; False when it hasn't in that time."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def close(self) -> None:
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # its time is over already
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        if self.mistakes:
            raise self.mistakes[0]

    def __enter__(self) -> FakeProvider:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as error:
            self._failure = error
            self._is_up.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", self._port, limit=_MAX_BYTES, backlog=512)
        self._port = server.sockets[0].getsockname()[1]
        self._is_up.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._lifetime_seconds):
                await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # What was accepted in the last moment; the loop lets go of a socket one turn after it was closed.
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0.001)

    # --- one connection ---

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: asyncio's own task for it complains when it is cancelled at the end.
        task = asyncio.create_task(self._converse(reader, writer))
        self._tasks.add(task)
        self._writers.add(writer)
        task.add_done_callback(self._tasks.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen = SeenConnection(time.time())
        try:
            request, scope = await self._read(reader)
            self.record.note(lambda: (scope.requests.append(request), scope.connections.append(seen)))
            await self._answer_unless_closed(request, scope, seen, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass  # not even a request came
        finally:
            writer.close()
            self._writers.discard(writer)

    async def _answer_unless_closed(
        self,
        request: SeenRequest,
        scope: Scope,
        seen: SeenConnection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        sender = Sender(writer, seen, self._cors_headers(request))
        answering = asyncio.create_task(self._answer(request, scope, sender))
        hearing = asyncio.create_task(_wait_for_close(reader))
        try:
            await asyncio.wait((answering, hearing), return_when=asyncio.FIRST_COMPLETED)
            at = time.time()
            is_whole = answering.done() and answering.exception() is None
        finally:
            for task in (answering, hearing):
                task.cancel()
            await asyncio.wait((answering, hearing))
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        error = None if answering.cancelled() else answering.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.mistakes.append(error)
        self.record.note(lambda: _close(seen, at, by_client=not is_whole, is_complete=is_whole))

    async def _read(self, reader: asyncio.StreamReader) -> tuple[SeenRequest, Scope]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length") or 0))
        path, name = urlsplit(target).path, ""
        if path.startswith(_SCOPE):
            name, _, rest = path.removeprefix(_SCOPE).partition("/")
            path = f"/{rest}"
        form = find_format(path, _json(body)) if method == "POST" else None
        return SeenRequest(method, path, headers, body, form.name if form else ""), self.record.scope(name)

    async def _answer(self, request: SeenRequest, scope: Scope, sender: Sender) -> None:
        data = _json(request.body)
        if request.method == "OPTIONS":
            await sender.whole(204 if self._cors else 405, b"")
        elif request.path.startswith(_CONTROL):
            await _send_json(sender, 200, self._control(request, data))
        elif request.method == "GET":
            await _send_found(sender, answer_models(request.path, self._models))
        elif (form := find_format(request.path, data)) is not None:
            await self._reply(form, request, data, scope, sender)
        else:
            await self._embed(answer_embeddings(request.path, data), scope, sender)

    async def _embed(self, answer: object, scope: Scope, sender: Sender) -> None:
        fault = None if answer is None else self._next_fault(scope)
        if fault is None:
            await _send_found(sender, answer)
            return
        error = dump({"error": {"message": f"status {fault.status} as told", "type": "told", "code": None}})
        await sender.fail(fault, Frames((dump(answer),), 0), "application/json", b"{this is not JSON", error)

    async def _reply(
        self, form: Format, request: SeenRequest, data: Mapping[str, Any], scope: Scope, sender: Sender
    ) -> None:
        question = form.read(request.path, data)
        fault = self._next_fault(scope)
        answer: Answer = scope.replies[0] if scope.replies else reply_to(question)
        if scope.replies and (fault is None or fault.is_harmless):
            scope.replies.popleft()
        if fault is not None:
            answer = fault.spoil(answer)
            error = form.error(fault.status, f"status {fault.status} as told")
            frames = form.stream(answer, question)
            await sender.fail(fault, frames, form.content_type, form.garbage, error)
        elif question.is_streamed:
            await sender.stream(form.stream(answer, question), form.content_type)
        else:
            await sender.whole(200, form.complete(answer, question), {"content-type": "application/json"})

    def _next_fault(self, scope: Scope) -> Fault | None:
        if scope.faults:
            return scope.faults.popleft()
        return random_fault(self._chance) if self._chance.random() < self._fault_rate else None

    def _cors_headers(self, request: SeenRequest) -> dict[str, str]:
        if not self._cors:
            return {}
        # As strict as the strictest provider: these headers may be sent by a page, and no other.
        asked = request.headers.get("access-control-request-method")
        names = sorted({"content-type", *(name for form in FORMATS for name in form.headers)}) if asked else []
        allowed = {"access-control-allow-headers": ", ".join(names), "access-control-max-age": "0"} if asked else {}
        methods = {"access-control-allow-methods": "POST, GET"} if asked else {}
        return {"access-control-allow-origin": request.headers.get("origin") or "*", **methods, **allowed}

    # --- for tests in other processes ---

    def _control(self, request: SeenRequest, data: Mapping[str, Any]) -> Any:
        """`POST /-/script` sets replies and faults of a scope, `GET /-/seen` tells what was seen of all of them."""
        if request.path == f"{_CONTROL}script":
            scope = self.scope(data.get("scope", ""))
            scope.replies.extend(answer_from_json(reply) for reply in data.get("replies", ()))
            scope.faults.extend(fault and fault_from_json(fault) for fault in data.get("faults", ()))
            return {}
        name = request.path.removeprefix(f"{_CONTROL}seen").strip("/")
        scope = self.scope(name)
        return {
            "requests": [
                {"method": seen.method, "path": seen.path, "format": seen.format, "body": seen.body.decode()}
                for seen in scope.requests
            ],
            "connections": [vars(seen) for seen in scope.connections],
        }


def _close(seen: SeenConnection, at: float, *, by_client: bool, is_complete: bool) -> None:
    seen.closed_at, seen.is_complete = at, is_complete
    seen.closed_by = "client" if by_client else "server"


async def _wait_for_close(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        while await reader.read(1024):
            pass


async def _send_json(sender: Sender, status: int, data: object) -> None:
    await sender.whole(status, json.dumps(data).encode(), {"content-type": "application/json"})


async def _send_found(sender: Sender, data: object) -> None:
    found = {"error": {"message": "no such address", "code": "not_found"}} if data is None else data
    await _send_json(sender, 404 if data is None else 200, found)


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        data = json.loads(body)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
