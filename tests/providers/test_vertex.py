"""Vertex's addresses and keys: a project with an access token, or the express mode with an API key."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from limpet.errors import ConfigurationError, ModelError
from limpet.messages import Message
from limpet.model import ModelReference, ModelRequest
from limpet.providers import create_model
from tests.fakes.fetch import FakeFetch, FakeResponse
from tests.fakes.host import make_host

SECRETS = {"GOOGLE_ACCESS_TOKEN": "TOKEN", "GOOGLE_API_KEY": "KEY"}


async def sent(name: str, options: Mapping[str, object]) -> tuple[str, Mapping[str, str]]:
    fetch = FakeFetch(FakeResponse(status=400))
    model = create_model(ModelReference("vertex", name, options=options), make_host(fetch=fetch, secrets=SECRETS))
    with pytest.raises(ModelError):
        async for _ in model.stream(ModelRequest((Message.user("Go."),))):
            pass
    return fetch.sent[0].url, fetch.sent[0].headers


async def test_a_project_is_asked_with_a_token() -> None:
    url, headers = await sent("gemini-2.5-pro", {"project": "kitchen"})

    assert url == (
        "https://aiplatform.googleapis.com/v1/projects/kitchen/locations/global"
        "/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
    )
    assert headers["authorization"] == "Bearer TOKEN"


async def test_without_a_project_the_express_mode_is_asked_with_a_key() -> None:
    url, headers = await sent("gemini-2.5-pro", {})

    assert url == (
        "https://aiplatform.googleapis.com/v1/publishers/google/models/gemini-2.5-pro:streamGenerateContent?alt=sse"
    )
    assert headers["x-goog-api-key"] == "KEY"
    assert "authorization" not in headers


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("claude-sonnet-4-5", {}),
        ("gemini-2.5-pro", {"project": "a/b"}),
        ("gemini-2.5-pro", {"project": "kitchen", "location": "evil.example/"}),
        ("gemini-2.5-pro", {"project": 7}),
    ],
)
def test_options_are_checked_early(name: str, options: Mapping[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        create_model(ModelReference("vertex", name, options=options), make_host(fetch=FakeFetch()))
