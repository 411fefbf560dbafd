"""Any server that speaks chat completions, at an address the user gives: vLLM, llama.cpp, LM Studio, your own proxy."""

from __future__ import annotations

from ..protocols.embeddings import OPENAI as EMBEDDINGS
from .service import GENERIC_CORS_HINT, Service

SERVICE = Service(
    provider="openai_compatible",
    # Sent when it is set; most servers at home want none.
    key_name="OPENAI_COMPATIBLE_API_KEY",
    needs_key=False,
    has_schema_with_tools=False,  # most of them make a grammar of a schema, which leaves no room for a call
    browser_access="server",
    embeddings=EMBEDDINGS,
    cors_hint=(
        "start LM Studio's server with `lms server start --cors`, vLLM with `--allowed-origins`, "
        f"Ollama with OLLAMA_ORIGINS set to this page's origin; of another server, {GENERIC_CORS_HINT}"
    ),
)
