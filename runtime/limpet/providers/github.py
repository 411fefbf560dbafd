"""GitHub Models. Source: docs.github.com/en/rest/models: the list is at another address than the models."""

from __future__ import annotations

from ..protocols.embeddings import OPENAI
from .service import Service

SERVICE = Service(
    provider="github",
    base_url="https://models.github.ai/inference",
    key_name="GITHUB_TOKEN",
    embeddings=OPENAI,
    models_path="https://models.github.ai/catalog/models",
)
