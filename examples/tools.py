"""An agent with tools, one of which asks before it acts: `python examples/tools.py`.

Needs ANTHROPIC_API_KEY in the environment; ANTHROPIC_BASE_URL sends it elsewhere.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from limpet import Agent, Approval, Hook, RunContext, Skip, ToolCallPart, ToolError, ToolResult, tool
from limpet.hosts.cpython import create_host

STOCK = {"leek": 3, "potato": 12}


@tool
def stock(item: Literal["leek", "potato"]) -> int:
    """Say how many of an item are left.

    Args:
        item: What to look up.
    """
    return STOCK[item]


@tool(requires_approval=True)
async def order(item: Literal["leek", "potato"], count: int) -> str:
    """Order more of an item.

    Args:
        item: What to order.
        count: How many.
    """
    if count > 100:
        raise ToolError("no more than 100 at once")
    STOCK[item] += count
    return f"ordered {count}"


class NoOrdersAtNight(Hook):
    """A hook may let a call pass, change it, or leave it out and say why."""

    def before_tool(self, context: RunContext, call: ToolCallPart) -> Skip | None:
        """Leave orders out."""
        return Skip("the shop is closed") if call.name == "order" and is_night() else None


def is_night() -> bool:
    """Say whether the shop is closed."""
    return False


async def approve(approval: Approval) -> bool:
    """Stand for a person who is asked."""
    print(f"approved: {approval.name} {approval.arguments}")
    return True


agent = Agent(
    model="anthropic:claude-haiku-4-5",
    tools=[stock, order],
    instructions="You keep a kitchen's stock.",
    hooks=[NoOrdersAtNight()],
)


async def main() -> None:
    """Ask for something that takes a tool, and print what the tools said and what the model made of it."""
    run = agent.run("Are there enough leeks for ten people?", host=create_host(), approve=approve)
    async for event in run:
        if isinstance(event, ToolResult):
            print(f"{event.name}: {event.content}")
    print((await run).text)


if __name__ == "__main__":
    asyncio.run(main())
