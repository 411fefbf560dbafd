"""A hook that is given as a function."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from limpet import Hook


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
