"""OpenAI's own service. Lets pages in (`Access-Control-Allow-Origin: *`), with the user's key."""

from __future__ import annotations

from ..host import Host
from ..model import ModelReference
from ..protocols.chat_completions import ChatCompletions, Dialect
from .remote import RemoteModel, Service, create_remote

SERVICE = Service(
    provider="openai",
    base_url="https://api.openai.com/v1",
    key_name="OPENAI_API_KEY",
    # `max_tokens` is refused by the models that think.
    protocol=ChatCompletions(Dialect(max_tokens_field="max_completion_tokens")),
)


def create(reference: ModelReference, host: Host) -> RemoteModel:
    """Make a model of this provider. Raises `ConfigurationError` when it is set up wrongly."""
    return create_remote(SERVICE, reference, host)
