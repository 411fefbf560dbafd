"""Cohere's own service, over its chat format. Its list of models is that of version 1 of its interface.

Source: Cohere's API reference ("Chat", "Embed", "List Models").
"""

from __future__ import annotations

from ..protocols.cohere_chat import CohereChat
from ..protocols.embeddings import COHERE
from .service import Service

SERVICE = Service(
    provider="cohere",
    base_url="https://api.cohere.com/v2",
    protocol=CohereChat(),
    key_name="COHERE_API_KEY",
    has_schema_with_tools=False,  # "Structured Outputs": either is for JSON or for tools
    # docs.cohere.com/docs/models; the vision models call no tools.
    context_lengths={"command-a": 256_000, "command-r": 128_000, "command-a-vision": 128_000, "embed-v4": 128_000},
    embeddings=COHERE,
    models_path="https://api.cohere.com/v1/models",
)
