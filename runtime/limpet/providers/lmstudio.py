"""LM Studio on this machine. Source: lmstudio.ai/docs/app/api/endpoints/openai."""

from __future__ import annotations

from ..protocols.embeddings import OPENAI
from .service import Service

SERVICE = Service(
    provider="lmstudio",
    base_url="http://127.0.0.1:1234/v1",
    needs_key=False,
    has_schema_with_tools=False,  # the grammar of a schema leaves no room for a call
    embeddings=OPENAI,
    browser_access="server",
    cors_hint="start its server with `lms server start --cors`",
)
