"""Bedrock's Converse, in Amazon's binary event stream. Signatures and keys are not looked at."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote
from zlib import crc32

from ..answers import Answer, Call, Question, Reasoning, Text, pieces, words
from .format import Frames, dump, text_of

_REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "content_filtered"}
_PATH = re.compile(r"/model/([^/]+)/(converse-stream|converse)$")


class Bedrock:
    name = "bedrock"
    content_type = "application/vnd.amazon.eventstream"
    headers: tuple[str, ...] = ("authorization", "x-amz-date", "x-amz-security-token", "accept")
    garbage = b"\x00\x00\x00\x30\x00\x00\x00\x10 this is no message of an event stream "

    def knows(self, path: str, body: Mapping[str, Any]) -> bool:
        return _PATH.search(path) is not None

    def read(self, path: str, body: Mapping[str, Any]) -> Question:
        match = _PATH.search(path)
        assert match is not None
        users = [block for turn in body["messages"] if turn["role"] == "user" for block in turn["content"]]
        texts = [block["text"] for block in users if "text" in block]
        results = [block["toolResult"] for block in body["messages"][-1]["content"] if "toolResult" in block]
        config = body.get("toolConfig", {})
        tools = [tool["toolSpec"] for tool in config.get("tools", ()) if "toolSpec" in tool]
        structure = body.get("outputConfig", {}).get("textFormat", {}).get("structure", {})
        schema = structure.get("jsonSchema", {}).get("schema")
        return Question(
            model=unquote(match[1]),
            system=text_of(body.get("system")),
            text=texts[-1] if texts else "",
            results=tuple(text_of(result["content"]) for result in results),
            tools={tool["name"]: tool["inputSchema"]["json"] for tool in tools},
            must_call=bool({"any", "tool"} & config.get("toolChoice", {}).keys()),
            output_schema=json.loads(schema) if isinstance(schema, str) else schema,
            is_streamed=match[2] == "converse-stream",
        )

    def stream(self, answer: Answer, question: Question) -> Frames:
        frames = tuple(encode(name, dump(data)) for name, data in _events(answer))
        return Frames(frames, len(frames) - 2)

    def complete(self, answer: Answer, question: Question) -> bytes:
        message = {"role": "assistant", "content": [_whole(answer, part) for part in answer.parts]}
        return dump({"output": {"message": message}, "stopReason": _reason(answer), "usage": _usage(answer)})

    def error(self, status: int, message: str) -> bytes:
        return dump({"message": message})


def encode(name: str, payload: bytes) -> bytes:
    """Write one message: lengths, their checksum, headers, payload, checksum of all."""
    named = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        struct.pack("!B", len(key)) + key.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for key, value in named.items()
    )
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack("!I", crc32(prelude)) + headers + payload
    return message + struct.pack("!I", crc32(message))


def _events(answer: Answer) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "messageStart", {"role": "assistant", "p": "abc"}
    for index, part in enumerate(answer.parts):
        at = {"contentBlockIndex": index}
        if isinstance(part, Call):
            start = {"toolUse": {"toolUseId": f"tooluse_{answer.number(part)}", "name": part.name}}
            yield "contentBlockStart", {**at, "start": start}
        for delta in _deltas(part):
            yield "contentBlockDelta", {**at, "delta": delta}
        yield "contentBlockStop", at
    yield "messageStop", {"stopReason": _reason(answer)}
    yield "metadata", {"usage": _usage(answer), "metrics": {"latencyMs": 1}}


def _deltas(part: Text | Reasoning | Call) -> Iterator[dict[str, Any]]:
    match part:
        case Text():
            yield from ({"text": word} for word in words(part.text))
        case Reasoning():
            yield from ({"reasoningContent": {"text": word}} for word in words(part.text))
            yield {"reasoningContent": {"signature": "EqQB"}}
        case Call():
            yield from ({"toolUse": {"input": piece}} for piece in pieces(part.arguments))


def _whole(answer: Answer, part: Text | Reasoning | Call) -> dict[str, Any]:
    match part:
        case Text():
            return {"text": part.text}
        case Reasoning():
            return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": "EqQB"}}}
        case Call():
            id = f"tooluse_{answer.number(part)}"
            return {"toolUse": {"toolUseId": id, "name": part.name, "input": json.loads(part.arguments)}}


def _usage(answer: Answer) -> dict[str, int]:
    counts = {"inputTokens": answer.input_tokens, "outputTokens": answer.output_tokens}
    return {**counts, "totalTokens": sum(counts.values())}


def _reason(answer: Answer) -> str:
    return "tool_use" if answer.calls and answer.finish == "stop" else _REASONS[answer.finish]
