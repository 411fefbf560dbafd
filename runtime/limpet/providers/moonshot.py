"""Moonshot AI's own service (Kimi).

Source: platform.moonshot.ai/docs/api/chat: models that think refuse `tool_choice` "required".
"""

from __future__ import annotations

from ..protocols.chat_completions import ChatCompletions, Dialect
from .service import Service

SERVICE = Service(
    provider="moonshot",
    base_url="https://api.moonshot.ai/v1",
    protocol=ChatCompletions(Dialect(reasoning_field="reasoning_content")),
    key_name="MOONSHOT_API_KEY",
    has_json_schema=False,
    has_required_tools=False,
    context_lengths={"kimi-k2": 262_144, "moonshot-v1-8k": 8192, "moonshot-v1-128k": 131_072},
)
