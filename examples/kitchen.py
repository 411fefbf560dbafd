"""A kitchen helper: the agent of the demonstration page and of `build.py ask`.

Its tools do what they say, in the memory of the process: timers run out, the shopping list fills up.
"""

from __future__ import annotations

import time
from typing import Literal

from limpet import Agent, ToolError, tool

Unit = Literal["gram", "kilogram", "ounce", "pound", "millilitre", "litre", "teaspoon", "tablespoon", "cup"]

GRAMS = {"gram": 1.0, "kilogram": 1000.0, "ounce": 28.349523125, "pound": 453.59237}
MILLILITRES = {"millilitre": 1.0, "litre": 1000.0, "teaspoon": 5.0, "tablespoon": 15.0, "cup": 240.0}

timers: dict[str, float] = {}
shopping: dict[str, int] = {}
oven: dict[str, int | str] = {}


@tool
def set_timer(minutes: int, label: str = "") -> str:
    """Set a kitchen timer.

    Args:
        minutes: How long, in minutes.
        label: What it is for.
    """
    if not 1 <= minutes <= 24 * 60:
        raise ToolError("a timer runs for 1 to 1440 minutes")
    timers[label or f"timer {len(timers) + 1}"] = time.time() + minutes * 60
    return f"timer set for {minutes} minutes" + (f" ({label})" if label else "")


@tool
def list_timers() -> str:
    """List the kitchen timers that are running and how long they still run."""
    now = time.time()
    running = {label: ends for label, ends in timers.items() if ends > now}
    if not running:
        return "no timer is running"
    return ", ".join(f"{label}: {-(-(ends - now) // 60):.0f} minutes left" for label, ends in running.items())


@tool
def convert_units(amount: float, from_unit: Unit, to_unit: Unit) -> str:
    """Convert an amount of an ingredient from one unit to another.

    Args:
        amount: How much.
        from_unit: The unit of the amount.
        to_unit: The unit to convert to.
    """
    for table in (GRAMS, MILLILITRES):
        if from_unit in table and to_unit in table:
            return f"{amount:g} {from_unit} is {amount * table[from_unit] / table[to_unit]:.4g} {to_unit}"
    raise ToolError(f"{from_unit} and {to_unit} cannot be converted: one is a weight, the other a volume")


@tool
def add_to_shopping_list(item: str, quantity: int = 1) -> str:
    """Add an item to the shopping list.

    Args:
        item: What to buy.
        quantity: How many.
    """
    shopping[item] = shopping.get(item, 0) + quantity
    return f"{shopping[item]} x {item} on the shopping list"


@tool
def read_shopping_list() -> str:
    """Read the shopping list."""
    return ", ".join(f"{count} x {item}" for item, count in shopping.items()) or "the shopping list is empty"


@tool
def set_oven(celsius: int, mode: Literal["fan", "grill", "top and bottom heat"] = "fan") -> str:
    """Heat the oven to a temperature.

    Args:
        celsius: The temperature in degrees Celsius.
        mode: How the oven heats.
    """
    if not 30 <= celsius <= 280:
        raise ToolError("this oven can be set from 30 to 280 degrees Celsius")
    oven.update(celsius=celsius, mode=mode)
    return f"oven heating to {celsius} degrees Celsius, {mode}"


@tool
def scale_recipe(amount: float, servings: int, new_servings: int) -> str:
    """Scale an ingredient of a recipe to another number of servings.

    Args:
        amount: How much of the ingredient the recipe asks for.
        servings: How many servings the recipe is for.
        new_servings: How many servings are wanted.
    """
    if servings < 1 or new_servings < 1:
        raise ToolError("a recipe is for one serving at least")
    return f"{amount * new_servings / servings:.4g} instead of {amount:g}"


agent = Agent(
    name="kitchen",
    model=["local:needle", "openai:gpt-5-mini"],
    tools=[set_timer, list_timers, convert_units, add_to_shopping_list, read_shopping_list, set_oven, scale_recipe],
    instructions="You run a kitchen. Use the tools for timers, units, the shopping list, the oven and recipes.",
)
