"""A fetch that knows the requests it expects and fails on any other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from limpet.errors import FetchError
from limpet.host import HttpRequest, HttpResponse


@dataclass(frozen=True)
class ExpectedRequest:
    """What must be sent; `json` is the body, compared as JSON."""

    url: str
    headers: Mapping[str, str]
    json: Any
    method: str = "POST"


class Hang:
    """In the place of a piece: nothing more comes until the response is closed."""


@dataclass
class FakeResponse:
    """An answer in the pieces in which it arrives; an error among them breaks it off there."""

    pieces: Sequence[bytes | FetchError | Hang] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    is_closed: bool = False
    has_ended: bool = False
    """Whether all pieces were read."""

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            await asyncio.sleep(0)
            if isinstance(piece, FetchError):
                raise piece
            if isinstance(piece, Hang):
                await asyncio.get_running_loop().create_future()
                continue
            yield piece
        self.has_ended = True

    async def close(self) -> None:
        self.is_closed = True


Exchange = tuple[ExpectedRequest | None, FakeResponse | FetchError]
"""A request, or None when the test does not care, and what comes back."""


class FakeFetch:
    """Answers the expected requests in their order. Raises `AssertionError` for any other.

    `sent` is what was asked for so far.
    """

    def __init__(self, *exchanges: Exchange | FakeResponse | FetchError) -> None:
        self._exchanges: list[Exchange] = [
            exchange if isinstance(exchange, tuple) else (None, exchange) for exchange in exchanges
        ]
        self.sent: list[HttpRequest] = []

    async def __call__(self, request: HttpRequest, /) -> HttpResponse:
        self.sent.append(request)
        if len(self.sent) > len(self._exchanges):
            raise AssertionError(f"request {len(self.sent)} to {request.url} was not expected")
        expected, answer = self._exchanges[len(self.sent) - 1]
        if expected is not None:
            assert to_expected(request) == expected
        await asyncio.sleep(0)
        if isinstance(answer, FetchError):
            raise answer
        return answer

    @property
    def responses(self) -> list[FakeResponse]:
        return [answer for _, answer in self._exchanges if isinstance(answer, FakeResponse)]

    def assert_done(self) -> None:
        """Fail unless each expected request came and each response was closed."""
        assert len(self.sent) == len(self._exchanges)
        assert all(response.is_closed for response in self.responses)


def to_expected(request: HttpRequest) -> ExpectedRequest:
    """Give a request in the form in which it is compared."""
    return ExpectedRequest(
        url=request.url,
        headers=dict(request.headers),
        json=None if request.body is None else json.loads(request.body),
        method=request.method,
    )
