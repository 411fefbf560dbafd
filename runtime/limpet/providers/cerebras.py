"""Cerebras. Source: inference-docs.cerebras.ai/api-reference: text only."""

from __future__ import annotations

from .service import Service

SERVICE = Service(
    provider="cerebras",
    base_url="https://api.cerebras.ai/v1",
    key_name="CEREBRAS_API_KEY",
    has_images=False,
)
