"""vLLM on this machine or another one.

Source: docs.vllm.ai, "OpenAI-Compatible Server": `--allowed-origins` is every page unless it is set.
"""

from __future__ import annotations

from ..protocols.embeddings import OPENAI
from .service import Service

SERVICE = Service(
    provider="vllm",
    base_url="http://127.0.0.1:8000/v1",
    key_name="VLLM_API_KEY",
    needs_key=False,
    has_schema_with_tools=False,  # the grammar of a schema leaves no room for a call
    embeddings=OPENAI,
    browser_access="server",
    cors_hint="start vLLM with this page's origin in `--allowed-origins`",
)
