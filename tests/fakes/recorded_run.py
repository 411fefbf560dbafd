"""One run in which everything happens: reasoning, text, parallel tools with progress, an approval, a second turn.

Told once, and then broken off, cancelled or moved at each of its events and awaits. The counts of what the tools did
are kept outside of the run, as the world would keep them.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping

from limpet import Agent, Approval, Event, Host, ReasoningPart, RunError, TextPart, tool
from limpet.model import ModelRequest
from limpet.providers.scripted import Reply, ScriptedModel, call_tool
from limpet.run import Run
from limpet.stores.memory import MemoryStorage
from tests.fakes.clock import FakeClock
from tests.fakes.host import make_host

MOMENTS = range(0, 2000, 7 if sys.platform == "emscripten" else 1)
"""How often others go on before something is done to the run. Pyodide takes up to a millisecond each time."""


class SlowStorage(MemoryStorage):
    """A store that takes a moment."""

    async def get(self, key: str) -> bytes | None:
        await asyncio.sleep(0)
        return await super().get(key)

    async def put(self, key: str, value: bytes) -> None:
        await asyncio.sleep(0)
        await super().put(key, value)
        await asyncio.sleep(0)


class World:
    """An agent, its host, and what its tools have done."""

    def __init__(self, *, data: Mapping[str, bytes] | None = None, is_idempotent: bool = True) -> None:
        self.clock = FakeClock()
        self.host: Host = make_host(clock=self.clock, storage=SlowStorage(data))
        self.done: Counter[str] = Counter()
        self.asked: list[str] = []
        world = self

        @tool(is_idempotent=is_idempotent)
        async def boil(eggs: int) -> AsyncIterator[str]:
            """Boil eggs."""
            world.done["boil begun"] += 1
            for minute in range(1, 4):
                await world.clock.sleep(1)
                yield f"minute {minute}"
            world.done["boil"] += 1
            yield f"{eggs} eggs are boiled"

        @tool(requires_approval=True)
        async def order(what: str) -> str:
            """Order something."""
            await world.clock.sleep(2)
            world.done["order"] += 1
            return f"{what} is on its way"

        self.agent = Agent(
            model=ScriptedModel([_answer] * 9, clock=self.clock, pause_seconds=0.1),
            tools=[boil, order],
            instructions="You run a kitchen.",
        )

    async def approve(self, approval: Approval) -> bool:
        """Say yes, after a while."""
        self.asked.append(approval.name)
        await self.clock.sleep(0.5)
        return True

    def run(self) -> Run:
        """Begin the run."""
        return self.agent.run(
            "breakfast", host=self.host, conversation_id="kitchen", approve=self.approve, run_id="recorded"
        )


def _answer(request: ModelRequest) -> Reply:
    """Answer by what was said so far, so that it doesn't matter in which process the question is asked."""
    if request.messages[-1].role == "user":
        return [
            ReasoningPart("Eggs and salt."),
            TextPart("Let me see."),
            call_tool("boil", eggs=2),
            call_tool("order", what="salt"),
        ]
    return "Breakfast is ready."


async def read(run: Run, events: list[Event]) -> None:
    """Read a run to its end into `events`, also when the end is a failure."""
    try:
        async for event in run:
            events.append(event)  # noqa: PERF401  # what was heard before a failure must stay
    except Exception:
        assert isinstance(events[-1], RunError)
