"""What the core may ask of the place where it runs: four small protocols and the `Host` that holds one of each.

An entry point builds a host and passes it in. There is no current host, no global, no detection.
"""

from __future__ import annotations

from asyncio import Lock
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .wire import Availability, Json, JsonObject, LoadStatus


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as it goes out. `timeout_seconds` is the longest silence allowed, not the whole duration."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # the key is in them
    body: bytes | None = field(default=None, repr=False)
    timeout_seconds: float = 60.0


class HttpResponse(Protocol):
    """An answer whose body still arrives. Header names are in lower case."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives, cut anywhere. Raises `FetchError`."""
        ...

    async def close(self) -> None:
        """Stop the request on the wire; harmless after the end and when called twice."""
        ...


class Fetch(Protocol):
    """Send a request and wait for the status and the headers. Raises `FetchError`; cancelling it stops the request."""

    async def __call__(self, request: HttpRequest, /) -> HttpResponse: ...


class Storage(Protocol):
    """Bytes by key. A missing key is not an error. Each method raises `StorageError` when the store fails."""

    async def get(self, key: str) -> bytes | None: ...

    async def put(self, key: str, value: bytes) -> None: ...

    async def delete(self, key: str) -> None: ...

    async def keys(self, prefix: str = "") -> list[str]:
        """Give the keys that start with `prefix`, sorted."""
        ...


class Clock(Protocol):
    """Time as the host has it."""

    def now(self) -> float:
        """Seconds since 1970."""
        ...

    async def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Candidates:
    """The best tokens for the next place, best first.

    `logits[i]` belongs to `ids[i]`. `log_sum_exp` is over the whole vocabulary, so `exp(logit - log_sum_exp)` is a
    probability. `scalars` holds what else the model reports, such as `confidence`.
    """

    ids: list[int]
    logits: list[float]
    log_sum_exp: float
    scalars: Mapping[str, float] = field(default_factory=dict)


LoadProgress = Callable[[LoadStatus, str, int, int], None]
"""Called with status, file, bytes so far, bytes in all (0: unknown)."""


class InferenceSession(Protocol):
    """A loaded model with the state of one token sequence, kept where the model runs."""

    @property
    def manifest(self) -> JsonObject:
        """The model's `model.json`."""
        ...

    @property
    def lock(self) -> Lock:
        """Held by whoever uses the sequence: one loaded model serves several runs, in turn."""
        ...

    @property
    def length(self) -> int:
        """How many tokens the state holds."""
        ...

    async def read(self, name: str) -> bytes:
        """Read one of the model's files, such as its tokenizer. Raises `ModelUnavailableError`."""
        ...

    async def forward(
        self, token_ids: Sequence[int], *, top_k: int, allowed: Sequence[int] | None = None
    ) -> Candidates:
        """Append tokens to the sequence and rank what may come next, at most `top_k`, among `allowed` if given.

        With no tokens it ranks again what the last call computed. When it is cancelled it is unknown whether the tokens
        were appended, until the next `reset`, `restore` or `rewind`.
        """
        ...

    async def embed(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        """Give a vector for each sequence of tokens, whatever the state.

        Raises `ModelUnavailableError` when the model is of another kind.
        """
        ...

    async def rewind(self, length: int) -> bool:
        """Shorten the sequence to its first `length` tokens.

        False where the model's state can't be shortened or isn't that long, and then nothing has changed. What was
        ranked before can't be ranked again, unless the length is what it was.
        """
        ...

    async def reset(self) -> None:
        """Forget the sequence."""
        ...

    async def snapshot(self, key: str, *, is_temporary: bool = False) -> None:
        """Keep the state under `key`, for `restore` in this or, where the host can, a later session.

        With `is_temporary` it is for this one only, and nothing is written for it.
        """
        ...

    async def restore(self, key: str) -> bool:
        """Go back to the state kept under `key`; False when there is none, and then nothing has changed."""
        ...

    async def close(self) -> None:
        """Give back the memory; harmless when called twice."""
        ...


class InferenceBackend(Protocol):
    """Where local models are kept and run."""

    async def availability(self, model_id: str) -> Availability: ...

    async def load(self, model_id: str, progress: LoadProgress) -> InferenceSession:
        """Load a model, or give the session that is loaded already.

        Raises `ModelUnavailableError` saying what to do: the model isn't there, must be downloaded, or doesn't fit.
        """
        ...


class ToolPool(Protocol):
    """Interpreters beside this one, for tools that compute for long. Each loads the file that the tool is in."""

    async def call(
        self,
        function: Callable[..., object],
        name: str,
        arguments: JsonObject,
        on_progress: Callable[[Json], None],
        /,
    ) -> Json:
        """Have the tool that was made of `function` called once, in an interpreter that has nothing else to do.

        Raises `ToolError`, or an exception of the name of what the function raised. Cancelling it ends the interpreter.
        """
        ...


@dataclass(frozen=True, slots=True)
class Host:
    """All that a run may touch outside itself.

    `secret` gives an API key by its name (such as `OPENAI_API_KEY`) or None; `random` gives 0 <= x < 1 for jitter;
    `new_id` gives short unique texts. `base_urls` are addresses that the user set by provider name.
    """

    fetch: Fetch
    storage: Storage
    clock: Clock
    secret: Callable[[str], str | None]
    random: Callable[[], float]
    new_id: Callable[[], str]
    inference: InferenceBackend | None = None
    pool: ToolPool | None = None
    base_urls: Mapping[str, str] = field(default_factory=dict)
    is_browser: bool = False
    """Whether requests fall under a browser's CORS rules, so that only plain headers may be sent."""
