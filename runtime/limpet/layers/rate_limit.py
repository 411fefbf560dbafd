"""Send no more than a service allows: requests and tokens within any sixty seconds, in the order of their coming.

A request's tokens are guessed when it begins and set right when its answer tells what was used.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from ..errors import ConfigurationError, RateLimitError
from ..estimates import estimate_request_tokens
from ..events import Retry
from ..fallback import close_stream
from ..host import Host
from ..model import Delta, Finish, Model, ModelRequest
from .layer import Wrapped, check_above_zero, known_usage, look

_WINDOW_SECONDS = 60.0
# Guessed for an answer whose length nobody limited.
_OUTPUT_TOKENS = 500
# Times are sums of floats; nobody waits for their last digits.
_SOON_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Wait for a turn, but not longer than `max_wait_seconds`; None is no limit.

    Whoever would have to wait longer is refused at once, with a `RateLimitError` that says for how long. A request that
    is bigger than the limit of tokens goes when no other does. Retries that are made further in count as requests.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_wait_seconds: float = 60.0

    def __post_init__(self) -> None:
        check_above_zero(self, "requests_per_minute", "tokens_per_minute")
        if self.max_wait_seconds < 0:
            raise ConfigurationError(f"max_wait_seconds of RateLimit must be 0 or more, not {self.max_wait_seconds!r}")

    def wrap(self, model: Model, host: Host) -> Model:
        """Give a model that lets requests through in turn."""
        return _RateLimited(self, model, host)


@dataclass(slots=True, eq=False)
class _Turn:
    """One request: first it waits, then it counts for a minute."""

    tokens: int
    began_at: float = 0.0
    signal: asyncio.Future[None] | None = None


class _RateLimited(Wrapped):
    def __init__(self, limit: RateLimit, model: Model, host: Host) -> None:
        super().__init__(model, host)
        self._limit = limit
        self._begun: deque[_Turn] = deque()
        self._waiting: deque[_Turn] = deque()

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        turn = _Turn(estimate_request_tokens(request) + (request.max_output_tokens or _OUTPUT_TOKENS))
        await self._wait_for(turn)
        stream = self._model.stream(request)
        try:
            async for delta in stream:
                if isinstance(delta, Retry):
                    self._begun.append(_Turn(0, self._host.clock.now()))
                elif isinstance(delta, Finish) and (usage := known_usage(delta)) is not None:
                    turn.tokens = usage.total_tokens
                    self._wake()
                yield delta
        finally:
            await close_stream(stream)

    async def _wait_for(self, turn: _Turn) -> None:
        now = self._host.clock.now
        latest = now() + self._limit.max_wait_seconds
        self._waiting.append(turn)
        try:
            self._refuse_after(latest, self._start_of_last(self._waiting))
            while True:
                start = self._start_of_last([turn]) if self._waiting[0] is turn else None
                if start is not None:
                    if start - now() < _SOON_SECONDS:
                        break
                    self._refuse_after(latest, start)
                await self._sleep(turn, start)
            turn.began_at = now()
            self._begun.append(turn)
        finally:
            is_first = self._waiting[0] is turn
            self._waiting.remove(turn)
            if is_first:
                self._wake()

    def _refuse_after(self, latest: float, start: float) -> None:
        if start > latest + _SOON_SECONDS:
            seconds = start - self._host.clock.now()
            raise RateLimitError(
                f"{self.info.id}: the limit of our own would keep this request waiting for {seconds:.1f} seconds",
                provider=self.info.provider,
                model=self.info.name,
                retry_after_seconds=seconds,
            )

    def _start_of_last(self, turns: Iterable[_Turn]) -> float:
        """Tell when the last of `turns` may begin if each begins as soon as it may."""
        limit = self._limit
        at = self._host.clock.now()
        while self._begun and self._begun[0].began_at <= at - _WINDOW_SECONDS:
            self._begun.popleft()
        window = deque((turn.began_at, turn.tokens) for turn in self._begun)
        tokens = sum(turn.tokens for turn in self._begun)
        for turn in turns:
            while window and (
                window[0][0] <= at - _WINDOW_SECONDS
                or (limit.requests_per_minute is not None and len(window) >= limit.requests_per_minute)
                or (limit.tokens_per_minute is not None and tokens + turn.tokens > limit.tokens_per_minute)
            ):
                began_at, used = window.popleft()
                tokens -= used
                at = max(at, began_at + _WINDOW_SECONDS)
            window.append((at, turn.tokens))
            tokens += turn.tokens
        return at

    async def _sleep(self, turn: _Turn, until: float | None) -> None:
        """Wait until something has changed for the first in the row, or until a time."""
        turn.signal = asyncio.get_running_loop().create_future()
        if until is None:
            await turn.signal
            return
        sleeping = asyncio.ensure_future(self._host.clock.sleep(until - self._host.clock.now()))
        sleeping.add_done_callback(look)
        try:
            await asyncio.wait({sleeping, turn.signal}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            await asyncio.wait({sleeping})

    def _wake(self) -> None:
        signal = self._waiting[0].signal if self._waiting else None
        if signal is not None and not signal.done():
            signal.set_result(None)
