"""The agent of these tests: tools that add, take their time, ask first, and must not run twice."""

from __future__ import annotations

import asyncio

from limpet import Agent, tool


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool(requires_approval=True)
def wipe(what: str) -> str:
    """Wipe something."""
    return f"wiped {what}"


@tool(is_idempotent=False)
async def launch(seconds: float) -> str:
    """Launch a rocket, which takes some seconds and can't be taken back."""
    await asyncio.sleep(seconds)
    return "launched"


agent = Agent(name="worker", model="openai_compatible:fake", tools=[add, wipe, launch], instructions="Be brief.")
