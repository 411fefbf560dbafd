"""Don't wait for a service that is down: after some failures in a row it is left alone for a while.

Then one request is let through to find out. It counts as a failure when the service was unreachable, overloaded, silent
or broke off; not when it refused a request or a key, nor when it asked for patience, when there is no network at all,
or when the reader went away. Only an answer that is whole ends a row of failures.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from ..errors import ModelError, ModelUnavailableError, OfflineError, WireFormatError
from ..fallback import close_stream
from ..host import Host
from ..model import Delta, Finish, Model, ModelRequest
from .layer import Wrapped, check_above_zero


@dataclass(frozen=True, slots=True)
class CircuitBreaker:
    """Refuse at once, with `ModelUnavailableError`, for `cooldown_seconds` after `max_failures` in a row.

    A `FallbackModel` then turns to its next model. After that time one request is let through, and the others are
    refused until it has ended: whole, it ends the refusals; failed, they go on for as long again.
    """

    max_failures: int = 5
    cooldown_seconds: float = 30.0

    def __post_init__(self) -> None:
        check_above_zero(self, "max_failures", "cooldown_seconds")

    def wrap(self, model: Model, host: Host) -> Model:
        """Give a model that is left alone while it is down."""
        return _Breaking(self, model, host)


class _Breaking(Wrapped):
    def __init__(self, settings: CircuitBreaker, model: Model, host: Host) -> None:
        super().__init__(model, host)
        self._settings = settings
        self._failures = 0
        self._opened_at: float | None = None
        self._is_probing = False

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        self._check()
        is_probe = self._opened_at is not None
        self._is_probing = self._is_probing or is_probe
        is_whole = False
        stream = self._model.stream(request)
        try:
            async for delta in stream:
                if isinstance(delta, Finish):
                    is_whole = True
                    self._failures, self._opened_at = 0, None
                yield delta
            if not is_whole:
                self._fail(is_probe)
        except ModelError as error:
            is_failure = isinstance(error, (ModelUnavailableError, WireFormatError))
            if is_failure and not isinstance(error, OfflineError):
                self._fail(is_probe)
            raise
        finally:
            if is_probe:
                self._is_probing = False
            await close_stream(stream)

    def _check(self) -> None:
        if self._opened_at is None:
            return
        rest = self._opened_at + self._settings.cooldown_seconds - self._host.clock.now()
        if rest > 0 or self._is_probing:
            says = f"is left alone for {rest:.1f} seconds more" if rest > 0 else "is just being tried again"
            raise ModelUnavailableError(
                f"{self.info.id} failed {self._failures} times in a row and {says}",
                provider=self.info.provider,
                model=self.info.name,
                retry_after_seconds=max(rest, 0.0),
            )

    def _fail(self, is_probe: bool) -> None:
        self._failures += 1
        # One that was under way when the others failed doesn't begin the time anew.
        if self._failures >= self._settings.max_failures and (is_probe or self._opened_at is None):
            self._opened_at = self._host.clock.now()
