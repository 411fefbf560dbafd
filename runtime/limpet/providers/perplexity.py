"""Perplexity. Source: docs.perplexity.ai/api-reference/chat-completions-post: no tools and no list of models."""

from __future__ import annotations

from ..protocols.chat_completions import ChatCompletions, Dialect
from .service import Service

SERVICE = Service(
    provider="perplexity",
    base_url="https://api.perplexity.ai",
    protocol=ChatCompletions(Dialect(has_stream_options=False)),
    key_name="PERPLEXITY_API_KEY",
    has_tools=False,
    has_parallel_tools=False,
    models_path=None,
    context_lengths={"sonar": 128_000, "sonar-pro": 200_000},
)
