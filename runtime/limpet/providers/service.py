"""What a service behind HTTP is, as data: its address, how it is spoken with, how its key is sent, what it can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..host import HttpRequest
from ..model import BrowserAccess
from ..protocols.chat_completions import ChatCompletions
from ..protocols.embeddings import EmbeddingFormat
from ..protocols.wire_protocol import WireProtocol

GENERIC_CORS_HINT = (
    "ask the server to send Access-Control-Allow-Origin for this page's origin, "
    "or put a proxy on the page's own origin and use its address as the base URL"
)
Secret = Callable[[str], str | None]
"""Gives a secret by its name; a host's `secret`."""
Sign = Callable[[HttpRequest, Secret, float], HttpRequest]
"""Gives a request with its signature, from the secrets and the time (seconds since 1970).

Raises `AuthenticationError` when a secret is missing or can't be right.
"""


@dataclass(frozen=True, slots=True)
class Service:
    """What there is to know of a service.

    `base_url` is None when only the user can know it. `key_name` is how the host's `secret` calls the key, which is
    sent as `key_prefix` and key in `key_header`. With `sign` the last step of a request is signing it instead;
    `secrets` names what else must be set for that. `headers` are sent beside ours, but not from a browser: a header too
    many makes a server refuse the page; `required_headers` are sent from everywhere. `options` are names that
    `ModelReference.options` may have beside those of every model; the provider's module reads and checks them.
    `cors_hint` completes "to let this page in, ...".

    From `has_tools` on it says what the service's models can do, as `ModelInfo` names it; a model that differs is given
    options of these names. `browser_access` is "proxy" where no document promises more. `context_lengths` is by the
    beginning of a model's name, "" for all. `protocol` is None for a service that makes embeddings only, `embeddings`
    for one that makes none, `models_path` (or a whole address) for one that lists no models.
    """

    provider: str
    base_url: str | None = None
    protocol: WireProtocol | None = ChatCompletions()
    key_name: str | None = None
    needs_key: bool = True
    key_header: str = "authorization"
    key_prefix: str = "Bearer "
    sign: Sign | None = None
    secrets: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    required_headers: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    cors_hint: str = GENERIC_CORS_HINT
    has_tools: bool = True
    has_parallel_tools: bool = True
    has_json_schema: bool = True
    has_schema_with_tools: bool = True
    has_required_tools: bool = True
    has_images: bool = True
    has_reasoning: bool = True
    browser_access: BrowserAccess = "proxy"
    context_lengths: Mapping[str, int] = field(default_factory=dict)
    embeddings: EmbeddingFormat | None = None
    models_path: str | None = "/models"
