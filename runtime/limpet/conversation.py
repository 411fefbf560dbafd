"""A conversation's history: load it, save it, mend it, and fit it into a model's context.

A history is valid when each tool call is answered by a result in the tool message that follows it, and each result
belongs to such a call: providers refuse anything else. All that is done here keeps a valid history valid.
The system's instructions are no part of it; they belong to the agent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import assert_never

from .errors import StorageError, WireError
from .host import Storage
from .messages import (
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    message_from_wire,
    message_to_wire,
)
from .model import ToolSpec

_FORMAT = 1
_MESSAGE_TOKENS = 4
# What providers count for a picture of common size; the pixels are not looked at.
_IMAGE_TOKENS = 800

NOT_RUN = "this call was not run"


def storage_key(conversation_id: str) -> str:
    """Give the key under which a conversation is stored."""
    return f"conversations/{conversation_id}"


async def load_conversation(storage: Storage, conversation_id: str) -> list[Message]:
    """Read a conversation; one that was never saved is empty. Raises `StorageError`."""
    key = storage_key(conversation_id)
    data = await storage.get(key)
    if data is None:
        return []
    try:
        wire = json.loads(data)
        if not isinstance(wire, dict) or wire.get("format") != _FORMAT or not isinstance(wire.get("messages"), list):
            raise WireError(f"a conversation is a JSON object of format {_FORMAT} with a list of messages")
        return [message_from_wire(message) for message in wire["messages"]]
    except (ValueError, WireError) as error:
        raise StorageError(f"the conversation stored as {key!r} can't be read: {error}", key=key) from error


async def save_conversation(storage: Storage, conversation_id: str, messages: Sequence[Message]) -> None:
    """Write a conversation, in place of what was stored. Raises `StorageError`."""
    wire = {"format": _FORMAT, "messages": [message_to_wire(message) for message in messages]}
    await storage.put(storage_key(conversation_id), json.dumps(wire, separators=(",", ":")).encode())


async def forget_conversation(storage: Storage, conversation_id: str) -> None:
    """Delete a conversation; one that was never saved is forgotten already. Raises `StorageError`."""
    await storage.delete(storage_key(conversation_id))


def mend(messages: Sequence[Message]) -> list[Message]:
    """Make a history valid: answer calls that have no result with an error, leave out results that have no call.

    >>> call = Message("assistant", (ToolCallPart("1", "clock", "{}"),))
    >>> mend([call])[1].parts
    (ToolResultPart(id='1', name='clock', content='this call was not run', is_error=True),)
    """
    mended: list[Message] = []
    calls: tuple[ToolCallPart, ...] = ()
    results: dict[str, ToolResultPart] = {}
    for message in (*messages, None):
        if message is not None and message.role == "tool":
            results.update((result.id, result) for result in message.tool_results)
            continue
        if calls:
            mended.append(Message("tool", tuple(results.get(call.id, _not_run(call)) for call in calls)))
        results.clear()
        if message is not None:
            calls = message.tool_calls if message.role == "assistant" else ()
            mended.append(message)
    return mended


def _not_run(call: ToolCallPart) -> ToolResultPart:
    return ToolResultPart(call.id, call.name, NOT_RUN, is_error=True)


def fit(messages: Sequence[Message], token_limit: int) -> list[Message]:
    """Leave out the oldest of a valid history so that about `token_limit` tokens remain.

    Whole exchanges go first, each a user's message with all that follows it; then, within the last one, the oldest
    answers together with their tools' results. The last user's message and what was said last always stay, even when
    they alone are too long: then the model says so.
    """
    units = [list(unit) for unit in _exchanges(messages)]
    sizes = [sum(map(estimate_tokens, unit)) for unit in units]
    total = sum(sizes)
    first = 0
    while total > token_limit and first < len(units) - 1:
        total -= sizes[first]
        first += 1
    if total <= token_limit or not units:
        return [message for unit in units[first:] for message in unit]
    last = units[-1]
    start = 1 if last[0].role == "user" else 0
    turns = [list(turn) for turn in _turns(last[start:])]
    while total > token_limit and len(turns) > 1:
        total -= sum(map(estimate_tokens, turns.pop(0)))
    return last[:start] + [message for turn in turns for message in turn]


def _exchanges(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Cut a history before each user's message."""
    return _cut(messages, "user")


def _turns(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Cut an exchange before each answer."""
    return _cut(messages, "assistant")


def _cut(messages: Sequence[Message], role: str) -> Iterator[Sequence[Message]]:
    start = 0
    for index, message in enumerate(messages):
        if message.role == role and index > start:
            yield messages[start:index]
            start = index
    if start < len(messages):
        yield messages[start:]


def estimate_tokens(message: Message) -> int:
    """Guess how many tokens a message takes; within a third of the truth for prose and JSON.

    A tokenizer would know, but remote models don't tell us theirs.
    """
    return _MESSAGE_TOKENS + sum(_part_tokens(part) for part in message.parts)


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
