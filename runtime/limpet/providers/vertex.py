"""Gemini and Claude on Google's Vertex AI.

With the option `project` (and `location`, "global" if not set) the key is an access token, as `gcloud auth
print-access-token` gives it for an hour. Without a project it is an API key of the express mode, which has Gemini only.
Source: Google's reference of Vertex AI, and Anthropic's of Claude on it.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ..errors import ConfigurationError
from ..host import Host
from ..model import ModelReference
from ..protocols.anthropic_messages import AnthropicMessages
from ..protocols.gemini import Gemini
from .remote import RemoteModel, create_remote
from .service import Service

SERVICE = Service(
    provider="vertex",
    protocol=Gemini(path="/publishers/google/models/{model}:streamGenerateContent?alt=sse"),
    key_name="GOOGLE_ACCESS_TOKEN",
    options=("project", "location"),
    has_schema_with_tools=False,  # as with Gemini's own service
    context_lengths={"gemini": 1_048_576, "claude": 200_000},
    models_path=None,
)
CLAUDE = AnthropicMessages(
    path="/publishers/anthropic/models/{model}:streamRawPredict", body_version="vertex-2023-10-16", headers={}
)
EXPRESS = replace(
    SERVICE,
    base_url="https://aiplatform.googleapis.com/v1",
    key_name="GOOGLE_API_KEY",
    key_header="x-goog-api-key",
    key_prefix="",
)


def create(reference: ModelReference, host: Host) -> RemoteModel:
    """Make a model of this provider. Raises `ConfigurationError` when it is set up wrongly."""
    project, location = _option(reference, "project", None), _option(reference, "location", "global")
    is_claude = reference.name.startswith("claude")
    if project is None:
        if is_claude:
            raise ConfigurationError(f"{reference.id} needs the option 'project'")
        return create_remote(EXPRESS, reference, host)
    region = "" if location == "global" else f"{location}-"
    base_url = f"https://{region}aiplatform.googleapis.com/v1/projects/{project}/locations/{location}"
    service = replace(SERVICE, base_url=base_url)
    if is_claude:
        service = replace(service, protocol=CLAUDE, has_schema_with_tools=True)
    return create_remote(service, reference, host)


def _option(reference: ModelReference, name: str, default: str | None) -> str | None:
    value = reference.options.get(name, default)
    if value is None or (isinstance(value, str) and re.fullmatch(r"[a-z0-9][a-z0-9:.-]{0,99}", value, re.ASCII)):
        return value
    raise ConfigurationError(f"the option {name!r} of {reference.id} is not what Google calls so")
