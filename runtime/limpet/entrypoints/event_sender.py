"""Sends the events of one run to the page: in batches, and not more than the page has asked for.

The page grants credits as it reads. A run whose page reads slowly waits before its next event, and with it the tools;
so the worker holds at most what the page can take, however long the answer is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..events import Approval, Event, RunEnd, RunError, TurnEnd, event_to_wire
from ..layers.prices import PRICES, price_of
from ..wire import EventsReport, EventWire

# The page draws 60 times a second: what comes within half a picture may travel together.
_BATCH_SECONDS = 0.008
_LARGEST_BATCH = 256


class EventSender:
    """Lives as long as its run. Without `credits` the page takes all there is."""

    def __init__(self, post: Callable[[EventsReport], None], run_id: str, credits: int | None = None) -> None:
        self._post = post
        self._run_id = run_id
        self._credits = credits
        self._events: list[EventWire] = []
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.next_id = 0
        self.is_over = False

    def add(self, event: Event, id: int) -> None:
        """Send an event soon; the last one, and a question, at once. A turn whose model has a price says its cost."""
        wire = event_to_wire(event, id=id, run_id=self._run_id)
        if isinstance(event, TurnEnd) and wire["type"] == "turn_end" and (price := price_of(event.model, PRICES)):
            wire["cost"] = price.cost(event.usage)
        self._events.append(wire)
        self.next_id = id + 1
        if self._credits is not None:
            self._credits -= 1
        self.is_over = isinstance(event, (RunEnd, RunError))
        if self.is_over or isinstance(event, Approval) or len(self._events) >= _LARGEST_BATCH:
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_BATCH_SECONDS, self._flush)

    def grant(self, count: int) -> None:
        """Let more events go."""
        if self._credits is not None:
            self._credits += count
        self._wake()

    def open(self) -> None:
        """Let all go from now on: the run is being stopped, and its end must not wait for a reader."""
        self._credits = None
        self._wake()

    async def room(self) -> None:
        """Wait until one more event may be sent."""
        while self._credits is not None and self._credits <= 0 and not self.is_over:
            self._flush()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._events:
            events, self._events = self._events, []
            self._post({"type": "events", "run_id": self._run_id, "events": events})
