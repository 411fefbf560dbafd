"""An answer of a type, shown while it is being written: `python examples/structured.py "leek soup"`.

Needs GEMINI_API_KEY in the environment and `limpet[providers]`; GEMINI_BASE_URL sends it elsewhere.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Literal

from limpet import Agent, OutputUpdate
from limpet.hosts.cpython import create_host


@dataclass
class Step:
    """What to do, and for how long."""

    text: str
    minutes: int = 0


@dataclass
class Recipe:
    """A dish for four people."""

    title: str
    course: Literal["starter", "main", "dessert"]
    steps: list[Step]


agent = Agent(model="gemini:gemini-3-flash-preview", output_type=Recipe)


async def main(dish: str) -> None:
    """Ask for a recipe; `output` is a `Recipe`, whatever the model's own way to make an answer fit."""
    run = agent.run(f"A recipe for {dish}", host=create_host())
    async for event in run:
        if isinstance(event, OutputUpdate):
            print(event.value)
    recipe = (await run).output
    assert isinstance(recipe, Recipe)
    print(f"{recipe.title}: {len(recipe.steps)} steps, {sum(step.minutes for step in recipe.steps)} minutes")


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "leek soup"))
