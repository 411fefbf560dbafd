"""The conversations of a page: listed by when they were last used, named, brought in from a file, erased."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..conversation import forget_conversation, load_conversation, save_conversation, storage_key
from ..errors import StorageError, WireError
from ..host import Clock, Storage
from ..messages import Message, message_from_wire
from ..wire import ConversationWire, MessageWire
from .run_journal import journal_key

_TITLES = "titles/"
_CONVERSATIONS = storage_key("")
_RUNS = journal_key("")
_TITLE_LENGTH = 60


class Library:
    """What is kept under `titles/` beside the conversations themselves."""

    def __init__(self, storage: Storage, clock: Clock) -> None:
        self._storage = storage
        self._clock = clock

    async def list(self) -> list[ConversationWire]:
        """Give the conversations, the newest first. Raises `StorageError`."""
        titled = {key.removeprefix(_TITLES) for key in await self._storage.keys(_TITLES)}
        stored = {key.removeprefix(_CONVERSATIONS) for key in await self._storage.keys(_CONVERSATIONS)}
        entries = [await self._read(conversation_id) for conversation_id in sorted(titled | stored)]
        return sorted(entries, key=lambda entry: -entry["updated_at"])

    async def touch(self, conversation_id: str, first_text: str) -> None:
        """Say that a conversation is used now; one without a title is called what was said first."""
        title = (await self._read(conversation_id))["title"] or _shorten(first_text)
        await self._write(conversation_id, title)

    async def rename(self, conversation_id: str, title: str) -> None:
        """Give a conversation another title. Raises `StorageError`."""
        await self._write(conversation_id, _shorten(title))

    async def bring_in(self, conversation_id: str, title: str, messages: Sequence[MessageWire]) -> None:
        """Keep a conversation that was exported. Raises `WireError` when it is none, and `StorageError`."""
        if not isinstance(conversation_id, str) or not isinstance(messages, list):
            raise WireError("an exported conversation has an id and a list of messages")
        read = [message_from_wire(message) for message in messages]
        await save_conversation(self._storage, conversation_id, read)
        await self._write(conversation_id, _shorten(str(title)))

    async def cut(self, conversation_id: str, source_id: str, message_count: int) -> None:
        """Make a conversation of the first messages of another one, or of itself. Raises `StorageError`."""
        messages: list[Message] = await load_conversation(self._storage, source_id)
        await save_conversation(self._storage, conversation_id, messages[: max(0, message_count)])

    async def erase(self, conversation_id: str | None) -> None:
        """Delete all that is kept of a conversation, or of all of them. Raises `StorageError`."""
        if conversation_id is not None:
            await forget_conversation(self._storage, conversation_id)
            await self._storage.delete(_TITLES + conversation_id)
            await self._storage.delete(_RUNS + conversation_id)
            return
        for prefix in (_CONVERSATIONS, _TITLES, _RUNS):
            for key in await self._storage.keys(prefix):
                await self._storage.delete(key)

    async def _read(self, conversation_id: str) -> ConversationWire:
        title, updated_at = "", 0.0
        try:
            data = json.loads(await self._storage.get(_TITLES + conversation_id) or b"{}")
            title, updated_at = str(data.get("title", "")), float(data.get("updated_at", 0.0))
        except (ValueError, TypeError, AttributeError, StorageError):
            pass  # a title that can't be read is none: the conversation itself matters
        return {"conversation_id": conversation_id, "title": title, "updated_at": updated_at}

    async def _write(self, conversation_id: str, title: str) -> None:
        entry = {"title": title, "updated_at": self._clock.now()}
        await self._storage.put(_TITLES + conversation_id, json.dumps(entry).encode())


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TITLE_LENGTH else f"{line[: _TITLE_LENGTH - 1]}…"
