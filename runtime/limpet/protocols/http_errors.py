"""Statuses and error bodies, as every provider's HTTP interface has them, to our errors.

The text of an error says what to do. It holds the status and, of the body, at most a short code such as
`model_not_found`: providers repeat prompts and keys in their messages, so these are looked at and never handed on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import (
    AuthenticationError,
    ContextLengthError,
    InvalidRequestError,
    ModelError,
    ModelUnavailableError,
    PolicyRefusalError,
    RateLimitError,
)
from ..retry import read_retry_after
from ..wire import Json

_STATUSES: dict[int, tuple[type[ModelError], str]] = {
    400: (InvalidRequestError, "refused the request as malformed"),
    401: (AuthenticationError, "did not accept the API key; check the key that is set for it"),
    402: (AuthenticationError, "wants to be paid first; the account of this key has no credit left"),
    403: (AuthenticationError, "does not let this key use the model; check the rights of the key"),
    404: (ModelUnavailableError, "does not know this model or address; check the model's name and the base URL"),
    407: (AuthenticationError, "is behind a proxy that wants a login"),
    408: (ModelUnavailableError, "waited too long for the request"),
    409: (ModelUnavailableError, "is busy with something that excludes this request"),
    410: (ModelUnavailableError, "does not have this model any more"),
    413: (ContextLengthError, "says that the conversation is too large"),
    423: (ModelUnavailableError, "has locked the model for the moment"),
    424: (ModelUnavailableError, "depends on something that failed"),
    425: (ModelUnavailableError, "asks to be called again a little later"),
    429: (RateLimitError, "was sent too many requests"),
    451: (PolicyRefusalError, "may not answer for legal reasons"),
    499: (ModelUnavailableError, "gave up because the connection was closed"),
    500: (ModelUnavailableError, "failed inside"),
    502: (ModelUnavailableError, "could not reach the model behind it"),
    503: (ModelUnavailableError, "is overloaded or still loading the model"),
    504: (ModelUnavailableError, "waited too long for the model behind it"),
    529: (ModelUnavailableError, "is overloaded"),
}


@dataclass(frozen=True, slots=True)
class _Sign:
    """What a body says more exactly than the status does. `message` is narrow: messages quote what the user wrote."""

    cls: type[ModelError]
    says: str
    code: re.Pattern[str]
    message: re.Pattern[str] | None = None


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


# The first match wins. The wordings are those of OpenAI, Azure, vLLM, llama.cpp, LM Studio, Ollama, OpenRouter,
# Mistral, Groq, Anthropic and Gemini.
_SIGNS = (
    _Sign(
        ContextLengthError,
        "says that the conversation does not fit into the model's context",
        _words(r"context_length|context_window|exceed_context_size|string_above_max_length|request_too_large"),
        _words(
            r"maximum context|context (length|window|size)|prompt is too long|input is too long"
            r"|input token count.{0,40}exceeds|too many (input )?tokens"
        ),
    ),
    _Sign(
        PolicyRefusalError,
        "refused the request by its policy",
        _words(
            r"content_?filter|content_policy|moderation|responsibleai|safety|flagged|invalid_prompt|prohibited|_policy"
        ),
        _words(r"content management policy|requires moderation"),
    ),
    _Sign(
        AuthenticationError,
        "wants to be paid first; the account of this key has no credit left",
        _words(r"insufficient_(quota|balance|credits?|funds)|billing"),
        _words(r"insufficient (balance|credits?|quota)|credit balance is too low"),
    ),
    _Sign(
        AuthenticationError,
        "did not accept the API key; check the key that is set for it",
        _words(r"invalid_api_key|api_key_invalid|invalid_authentication"),
        _words(r"api key not valid|api key expired|incorrect api key|no auth credentials"),
    ),
    _Sign(
        AuthenticationError,
        "is not offered in the country that this request comes from",
        _words(r"unsupported_country"),
        _words(r"location is not supported"),
    ),
    _Sign(RateLimitError, "was sent too many requests", _words(r"rate_?limit|resource_exhausted")),
    _Sign(
        ModelUnavailableError,
        "does not have this model; check the model's name",
        _words(r"model_not_(found|loaded|available)"),
        _words(r"no models? loaded|model .{0,80}not found"),
    ),
    _Sign(ModelUnavailableError, "is overloaded", _words(r"overloaded|server_busy|unavailable")),
)
_PLAIN_CODE = re.compile(r"[A-Za-z]+([_.-][A-Za-z]+){0,7}")
_STATUS_OF_WORD = {
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
}


def error_from_response(
    status: int, headers: Mapping[str, str], body: bytes, *, provider: str, model: str, now: float
) -> ModelError:
    """Make the error that a response with a status other than 200 stands for; `now` is in seconds since 1970."""
    try:
        data: object = json.loads(body)
    except ValueError:
        data = None
    return error_from_body(
        data, status=status, provider=provider, model=model, retry_after_seconds=read_retry_after(headers, now=now)
    )


def error_from_body(
    body: object, *, status: int | None, provider: str, model: str, retry_after_seconds: float | None = None
) -> ModelError:
    """Make the error that an error body stands for; it may come within a stream, where it brings its own status."""
    fields = _error_fields(body)
    status = status if status is not None else _status_of(fields)
    cls, says = _pick(status, fields)
    code = _plain_code(fields)
    known = f" (status {status}{', ' if code else ''}{code})" if status is not None else f" ({code})" if code else ""
    return cls(
        f"{provider}:{model}: the server {says}{known}",
        provider=provider,
        model=model,
        status=status,
        retry_after_seconds=retry_after_seconds,
    )


def _pick(status: int | None, fields: Mapping[str, Json]) -> tuple[type[ModelError], str]:
    if status not in (401, 407):  # there the rest of the body adds nothing
        codes = " ".join(str(fields.get(name) or "") for name in ("code", "type", "status"))
        message = str(fields.get("message") or "") if status != 429 else ""
        if status == 403 and "metadata" in fields:  # OpenRouter: its moderation names the reasons there
            codes += str(fields["metadata"])
        for sign in _SIGNS:
            if sign.code.search(codes) or (sign.message is not None and sign.message.search(message)):
                return sign.cls, sign.says
    if status in _STATUSES:
        return _STATUSES[status]
    if status is None or status >= 500:
        return ModelUnavailableError, "failed inside"
    if status >= 400:
        return InvalidRequestError, "refused the request"
    return ModelUnavailableError, "answered with something other than an answer; check the base URL"


def _error_fields(body: object) -> dict[str, Json]:
    """Find the fields of an error: `{"error": {...}}`, `{"error": "text"}`, `[{"error": ...}]`, or on their own."""
    if isinstance(body, list) and body:
        body = body[0]
    error = body.get("error", body.get("detail", body)) if isinstance(body, dict) else body
    if isinstance(error, dict):
        return error
    return {"message": error} if isinstance(error, str) else {}


def _status_of(fields: Mapping[str, Json]) -> int | None:
    for name in ("code", "status", "status_code"):
        value = fields.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
            value = int(value)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    for name in ("code", "type"):
        value = fields.get(name)
        if isinstance(value, str) and value in _STATUS_OF_WORD:
            return _STATUS_OF_WORD[value]
    return None


def _plain_code(fields: Mapping[str, Json]) -> str:
    for name in ("code", "type", "status"):
        value = fields.get(name)
        # Words only: no key, no address and no sentence looks like that.
        if isinstance(value, str) and len(value) <= 48 and _PLAIN_CODE.fullmatch(value):
            return value
    return ""
