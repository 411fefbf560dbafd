"""Which HTTP status an error stands for. What a client is told is written here: never a provider's own words."""

from __future__ import annotations

from ..errors import (
    AgentError,
    AuthenticationError,
    BudgetError,
    ConfigurationError,
    ContextLengthError,
    InvalidRequestError,
    ModelError,
    OutputError,
    PolicyRefusalError,
    RateLimitError,
    StorageError,
    UnsupportedError,
)
from .http import HttpError


def refusal(error: Exception) -> HttpError:
    """Give what a client is told of an error."""
    match error:
        case HttpError():
            return error
        case RateLimitError():
            seconds = str(max(1, round(error.retry_after_seconds or 1)))
            return HttpError(429, "rate_limited", "the provider is asked too often", headers={"retry-after": seconds})
        case ContextLengthError():
            return HttpError(400, "context_length_exceeded", "the conversation is too long for the model")
        case PolicyRefusalError():
            return HttpError(400, "content_filter", "the provider's policy refused the request")
        case UnsupportedError():
            return HttpError(400, "unsupported", "the model can't do what it was asked for")
        case InvalidRequestError():
            return HttpError(400, "invalid_request", "the provider refused the request")
        case AuthenticationError():
            return HttpError(502, "upstream_refused", "the provider refuses this server; its operator must look at it")
        case ModelError():
            return HttpError(503, "upstream_unavailable", "no provider could answer", headers={"retry-after": "5"})
        case BudgetError() | OutputError():
            return HttpError(422, "run_failed", error.message)
        case ConfigurationError():
            return HttpError(503, "not_configured", "this server is not set up for that")
        case StorageError():
            return HttpError(503, "storage_unavailable", "the store failed", headers={"retry-after": "1"})
        case AgentError():
            return HttpError(502, "run_failed", "the run failed")
    return HttpError(500, "internal_error", "something went wrong inside")
