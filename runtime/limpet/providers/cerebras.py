"""Cerebras. Source: inference-docs.cerebras.ai/api-reference, /capabilities/structured-outputs: text only."""

from __future__ import annotations

from ..protocols.chat_completions import ChatCompletions, Dialect
from ..protocols.schema_dialects import CEREBRAS
from .service import Service

SERVICE = Service(
    provider="cerebras",
    base_url="https://api.cerebras.ai/v1",
    protocol=ChatCompletions(Dialect(schema=CEREBRAS)),
    key_name="CEREBRAS_API_KEY",
    has_schema_with_tools=False,  # not documented
    has_images=False,
)
