"""llama.cpp's server on this machine.

Source: llama.cpp tools/server/README.md: it lets every page in. `--embedding` makes it answer /v1/embeddings.
"""

from __future__ import annotations

from ..protocols.chat_completions import ChatCompletions, Dialect
from ..protocols.embeddings import OPENAI
from ..protocols.schema_dialects import LLAMA_CPP
from .service import Service

SERVICE = Service(
    provider="llamacpp",
    base_url="http://127.0.0.1:8080/v1",
    protocol=ChatCompletions(Dialect(schema=LLAMA_CPP)),
    needs_key=False,
    has_schema_with_tools=False,  # "Cannot use custom grammar constraints with tools"
    embeddings=OPENAI,
    browser_access="open",
)
