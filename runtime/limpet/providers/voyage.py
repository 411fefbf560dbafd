"""Voyage AI: embeddings only. Source: docs.voyageai.com/reference/embeddings-api."""

from __future__ import annotations

from ..protocols.embeddings import VOYAGE
from .service import Service

SERVICE = Service(
    provider="voyage",
    base_url="https://api.voyageai.com/v1",
    protocol=None,
    key_name="VOYAGE_API_KEY",
    embeddings=VOYAGE,
    models_path=None,
    context_lengths={"voyage": 32_000},
)
