"""Statuses and bodies to errors: each status has a class, and no text holds what a body says."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

import pytest

from limpet.errors import (
    AuthenticationError,
    ContextLengthError,
    InvalidRequestError,
    ModelError,
    ModelUnavailableError,
    PolicyRefusalError,
    RateLimitError,
)
from limpet.protocols.http_errors import error_from_body, error_from_response
from limpet.retry import RetryPolicy

CLASSES: dict[int, type[ModelError]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    402: AuthenticationError,
    403: AuthenticationError,
    404: ModelUnavailableError,
    405: InvalidRequestError,
    406: InvalidRequestError,
    407: AuthenticationError,
    408: ModelUnavailableError,
    409: ModelUnavailableError,
    410: ModelUnavailableError,
    411: InvalidRequestError,
    412: InvalidRequestError,
    413: ContextLengthError,
    414: InvalidRequestError,
    415: InvalidRequestError,
    416: InvalidRequestError,
    417: InvalidRequestError,
    418: InvalidRequestError,
    421: InvalidRequestError,
    422: InvalidRequestError,
    423: ModelUnavailableError,
    424: ModelUnavailableError,
    425: ModelUnavailableError,
    426: InvalidRequestError,
    428: InvalidRequestError,
    429: RateLimitError,
    431: InvalidRequestError,
    451: PolicyRefusalError,
    499: ModelUnavailableError,
    520: ModelUnavailableError,
    524: ModelUnavailableError,
    529: ModelUnavailableError,
    **dict.fromkeys(range(500, 512), ModelUnavailableError),
    **dict.fromkeys((300, 301, 302, 303, 304, 307, 308), ModelUnavailableError),
}
RETRIED = {408, 409, 423, 424, 425, 429, 499, 500, 502, 503, 504, 506, 507, 508, 509, 510, 511, 520, 524, 529}


def read(status: int, body: Any = None, headers: dict[str, str] | None = None) -> ModelError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_from_response(status, headers or {}, data, provider="p", model="m", now=0.0)


@pytest.mark.parametrize("status", CLASSES)
def test_each_status_has_a_class(status: int) -> None:
    error = read(status)

    assert type(error) is CLASSES[status]
    assert (error.provider, error.model, error.status) == ("p", "m", status)
    assert error.message.startswith("p:m: the server ")
    assert error.message.endswith(f" (status {status})")


@pytest.mark.parametrize("status", CLASSES)
def test_each_status_is_tried_again_only_where_it_can_help(status: int) -> None:
    delay = RetryPolicy().delay_seconds(read(status), attempt=1, random=0.5)

    assert (delay is not None) == (status in RETRIED)


def test_no_status_of_http_is_forgotten() -> None:
    known = {int(status) for status in HTTPStatus if status >= 300 and status != 305}

    assert known - set(CLASSES) == set()


BODIES: dict[str, tuple[int, Any, type[ModelError]]] = {
    "Anthropic: too long": (
        400,
        {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 2 tokens > 1"}},
        ContextLengthError,
    ),
    "Anthropic: too large": (413, {"error": {"type": "request_too_large", "message": "..."}}, ContextLengthError),
    "Anthropic: no credit": (
        400,
        {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access it."}},
        AuthenticationError,
    ),
    "Anthropic: overloaded": (529, {"error": {"type": "overloaded_error"}}, ModelUnavailableError),
    "OpenAI: biology": (400, {"error": {"message": "...", "code": "bio_policy"}}, PolicyRefusalError),
    "OpenAI: country": (403, {"error": {"code": "unsupported_country_region_territory"}}, AuthenticationError),
    "Gemini: country": (
        400,
        {"error": {"code": 400, "message": "User location is not supported.", "status": "FAILED_PRECONDITION"}},
        AuthenticationError,
    ),
    "Gemini: old key": (
        400,
        {"error": {"code": 400, "message": "API key expired. Please renew it.", "status": "INVALID_ARGUMENT"}},
        AuthenticationError,
    ),
    "OpenAI: too long": (400, {"error": {"message": "...", "code": "context_length_exceeded"}}, ContextLengthError),
    "vLLM: too long": (
        400,
        {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "code": 400},
        ContextLengthError,
    ),
    "llama.cpp: too long": (
        400,
        {"error": {"code": 400, "message": "...", "type": "exceed_context_size_error", "n_ctx": 4096}},
        ContextLengthError,
    ),
    "llama.cpp, older: too long": (
        500,
        {"error": {"code": 500, "message": "the request exceeds the available context size."}},
        ContextLengthError,
    ),
    "Gemini: too long": (
        400,
        [{"error": {"code": 400, "message": "The input token count (9) exceeds the maximum", "status": "INVALID"}}],
        ContextLengthError,
    ),
    "Azure: filtered": (
        400,
        {"error": {"code": "content_filter", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
        PolicyRefusalError,
    ),
    "OpenAI: policy": (400, {"error": {"code": "content_policy_violation"}}, PolicyRefusalError),
    "OpenRouter: moderation": (
        403,
        {"error": {"code": 403, "message": "...", "metadata": {"reasons": ["x"], "flagged_input": "..."}}},
        PolicyRefusalError,
    ),
    "OpenAI: no credit": (429, {"error": {"code": "insufficient_quota"}}, AuthenticationError),
    "DeepSeek: no credit": (402, {"error": {"message": "Insufficient Balance"}}, AuthenticationError),
    "Gemini: bad key": (400, [{"error": {"message": "API key not valid. Please pass one."}}], AuthenticationError),
    "OpenAI: no such model": (404, {"error": {"code": "model_not_found"}}, ModelUnavailableError),
    "LM Studio: none loaded": (400, {"error": "No models loaded. Please load a model."}, ModelUnavailableError),
    "Mistral: detail": (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, InvalidRequestError),
    "a limit on tokens is no context length": (
        429,
        {"error": {"message": "too many tokens: maximum context", "code": "rate_limit_exceeded"}},
        RateLimitError,
    ),
    "what the user wrote decides nothing": (
        400,
        {"error": {"message": "bad schema near 'billing overloaded flagged rate_limit'", "code": None}},
        InvalidRequestError,
    ),
    "not JSON": (503, b"<html>upstream</html>", ModelUnavailableError),
    "empty": (500, b"", ModelUnavailableError),
    "JSON of another kind": (400, 7, InvalidRequestError),
}


@pytest.mark.parametrize(("status", "body", "cls"), BODIES.values(), ids=BODIES.keys())
def test_the_body_says_it_more_exactly(status: int, body: Any, cls: type[ModelError]) -> None:
    error = read(status, body)

    assert type(error) is cls
    assert error.status == status


def test_retry_after_is_kept() -> None:
    assert read(429, {}, {"retry-after": "7"}).retry_after_seconds == 7.0


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("rate_limit_exceeded", ", rate_limit_exceeded"),
        ("BadRequestError", ", BadRequestError"),
        ("sk-proj-0123456789abcdef", ""),
        ("you wrote: a poem", ""),
        ("a" * 60, ""),
        (7, ""),
        ({"a": 1}, ""),
        (None, ""),
    ],
)
def test_of_a_body_only_plain_codes_are_shown(code: Any, shown: str) -> None:
    error = read(400, {"error": {"code": code, "message": "the prompt was: sk-proj-0123456789abcdef"}})

    assert error.message.endswith(f" (status 400{shown})")
    assert "sk-proj" not in repr(error) + repr(error.__dict__)


@pytest.mark.parametrize(
    ("body", "status", "cls"),
    [
        ({"error": {"code": 429}}, 429, RateLimitError),
        ({"error": {"code": "502"}}, 502, ModelUnavailableError),
        ({"error": {"status": 401}}, 401, AuthenticationError),
        ({"error": {"type": "invalid_request_error"}}, 400, InvalidRequestError),
        ({"error": {"type": "authentication_error"}}, 401, AuthenticationError),
        ({"type": "error", "error": {"type": "rate_limit_error"}}, None, RateLimitError),
        ({"error": {"code": 20}}, None, ModelUnavailableError),
        ({"error": "what"}, None, ModelUnavailableError),
        (None, None, ModelUnavailableError),
    ],
)
def test_an_error_in_a_stream_brings_its_status(body: Any, status: int | None, cls: type[ModelError]) -> None:
    error = error_from_body(body, status=None, provider="p", model="m")

    assert (type(error), error.status) == (cls, status)
