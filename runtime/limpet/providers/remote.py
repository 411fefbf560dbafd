"""A model behind HTTP: render, fetch, parse, and try again as long as nothing was said.

A provider is data (`Service`), and how it is spoken with is a `WireProtocol`; this file is all the rest of its
behaviour. Keys are asked of the host at each request and put into one header, or sign it; they are kept in no object.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import assert_never

from ..errors import (
    AuthenticationError,
    ConfigurationError,
    CorsError,
    FetchError,
    ModelError,
    ModelUnavailableError,
    OfflineError,
    WireFormatError,
)
from ..events import ModelStart, Retry
from ..host import Host, HttpRequest, HttpResponse
from ..model import Delta, ModelInfo, ModelReference, ModelRequest
from ..protocols.chat_completions import ChatCompletions
from ..protocols.wire_protocol import AnswerContext, AnswerReader, WireProtocol
from ..retry import RetryPolicy

GENERIC_CORS_HINT = (
    "ask the server to send Access-Control-Allow-Origin for this page's origin, "
    "or put a proxy on the page's own origin and use its address as the base URL"
)
_MAX_ERROR_BYTES = 64 * 1024
_ADDRESS = re.compile(r"(?P<origin>https?://(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d{1,5})?)(?P<path>/[^\s?#]*)?", re.ASCII)
_KEY = re.compile(r"[\x21-\x7e]+")
_OPTIONS = ("timeout_seconds", "max_attempts", "context_length")

Secret = Callable[[str], str | None]
"""Gives a secret by its name; a host's `secret`."""
Sign = Callable[[HttpRequest, Secret, float], HttpRequest]
"""Gives a request with its signature, from the secrets and the time (seconds since 1970).

Raises `AuthenticationError` when a secret is missing or can't be right.
"""


@dataclass(frozen=True, slots=True)
class Service:
    """What there is to know of a service.

    `base_url` is None when only the user can know it. `key_name` is how the host's `secret` calls the key, which is
    sent as `key_prefix` and key in `key_header`. With `sign` the last step of a request is signing it instead;
    `secrets` names what else must be set for that. `headers` are sent beside ours, but not from a browser: a header too
    many makes a server refuse the page; `required_headers` are sent from everywhere. `options` are names that
    `ModelReference.options` may have beside those of every model; the provider's module reads and checks them.
    `cors_hint` completes "to let this page in, ...".
    """

    provider: str
    base_url: str | None = None
    protocol: WireProtocol = ChatCompletions()
    key_name: str | None = None
    needs_key: bool = True
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    sign: Sign | None = None
    secrets: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    required_headers: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    has_images: bool = True
    cors_hint: str = GENERIC_CORS_HINT


def create_remote(service: Service, reference: ModelReference, host: Host) -> RemoteModel:
    """Make the model `reference` of a service. Raises `ConfigurationError` for an address or option it can't use."""
    for name, value in reference.options.items():
        if name in service.options:
            continue
        if name not in _OPTIONS:
            known = ", ".join(_OPTIONS + service.options)
            raise ConfigurationError(f"{reference.id} has no option {name!r}; known are {known}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            raise ConfigurationError(f"the option {name!r} of {reference.id} must be a number above 0")
    base_url = reference.base_url or host.base_urls.get(reference.provider) or service.base_url
    if base_url is not None and _ADDRESS.fullmatch(base_url) is None:
        # The address is not repeated: people paste keys into it.
        raise ConfigurationError(
            f"the base URL of {reference.id} must look like 'https://host:port/path', without a user, a query or a key"
        )
    return RemoteModel(service, reference, host, base_url=base_url)


class RemoteModel:
    """One model of a service. Keeps no state between requests."""

    def __init__(self, service: Service, reference: ModelReference, host: Host, *, base_url: str | None) -> None:
        self._service = service
        self._reference = reference
        self._host = host
        self._base_url = base_url
        self._key_name = reference.key_name or service.key_name
        self._needs_key = service.needs_key or reference.key_name is not None
        self._timeout_seconds = _number(reference.options, "timeout_seconds", 60.0)
        self._retries = RetryPolicy(max_attempts=int(_number(reference.options, "max_attempts", 3)))

    def __repr__(self) -> str:
        return f"RemoteModel({self._reference.id!r})"

    @property
    def info(self) -> ModelInfo:
        """What is known of the model; whether its key is there is looked up anew each time."""
        return ModelInfo(
            provider=self._reference.provider,
            name=self._reference.name,
            context_length=int(_number(self._reference.options, "context_length", 0)),
            has_images=self._service.has_images,
            is_configured=(
                self._base_url is not None
                and not (self._needs_key and self._key() is None)
                and all(self._host.secret(name) for name in self._service.secrets)
            ),
        )

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        """Answer as a stream of deltas; closing it closes the connection.

        A failure before the first delta is tried again as `retry.py` decides, with a `Retry` notice each time.
        """
        attempt = 1
        has_started = False
        while True:
            try:
                async with aclosing(self._attempt(request)) as answer:
                    async for delta in answer:
                        has_started = True
                        yield delta
                return
            except ModelError as error:
                error.provider = error.provider or self._reference.provider
                error.model = error.model or self._reference.name
                retry = None if has_started else self._retry(error, attempt)
                if retry is None:
                    raise
            yield retry
            await self._host.clock.sleep(retry.delay_seconds)
            attempt += 1

    def _retry(self, error: ModelError, attempt: int) -> Retry | None:
        delay = self._retries.delay_seconds(error, attempt=attempt, random=self._host.random())
        if delay is None:
            return None
        return Retry(self._reference.id, attempt, delay, error.fallback_reason or "unavailable", error.message)

    async def _attempt(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        response = await self._send(request)
        try:
            if not 200 <= response.status < 300:
                raise await self._refusal(response)
            parser = self._service.protocol.read_answer(
                AnswerContext(
                    self._reference.provider,
                    self._reference.name,
                    self._host.new_id,
                    {call.id for message in request.messages for call in message.tool_calls},
                )
            )
            has_started = False
            chunks = response.chunks()
            while True:
                piece = None if parser.is_done else await self._next(chunks, parser)
                for delta in parser.close() if piece is None else parser.feed(piece):
                    if not has_started:
                        has_started = True
                        yield ModelStart(self._reference.id)
                    yield delta
                if piece is None:
                    return
        finally:
            await response.close()

    async def _next(self, chunks: AsyncIterator[bytes], parser: AnswerReader) -> bytes | None:
        try:
            return await anext(chunks, None)
        except FetchError as error:
            if parser.is_finished:  # only the numbers are missing
                return None
            raise self._fetch_error(error, is_answering=True) from error

    async def _send(self, request: ModelRequest) -> HttpResponse:
        rendered = self._service.protocol.render(request, model=self._reference.name, model_id=self._reference.id)
        outgoing = HttpRequest(
            method="POST",
            url=self._url(rendered.path),
            headers={**self._headers(), **rendered.headers},
            body=json.dumps(rendered.body, ensure_ascii=False).encode("utf-8", "replace"),
            timeout_seconds=self._timeout_seconds,
        )
        if self._service.sign is not None:
            outgoing = self._service.sign(outgoing, self._host.secret, self._host.clock.now())
        try:
            return await self._host.fetch(outgoing)
        except FetchError as error:
            raise self._fetch_error(error, is_answering=False) from error

    async def _refusal(self, response: HttpResponse) -> ModelError:
        body = bytearray()
        # What arrived before it broke off may still name the reason.
        with suppress(FetchError):
            async for chunk in response.chunks():
                body += chunk
                if len(body) > _MAX_ERROR_BYTES:
                    break
        return self._service.protocol.read_error(
            response.status,
            response.headers,
            bytes(body),
            provider=self._reference.provider,
            model=self._reference.name,
            now=self._host.clock.now(),
        )

    def _fetch_error(self, error: FetchError, *, is_answering: bool) -> ModelError:
        cls: type[ModelError] = ModelUnavailableError
        match error.kind:
            case "offline":
                cls, says = OfflineError, "there is no network"
            case "cors":
                cls = CorsError
                says = (
                    f"the server at {self._origin()} does not let this page read its answer (CORS); "
                    f"to let it in, {self._service.cors_hint}"
                )
            case "timeout":
                says = f"the server at {self._origin()} was silent for {self._timeout_seconds:g} seconds"
            case "reset" if is_answering:
                cls, says = WireFormatError, f"the server at {self._origin()} broke off in the middle of its answer"
            case "reset":
                says = f"the server at {self._origin()} closed the connection without an answer"
            case "unreachable":
                says = f"nobody answers at {self._origin()}; check the base URL and whether the server runs"
            case _:
                assert_never(error.kind)
        return cls(f"{self._reference.id}: {says}", provider=self._reference.provider, model=self._reference.name)

    def _url(self, path: str) -> str:
        if self._base_url is None:
            raise ConfigurationError(
                f"{self._reference.id} needs the base URL of its server, such as 'https://host/v1'"
            )
        # People paste the whole address of the documents' example.
        return self._base_url.rstrip("/").removesuffix(path.partition("?")[0]) + path

    def _origin(self) -> str:
        match = _ADDRESS.fullmatch(self._base_url or "")
        return match["origin"] if match is not None else "an unknown address"

    def _headers(self) -> dict[str, str]:
        headers = {"content-type": "application/json"}
        key = self._key()
        if key is not None:
            if _KEY.fullmatch(key) is None:
                raise AuthenticationError(
                    f"{self._reference.id}: the key {self._key_name!r} has characters that no API key has; set it again"
                )
            if self._service.sign is None:
                headers[self._service.key_header] = self._service.key_prefix + key
        elif self._needs_key:
            raise AuthenticationError(f"{self._reference.id}: there is no API key; set {self._key_name!r}")
        if not self._host.is_browser:
            headers |= {"accept": "text/event-stream, application/json", **self._service.headers}
        return {**headers, **self._service.required_headers}

    def _key(self) -> str | None:
        key = self._host.secret(self._key_name) if self._key_name is not None else None
        return (key or "").strip() or None


def _number(options: Mapping[str, object], name: str, default: float) -> float:
    value = options.get(name, default)
    return float(value) if isinstance(value, (int, float)) else default
