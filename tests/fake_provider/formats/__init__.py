"""The wire formats that the server speaks. A new one is a file here and a line in `FORMATS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .anthropic import Anthropic
from .bedrock import Bedrock
from .chat_completions import ChatCompletions
from .cohere import Cohere
from .format import Format, Frames
from .gemini import Gemini
from .ollama import Ollama
from .responses import Responses
from .workers_ai import WorkersAI

FORMATS: tuple[Format, ...] = (
    ChatCompletions(),
    Responses(),
    Anthropic(),
    Gemini(),
    Ollama(),
    Cohere(),
    Bedrock(),
    WorkersAI(),
)

__all__ = ["FORMATS", "Format", "Frames", "find_format"]


def find_format(path: str, body: Mapping[str, Any]) -> Format | None:
    """Give the format of a question by its address; a path may begin with anything."""
    return next((form for form in FORMATS if form.knows(path, body)), None)
