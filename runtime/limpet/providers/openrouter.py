"""OpenRouter: many providers behind one address. Lets pages in, with the user's key.

Source: openrouter.ai/docs/api/reference/overview.
"""

from __future__ import annotations

from ..protocols.chat_completions import ChatCompletions, Dialect
from .service import Service

SERVICE = Service(
    provider="openrouter",
    base_url="https://openrouter.ai/api/v1",
    key_name="OPENROUTER_API_KEY",
    # Models that think lose the thread after a tool call unless their signed thoughts come back.
    protocol=ChatCompletions(Dialect(reasoning_field="reasoning_details")),
    browser_access="open",
)
