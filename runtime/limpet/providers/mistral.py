"""Mistral's own service.

Source: docs.mistral.ai/api: `stream_options` isn't among its fields; thoughts come as parts of the content.
"""

from __future__ import annotations

from dataclasses import replace

from ..protocols.chat_completions import ChatCompletions, Dialect
from ..protocols.embeddings import OPENAI
from ..protocols.schema_dialects import MISTRAL
from .service import Service

SERVICE = Service(
    provider="mistral",
    base_url="https://api.mistral.ai/v1",
    protocol=ChatCompletions(Dialect(has_stream_options=False, schema=MISTRAL)),
    key_name="MISTRAL_API_KEY",
    embeddings=replace(OPENAI, most_texts=128),  # "too many inputs in request" beyond some 150
    context_lengths={"mistral-large": 131_072, "mistral-medium": 131_072, "mistral-small": 131_072},
)
