"""OpenAI's own service. Lets pages in (`Access-Control-Allow-Origin: *`), with the user's key.

The option `api="responses"` speaks the Responses format, in which models that think keep their thoughts between calls;
`api="chat"`, the default, speaks chat completions. Source: OpenAI's API reference and its list of models.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import ConfigurationError
from ..host import Host
from ..model import ModelReference
from ..protocols.chat_completions import ChatCompletions, Dialect
from ..protocols.embeddings import OPENAI as EMBEDDINGS
from ..protocols.schema_dialects import OPENAI
from ..protocols.wire_protocol import WireProtocol
from . import import_late
from .remote import RemoteModel, create_remote
from .service import Service

# `max_tokens` is refused by the models that think.
CHAT = ChatCompletions(Dialect(max_tokens_field="max_completion_tokens", schema=OPENAI))

SERVICE = Service(
    provider="openai",
    base_url="https://api.openai.com/v1",
    protocol=CHAT,
    key_name="OPENAI_API_KEY",
    options=("api",),
    browser_access="open",
    # platform.openai.com/docs/models
    context_lengths={"gpt-5": 400_000, "gpt-4.1": 1_047_576, "gpt-4o": 128_000, "o3": 200_000, "o4-mini": 200_000},
    embeddings=EMBEDDINGS,
)


def create(reference: ModelReference, host: Host) -> RemoteModel:
    """Make a model of this provider. Raises `ConfigurationError` when it is set up wrongly."""
    return create_remote(replace(SERVICE, protocol=pick_protocol(reference)), reference, host)


def pick_protocol(reference: ModelReference) -> WireProtocol:
    """Give the format that the option `api` names. Raises `ConfigurationError`."""
    match reference.options.get("api", "chat"):
        case "chat":
            return CHAT
        case "responses":
            responses = import_late("..protocols.responses", "the Responses format")
            protocol: WireProtocol = responses.Responses()
            return protocol
        case _:
            raise ConfigurationError(f"the option 'api' of {reference.id} must be 'chat' or 'responses'")
