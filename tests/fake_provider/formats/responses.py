"""OpenAI's Responses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from ..answers import Answer, Call, Question, Reasoning, Text, pieces, words
from .format import Frames, dump, function_tools, last_user_text, sse, text_of

_BASE = {"id": "resp_1", "object": "response", "created_at": 1790000000, "model": "fake", "error": None}


class Responses:
    name = "responses"
    content_type = "text/event-stream; charset=utf-8"
    headers: tuple[str, ...] = ("authorization", "api-key")
    garbage = b"event: response.output_text.delta\ndata: {this is not JSON\n\n"

    def knows(self, path: str, body: Mapping[str, Any]) -> bool:
        return path.endswith("/responses")

    def read(self, path: str, body: Mapping[str, Any]) -> Question:
        items = body["input"]
        results: list[str] = []
        for item in reversed(items):
            if item.get("type") != "function_call_output":
                break
            results.insert(0, text_of(item["output"]))
        settings = body.get("text", {}).get("format", {})
        choice = body.get("tool_choice", "auto")
        return Question(
            model=str(body.get("model", "")),
            system=str(body.get("instructions", "")),
            text=last_user_text(items),
            results=tuple(results),
            tools=function_tools(body.get("tools")),
            may_call=choice != "none",
            must_call=choice == "required",
            output_schema=settings.get("schema")
            or ({"type": "object"} if "json_object" in settings.values() else None),
            is_streamed=bool(body.get("stream")),
        )

    def stream(self, answer: Answer, question: Question) -> Frames:
        numbers = count()
        frames = [sse({**data, "sequence_number": next(numbers)}, data["type"]) for data in _events(answer)]
        return Frames(tuple(frames), len(frames) - 1)

    def complete(self, answer: Answer, question: Question) -> bytes:
        return dump(_whole(answer))

    def error(self, status: int, message: str) -> bytes:
        return dump({"error": {"message": message, "type": "told", "param": None, "code": None}})


def _events(answer: Answer) -> Iterator[dict[str, Any]]:
    begun = {**_BASE, "status": "in_progress", "output": [], "usage": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, part in enumerate(answer.parts):
        item = _item(answer, index, part)
        at = {"output_index": index}
        begin = {**item, "status": "in_progress"} | {
            name: [] if name in ("content", "summary") else ""
            for name in ("content", "summary", "arguments")
            if name in item
        }
        yield {"type": "response.output_item.added", **at, "item": begin}
        yield from _deltas(part, {**at, "item_id": item["id"]})
        yield {"type": "response.output_item.done", **at, "item": item}
    whole = _whole(answer)
    yield {"type": f"response.{whole['status']}", "response": whole}


def _deltas(part: Text | Reasoning | Call, at: dict[str, Any]) -> Iterator[dict[str, Any]]:
    match part:
        case Text():
            at = {**at, "content_index": 0}
            empty = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
            yield {"type": "response.content_part.added", **at, "part": empty}
            for word in words(part.text):
                yield {"type": "response.output_text.delta", **at, "delta": word, "logprobs": []}
            yield {"type": "response.output_text.done", **at, "text": part.text, "logprobs": []}
            yield {"type": "response.content_part.done", **at, "part": {**empty, "text": part.text}}
        case Reasoning():
            at = {**at, "summary_index": 0}
            for word in words(part.text):
                yield {"type": "response.reasoning_summary_text.delta", **at, "delta": word}
            yield {"type": "response.reasoning_summary_text.done", **at, "text": part.text}
        case Call():
            for piece in pieces(part.arguments):
                yield {"type": "response.function_call_arguments.delta", **at, "delta": piece}
            yield {"type": "response.function_call_arguments.done", **at, "arguments": part.arguments}


def _item(answer: Answer, index: int, part: Text | Reasoning | Call) -> dict[str, Any]:
    match part:
        case Text():
            content = [{"type": "output_text", "annotations": [], "logprobs": [], "text": part.text}]
            return {
                "id": f"msg_{index}",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": content,
            }
        case Reasoning():
            summary = [{"type": "summary_text", "text": part.text}]
            return {"id": f"rs_{index}", "type": "reasoning", "summary": summary, "encrypted_content": "gAAAAABo"}
        case Call():
            call = {"call_id": f"call_{answer.number(part)}", "name": part.name, "arguments": part.arguments}
            return {"id": f"fc_{index}", "type": "function_call", "status": "completed", **call}


def _whole(answer: Answer) -> dict[str, Any]:
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(answer.finish)
    usage = {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens}
    return {
        **_BASE,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": [_item(answer, index, part) for index, part in enumerate(answer.parts)],
        "usage": {**usage, "total_tokens": sum(usage.values())},
    }
