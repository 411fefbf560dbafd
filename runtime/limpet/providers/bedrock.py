"""Amazon Bedrock, over its Converse format, signed with AWS credentials or with a Bedrock API key.

The secret `AWS_BEARER_TOKEN_BEDROCK` (or the model's own key) is sent as it is; without it `AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY` and, for temporary ones, `AWS_SESSION_TOKEN` sign each request. The option `region`, else the
host's `AWS_REGION` or `AWS_DEFAULT_REGION`, says where. Source: Amazon Bedrock user guide, "API keys", "Endpoints".
"""

from __future__ import annotations

import re
from dataclasses import replace

from ..errors import AuthenticationError, ConfigurationError
from ..host import Host, HttpRequest
from ..model import ModelReference
from ..protocols.bedrock_converse import BedrockConverse
from ..protocols.sigv4 import sign_request
from .remote import RemoteModel, create_remote
from .service import Secret, Service, Sign

SERVICE = Service(
    provider="bedrock",
    protocol=BedrockConverse(),
    key_name="AWS_BEARER_TOKEN_BEDROCK",
    options=("region",),
)
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")


def create(reference: ModelReference, host: Host) -> RemoteModel:
    """Make a model of this provider. Raises `ConfigurationError` when it is set up wrongly."""
    asked = reference.options.get("region")
    region = asked or host.secret("AWS_REGION") or host.secret("AWS_DEFAULT_REGION") or "us-east-1"
    if not isinstance(region, str) or _REGION.fullmatch(region) is None:
        raise ConfigurationError(f"the option 'region' of {reference.id} must be one such as 'us-east-1'")
    service = replace(
        SERVICE,
        base_url=f"https://bedrock-runtime.{region}.amazonaws.com",
        models_path=f"https://bedrock.{region}.amazonaws.com/foundation-models",
    )
    if reference.key_name is None and not host.secret("AWS_BEARER_TOKEN_BEDROCK"):
        secrets = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        service = replace(service, key_name=None, needs_key=False, secrets=secrets, sign=_sign_in(region))
    return create_remote(service, reference, host)


def _sign_in(region: str) -> Sign:
    def sign(request: HttpRequest, secret: Secret, now: float) -> HttpRequest:
        access_key, secret_key = (secret(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
        if not access_key or not secret_key:
            raise AuthenticationError("there are no AWS credentials; set 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'")
        return sign_request(
            request,
            access_key=access_key.strip(),
            secret_key=secret_key.strip(),
            session_token=(secret("AWS_SESSION_TOKEN") or "").strip(),
            region=region,
            service="bedrock",
            now=now,
        )

    return sign
