"""The format of Cloudflare Workers AI, over its REST interface and its binding (whose streams are the same bytes).

Source: Cloudflare's documents of Workers AI ("Text generation", "Function calling", "JSON Mode", "Errors"). It is
asked much as chat completions are. Older models answer `{"response": ..., "tool_calls": ...}`, newer ones in chat
completions; complete answers stand in an envelope with `result` and `errors`. Both are read as chat completions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import ModelError
from ..model import ModelRequest
from ..sse import ServerEvent
from ..wire import JsonObject
from .chat_completions import ChatReader, Dialect, render_request
from .http_errors import error_from_response
from .json_answer import as_list, as_object, read_json
from .wire_protocol import AnswerContext, RenderedRequest, quote_segment

# What its own codes say more exactly than the status: no such model, no such address, the day's allowance is used up.
_STATUSES = {5007: 404, 7000: 404, 7003: 404, 3036: 429}
_DIALECT = Dialect(has_stream_options=False)


@dataclass(frozen=True, slots=True)
class WorkersAI:
    """The format as a `WireProtocol`."""

    def render(self, request: ModelRequest, *, model: str, model_id: str) -> RenderedRequest:
        """Make what asks `model` for a streamed answer."""
        body = render_request(request, model=model, model_id=model_id, dialect=_DIALECT)
        del body["model"]
        if request.output_schema is not None and "response_format" not in request.extra:
            # JSON mode can't be streamed.
            body |= {"response_format": {"type": "json_schema", "json_schema": request.output_schema}, "stream": False}
        body["messages"] = [
            {**as_object(message), "content": as_object(message).get("content") or ""}
            for message in as_list(body["messages"])
        ]
        path = "/".join(quote_segment(segment) for segment in model.split("/"))
        return RenderedRequest(f"/run/{path.replace('%40', '@')}", body)

    def read_answer(self, context: AnswerContext) -> WorkersReader:
        """Begin to read an answer."""
        return WorkersReader(context)

    def read_error(
        self, status: int, headers: Mapping[str, str], body: bytes, *, provider: str, model: str, now: float
    ) -> ModelError:
        """Make the error that a refusal stands for."""
        error = as_list(as_object(read_json(body)).get("errors"))[:1]
        code = as_object(error[0]).get("code") if error else None
        status = _STATUSES.get(code, status) if isinstance(code, int) else status
        body = json.dumps({"error": error[0]}).encode() if error else body
        return error_from_response(status, headers, body, provider=provider, model=model, now=now)


class WorkersReader(ChatReader):
    """Reads one answer; lives as long as the response."""

    def _take_text(self, event: ServerEvent, text: str, *, is_last: bool) -> None:
        super()._take_text(event, text, is_last=is_last)
        if self.is_done and self._finish_reason is None:
            self._finish_reason = "stop"  # older models name no reason

    def _read_event(self, name: str, data: JsonObject) -> None:
        if data.get("success") is False and as_list(data.get("errors")):
            data = {"error": as_list(data["errors"])[0]}
        data = as_object(data.get("result")) or data
        if "choices" not in data and ("response" in data or "tool_calls" in data):
            response = data.get("response")
            delta: JsonObject = {
                "content": response if isinstance(response, str) or response is None else json.dumps(response),
                "tool_calls": [_translate(as_object(call)) for call in as_list(data.get("tool_calls"))],
            }
            reason = None if self._complete is None else "stop"
            data = {**data, "choices": [{"delta": delta, "finish_reason": reason}]}
        super()._read_event(name, data)


def _translate(call: JsonObject) -> JsonObject:
    """Read a call of an older model, which has neither index nor id: each comes whole."""
    return (
        call
        if "function" in call
        else {"function": {name: call[name] for name in ("name", "arguments") if name in call}}
    )
