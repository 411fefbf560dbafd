"""The two streams that every reader is given: the same words and the same tool call in both formats.

Only the standard library and nothing of ours: the peers' process imports this file, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

WORDS = ("Eggs", " take", " ten", " minutes", ",", " Grüße", ".")
TOOL = "set_timer"


def split(count: int) -> tuple[list[str], list[str]]:
    """Give the pieces of the text and of the call's arguments, `count` in all: three of four are text."""
    texts = [WORDS[number % len(WORDS)] for number in range(count - count // 4)]
    steps = [f'"step {number}", ' for number in range(count // 4 - 2)]
    return texts, ['{"steps": [', *steps, '"done"]}']


def chat_completions(count: int) -> list[bytes]:
    """Give a stream of chat completions, an event a piece, as OpenAI sends it."""
    texts, arguments = split(count)

    def events() -> Iterator[dict[str, object]]:
        yield {"role": "assistant", "content": "", "refusal": None}
        for text in texts:
            yield {"content": text}
        call = {"id": "call_1", "type": "function", "function": {"name": TOOL, "arguments": ""}}
        yield {"tool_calls": [{"index": 0, **call}]}
        for piece in arguments:
            yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}

    base = {
        "id": "chatcmpl-CQ9x2hJ7f3a",
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": "gpt-5-mini-2025-08-07",
        "service_tier": "default",
        "system_fingerprint": None,
    }
    usage = {
        "prompt_tokens": 90,
        "completion_tokens": count,
        "total_tokens": 90 + count,
        "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 32, "audio_tokens": 0},
    }
    chunks: list[dict[str, object]] = [
        *({**base, "choices": [_choice(delta, None)], "usage": None} for delta in events()),
        {**base, "choices": [_choice({}, "tool_calls")], "usage": None},
        {**base, "choices": [], "usage": usage},
    ]
    return [*(b"data: " + _json(chunk) + b"\n\n" for chunk in chunks), b"data: [DONE]\n\n"]


def anthropic_messages(count: int) -> list[bytes]:
    """Give a stream of Anthropic's Messages, an event a piece."""
    texts, arguments = split(count)
    message = {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 26, "cache_read_input_tokens": 64, "output_tokens": 1},
    }
    call = {"type": "tool_use", "id": "toolu_01", "name": TOOL, "input": {}}

    def events() -> Iterator[dict[str, object]]:
        yield {"type": "message_start", "message": message}
        yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        yield {"type": "ping"}
        for text in texts:
            yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
        yield {"type": "content_block_stop", "index": 0}
        yield {"type": "content_block_start", "index": 1, "content_block": call}
        for piece in arguments:
            delta = {"type": "input_json_delta", "partial_json": piece}
            yield {"type": "content_block_delta", "index": 1, "delta": delta}
        yield {"type": "content_block_stop", "index": 1}
        end = {"stop_reason": "tool_use", "stop_sequence": None}
        yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": count}}
        yield {"type": "message_stop"}

    return [f"event: {event['type']}\ndata: ".encode() + _json(event) + b"\n\n" for event in events()]


STREAMS = {"chat completions": chat_completions, "anthropic messages": anthropic_messages}


def join(pieces: list[bytes], size: int) -> list[bytes]:
    """Cut a stream anew into pieces of `size` bytes; 0 leaves an event a piece."""
    if not size:
        return pieces
    whole = b"".join(pieces)
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def _choice(delta: dict[str, object], reason: str | None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
