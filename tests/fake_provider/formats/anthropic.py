"""Anthropic's Messages, at its own addresses and at Vertex AI's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..answers import Answer, Call, Question, Reasoning, Text, pieces, words
from .format import Frames, dump, last_user_text, sse, text_of

_REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}
_TYPES = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}
_VERTEX = re.compile(r":(?:streamRawPredict|rawPredict)$")


class Anthropic:
    name = "anthropic"
    content_type = "text/event-stream; charset=utf-8"
    headers: tuple[str, ...] = (
        "x-api-key",
        "anthropic-version",
        "anthropic-dangerous-direct-browser-access",
        "authorization",
    )
    garbage = b"event: content_block_delta\ndata: {this is not JSON\n\n"

    def knows(self, path: str, body: Mapping[str, Any]) -> bool:
        return path.endswith("/messages") or _VERTEX.search(path) is not None

    def read(self, path: str, body: Mapping[str, Any]) -> Question:
        messages = body["messages"]
        last = messages[-1]["content"]
        results = [block for block in last if block["type"] == "tool_result"] if isinstance(last, list) else []
        settings = body.get("output_config", {}).get("format") or body.get("output_format") or {}
        choice = body.get("tool_choice", {}).get("type", "auto")
        return Question(
            model=str(body.get("model", "")),
            system=text_of(body.get("system")),
            text=last_user_text(messages),
            results=tuple(text_of(block.get("content")) for block in results),
            tools={tool["name"]: tool.get("input_schema", {}) for tool in body.get("tools", ())},
            may_call=choice != "none",
            must_call=choice in ("any", "tool"),
            output_schema=settings.get("schema"),
            is_streamed=bool(body.get("stream")),
        )

    def stream(self, answer: Answer, question: Question) -> Frames:
        events = list(_events(answer))
        return Frames(tuple(sse(data, data["type"]) for data in events), len(events) - 2)

    def complete(self, answer: Answer, question: Question) -> bytes:
        content = [_whole(answer, part) for part in answer.parts]
        return dump({**_message(answer), "content": content, "stop_reason": _reason(answer), "usage": _usage(answer)})

    def error(self, status: int, message: str) -> bytes:
        return dump({"type": "error", "error": {"type": _TYPES.get(status, "api_error"), "message": message}})


def _events(answer: Answer) -> Iterator[dict[str, Any]]:
    yield {"type": "message_start", "message": {**_message(answer), "content": [], "stop_reason": None}}
    yield {"type": "ping"}
    for index, part in enumerate(answer.parts):
        yield {"type": "content_block_start", "index": index, "content_block": _empty(answer, part)}
        for delta in _deltas(part):
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    end = {"stop_reason": _reason(answer), "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": answer.output_tokens}}
    yield {"type": "message_stop"}


def _deltas(part: Text | Reasoning | Call) -> Iterator[dict[str, str]]:
    match part:
        case Text():
            yield from ({"type": "text_delta", "text": word} for word in words(part.text))
        case Reasoning():
            yield from ({"type": "thinking_delta", "thinking": word} for word in words(part.text))
            yield {"type": "signature_delta", "signature": "EqQB"}
        case Call():
            yield {"type": "input_json_delta", "partial_json": ""}
            yield from ({"type": "input_json_delta", "partial_json": piece} for piece in pieces(part.arguments))


def _empty(answer: Answer, part: Text | Reasoning | Call) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": ""}
        case Reasoning():
            return {"type": "thinking", "thinking": "", "signature": ""}
        case Call():
            return {"type": "tool_use", "id": f"toolu_{answer.number(part)}", "name": part.name, "input": {}}


def _whole(answer: Answer, part: Text | Reasoning | Call) -> dict[str, Any]:
    block = _empty(answer, part)
    match part:
        case Text():
            return {**block, "text": part.text}
        case Reasoning():
            return {**block, "thinking": part.text, "signature": "EqQB"}
        case Call():
            return {**block, "input": json.loads(part.arguments)}


def _message(answer: Answer) -> dict[str, Any]:
    message = {"model": "fake", "id": "msg_1", "type": "message", "role": "assistant", "stop_sequence": None}
    return {**message, "usage": {**_usage(answer), "output_tokens": 1}}


def _usage(answer: Answer) -> dict[str, int]:
    return {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens}


def _reason(answer: Answer) -> str:
    return "tool_use" if answer.calls and answer.finish == "stop" else _REASONS[answer.finish]
