"""What Limpet promises of a provider that fails, and how the tests ask for each wire format; the same on every host."""

from __future__ import annotations

from collections.abc import Mapping

from limpet.errors import ModelError, ModelUnavailableError, RateLimitError, WireFormatError

from .faults import Fault

ENDS: Mapping[str, type[ModelError] | None] = {
    "slow_head": None,
    "slow_frames": None,
    "drip": None,
    "huge_event": None,
    "cut_after_the_end": None,
    "length_too_long": None,
    "reset_before_head": ModelUnavailableError,
    "close_before_head": ModelUnavailableError,
    "no_http": ModelUnavailableError,
    "silent_head": ModelUnavailableError,
    "status": ModelUnavailableError,
    "reset_in_body": WireFormatError,
    "reset_in_frame": WireFormatError,
    "close_in_body": WireFormatError,
    "close_in_frame": WireFormatError,
    "half_close": WireFormatError,
    "length_too_short": WireFormatError,
    "bad_chunk": WireFormatError,
    "empty": WireFormatError,
    "silent_body": ModelUnavailableError,
    "garbage": WireFormatError,
    "invalid_utf8": WireFormatError,
    "html": WireFormatError,
}
"""The error that each fault ends with, as `errors` describes it; None: the answer arrives whole all the same.

Of damaged bytes only a call, and the formats that are no text, die; elsewhere U+FFFD stands in their place.
"""
PROVIDERS: Mapping[str, Mapping[str, object]] = {
    "openai": {},
    "openai_responses": {"api": "responses"},
    "anthropic": {},
    "gemini": {},
    "vertex": {"project": "kitchen"},
    "ollama": {},
    "cohere": {},
    "bedrock": {},
    "workers_ai": {},
}
"""What to ask for each format: a provider, or a variant of one, with the options that make it that."""
SECRETS = {
    **{f"{name}_API_KEY": "KEY" for name in ("OPENAI", "ANTHROPIC", "GEMINI", "COHERE")},
    "GOOGLE_ACCESS_TOKEN": "KEY",
    "AWS_BEARER_TOKEN_BEDROCK": "KEY",
    "CLOUDFLARE_API_TOKEN": "KEY",
}


def provider_of(name: str) -> str:
    """Give the provider's name for one of `PROVIDERS`."""
    return name.removesuffix("_responses")


def end_of(fault: Fault) -> type[ModelError] | None:
    """Give the error that a fault ends with."""
    return RateLimitError if fault.kind == "status" and fault.status == 429 else ENDS[fault.kind]
