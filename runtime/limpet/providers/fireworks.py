"""Fireworks AI. Source: docs.fireworks.ai/tools-sdks/openai-compatibility."""

from __future__ import annotations

from dataclasses import replace

from ..protocols.chat_completions import ChatCompletions, Dialect
from ..protocols.embeddings import OPENAI
from ..protocols.schema_dialects import FIREWORKS
from .service import Service

SERVICE = Service(
    provider="fireworks",
    base_url="https://api.fireworks.ai/inference/v1",
    protocol=ChatCompletions(Dialect(schema=FIREWORKS)),
    key_name="FIREWORKS_API_KEY",
    embeddings=replace(OPENAI, most_texts=8),
)
