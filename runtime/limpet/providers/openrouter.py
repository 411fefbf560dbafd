"""OpenRouter: many providers behind one address. Lets pages in, with the user's key."""

from __future__ import annotations

from ..host import Host
from ..model import ModelReference
from ..protocols.chat_completions import ChatCompletions, Dialect
from .remote import RemoteModel, create_remote
from .service import Service

SERVICE = Service(
    provider="openrouter",
    base_url="https://openrouter.ai/api/v1",
    key_name="OPENROUTER_API_KEY",
    # Models that think lose the thread after a tool call unless their signed thoughts come back.
    protocol=ChatCompletions(Dialect(reasoning_field="reasoning_details")),
    browser_access="open",
)


def create(reference: ModelReference, host: Host) -> RemoteModel:
    """Make a model of this provider. Raises `ConfigurationError` when it is set up wrongly."""
    return create_remote(SERVICE, reference, host)
