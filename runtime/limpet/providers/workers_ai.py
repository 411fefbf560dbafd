"""Cloudflare Workers AI over its REST interface, with an API token, or over a Worker's binding, without.

Whose account it is says the option `account_id`, else the host's secret `CLOUDFLARE_ACCOUNT_ID`. A host with a binding
names `BINDING_URL` as the base URL. Source: Cloudflare's
documents of Workers AI ("REST API", "Models").
"""

from __future__ import annotations

import re
from dataclasses import replace

from ..errors import ConfigurationError
from ..host import Host
from ..model import ModelReference
from ..protocols.embeddings import WORKERS_AI
from ..protocols.workers_ai import BINDING_URL, WorkersAI
from .remote import RemoteModel, create_remote
from .service import Service

SERVICE = Service(
    provider="workers_ai",
    protocol=WorkersAI(),
    key_name="CLOUDFLARE_API_TOKEN",
    options=("account_id",),
    has_parallel_tools=False,
    has_schema_with_tools=False,  # not documented
    embeddings=WORKERS_AI,
    models_path="/models/search?per_page=200",
    context_lengths={
        "@cf/meta/llama-3.3-70b": 24_000,
        "@cf/meta/llama-4-scout": 131_000,
        "@cf/openai/gpt-oss": 128_000,
    },
)


def create(reference: ModelReference, host: Host) -> RemoteModel:
    """Make a model of this provider. Raises `ConfigurationError` when it is set up wrongly."""
    if (reference.base_url or host.base_urls.get(reference.provider)) == BINDING_URL:
        vectors = replace(WORKERS_AI, vectors_at=("data",))  # no envelope
        bound = replace(SERVICE, key_name=None, needs_key=False, models_path=None, embeddings=vectors)
        return create_remote(bound, reference, host)
    account = reference.options.get("account_id") or host.secret("CLOUDFLARE_ACCOUNT_ID")
    if account is None:
        return create_remote(SERVICE, reference, host)
    if not isinstance(account, str) or re.fullmatch(r"[0-9A-Za-z_-]+", account) is None:
        raise ConfigurationError(f"the account of {reference.id} must be its id, such as '0123456789abcdef'")
    base_url = f"https://api.cloudflare.com/client/v4/accounts/{account}/ai"
    return create_remote(replace(SERVICE, base_url=base_url), reference, host)
