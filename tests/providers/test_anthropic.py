"""What Anthropic's service is sent beside the format: the page's header, only when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from limpet.errors import ConfigurationError, CorsError, FetchError
from limpet.host import Host
from limpet.messages import Message
from limpet.model import ModelReference, ModelRequest
from limpet.providers import create_model
from limpet.providers.remote import RemoteModel
from tests.fakes.fetch import FakeFetch, FakeResponse
from tests.fakes.host import make_host

HEADER = "anthropic-dangerous-direct-browser-access"


async def sent_headers(options: Mapping[str, object]) -> tuple[Mapping[str, str], str]:
    fetch = FakeFetch(FetchError("blocked", kind="cors"))
    host = replace(make_host(fetch=fetch, secrets={"ANTHROPIC_API_KEY": "KEY"}), is_browser=True)
    model = create_model(ModelReference("anthropic", "claude-sonnet-4-5", options=options), host)
    with pytest.raises(CorsError) as caught:
        async for _ in model.stream(ModelRequest((Message.user("Go."),))):
            pass
    return fetch.sent[0].headers, caught.value.message


async def test_the_page_header_needs_the_option() -> None:
    headers, message = await sent_headers({})

    assert HEADER not in headers
    assert "browser_access" in message


async def test_the_option_sends_the_page_header() -> None:
    headers, _ = await sent_headers({"browser_access": True})

    assert headers[HEADER] == "true"


def test_the_option_is_checked_early() -> None:
    reference = ModelReference("anthropic", "claude-sonnet-4-5", options={"browser_access": "yes"})

    with pytest.raises(ConfigurationError, match="browser_access"):
        create_model(reference, make_host(fetch=FakeFetch()))


async def test_the_list_of_models_is_asked_for_with_the_version() -> None:
    fetch = FakeFetch(FakeResponse([b'{"data": [{"type": "model", "id": "claude-sonnet-4-5-20250929"}]}']))
    host = make_host(fetch=fetch, secrets={"ANTHROPIC_API_KEY": "KEY"})
    model = create_remote_model(host)

    assert await model.list_models() == ["claude-sonnet-4-5-20250929"]
    assert fetch.sent[0].url == "https://api.anthropic.com/v1/models?limit=1000"
    assert fetch.sent[0].headers["anthropic-version"] == "2023-06-01"
    assert fetch.sent[0].headers["x-api-key"] == "KEY"


def create_remote_model(host: Host) -> RemoteModel:
    model = create_model(ModelReference("anthropic", "claude-sonnet-4-5"), host)
    assert isinstance(model, RemoteModel)
    return model
