"""MiniMax's own service.

Source: platform.minimax.io/docs, "Compatible OpenAI API": text only, and no list of models.
"""

from __future__ import annotations

from ..protocols.chat_completions import ChatCompletions, Dialect
from .service import Service

SERVICE = Service(
    provider="minimax",
    base_url="https://api.minimax.io/v1",
    protocol=ChatCompletions(Dialect(reasoning_field="reasoning_details")),
    key_name="MINIMAX_API_KEY",
    has_json_schema=False,
    has_images=False,
    models_path=None,
    context_lengths={"MiniMax-M2": 204_800},
)
