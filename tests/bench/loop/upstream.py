"""A provider on 127.0.0.1 that says one long answer as chat completions, as fast as the socket takes it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

PIECE_BYTES = 1 << 14
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Allow-Methods": "POST, OPTIONS",
}


class Upstream(ThreadingHTTPServer):
    """Serves from `with` to its end; `body` is the whole answer of so many tokens."""

    daemon_threads = True

    def __init__(self, tokens: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        events = [_chunk({"content": f"word{number % 10} "}, None) for number in range(tokens)]
        lines = [*events, _chunk({}, "stop"), "[DONE]"]
        self.body = "".join(f"data: {line}\n\n" for line in lines).encode()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self) -> Upstream:
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join(10)
        self.server_close()


def _chunk(delta: dict[str, str], reason: str | None) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    head = {"id": "chatcmpl-A", "object": "chat.completion.chunk", "created": 1764288000, "model": "gpt-5-mini"}
    return json.dumps({**head, "choices": [choice]}, separators=(",", ":"))


class _Handler(BaseHTTPRequestHandler):
    server: Upstream

    def do_OPTIONS(self) -> None:
        self._head(204, {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._head(200, {"Content-Type": "text/event-stream"})
        body = self.server.body
        for place in range(0, len(body), PIECE_BYTES):
            self.wfile.write(body[place : place + PIECE_BYTES])

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**CORS, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass
