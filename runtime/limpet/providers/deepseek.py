"""DeepSeek's own service.

Source: api-docs.deepseek.com: JSON mode only, text only; "Thinking Mode" asks for `reasoning_content` back with
calls.
"""

from __future__ import annotations

from ..protocols.chat_completions import ChatCompletions, Dialect
from .service import Service

SERVICE = Service(
    provider="deepseek",
    base_url="https://api.deepseek.com",
    protocol=ChatCompletions(Dialect(reasoning_field="reasoning_content")),
    key_name="DEEPSEEK_API_KEY",
    has_json_schema=False,
    has_required_tools=False,  # "Thinking mode does not support this tool_choice"
    has_images=False,
    context_lengths={"deepseek-chat": 131_072, "deepseek-reasoner": 131_072, "deepseek-v4": 1_000_000},
)
