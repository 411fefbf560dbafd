"""Google's Gemini API, with a key of Google AI Studio.

It lets pages in (its preflight answers allow `content-type` and `x-goog-api-key`), with the user's key. Source:
Google's API reference.
"""

from __future__ import annotations

from ..protocols.embeddings import GEMINI
from ..protocols.gemini import Gemini
from .service import Service

SERVICE = Service(
    provider="gemini",
    base_url="https://generativelanguage.googleapis.com/v1beta",
    protocol=Gemini(),
    key_name="GEMINI_API_KEY",
    key_header="x-goog-api-key",
    key_prefix="",
    browser_access="open",
    has_schema_with_tools=False,  # models before Gemini 3 refuse both together
    context_lengths={"gemini": 1_048_576},
    embeddings=GEMINI,
    models_path="/models?pageSize=1000",  # 50 a page else
)
