"""OpenAI's models on Azure. The name of a model is the name of its deployment.

The address is the resource's (`https://NAME.openai.azure.com`), as base URL or by the option `resource`. The option
`api` picks the format as with OpenAI. With the option `api_version` (such as "2024-10-21") the dated interface is used,
which names the deployment in the path. Source: Microsoft's reference of Azure OpenAI, version v1 and 2024-10-21.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ..errors import ConfigurationError
from ..host import Host
from ..model import ModelReference
from ..protocols.embeddings import OPENAI
from ..protocols.schema_dialects import AZURE
from .openai import CHAT, pick_protocol
from .remote import RemoteModel, create_remote
from .service import Service

SERVICE = Service(
    provider="azure",
    key_name="AZURE_OPENAI_API_KEY",
    key_header="api-key",
    key_prefix="",
    options=("api", "api_version", "resource"),
    embeddings=OPENAI,
    models_path=None,  # its list has the models that could be deployed, not the deployments
)
_CHAT = replace(CHAT, dialect=replace(CHAT.dialect, schema=AZURE))


def create(reference: ModelReference, host: Host) -> RemoteModel:
    """Make a model of this provider. Raises `ConfigurationError` when it is set up wrongly."""
    protocol = pick_protocol(reference)
    is_chat = protocol is CHAT
    protocol = _CHAT if is_chat else replace(protocol, schema=AZURE)  # type: ignore[type-var]  # Responses
    service = replace(SERVICE, protocol=protocol)
    version = _option(reference, "api_version", r"[\w-]{1,40}")
    if version is not None:
        if not is_chat:
            raise ConfigurationError(f"{reference.id}: the dated interface has chat completions only")
        path = f"/deployments/{{model}}/%s?api-version={version}"
        service = replace(
            service,
            protocol=replace(_CHAT, path=path % "chat/completions"),
            embeddings=replace(OPENAI, path=path % "embeddings"),
        )
    resource = _option(reference, "resource", r"[A-Za-z0-9-]{1,63}")
    given = reference.base_url or host.base_urls.get("azure") or (resource and f"https://{resource}.openai.azure.com")
    if given:
        root = given.rstrip("/").removesuffix("/v1").removesuffix("/openai")
        reference = replace(reference, base_url=f"{root}/openai{'' if version else '/v1'}")
    return create_remote(service, reference, host)


def _option(reference: ModelReference, name: str, pattern: str) -> str | None:
    value = reference.options.get(name)
    if value is None or (isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII)):
        return value
    raise ConfigurationError(f"the option {name!r} of {reference.id} is not what Azure calls so")
