"""Chat completions, as OpenAI and its imitators stream them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..answers import Answer, Call, Question, Reasoning, Text, pieces, words
from .format import Frames, dump, question_of, sse

BASE = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1790000000, "model": "fake"}


class ChatCompletions:
    name = "chat_completions"
    content_type = "text/event-stream; charset=utf-8"
    headers: tuple[str, ...] = ("authorization", "api-key")
    garbage = b"data: {this is not JSON\n\n"

    def knows(self, path: str, body: Mapping[str, Any]) -> bool:
        return path.endswith("/chat/completions")

    def read(self, path: str, body: Mapping[str, Any]) -> Question:
        response_format = body.get("response_format") or {}
        found = response_format.get("json_schema") or {}
        schema = found.get("schema", found) or None
        if schema is None and response_format.get("type") == "json_object":
            schema = {"type": "object"}
        choice = body.get("tool_choice", "auto")
        return question_of(
            body,
            may_call=choice != "none",
            must_call=choice == "required",
            output_schema=schema,
            is_streamed=bool(body.get("stream")),
        )

    def stream(self, answer: Answer, question: Question) -> Frames:
        frames = [sse({**BASE, "choices": [choice(delta)]}) for delta in deltas(answer)]
        end = len(frames)
        frames.append(sse({**BASE, "choices": [choice({}, finish_reason(answer))]}))
        frames.append(sse({**BASE, "choices": [], "usage": usage(answer)}))
        return Frames((*frames, b"data: [DONE]\n\n"), end)

    def complete(self, answer: Answer, question: Question) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": None}
        for part in answer.parts:
            match part:
                case Text():
                    message["content"] = (message["content"] or "") + part.text
                case Reasoning():
                    message["reasoning_content"] = part.text
                case Call():
                    message.setdefault("tool_calls", []).append(call_start(answer, part, part.arguments))
        choices = [{"index": 0, "message": message, "finish_reason": finish_reason(answer)}]
        return dump({**BASE, "object": "chat.completion", "choices": choices, "usage": usage(answer)})

    def error(self, status: int, message: str) -> bytes:
        return dump({"error": {"message": message, "type": "told", "param": None, "code": None}})


def deltas(answer: Answer) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for part in answer.parts:
        match part:
            case Text():
                yield from ({"content": word} for word in words(part.text))
            case Reasoning():
                yield from ({"reasoning_content": word} for word in words(part.text))
            case Call():
                index = answer.number(part)
                yield {"tool_calls": [call_start(answer, part, "")]}
                for piece in pieces(part.arguments):
                    yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def call_start(answer: Answer, call: Call, arguments: str) -> dict[str, Any]:
    index = answer.number(call)
    function = {"name": call.name, "arguments": arguments}
    return {"index": index, "id": f"call_{index}", "type": "function", "function": function}


def choice(delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}


def finish_reason(answer: Answer) -> str:
    return "tool_calls" if answer.calls and answer.finish == "stop" else answer.finish


def usage(answer: Answer) -> dict[str, int]:
    total = answer.input_tokens + answer.output_tokens
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": total,
    }
