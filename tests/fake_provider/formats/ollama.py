"""Ollama's own chat: one JSON object a line; arguments come as objects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..answers import Answer, Call, Question, Reasoning, Text, words
from .format import Frames, dump, question_of

BASE = {"model": "fake", "created_at": "2026-11-22T21:00:00.123456789Z"}


class Ollama:
    name = "ollama"
    content_type = "application/x-ndjson"
    headers: tuple[str, ...] = ("authorization",)
    garbage = b"{this is not JSON\n"

    def knows(self, path: str, body: Mapping[str, Any]) -> bool:
        return path.endswith("/api/chat")

    def read(self, path: str, body: Mapping[str, Any]) -> Question:
        schema = body.get("format")
        return question_of(
            body,
            output_schema={"type": "object"} if schema == "json" else schema,
            is_streamed=body.get("stream", True) is True,
        )

    def stream(self, answer: Answer, question: Question) -> Frames:
        frames = [
            dump({**BASE, "message": {"role": "assistant", "content": "", **fields}, "done": False}) + b"\n"
            for fields in _messages(answer)
        ]
        end = {**BASE, "message": {"role": "assistant", "content": ""}, **_end(answer)}
        return Frames((*frames, dump(end) + b"\n"), len(frames))

    def complete(self, answer: Answer, question: Question) -> bytes:
        message: dict[str, Any] = {"role": "assistant", "content": "", "tool_calls": []}
        for fields in _messages(answer):
            for name, value in fields.items():
                message[name] = message.get(name, "") + value if isinstance(value, str) else [*message[name], *value]
        return dump({**BASE, "message": message, **_end(answer)})

    def error(self, status: int, message: str) -> bytes:
        return dump({"error": message})


def _messages(answer: Answer) -> Iterator[dict[str, Any]]:
    for part in answer.parts:
        match part:
            case Text():
                yield from ({"content": word} for word in words(part.text))
            case Reasoning():
                yield from ({"thinking": word} for word in words(part.text))
            case Call():
                function = {"name": part.name, "arguments": json.loads(part.arguments)}
                yield {"tool_calls": [{"function": function}]}


def _end(answer: Answer) -> dict[str, Any]:
    counts = {"prompt_eval_count": answer.input_tokens, "eval_count": answer.output_tokens}
    return {"done": True, "done_reason": "length" if answer.finish == "length" else "stop", **counts}
