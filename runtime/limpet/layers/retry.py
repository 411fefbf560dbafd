"""Ask the same model again, as long as it has said nothing. When and after how long is decided in `retry.py` above.

A remote model does this by itself, with the very same function; a `Retry` layer takes its place, also from further out.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass

from ..errors import ModelError
from ..events import ModelStart
from ..events import Retry as RetryNotice
from ..fallback import close_stream
from ..host import Host
from ..model import Delta, Model, ModelInfo, ModelReference, ModelRequest
from ..retry import RetryPolicy
from .layer import Wrapped, check_above_zero, without_retries


@dataclass(frozen=True, slots=True)
class Retry:
    """Make up to `max_attempts` requests, with a `Retry` notice before the pause in between.

    The pause doubles from `first_delay_seconds` on; a server's `Retry-After` is kept to, unless it is longer than
    `max_delay_seconds`.
    """

    max_attempts: int = 3
    first_delay_seconds: float = 0.5
    max_delay_seconds: float = 20.0

    def __post_init__(self) -> None:
        check_above_zero(self, "max_attempts", "first_delay_seconds", "max_delay_seconds")

    def wrap(self, model: Model, host: Host) -> Model:
        """Give a model that is asked again."""
        policy = RetryPolicy(self.max_attempts, self.first_delay_seconds, self.max_delay_seconds)
        return _Retrying(policy, without_retries(model), host)


class _Retrying(Wrapped):
    def __init__(self, policy: RetryPolicy, model: Model, host: Host) -> None:
        super().__init__(model, host)
        self._policy = policy

    def without_retries(self) -> Model:
        return self._model

    def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        return stream_with_retries(lambda: self._model.stream(request), self._policy, self._host, self.info)


async def stream_with_retries(
    ask: Callable[[], AsyncIterator[Delta]], policy: RetryPolicy, host: Host, named: ModelInfo | ModelReference
) -> AsyncGenerator[Delta, None]:
    """Yield an answer, asking again while nothing was said and the policy allows it. Raises `ModelError`.

    An error that doesn't know its model is told the name.
    """
    attempt = 1
    while True:
        has_started = False
        stream = ask()
        try:
            async for delta in stream:
                has_started = has_started or isinstance(delta, ModelStart)
                yield delta
            return
        except ModelError as error:
            notice = plan_retry(error, attempt, policy, host, named)
            if has_started or notice is None:
                raise
        finally:
            await close_stream(stream)
        yield notice
        await host.clock.sleep(notice.delay_seconds)
        attempt += 1


def plan_retry(
    error: ModelError, attempt: int, policy: RetryPolicy, host: Host, named: ModelInfo | ModelReference
) -> RetryNotice | None:
    """Give the notice of the next attempt, None when there is none to make; `attempt` counts from 1."""
    error.provider = error.provider or named.provider
    error.model = error.model or named.name
    delay = policy.delay_seconds(error, attempt=attempt, random=host.random())
    if delay is None:
        return None
    return RetryNotice(named.id, attempt, delay, error.fallback_reason or "unavailable", error.message)
