"""Ollama on this machine or another one, in its own format; it wants no key.

At a base URL that ends with `/v1`, as its chat-completions interface and proxies of it have, it speaks that instead.
Source: Ollama's API reference, docs/api.md.
"""

from __future__ import annotations

from dataclasses import replace

from ..host import Host
from ..model import ModelReference
from ..protocols.chat_completions import ChatCompletions
from ..protocols.embeddings import OLLAMA, OPENAI
from ..protocols.ollama_chat import OllamaChat
from .remote import RemoteModel, create_remote
from .service import Service

SERVICE = Service(
    provider="ollama",
    base_url="http://127.0.0.1:11434",
    protocol=OllamaChat(),
    needs_key=False,
    cors_hint="set the environment variable OLLAMA_ORIGINS to this page's origin and start Ollama again",
    browser_access="server",
    # The grammar of a schema leaves no room for a call; the format can't demand one.
    has_schema_with_tools=False,
    has_required_tools=False,
    embeddings=OLLAMA,
    models_path="/api/tags",
)
COMPATIBLE = replace(SERVICE, protocol=ChatCompletions(), embeddings=OPENAI, models_path="/models")


def create(reference: ModelReference, host: Host) -> RemoteModel:
    """Make a model of this provider. Raises `ConfigurationError` when it is set up wrongly."""
    base_url = reference.base_url or host.base_urls.get("ollama") or ""
    is_compatible = base_url.rstrip("/").removesuffix("/chat/completions").endswith("/v1")
    return create_remote(COMPATIBLE if is_compatible else SERVICE, reference, host)
