"""A hook that is given as a function, and a tool for hooks to look at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from limpet import Hook, tool

ran: list[dict[str, object]] = []
"""The arguments with which `add` was called."""


@tool
def add(a: int, b: int = 1) -> int:
    """Add."""
    ran.append({"a": a, "b": b})
    return a + b


class At(Hook):
    """A hook at one point, given as a function; `as_coroutine` makes its answer one that is awaited."""

    def __init__(self, point: str, function: Callable[..., Any], name: str = "Guard", *, as_coroutine: bool = False):
        self._name = name

        async def later(*values: Any) -> Any:
            await asyncio.sleep(0)
            return function(*values)

        setattr(self, point, later if as_coroutine else function)

    @property
    def name(self) -> str:
        return self._name
