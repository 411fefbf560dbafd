"""Together AI. Source: docs.together.ai/reference."""

from __future__ import annotations

from ..protocols.embeddings import OPENAI
from .service import Service

SERVICE = Service(
    provider="together",
    base_url="https://api.together.xyz/v1",
    key_name="TOGETHER_API_KEY",
    embeddings=OPENAI,
)
