"""Anthropic's own service, over its Messages format.

It lets a page in only when the request says that the key may be seen by the page's user: the option
`browser_access=True` does that (header `anthropic-dangerous-direct-browser-access`). Without it the browser blocks the
answer. Source: Anthropic's API reference, and the option of the same meaning in its TypeScript library.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import ConfigurationError
from ..host import Host
from ..model import ModelReference
from ..protocols.anthropic_messages import VERSION, AnthropicMessages
from .remote import RemoteModel, create_remote
from .service import Service

SERVICE = Service(
    provider="anthropic",
    base_url="https://api.anthropic.com/v1",
    protocol=AnthropicMessages(),
    key_name="ANTHROPIC_API_KEY",
    key_header="x-api-key",
    key_prefix="",
    required_headers={"anthropic-version": VERSION},
    options=("browser_access",),
    browser_access="option",
    context_lengths={"claude": 200_000},
    models_path="/models?limit=1000",  # 20 a page else
    cors_hint="set the model's option `browser_access` to True, when the key is the page user's own",
)


def create(reference: ModelReference, host: Host) -> RemoteModel:
    """Make a model of this provider. Raises `ConfigurationError` when it is set up wrongly."""
    browser_access = reference.options.get("browser_access", False)
    if not isinstance(browser_access, bool):
        raise ConfigurationError(f"the option 'browser_access' of {reference.id} must be True or False")
    headers = {"anthropic-dangerous-direct-browser-access": "true"} if browser_access else {}
    return create_remote(replace(SERVICE, required_headers={**SERVICE.required_headers, **headers}), reference, host)
