"""Z.ai's own service (GLM).

Source: docs.z.ai/api-reference/llm/chat-completion: JSON mode only; it documents no list of models.
"""

from __future__ import annotations

from ..protocols.chat_completions import ChatCompletions, Dialect
from .service import Service

SERVICE = Service(
    provider="zai",
    base_url="https://api.z.ai/api/paas/v4",
    protocol=ChatCompletions(Dialect(reasoning_field="reasoning_content")),
    key_name="ZAI_API_KEY",
    has_json_schema=False,
    has_required_tools=False,  # `tool_choice` is "auto" only
    models_path=None,
    context_lengths={"glm-4.6": 200_000, "glm-4.5": 131_072},
)
