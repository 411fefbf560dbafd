"""A conversation's events as they were told, numbered without gaps over all of its runs, in a store.

Events come in batches, each a value under the number of its first. An event may be told to a client only after its
batch was put, so what was told is never lost, and a client that comes back is given exactly what it has not seen.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

from ..errors import StorageError
from ..host import Storage
from ..wire import EventWire, JsonObject

_EVENTS = "events/"
_RUN = "open_run"
KEPT_EVENTS = 20_000
"""How many of the last events are kept, in whole batches; who comes back later reads the history instead."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event with its number in the conversation, which counts from 1."""

    id: int
    event: EventWire


class Journal:
    """The journal of one conversation; the only one that writes to its store."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._firsts: list[int] = []
        self.last_id = 0
        self.last_event: EventWire | None = None

    async def open(self) -> None:
        """Find out what is there. Raises `StorageError`."""
        self._firsts = [int(key.removeprefix(_EVENTS)) for key in await self._storage.keys(_EVENTS)]
        if self._firsts:
            last = (await self._read(self._firsts[-1]))[-1]
            self.last_id, self.last_event = last.id, last.event

    async def write(self, events: Sequence[EventWire]) -> list[Entry]:
        """Number some events and put them into the store. Raises `StorageError`."""
        first = self.last_id + 1
        entries = [Entry(first + index, event) for index, event in enumerate(events)]
        value = json.dumps(list(events), separators=(",", ":")).encode()
        await self._storage.put(_key(first), value)
        self._firsts.append(first)
        self.last_id, self.last_event = entries[-1].id, entries[-1].event
        await self._trim()
        return entries

    async def after(self, id: int) -> list[Entry]:
        """Give the events with higher numbers that are kept. Raises `StorageError`."""
        found: list[Entry] = []
        for index, first in enumerate(self._firsts):
            is_before = index + 1 < len(self._firsts) and self._firsts[index + 1] <= id + 1
            if not is_before:
                found += [entry for entry in await self._read(first) if entry.id > id]
        return found

    async def before_run(self, run_id: str) -> int:
        """Give the number before the first event of the last run, if that is `run_id`. Raises `StorageError`."""
        before = self.last_id
        for first in reversed(self._firsts):
            for entry in reversed(await self._read(first)):
                if entry.event["run_id"] != run_id:
                    return before
                before = entry.id - 1
        return before

    @property
    def first_id(self) -> int:
        """The number of the oldest event that is kept."""
        return self._firsts[0] if self._firsts else self.last_id + 1

    async def _read(self, first: int) -> list[Entry]:
        data = await self._storage.get(_key(first))
        if data is None:
            raise StorageError("a batch of events is missing from the store", key=_key(first))
        events = cast(list[EventWire], json.loads(data))
        return [Entry(first + index, event) for index, event in enumerate(events)]

    async def _trim(self) -> None:
        while len(self._firsts) > 1 and self.last_id - self._firsts[1] >= KEPT_EVENTS:
            await self._storage.delete(_key(self._firsts.pop(0)))

    # --- the run that goes on ---

    async def save_run(
        self, state: JsonObject, *, is_background: bool, starts: int, tools: Sequence[JsonObject] = ()
    ) -> None:
        """Write what a run has come to, for `resumable`; `tools` are the client's. Raises `StorageError`."""
        saved = {"state": state, "is_background": is_background, "starts": starts, "tools": list(tools)}
        await self._storage.put(_RUN, json.dumps(saved, separators=(",", ":")).encode())

    async def open_run(self) -> JsonObject | None:
        """Give what `save_run` wrote last, unless that run has ended. Raises `StorageError`."""
        data = await self._storage.get(_RUN)
        return None if data is None else cast(JsonObject, json.loads(data))

    async def end_run(self) -> None:
        """Note that no run goes on. Raises `StorageError`."""
        await self._storage.delete(_RUN)


def _key(first: int) -> str:
    return f"{_EVENTS}{first:012d}"


def resumable(state: JsonObject, last: EventWire | None, allowed: Collection[str]) -> JsonObject:
    """Give the state with which `Agent.resume` goes on after the last event of the journal.

    A stored state may be older than the last events: deltas come without one, and so do tools that begin. What was
    told of an answer is taken back by a reset, and a call that may have begun counts as begun; `allowed` are the ids
    of calls that a person has allowed since.
    """
    if last is not None and last["run_id"] == state["run_id"]:
        told = last["id"] + 1
        if state["phase"] == "model" and told > cast(int, state["next_event_id"]):
            state = {**state, "is_answering": True}
        state = {**state, "next_event_id": told}
    if state["phase"] == "tools":
        calls = cast(list[JsonObject], state["calls"])
        state = {**state, "calls": [{**call, "is_begun": _may_have_begun(call, allowed)} for call in calls]}
    return state


def _may_have_begun(call: JsonObject, allowed: Collection[str]) -> bool:
    part = cast(JsonObject, call["part"])
    return call["is_begun"] is True or not call["is_asked"] or part["id"] in allowed
