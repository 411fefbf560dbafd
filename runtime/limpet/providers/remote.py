"""A model behind HTTP: render, fetch, parse, and try again as long as nothing was said.

A provider is data (`Service`), and how it is spoken with is a `WireProtocol`; this file is all the rest of its
behaviour. Keys are asked of the host at each request and put into one header, or sign it; they are kept in no object.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from copy import copy
from typing import TypeVar, assert_never

from ..errors import (
    AuthenticationError,
    ConfigurationError,
    CorsError,
    FetchError,
    ModelError,
    ModelUnavailableError,
    OfflineError,
    UnsupportedError,
    WireFormatError,
)
from ..events import ModelStart
from ..fallback import close_stream
from ..host import Host, HttpRequest, HttpResponse
from ..layers.retry import plan_retry, stream_with_retries
from ..messages import ImagePart, Message
from ..model import Delta, ModelInfo, ModelReference, ModelRequest, Purpose
from ..protocols.http_errors import error_from_response
from ..protocols.model_list import read_model_list
from ..protocols.wire_protocol import AnswerContext, AnswerReader, RenderedRequest, WireProtocol
from ..retry import RetryPolicy
from .service import Service

_MAX_ERROR_BYTES = 64 * 1024
_ADDRESS = re.compile(r"(?P<origin>https?://(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:\d{1,5})?)(?P<path>/[^\s?#]*)?", re.ASCII)
_KEY = re.compile(r"[\x21-\x7e]+")
_TAIL = re.compile(r"(:latest|-\d{4}-?\d\d-?\d\d)?")
_MAX_BODY_BYTES = 64 * 1024 * 1024
_OPTIONS = ("timeout_seconds", "max_attempts", "context_length")
# All JSON of an answer in its metadata; off, because that is stored with the conversation and sent to the page.
_SWITCHES = ("raw_events",)
_ABILITIES = (
    *("has_tools", "has_parallel_tools", "has_required_tools", "has_json_schema", "has_schema_with_tools"),
    *("has_images", "has_reasoning"),
)
T = TypeVar("T")


def create_remote(service: Service, reference: ModelReference, host: Host) -> RemoteModel:
    """Make the model `reference` of a service. Raises `ConfigurationError` for an address or option it can't use."""
    for name, value in reference.options.items():
        if name in service.options:
            continue
        if name in (*_ABILITIES, *_SWITCHES):
            if not isinstance(value, bool):
                raise ConfigurationError(f"the option {name!r} of {reference.id} must be True or False")
            continue
        if name not in _OPTIONS:
            known = ", ".join(_OPTIONS + _SWITCHES + _ABILITIES + service.options)
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
    """One model of a service, for answers, for embeddings or both. Keeps no state between requests."""

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
        service, options = self._service, self._reference.options
        abilities = {name: bool(options.get(name, getattr(service, name))) for name in _ABILITIES}
        name = self._reference.name
        fitting = [known for known in service.context_lengths if name.startswith(known)]
        length = service.context_lengths[max(fitting, key=len)] if fitting else 0
        return ModelInfo(
            provider=self._reference.provider,
            name=name,
            context_length=int(_number(options, "context_length", length)),
            is_configured=(
                self._base_url is not None
                and not (self._needs_key and self._key() is None)
                and all(self._host.secret(name) for name in service.secrets)
            ),
            has_embeddings=service.embeddings is not None,
            browser_access=service.browser_access,
            **abilities,
        )

    def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        """Answer as a stream of deltas; closing it closes the connection.

        A failure before the first delta is tried again as `retry.py` decides, with a `Retry` notice each time. What the
        model can't do is refused with `UnsupportedError` before anything is sent.
        """
        return stream_with_retries(lambda: self._attempt(request), self._retries, self._host, self._reference)

    def without_retries(self) -> RemoteModel:
        """Give the same model, but each request is made once: a `Retry` layer does the rest."""
        other = copy(self)
        other._retries = RetryPolicy(max_attempts=1)
        return other

    async def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> list[list[float]]:
        """Give the vector of each text, in order, all of one length; texts are sent in as few requests as may be.

        Raises `UnsupportedError` when the service makes no embeddings, `ModelError` else.
        """
        form = self._service.embeddings
        if form is None:
            raise self._unsupported("makes no embeddings")
        vectors: list[list[float]] = []
        for start in range(0, len(texts), form.most_texts):
            batch = texts[start : start + form.most_texts]
            rendered = form.render(batch, model=self._reference.name, purpose=purpose)
            answer = await self._trying(lambda rendered=rendered: self._exchange("POST", rendered))  # type: ignore[misc]
            vectors += form.read(answer, self._context(), len(batch))
        if any(len(vector) != len(vectors[0]) for vector in vectors):
            raise self._context().broken("sent vectors of different lengths")
        return vectors

    async def list_models(self) -> list[str]:
        """Ask the service for the names of its models. Raises `UnsupportedError` when it keeps no list."""
        path = self._models_path()
        if path is None:
            raise self._unsupported("keeps no list of its models")
        answer = await self._trying(lambda: self._exchange("GET", RenderedRequest(path, {})))
        return read_model_list(answer, self._context())

    async def verify(self) -> None:
        """Find out whether the address, the key and the model's name are good; the `ModelError` raised says why not.

        Where the service keeps no list of its models, that takes the shortest of answers.
        """
        if self._models_path() is None:
            if self._service.protocol is None:
                await self.embed(["?"])
                return
            async with aclosing(self.stream(ModelRequest((Message.user("Hi"),), max_output_tokens=16))) as answer:  # type: ignore[type-var]
                async for _ in answer:
                    pass
            return
        name = self._reference.name
        listed = await self.list_models()
        # Ollama's tag and a date may be left out; Bedrock is asked with a region before the name, as `us.amazon.nova`.
        if not any(
            name.endswith(f".{known}") or (known.startswith(name) and _TAIL.fullmatch(known[len(name) :]))
            for known in listed
        ):
            raise ModelUnavailableError(
                f"{self._reference.id}: the server does not list this model; check the model's name",
                provider=self._reference.provider,
                model=name,
            )

    def _models_path(self) -> str | None:
        path = self._service.models_path
        # The key for an address of the user's own, such as a proxy's, goes to no other one.
        is_elsewhere = path is not None and path.startswith("https://") and self._base_url != self._service.base_url
        return None if is_elsewhere else path

    def _check_abilities(self, request: ModelRequest) -> WireProtocol:
        info, protocol = self.info, self._service.protocol
        if protocol is None:
            raise self._unsupported("makes embeddings only")
        has_tools = bool(request.tools) and request.tool_choice != "none"
        if has_tools and not info.has_tools:
            raise self._unsupported("can't call tools")
        if has_tools and request.tool_choice == "required" and not info.has_required_tools:
            raise self._unsupported("can't be made to call a tool")
        if request.output_schema is not None and not info.has_json_schema:
            raise self._unsupported("can't be made to fit a JSON Schema")
        if request.output_schema is not None and has_tools and not info.has_schema_with_tools:
            raise self._unsupported("can't be made to fit a JSON Schema while it has tools to call")
        if not info.has_images and any(
            isinstance(part, ImagePart) for message in request.messages for part in message.parts
        ):
            raise self._unsupported("can't see pictures")
        return protocol

    def _unsupported(self, says: str) -> UnsupportedError:
        return UnsupportedError(
            f"{self._reference.id} {says}", provider=self._reference.provider, model=self._reference.name
        )

    async def _trying(self, action: Callable[[], Awaitable[T]]) -> T:
        attempt = 1
        while True:
            try:
                return await action()
            except ModelError as error:
                retry = plan_retry(error, attempt, self._retries, self._host, self._reference)
                if retry is None:
                    raise
            await self._host.clock.sleep(retry.delay_seconds)
            attempt += 1

    async def _exchange(self, method: str, rendered: RenderedRequest) -> object:
        """Send a request and read the whole answer as JSON."""
        response = await self._send(method, rendered)
        chunks = response.chunks()
        body = bytearray()
        try:
            if not 200 <= response.status < 300:
                raise await self._refusal(response, chunks)
            async for chunk in chunks:
                body += chunk
                if len(body) > _MAX_BODY_BYTES:
                    raise self._context().broken(f"sent more than {_MAX_BODY_BYTES} bytes")
        except FetchError as error:
            raise self._fetch_error(error, is_answering=True) from error
        finally:
            await close_stream(chunks)
            await response.close()
        try:
            return json.loads(bytes(body))
        except ValueError:
            raise self._context().broken("sent an answer that is not whole JSON; check the base URL") from None

    def _context(self, taken_ids: Collection[str] = ()) -> AnswerContext:
        keeps_raw_events = self._reference.options.get("raw_events") is not False
        return AnswerContext(
            self._reference.provider, self._reference.name, self._host.new_id, taken_ids, keeps_raw_events
        )

    async def _attempt(self, request: ModelRequest) -> AsyncIterator[Delta]:
        protocol = self._check_abilities(request)
        rendered = protocol.render(request, model=self._reference.name, model_id=self._reference.id)
        response = await self._send("POST", rendered)
        chunks = response.chunks()
        try:
            if not 200 <= response.status < 300:
                raise await self._refusal(response, chunks)
            parser = protocol.read_answer(
                self._context({call.id for message in request.messages for call in message.tool_calls})
            )
            has_started = False
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
            # Both: a body that is merely dropped is closed by a task of the loop's, which outlives the run.
            await close_stream(chunks)
            await response.close()

    async def _next(self, chunks: AsyncIterator[bytes], parser: AnswerReader) -> bytes | None:
        try:
            return await anext(chunks, None)
        except FetchError as error:
            if parser.is_finished:  # only the numbers are missing
                return None
            raise self._fetch_error(error, is_answering=True) from error

    async def _send(self, method: str, rendered: RenderedRequest) -> HttpResponse:
        outgoing = HttpRequest(
            method=method,
            url=self._url(rendered.path),
            headers={**self._headers(), **rendered.headers},
            body=None if method == "GET" else json.dumps(rendered.body, ensure_ascii=False).encode("utf-8", "replace"),
            timeout_seconds=self._timeout_seconds,
        )
        if self._service.sign is not None:
            outgoing = self._service.sign(outgoing, self._host.secret, self._host.clock.now())
        try:
            return await self._host.fetch(outgoing)
        except FetchError as error:
            raise self._fetch_error(error, is_answering=False) from error

    async def _refusal(self, response: HttpResponse, chunks: AsyncIterator[bytes]) -> ModelError:
        body = bytearray()
        # What arrived before it broke off may still name the reason.
        with suppress(FetchError):
            async for chunk in chunks:
                body += chunk
                if len(body) > _MAX_ERROR_BYTES:
                    break
        read_error = self._service.protocol.read_error if self._service.protocol is not None else error_from_response
        return read_error(
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
        if path.startswith("https://"):
            return path
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
