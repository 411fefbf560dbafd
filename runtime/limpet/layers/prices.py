"""What tokens cost, as data: US dollars for a million, by the beginning of a model's id.

Taken in November 2026 from the data set genai-prices 0.2.3, which reads the services' own pages:
developers.openai.com/api/docs/pricing, anthropic.com/pricing, ai.google.dev/gemini-api/docs/pricing,
mistral.ai/pricing/api, console.groq.com/docs/models, api-docs.deepseek.com/quick_start/pricing, docs.x.ai/docs/models,
cohere.com/pricing, cerebras.ai/pricing and platform.kimi.ai/docs/pricing. List prices of the plain service: long
prompts, writing to a prompt cache, faster or slower tiers and the services' own tools cost more or less than this.
DeepSeek's are those of its busy hours. Prices change: what matters is better set in a table of one's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..events import Usage

# What may follow a name and still be the same model: a date or a number of its edition.
_EDITION = re.compile(r"([-@:](latest|preview|\d{3,}[\d-]*))*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens; thoughts cost as output does."""

    input: float
    cached_input: float
    output: float

    def cost(self, usage: Usage) -> float:
        """Give the cost in US dollars.

        >>> Price(2.0, 0.5, 8.0).cost(Usage(input_tokens=1000, cached_tokens=400, output_tokens=100))
        0.0022
        """
        fresh = max(0, usage.input_tokens - usage.cached_tokens)
        dollars = fresh * self.input + usage.cached_tokens * self.cached_input + usage.output_tokens * self.output
        return dollars / 1_000_000


def price_of(model_id: str, prices: Mapping[str, Price]) -> Price | None:
    """Give the price with the longest fitting name, None when none fits.

    A name fits itself and its dated editions; one that ends in a mark, such as `vllm:` or `groq:openai/`, fits all
    that begins with it.

    >>> price_of("openai:gpt-5-mini-2025-08-07", PRICES) == PRICES["openai:gpt-5-mini"]
    True
    >>> price_of("openai:gpt-5-maxi", PRICES) is None
    True
    """
    fitting = [name for name in prices if model_id.startswith(name) and _fits(name, model_id[len(name) :])]
    return prices[max(fitting, key=len)] if fitting else None


def _fits(name: str, rest: str) -> bool:
    return not name[-1:].isalnum() or _EDITION.fullmatch(rest) is not None


_FREE = Price(0, 0, 0)
_LISTED: dict[str, dict[str, tuple[float, float, float]]] = {
    "openai": {
        "gpt-4.1": (2, 0.5, 8),
        "gpt-4.1-mini": (0.4, 0.1, 1.6),
        "gpt-4.1-nano": (0.1, 0.025, 0.4),
        "gpt-4o": (2.5, 1.25, 10),
        "gpt-4o-mini": (0.15, 0.075, 0.6),
        "gpt-5": (1.25, 0.125, 10),
        "gpt-5-mini": (0.25, 0.025, 2),
        "gpt-5-nano": (0.05, 0.005, 0.4),
        "gpt-5.1": (1.25, 0.125, 10),
        "gpt-5.2": (1.75, 0.175, 14),
        "gpt-5.4": (2.5, 0.25, 15),
        "gpt-5.4-mini": (0.75, 0.075, 4.5),
        "gpt-5.4-nano": (0.2, 0.02, 1.25),
        "gpt-5.5": (5, 0.5, 30),
        "gpt-5.6-luna": (0.2, 0.02, 1.2),
        "gpt-5.6-sol": (4, 0.4, 20),
        "gpt-5.6-terra": (2, 0.2, 12),
        "gpt-6-astra": (10, 1, 50),
        "gpt-6-luna": (0.1, 0.01, 0.5),
        "gpt-6-sol": (2, 0.2, 10),
        "gpt-6.1-sol": (2, 0.1, 10),
        "gpt-6.1-terra": (1, 0.05, 5),
        "o3": (2, 0.5, 8),
        "o4-mini": (1.1, 0.275, 4.4),
    },
    "anthropic": {
        "claude-fable-5": (10, 1, 50),
        "claude-fable-5-1": (10, 0.25, 50),
        "claude-haiku-4-5": (1, 0.1, 5),
        "claude-opus-4-5": (5, 0.5, 25),
        "claude-opus-4-6": (5, 0.5, 25),
        "claude-opus-4-7": (5, 0.5, 25),
        "claude-opus-4-8": (5, 0.5, 25),
        "claude-opus-5": (5, 0.5, 25),
        "claude-opus-5-5": (4, 0.2, 20),
        "claude-sonnet-4-5": (3, 0.3, 15),
        "claude-sonnet-4-6": (3, 0.3, 15),
        "claude-sonnet-5": (2, 0.2, 10),
        "claude-sonnet-5-5": (2, 0.1, 10),
    },
    "gemini": {
        "gemini-2.5-flash": (0.3, 0.03, 2.5),
        "gemini-2.5-flash-lite": (0.1, 0.01, 0.4),
        "gemini-2.5-pro": (1.25, 0.125, 10),
        "gemini-3-flash": (0.5, 0.05, 3),
        "gemini-3.1-flash-lite": (0.25, 0.025, 1.5),
        "gemini-3.1-pro": (2, 0.2, 12),
        "gemini-3.5-flash": (1.5, 0.15, 9),
        "gemini-3.5-flash-lite": (0.3, 0.03, 2.5),
        "gemini-3.8-flash": (1.5, 0.15, 7.5),
        "gemini-4-argon": (4, 0.2, 20),
    },
    "mistral": {
        "codestral-2508": (0.3, 0.03, 0.9),
        "ministral-8b-2512": (0.15, 0.015, 0.15),
        "mistral-large-2512": (0.5, 0.05, 1.5),
        "mistral-large-4": (0.7, 0.07, 2.1),
        "mistral-medium-3-5": (1.5, 0.15, 7.5),
        "mistral-medium-latest": (1.5, 0.15, 7.5),
        "mistral-small-2603": (0.15, 0.015, 0.6),
        "mistral-small-latest": (0.15, 0.015, 0.6),
    },
    "groq": {
        "llama-3.1-8b-instant": (0.05, 0.05, 0.08),
        "llama-3.3-70b-versatile": (0.59, 0.59, 0.79),
        "openai/gpt-oss-120b": (0.15, 0.075, 0.6),
        "openai/gpt-oss-20b": (0.075, 0.0375, 0.3),
    },
    "deepseek": {
        "deepseek-flash": (0.3, 0.006, 1.2),
        "deepseek-v4-flash": (0.3, 0.006, 1.2),
        "deepseek-v4-pro": (1.32, 0.044, 3.96),
    },
    "xai": {
        "grok-4-fast": (0.2, 0.05, 0.5),
        "grok-4-fast-reasoning": (0.2, 0.05, 0.5),
        "grok-4.20": (1.25, 0.2, 2.5),
        "grok-4.3": (1.25, 0.2, 2.5),
        "grok-4.5": (2, 0.3, 6),
        "grok-4.6": (2, 0.5, 6),
        "grok-4.7": (2, 0.5, 6),
    },
    "cohere": {
        "command-a": (2.5, 2.5, 10),
        "command-r": (0.15, 0.15, 0.6),
        "command-r7b": (0.0375, 0.0375, 0.15),
    },
    "cerebras": {"gpt-oss-120b": (0.35, 0.35, 0.75)},
    "moonshot": {"kimi-k2.6": (0.95, 0.16, 4), "kimi-k3": (3, 0.3, 15), "kimi-k3.1-pro": (2, 0.2, 10)},
}
PRICES: dict[str, Price] = {
    **{f"{provider}:{name}": Price(*price) for provider, table in _LISTED.items() for name, price in table.items()},
    **dict.fromkeys(("local:", "ollama:", "lmstudio:", "llamacpp:", "vllm:"), _FREE),
}
"""Prices by `provider:name`; what one's own machine answers is free. Not all models are in it."""
