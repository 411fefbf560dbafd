"""How Bedrock is asked: signed or with its own key, in which region."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

import limpet
from limpet.errors import AuthenticationError, ConfigurationError, FetchError, ModelError
from limpet.host import HttpRequest
from limpet.messages import ImagePart, Message
from limpet.model import ModelRequest
from limpet.protocols.bedrock_converse import BedrockConverse
from limpet.protocols.sigv4 import sign_request
from limpet.providers import create_model
from limpet.providers.remote import RemoteModel
from tests.fakes.fetch import FakeFetch, FakeResponse
from tests.fakes.host import make_host

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "ID", "AWS_SECRET_ACCESS_KEY": "SECRET"}
REQUEST = ModelRequest((Message.user("Go."),))


def make(secrets: Mapping[str, str], **options: object) -> tuple[RemoteModel, FakeFetch]:
    fetch = FakeFetch(FetchError("no network", kind="offline"))
    model = create_model(
        limpet.model("bedrock:us.amazon.nova-lite-v1:0", **options), make_host(fetch=fetch, secrets=secrets)
    )
    assert isinstance(model, RemoteModel)
    return model, fetch


async def sent_by(secrets: Mapping[str, str], **options: object) -> HttpRequest:
    model, fetch = make(secrets, **options)
    with pytest.raises(ModelError):
        async for _ in model.stream(REQUEST):
            pass
    return fetch.sent[0]


async def test_a_request_is_signed_as_it_goes_out() -> None:
    sent = await sent_by({**CREDENTIALS, "AWS_SESSION_TOKEN": "TOKEN"}, region="eu-central-1")

    assert sent.url == (
        "https://bedrock-runtime.eu-central-1.amazonaws.com/model/us.amazon.nova-lite-v1%3A0/converse-stream"
    )
    own = {name: sent.headers[name] for name in ("content-type", "accept")}
    again = sign_request(
        replace(sent, headers=own),
        access_key="ID",
        secret_key="SECRET",
        session_token="TOKEN",
        region="eu-central-1",
        service="bedrock",
        now=make_host().clock.now(),
    )
    assert sent.headers == again.headers
    assert sent.headers["x-amz-security-token"] == "TOKEN"
    assert "/eu-central-1/bedrock/aws4_request" in sent.headers["authorization"]


async def test_its_own_key_comes_before_credentials() -> None:
    sent = await sent_by({**CREDENTIALS, "AWS_BEARER_TOKEN_BEDROCK": "KEY"})

    assert sent.headers["authorization"] == "Bearer KEY"
    assert "x-amz-date" not in sent.headers


@pytest.mark.parametrize(
    ("secrets", "options", "region"),
    [
        ({}, {}, "us-east-1"),
        ({"AWS_REGION": "eu-west-3"}, {}, "eu-west-3"),
        ({"AWS_DEFAULT_REGION": "us-gov-west-1"}, {}, "us-gov-west-1"),
        ({"AWS_REGION": "eu-west-3"}, {"region": "ap-south-1"}, "ap-south-1"),
    ],
)
async def test_the_region_is_the_options_or_the_hosts(
    secrets: dict[str, str], options: dict[str, str], region: str
) -> None:
    sent = await sent_by({**CREDENTIALS, **secrets}, **options)

    assert sent.url.startswith(f"https://bedrock-runtime.{region}.amazonaws.com/")


@pytest.mark.parametrize("region", ["nowhere", "us-east-1.evil.com/", 1])
def test_a_region_that_is_none_is_refused(region: object) -> None:
    with pytest.raises(ConfigurationError, match="'region'"):
        make(CREDENTIALS, region=region)


async def test_missing_credentials_are_known_before_and_named_after() -> None:
    model, fetch = make({"AWS_ACCESS_KEY_ID": "ID"})

    assert not model.info.is_configured
    assert make(CREDENTIALS)[0].info.is_configured
    with pytest.raises(AuthenticationError, match="AWS_SECRET_ACCESS_KEY"):
        async for _ in model.stream(REQUEST):
            pass
    assert fetch.sent == []
    with pytest.raises(AuthenticationError) as caught:
        await model.list_models()
    assert (caught.value.provider, caught.value.model) == ("bedrock", "us.amazon.nova-lite-v1:0")


async def test_a_model_is_verified_by_its_name_without_the_regions_prefix() -> None:
    fetch = FakeFetch(FakeResponse([b'{"modelSummaries": [{"modelId": "amazon.nova-lite-v1:0"}]}']))
    model = create_model(limpet.model("bedrock:us.amazon.nova-lite-v1:0"), make_host(fetch=fetch, secrets=CREDENTIALS))
    assert isinstance(model, RemoteModel)

    await model.verify()

    assert fetch.sent[0].url == "https://bedrock.us-east-1.amazonaws.com/foundation-models"
    assert fetch.sent[0].headers["authorization"].startswith("AWS4-HMAC-SHA256 ")


def test_a_picture_by_address_cannot_be_sent() -> None:
    request = ModelRequest((Message("user", (ImagePart(url="https://host/egg.png"),)),))

    with pytest.raises(limpet.UnsupportedError):
        BedrockConverse().render(request, model="m", model_id="bedrock:m")
