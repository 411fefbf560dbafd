"""What the renderers of several formats need of a conversation: results as text, calls as objects, calls left open."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ..messages import Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from ..model import ModelRequest
from ..wire import Json, JsonObject

NOT_RUN = "Error: the call was not run"
"""The result of a call that a cancelled run left open: each call must be answered, or a provider refuses the whole."""


def result_text(result: ToolResultPart) -> str:
    """Give a tool's result as text: strings as they are, the rest as JSON."""
    return result.content if isinstance(result.content, str) else json.dumps(result.content, ensure_ascii=False)


def read_arguments(call: ToolCallPart) -> JsonObject:
    """Give the arguments of a call; broken ones, which the conversation keeps and providers refuse, as no arguments."""
    try:
        arguments = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return {}
    return arguments if isinstance(arguments, dict) else {}


def open_calls(messages: Sequence[Message]) -> set[str]:
    """Give the ids of the calls that nothing answers."""
    answered = {result.id for message in messages for result in message.tool_results}
    return {call.id for message in messages for call in message.tool_calls} - answered


def system_text(messages: Sequence[Message]) -> str:
    """Give the system messages as one text, for formats that have a field for it."""
    return "\n\n".join(message.text for message in messages if message.role == "system" and message.text)


def own_metadata(part: TextPart | ReasoningPart | ToolCallPart, is_own: bool) -> Mapping[str, Json]:
    """Give what the model's provider wants back with a part; nothing for the part of another model."""
    return (part.provider_metadata or {}) if is_own else {}


def with_extra(body: Mapping[str, object], request: ModelRequest) -> JsonObject:
    """Merge `request.extra` into a body. An object is merged into the one of that name, anything else replaces it."""
    merged = dict(body)
    for name, value in request.extra.items():
        known = merged.get(name)
        merged[name] = {**known, **value} if isinstance(known, dict) and isinstance(value, Mapping) else value
    return merged  # type: ignore[return-value]  # `extra` is the caller's JSON
