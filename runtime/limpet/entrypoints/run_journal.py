"""The run that goes on, written down, so that a reload or a crash does not end it.

One value a conversation: the run's state after the last event that a page may rely on. It is written before such an
event leaves, so what the page was told is never lost; deltas are not among them, since a half-said answer is asked for
again. Once tools are at work the state is written once more: it then says of each call that it may have had effect.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine

from ..errors import StorageError, WireError
from ..events import Approval, Event, ModelStart, RunStart, ToolCallEnd, ToolResult, TurnEnd, TurnStart
from ..host import Storage
from ..messages import Message
from ..run import Run
from ..run_state import state_from_wire
from ..wire import JsonObject

LASTING = (RunStart, TurnStart, ModelStart, Approval, ToolResult, TurnEnd)
"""The events after which the state is written."""


def journal_key(conversation_id: str) -> str:
    """Give the key under which a conversation's open run is stored."""
    return f"runs/{conversation_id}"


async def open_run(storage: Storage, conversation_id: str) -> JsonObject | None:
    """Give the state of the run that was broken off, if there is one. One that can't be read is none."""
    data = await storage.get(journal_key(conversation_id))
    if data is None:
        return None
    try:
        state = json.loads(data)
        state_from_wire(state)
    except (ValueError, WireError):
        return None
    return state if isinstance(state, dict) else None


def messages_so_far(state: JsonObject) -> list[Message]:
    """Give the conversation as far as a stored run knows it; of one that never began, only the prompt.

    The results of a turn whose tools are at work are among it, as far as the page was told of them.
    """
    run = state_from_wire(state)
    results = tuple(call.result for call in run.calls[: run.reported] if call.result is not None)
    last = [Message("tool", results)] if results and run.phase == "tools" else []
    return [*run.messages, *last, *([run.prompt] if run.prompt else [])]


_TURNS_UNTIL_BEGUN = 8


class RunJournal:
    """Writes down one run. A store that fails is told to `complain` once, and the run goes on without a journal."""

    def __init__(
        self,
        storage: Storage,
        run: Run,
        conversation_id: str,
        *,
        spawn: Callable[[Coroutine[object, object, None]], None],
        complain: Callable[[StorageError], None],
    ) -> None:
        self._storage = storage
        self._run = run
        self._key = journal_key(conversation_id)
        self._spawn = spawn
        self._complain = complain
        self._is_failed = False
        self._is_over = False

    async def follow(self, event: Event) -> None:
        """Write the state if this is an event that must not be lost; it may be sent afterwards."""
        if isinstance(event, LASTING):
            await self._write()
        elif isinstance(event, ToolCallEnd):
            self._spawn(self._write_soon())

    async def end(self) -> None:
        """Forget the run: it is over, and its conversation is saved."""
        self._is_over = True
        try:
            await self._storage.delete(self._key)
        except StorageError as error:
            self._fail(error)

    async def _write_soon(self) -> None:
        # When everything that is ready has had its turn, the call is at work.
        for _ in range(_TURNS_UNTIL_BEGUN):
            await asyncio.sleep(0)
        if not self._is_over:
            await self._write()

    async def _write(self) -> None:
        if self._is_failed or self._is_over:
            return
        try:
            await self._storage.put(self._key, json.dumps(self._run.dump(), separators=(",", ":")).encode())
        except StorageError as error:
            self._fail(error)

    def _fail(self, error: StorageError) -> None:
        if not self._is_failed:
            self._is_failed = True
            self._complain(error)
