"""Guesses of how many tokens something takes, where no tokenizer is at hand: remote models don't tell us theirs.

Good to within a third for prose and JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import assert_never

from .messages import ImagePart, Message, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from .model import ModelRequest, ToolSpec

_MESSAGE_TOKENS = 4
# What providers count for a picture of common size; the pixels are not looked at.
_IMAGE_TOKENS = 800


def estimate_tokens(message: Message) -> int:
    """Guess how many tokens a message takes."""
    return _MESSAGE_TOKENS + sum(_part_tokens(part) for part in message.parts)


def estimate_request_tokens(request: ModelRequest) -> int:
    """Guess how many tokens a model is sent."""
    return sum(map(estimate_tokens, request.messages)) + estimate_tool_tokens(request.tools)


def estimate_tool_tokens(tools: Sequence[ToolSpec]) -> int:
    """Guess how many tokens the descriptions of tools take."""
    return sum(
        text_tokens(tool.name) + text_tokens(tool.description) + text_tokens(json.dumps(tool.parameters))
        for tool in tools
    )


def text_tokens(text: str) -> int:
    """Guess how many tokens a text takes: four ASCII characters or three bytes of others make one.

    >>> text_tokens("ten minutes for the eggs")
    6
    """
    return -(-len(text) // 4) if text.isascii() else -(-len(text.encode("utf-8", "surrogatepass")) // 3)


def _part_tokens(part: Part) -> int:
    match part:
        case TextPart() | ReasoningPart():
            return text_tokens(part.text)
        case ToolCallPart():
            return text_tokens(part.name) + text_tokens(part.arguments)
        case ToolResultPart():
            content = part.content if isinstance(part.content, str) else json.dumps(part.content)
            return text_tokens(content)
        case ImagePart():
            return _IMAGE_TOKENS
        case _:
            assert_never(part)
