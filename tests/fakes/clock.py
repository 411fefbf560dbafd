"""A clock that the test moves, or that moves itself when somebody sleeps."""

from __future__ import annotations

import asyncio

# How often everybody else may go on before the time is moved: more than any chain of callbacks in the tests is long.
_ROUNDS = 10


class FakeClock:
    """Time that costs nothing.

    With `is_moving`, the time moves by itself to the end of the shortest sleep once everybody else had a few chances
    to go on. Otherwise a sleeper waits until the test has called `advance` far enough; tests of time limits want that.
    `slept` lists what was asked for.
    """

    def __init__(self, *, now: float = 1_000_000.0, is_moving: bool = True) -> None:
        self._now = now
        self._is_moving = is_moving
        self._sleepers: list[_Sleeper] = []
        self.slept: list[float] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        sleeper = _Sleeper(self._now + seconds)
        self._sleepers.append(sleeper)
        try:
            if self._is_moving:
                await self._sleep_by_itself(sleeper)
            else:
                await sleeper.future
        finally:
            self._sleepers.remove(sleeper)

    async def _sleep_by_itself(self, sleeper: _Sleeper) -> None:
        while True:
            for _ in range(_ROUNDS):
                await asyncio.sleep(0)
            if min(self._sleepers, key=lambda other: other.wake_at) is sleeper:
                self._now = max(self._now, sleeper.wake_at)
                return

    def advance(self, seconds: float) -> None:
        """Move the time and wake those whose sleep is over."""
        self._now += seconds
        for sleeper in self._sleepers:
            if sleeper.wake_at <= self._now and not sleeper.future.done():
                sleeper.future.set_result(None)


class _Sleeper:
    def __init__(self, wake_at: float) -> None:
        self.wake_at = wake_at
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
