"""A provider that speaks chat completions on 127.0.0.1 over real sockets, for tests; `python -m tests.fake_server`.

What it answers is written as a short text, a recipe, given to the constructor or as the name of the model:

    text:some words      streams the words              slow:some words   with a pause before each
    tool:name:{"a": 1}   calls a tool; once it has run, says its result
    echo                 repeats the user's last words  reason:some words thinks before it speaks
    429:2                429 with `retry-after: 2`      500               any status with an error body
    cut:some words       closes before the end          garbage           an event that is not JSON
    hang                 never answers                  hang:some words   falls silent after the words
    html                 a web page                     length:words, filter, empty

Recipes joined by `|` are used one request after the other, the last one for all that follow: `429:0|text:hello`.
`GET /requests` and `GET /closes` tell a test in another process what was seen. Never outlives `lifetime_seconds`.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

DEFAULT_RECIPE = "text:Hello from the fake server."
SILENCE_SECONDS = 60.0
"""How long `hang` hangs when nobody closes."""
PAUSE_SECONDS = 0.2


@dataclass(frozen=True)
class SeenRequest:
    """A request as it arrived; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class _Record:
    changed: threading.Condition = field(default_factory=threading.Condition)
    requests: list[SeenRequest] = field(default_factory=list)
    closes: list[float] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


class FakeServer:
    """Serves from `with` to its end. `cors` says whether pages are let in, `key` which key it wants, if any."""

    def __init__(
        self,
        *recipes: str,
        cors: bool = True,
        key: str | None = None,
        port: int = 0,
        lifetime_seconds: float = 120.0,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._record = _Record()
        self._is_stopping = threading.Event()
        record, stopping = self._record, self._is_stopping

        class Handler(_Handler):
            pass

        Handler.record, Handler.stopping, Handler.recipes = record, stopping, recipes
        Handler.cors, Handler.key, Handler.pause_seconds = cors, key, pause_seconds
        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._timer = threading.Timer(lifetime_seconds, self._server.shutdown)
        self._timer.daemon = True

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def requests(self) -> list[SeenRequest]:
        """What was asked for, without preflights."""
        with self._record.changed:
            return [request for request in self._record.requests if request.method == "POST"]

    def wait_for_requests(self, count: int, timeout_seconds: float = 10.0) -> list[SeenRequest]:
        """Wait until so many requests have arrived. Raises `TimeoutError`."""
        with self._record.changed:
            if not self._record.changed.wait_for(lambda: len(self.requests) >= count, timeout_seconds):
                raise TimeoutError(f"{len(self.requests)} of {count} requests arrived")
        return self.requests

    def wait_for_close(self, count: int = 1, timeout_seconds: float = 10.0) -> float:
        """Wait until the client has closed so many unfinished answers; give the time (`time.monotonic`) of the last."""
        with self._record.changed:
            if not self._record.changed.wait_for(lambda: len(self._record.closes) >= count, timeout_seconds):
                raise TimeoutError(f"the client closed {len(self._record.closes)} of {count} times")
            return self._record.closes[count - 1]

    @property
    def closes(self) -> int:
        """How many answers the client closed before their end."""
        with self._record.changed:
            return len(self._record.closes)

    def start(self) -> None:
        self._thread.start()
        self._timer.start()

    def wait(self) -> None:
        """Wait until the lifetime is over."""
        self._thread.join()

    def close(self) -> None:
        self._is_stopping.set()
        self._timer.cancel()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def __enter__(self) -> FakeServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Closed(Exception):
    """The client went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    record: _Record
    stopping: threading.Event
    recipes: Sequence[str]
    cors: bool
    key: str | None
    pause_seconds: float

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def do_OPTIONS(self) -> None:
        self._note()
        self._send(204 if self.cors else 405, b"")

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/requests":
            with self.record.changed:
                seen = [
                    {"method": r.method, "path": r.path, "headers": dict(r.headers), "body": r.body.decode()}
                    for r in self.record.requests
                ]
            self._send_json(200, seen)
        elif path == "/closes":
            with self.record.changed:
                self._send_json(200, {"count": len(self.record.closes)})
        elif path == "/v1/models":
            self._send_json(200, {"object": "list", "data": [{"id": "fake", "object": "model"}]})
        else:
            self._send_json(404, {"error": {"message": "no such address", "code": "not_found"}})

    def do_POST(self) -> None:
        body = self._note()
        if self.path != "/v1/chat/completions":
            self._send_json(404, {"error": {"message": "no such address", "code": "not_found"}})
            return
        if self.key is not None and self.headers.get("authorization") != f"Bearer {self.key}":
            # Real servers repeat what they were sent; so does this one, to see that it goes no further.
            self._send_json(
                401,
                {"error": {"message": f"bad key {self.headers.get('authorization')}", "code": "invalid_api_key"}},
            )
            return
        question = json.loads(body)
        try:
            self._answer(self._recipe(str(question.get("model", ""))), question)
        except (_Closed, ConnectionError):
            with self.record.changed:
                self.record.closes.append(time.monotonic())
                self.record.changed.notify_all()
            self.close_connection = True

    def _note(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.record.changed:
            self.record.requests.append(SeenRequest(self.command, self.path, headers, body))
            self.record.changed.notify_all()
        return body

    def _recipe(self, model: str) -> str:
        if self.recipes:
            name, recipes = "", list(self.recipes)
        else:
            name, recipes = model, model.split("|")
        with self.record.changed:
            count = self.record.counts.get(name, 0)
            self.record.counts[name] = count + 1
        return recipes[min(count, len(recipes) - 1)]

    # --- what the recipes mean ---

    def _answer(self, recipe: str, question: dict[str, Any]) -> None:
        kind, _, rest = recipe.partition(":")
        if kind.isdigit() and len(kind) == 3:
            self._send_json(
                int(kind),
                {"error": {"message": f"status {kind} as told", "type": "told", "code": None}},
                {"retry-after": rest} if rest else {},
            )
        elif recipe == "hang":
            self._wait(SILENCE_SECONDS)
        elif kind == "html":
            self._send(200, b"<!doctype html><title>Sign in</title>", {"content-type": "text/html"})
        else:
            self._stream(kind, rest, question)

    def _stream(self, kind: str, rest: str, question: dict[str, Any]) -> None:
        self.send_response(200)
        self._send_cors()
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        last = question["messages"][-1]
        finish = "stop"
        if kind == "tool" and last["role"] != "tool":
            name, _, arguments = rest.partition(":")
            finish = "tool_calls"
            call_id = f"call_{len(question['messages'])}"
            self._delta({"tool_calls": [{"index": 0, "id": call_id, "function": {"name": name, "arguments": ""}}]})
            for start in range(0, len(arguments), 7):
                part = arguments[start : start + 7]
                self._delta({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
        elif kind == "garbage":
            self._write(b"data: {this is not JSON\n\n")
        elif kind != "empty" and kind != "filter":
            if kind == "reason":
                self._delta({"reasoning_content": "Let me think."})
            for word in _words(_words_of(kind, rest, last)):
                if kind == "slow":
                    self._wait(self.pause_seconds)
                self._delta({"content": word})
        if kind == "hang":
            self._wait(SILENCE_SECONDS)
        if kind == "cut":
            self.close_connection = True
            return
        finish = {"length": "length", "filter": "content_filter"}.get(kind, finish)
        self._event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        self._event({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}})
        # In one piece: a client that has read the mark closes without waiting for the rest.
        self.wfile.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    def _delta(self, delta: dict[str, Any]) -> None:
        self._event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})

    def _event(self, data: dict[str, Any]) -> None:
        whole = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "fake", **data}
        self._write(b"data: " + json.dumps(whole).encode() + b"\n\n")

    def _write(self, data: bytes) -> None:
        self._wait(0)
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _wait(self, seconds: float) -> None:
        """Wait, but notice at once when the client closes. Raises `_Closed`."""
        deadline = time.monotonic() + seconds
        while True:
            left = max(0.0, min(0.05, deadline - time.monotonic()))
            readable, _, _ = select.select([self.connection], [], [], left)
            if readable:
                try:
                    is_closed = not self.connection.recv(1, socket.MSG_PEEK)
                except ConnectionError:
                    is_closed = True
                if is_closed:
                    raise _Closed
            if self.stopping.is_set():
                raise ConnectionAbortedError("the server stops")
            if time.monotonic() >= deadline:
                return

    # --- whole answers ---

    def _send_json(self, status: int, data: object, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps(data).encode(), {"content-type": "application/json", **(headers or {})})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self._send_cors()
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_cors(self) -> None:
        if self.cors:
            self.send_header("access-control-allow-origin", self.headers.get("origin") or "*")
            # As strict as the strictest provider: a page may send these two headers and no other.
            self.send_header("access-control-allow-headers", "content-type, authorization")
            self.send_header("access-control-allow-methods", "POST, GET")
            self.send_header("access-control-max-age", "0")


def _words_of(kind: str, rest: str, last: Mapping[str, Any]) -> str:
    content = last.get("content")
    if kind == "tool":
        return f"The tool says: {content}"
    if kind == "echo":
        return f"You said: {content}"
    if kind in ("text", "slow", "cut", "hang", "length", "reason") and rest:
        return rest
    return DEFAULT_RECIPE.partition(":")[2]


def _words(text: str) -> Iterator[str]:
    words = text.split(" ")
    for number, word in enumerate(words):
        yield word if number == len(words) - 1 else f"{word} "


def main() -> None:
    parser = argparse.ArgumentParser(description="serve a fake provider on 127.0.0.1; prints its port")
    parser.add_argument("recipes", nargs="*", help="what to answer; without any, the name of the model says it")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--no-cors", action="store_true", help="let no page in")
    parser.add_argument("--key", help="refuse every other key")
    parser.add_argument("--seconds", type=float, default=600.0, help="end by itself after so long")
    options = parser.parse_args()
    server = FakeServer(
        *options.recipes,
        cors=not options.no_cors,
        key=options.key,
        port=options.port,
        lifetime_seconds=options.seconds,
    )
    with server:
        print(server.port, flush=True)
        server.wait()


if __name__ == "__main__":
    main()
