"""The seam between a service and how it is spoken with: what `providers/remote.py` asks of a wire format.

A wire format renders a request, reads an answer from bytes and an error from a refusal. It knows no address, no key
and no header that a key goes into; those are the service's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ..errors import ModelError, WireFormatError
from ..model import Finish, ModelRequest
from ..wire import JsonObject
from .blocks import Block

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass(frozen=True, slots=True)
class RenderedRequest:
    """What is POSTed: `path` (a query may follow) is added to the base URL, `headers` are sent from every host.

    `headers` win over those of the same name that the service or we would send, such as `accept`.
    """

    path: str
    body: JsonObject
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AnswerContext:
    """What the reader of one answer is told: who answers, for the texts of errors, and how to name calls.

    `new_id` makes ids for calls that come without one, or with one of `taken_ids`, those of the conversation so far.
    With `keeps_raw_events` the metadata of `Finish` has `raw_events`: all JSON that the server sent.
    """

    provider: str
    model: str
    new_id: Callable[[], str]
    taken_ids: Collection[str] = ()
    keeps_raw_events: bool = False

    def broken(self, says: str) -> WireFormatError:
        """Make the error for an answer that is not what the format promises; `says` follows "the server"."""
        return WireFormatError(
            f"{self.provider}:{self.model}: the server {says}", provider=self.provider, model=self.model
        )


class AnswerReader(Protocol):
    """Reads one answer, streamed or complete, from bytes that may be cut anywhere; lives as long as the response."""

    @property
    def is_done(self) -> bool:
        """Whether the server said that nothing more will come: the rest is not read."""
        ...

    @property
    def is_finished(self) -> bool:
        """Whether all of the answer is there: only numbers may still come, so a connection may break here."""
        ...

    def feed(self, piece: bytes) -> Iterator[Block]:
        """Yield what `piece` completes; it is exhausted before the next call. Raises `ModelError`."""
        ...

    def close(self) -> Iterator[Block | Finish]:
        """Yield what the end of the bytes leaves open, and `Finish`. Raises `WireFormatError` when it broke off."""
        ...


class WireProtocol(Protocol):
    """A wire format with its settings; a value, shared by all models of a service."""

    def render(self, request: ModelRequest, *, model: str, model_id: str) -> RenderedRequest:
        """Make what asks `model` for a streamed answer.

        `model_id` is `provider:name`: opaque data of earlier answers goes back only to the model that sent it.
        Raises `InvalidRequestError` for what the format can't say.
        """
        ...

    def read_answer(self, context: AnswerContext) -> AnswerReader:
        """Begin to read an answer whose status was good."""
        ...

    def read_error(
        self, status: int, headers: Mapping[str, str], body: bytes, *, provider: str, model: str, now: float
    ) -> ModelError:
        """Make the error that any other status stands for; `now` is in seconds since 1970."""
        ...


def quote_segment(text: str) -> str:
    """Percent-encode a model's name as one segment of a path (RFC 3986; `urllib` is dear to import in Pyodide).

    >>> quote_segment("meta/llama 3:8b")
    'meta%2Fllama%203%3A8b'
    """
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode("utf-8", "replace"))


def quote_path(text: str) -> str:
    """Percent-encode a model's name whose slashes are those of the path, as Cloudflare's are.

    >>> quote_path("@cf/meta/llama 3")
    '@cf/meta/llama%203'
    """
    return "/".join(quote_segment(segment) for segment in text.split("/")).replace("%40", "@")
