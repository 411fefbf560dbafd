"""Gemini's generateContent, at the addresses of the Gemini API and of Vertex AI; calls come whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from ..answers import Answer, Call, Question, Reasoning, Text, words
from .format import Frames, dump, sse, text_of

_REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}
_PATH = re.compile(r"/models/([^/]+):(streamGenerateContent|generateContent)$")
_STATUSES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}


class Gemini:
    name = "gemini"
    content_type = "text/event-stream; charset=utf-8"
    headers: tuple[str, ...] = ("x-goog-api-key", "authorization")
    garbage = b"data: {this is not JSON\n\n"

    def knows(self, path: str, body: Mapping[str, Any]) -> bool:
        return _PATH.search(path) is not None

    def read(self, path: str, body: Mapping[str, Any]) -> Question:
        contents = body["contents"]
        match = _PATH.search(path)
        assert match is not None
        parts = [part for content in contents if content.get("role") == "user" for part in content["parts"]]
        texts = [part["text"] for part in parts if "text" in part]
        last = contents[-1]["parts"]
        results = [part["functionResponse"]["response"] for part in last if "functionResponse" in part]
        settings = body.get("generationConfig", {})
        declared = [tool for group in body.get("tools", ()) for tool in group.get("functionDeclarations", ())]
        mode = body.get("toolConfig", {}).get("functionCallingConfig", {}).get("mode", "AUTO")
        return Question(
            model=unquote(match[1]),
            system=text_of(body.get("systemInstruction", {}).get("parts")),
            text=texts[-1] if texts else "",
            results=tuple(_result(result) for result in results),
            tools={
                tool["name"]: tool.get("parameters") or tool.get("parametersJsonSchema") or {"type": "object"}
                for tool in declared
            },
            may_call=mode != "NONE",
            must_call=mode == "ANY",
            output_schema=settings.get("responseJsonSchema") or settings.get("responseSchema"),
            is_streamed=match[2] == "streamGenerateContent",
        )

    def stream(self, answer: Answer, question: Question) -> Frames:
        parts = list(_parts(answer)) or [{"text": ""}]
        frames = [sse(_piece(answer, [part])) for part in parts]
        frames.append(sse(_piece(answer, [{"text": ""}], _REASONS[answer.finish])))
        return Frames(tuple(frames), len(frames) - 1)

    def complete(self, answer: Answer, question: Question) -> bytes:
        return dump(_piece(answer, list(_parts(answer)), _REASONS[answer.finish]))

    def error(self, status: int, message: str) -> bytes:
        return dump({"error": {"code": status, "message": message, "status": _STATUSES.get(status, "INTERNAL")}})


def _parts(answer: Answer) -> Iterator[dict[str, Any]]:
    for part in answer.parts:
        match part:
            case Text():
                yield from ({"text": word} for word in words(part.text))
            case Reasoning():
                yield from ({"text": word, "thought": True} for word in words(part.text))
            case Call():
                call = {"name": part.name, "args": json.loads(part.arguments)}
                yield {"functionCall": {**call, "id": f"fc-{answer.number(part)}"}, "thoughtSignature": "EpwC"}


def _piece(answer: Answer, parts: list[dict[str, Any]], reason: str | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if reason is not None:
        candidate["finishReason"] = reason
    counts = {"promptTokenCount": answer.input_tokens, "candidatesTokenCount": answer.output_tokens}
    return {"candidates": [candidate], "usageMetadata": counts, "modelVersion": "fake", "responseId": "1"}


def _result(response: Any) -> str:
    value = response.get("output", response.get("error", response))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
