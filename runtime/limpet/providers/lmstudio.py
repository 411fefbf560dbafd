"""LM Studio on this machine. Source: lmstudio.ai/docs/app/api/endpoints/openai."""

from __future__ import annotations

from ..protocols.embeddings import OPENAI
from .service import Service

SERVICE = Service(
    provider="lmstudio",
    base_url="http://127.0.0.1:1234/v1",
    needs_key=False,
    embeddings=OPENAI,
    browser_access="server",
    cors_hint="start its server with `lms server start --cors`",
)
