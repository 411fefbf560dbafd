"""A request and a reply as values, and the one way to refuse a request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

JSON = "application/json"
EVENT_STREAM: Mapping[str, str] = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",  # nginx would keep events back
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was read whole. `path` is as it was sent, with percent signs; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. A body that is a stream is closed (`aclose`) when its reader goes away.

    `raw` is a response of the host's own, sent as it is in the place of all else.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | AsyncIterator[bytes] = b""
    raw: object = None


class HttpError(Exception):
    """A request that is not carried out. Its text is sent to the client: no key, prompt or trace may be in it."""

    def __init__(self, status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


def json_reply(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """Give JSON. What it says is of one caller, so no cache may keep it."""
    body = json.dumps(data, separators=(",", ":")).encode()
    return Reply(status, {"content-type": JSON, "cache-control": "no-store", **(headers or {})}, body)


def error_reply(error: HttpError) -> Reply:
    """Give a refusal in the shape that OpenAI's clients know."""
    kind = "server_error" if error.status >= 500 else "invalid_request_error"
    data = {"error": {"message": error.message, "type": kind, "param": None, "code": error.code}}
    return json_reply(data, error.status, error.headers)


def sse(data: object, id: int | str | None = None) -> bytes:
    """Give one server-sent event with JSON in it.

    >>> sse({"type": "text"}, 7)
    b'id: 7\\ndata: {"type":"text"}\\n\\n'
    """
    head = "" if id is None else f"id: {id}\n"
    return f"{head}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


DONE = b"data: [DONE]\n\n"
"""What ends a stream, for OpenAI's clients and the AI SDK."""
