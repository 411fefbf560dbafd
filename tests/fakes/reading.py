"""Reading a run in a test: what it told, and what it raised at its end."""

from __future__ import annotations

from collections.abc import Sequence

from limpet import Event
from limpet.events import TextDelta
from limpet.run import Run


async def read_into(run: Run, events: list[Event]) -> Exception | None:
    """Read a run to its end into `events`; gives what it raised."""
    try:
        async for event in run:
            events.append(event)  # noqa: PERF401  # what was heard before a failure must stay
    except Exception as error:
        return error
    return None


async def read(run: Run) -> tuple[list[Event], Exception | None]:
    """Read a run to its end; gives its events and what it raised."""
    events: list[Event] = []
    error = await read_into(run, events)
    return events, error


def of(events: Sequence[Event], *kinds: type) -> list[Event]:
    """Give the events of some kinds."""
    return [event for event in events if isinstance(event, kinds)]


def said(events: Sequence[Event]) -> str:
    """Give the text that was told."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))
