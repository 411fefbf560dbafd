"""llama.cpp's server on this machine.

Source: llama.cpp tools/server/README.md: it lets every page in. `--embedding` makes it answer /v1/embeddings.
"""

from __future__ import annotations

from ..protocols.embeddings import OPENAI
from .service import Service

SERVICE = Service(
    provider="llamacpp",
    base_url="http://127.0.0.1:8080/v1",
    needs_key=False,
    embeddings=OPENAI,
    browser_access="open",
)
