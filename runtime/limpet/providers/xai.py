"""xAI's own service.

Source: docs.x.ai/docs/api-reference, /docs/models; "Structured Outputs": tools' schemas follow the same rules.
"""

from __future__ import annotations

from ..protocols.chat_completions import ChatCompletions, Dialect
from ..protocols.schema_dialects import XAI
from .service import Service

SERVICE = Service(
    provider="xai",
    base_url="https://api.x.ai/v1",
    protocol=ChatCompletions(Dialect(schema=XAI, tool_schema=XAI)),
    key_name="XAI_API_KEY",
    context_lengths={"grok-4": 256_000, "grok-4-fast": 2_000_000, "grok-3": 131_072},
)
