"""Ollama on this machine or another one, through its chat-completions interface; it wants no key."""

from __future__ import annotations

from ..host import Host
from ..model import ModelReference
from .remote import RemoteModel, Service, create_remote

SERVICE = Service(
    provider="ollama",
    base_url="http://127.0.0.1:11434/v1",
    needs_key=False,
    cors_hint="set the environment variable OLLAMA_ORIGINS to this page's origin and start Ollama again",
)


def create(reference: ModelReference, host: Host) -> RemoteModel:
    """Make a model of this provider. Raises `ConfigurationError` when it is set up wrongly."""
    return create_remote(SERVICE, reference, host)
