"""The format of Cloudflare Workers AI, over its REST interface and its binding (whose streams are the same bytes).

Source: Cloudflare's documents of Workers AI ("Text generation", "Function calling", "JSON Mode", "Errors"). It is
asked much as chat completions are. Older models answer `{"response": ..., "tool_calls": ...}`, newer ones in chat
completions; complete answers stand in an envelope with `result` and `errors`, those of the binding in none. All are
read as chat completions.
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
from .wire_protocol import AnswerContext, RenderedRequest, quote_path

BINDING_URL = "http://workers-binding.ai"
"""The base URL that stands for a Worker's binding; a host whose `Fetch` answers there needs neither account nor key."""

# Its own codes by their status: the binding tells no other, and of a model that isn't there REST says 400.
_STATUSES = {
    **dict.fromkeys((5007, 3042, 7000, 7003), 404),
    **dict.fromkeys((3003, 3039, 5004), 400),
    **dict.fromkeys((3023, 3041, 5016, 5018), 403),
    **dict.fromkeys((5005, 5019), 405),
    **dict.fromkeys((3007, 3008), 408),
    3006: 413,
    **dict.fromkeys((3036, 3040), 429),
}
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
        return RenderedRequest(f"/run/{quote_path(model)}", body)

    def read_answer(self, context: AnswerContext) -> WorkersReader:
        """Begin to read an answer."""
        return WorkersReader(context)

    def read_error(
        self, status: int, headers: Mapping[str, str], body: bytes, *, provider: str, model: str, now: float
    ) -> ModelError:
        """Make the error that a refusal stands for."""
        data = as_object(read_json(body))
        errors = as_list(data.get("errors"))
        error = as_object(errors[0]) if errors else {}
        if "internalCode" in data:  # the binding's
            error = {"code": data["internalCode"], "message": data.get("description") or data.get("message")}
        code = error.get("code")
        status = _STATUSES.get(code, status) if isinstance(code, int) else status
        body = json.dumps({"error": error}).encode() if error else body
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
