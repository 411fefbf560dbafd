"""SambaNova. Source: docs.sambanova.ai/docs/en/api-reference."""

from __future__ import annotations

from ..protocols.embeddings import OPENAI
from .service import Service

SERVICE = Service(
    provider="sambanova",
    base_url="https://api.sambanova.ai/v1",
    key_name="SAMBANOVA_API_KEY",
    embeddings=OPENAI,
)
