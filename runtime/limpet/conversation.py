"""A conversation's history: load it, save it, mend it, and fit it into a model's context.

A history is valid when each tool call is answered by a result in the tool message that follows it, and each result
belongs to such a call: providers refuse anything else. All that is done here keeps a valid history valid.
The system's instructions are no part of it; they belong to the agent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from .errors import StorageError, WireError
from .estimates import estimate_tokens
from .host import Storage
from .messages import (
    Message,
    ToolCallPart,
    ToolResultPart,
    message_from_wire,
    message_to_wire,
)

_FORMAT = 1

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
    key = storage_key(conversation_id)
    wire = {"format": _FORMAT, "messages": [message_to_wire(message) for message in messages]}
    try:
        data = json.dumps(wire, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise StorageError(f"the conversation {key!r} can't be written: a part of it is no JSON", key=key) from error
    await storage.put(key, data)


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
