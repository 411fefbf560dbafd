"""Cohere's chat, version 2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..answers import Answer, Call, Question, Reasoning, Text, pieces, words
from .format import Frames, dump, question_of, sse

_REASONS = {"stop": "COMPLETE", "length": "MAX_TOKENS", "content_filter": "ERROR_TOXIC"}


class Cohere:
    name = "cohere"
    content_type = "text/event-stream"
    headers: tuple[str, ...] = ("authorization",)
    garbage = b"event: content-delta\ndata: {this is not JSON\n\n"

    def knows(self, path: str, body: Mapping[str, Any]) -> bool:
        return path.endswith("/v2/chat")

    def read(self, path: str, body: Mapping[str, Any]) -> Question:
        response_format = body.get("response_format") or {}
        schema = response_format.get("json_schema") or ({"type": "object"} if response_format else None)
        choice = body.get("tool_choice", "")
        return question_of(
            body,
            may_call=choice != "NONE",
            must_call=choice == "REQUIRED",
            output_schema=schema,
            is_streamed=bool(body.get("stream")),
        )

    def stream(self, answer: Answer, question: Question) -> Frames:
        frames = [sse(data, data["type"]) for data in _events(answer)]
        return Frames(tuple(frames), len(frames) - 1)

    def complete(self, answer: Answer, question: Question) -> bytes:
        message: dict[str, Any] = {"role": "assistant"}
        for part in answer.parts:
            match part:
                case Text():
                    message.setdefault("content", []).append({"type": "text", "text": part.text})
                case Reasoning():
                    message.setdefault("content", []).append({"type": "thinking", "thinking": part.text})
                case Call():
                    message.setdefault("tool_calls", []).append(_call(answer, part, part.arguments))
        return dump({"id": "1", "message": message, **_end(answer)})

    def error(self, status: int, message: str) -> bytes:
        return dump({"id": "x", "message": message})


def _events(answer: Answer) -> Iterator[dict[str, Any]]:
    yield {"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant", "content": []}}}
    contents = 0
    for part in answer.parts:
        if isinstance(part, Call):
            yield from _call_events(answer, part)
            continue
        kind, name = ("text", "text") if isinstance(part, Text) else ("thinking", "thinking")
        yield _content("content-start", contents, {"type": kind, name: ""})
        for word in words(part.text):
            yield _content("content-delta", contents, {name: word})
        yield {"type": "content-end", "index": contents}
        contents += 1
    yield {"type": "message-end", "delta": _end(answer)}


def _content(type: str, index: int, content: Mapping[str, str]) -> dict[str, Any]:
    return {"type": type, "index": index, "delta": {"message": {"content": content}}}


def _call_events(answer: Answer, call: Call) -> Iterator[dict[str, Any]]:
    index = answer.number(call)
    start = {"message": {"tool_calls": _call(answer, call, "")}}
    yield {"type": "tool-call-start", "index": index, "delta": start}
    for piece in pieces(call.arguments):
        delta = {"message": {"tool_calls": {"function": {"arguments": piece}}}}
        yield {"type": "tool-call-delta", "index": index, "delta": delta}
    yield {"type": "tool-call-end", "index": index}


def _call(answer: Answer, call: Call, arguments: str) -> dict[str, Any]:
    id = f"{call.name}_{answer.number(call)}"
    return {"id": id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _end(answer: Answer) -> dict[str, Any]:
    tokens = {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens}
    reason = "TOOL_CALL" if answer.calls and answer.finish == "stop" else _REASONS[answer.finish]
    return {"finish_reason": reason, "usage": {"billed_units": tokens, "tokens": tokens}}
