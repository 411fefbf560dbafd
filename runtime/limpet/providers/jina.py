"""Jina AI: embeddings only. Source: jina.ai/embeddings, api.jina.ai/scalar."""

from __future__ import annotations

from ..protocols.embeddings import JINA
from .service import Service

SERVICE = Service(
    provider="jina",
    base_url="https://api.jina.ai/v1",
    protocol=None,
    key_name="JINA_API_KEY",
    embeddings=JINA,
    models_path=None,
    context_lengths={"jina-embeddings-v3": 8192, "jina-embeddings-v4": 32_768},
)
