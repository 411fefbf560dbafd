"""Azure's addresses: from a resource, a base URL in several spellings, with and without a dated version."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from limpet.errors import ConfigurationError, ModelError
from limpet.messages import Message
from limpet.model import ModelReference, ModelRequest
from limpet.providers import create_model
from tests.fakes.fetch import FakeFetch, FakeResponse
from tests.fakes.host import make_host

ROOT = "https://kitchen.openai.azure.com"


async def sent_url(base_url: str | None, options: Mapping[str, object]) -> str:
    fetch = FakeFetch(FakeResponse(status=400))
    host = make_host(fetch=fetch, secrets={"AZURE_OPENAI_API_KEY": "KEY"})
    model = create_model(ModelReference("azure", "my gpt", base_url=base_url, options=options), host)
    with pytest.raises(ModelError):
        async for _ in model.stream(ModelRequest((Message.user("Go."),))):
            pass
    return fetch.sent[0].url


@pytest.mark.parametrize(
    ("base_url", "options", "expected"),
    [
        (None, {"resource": "kitchen"}, f"{ROOT}/openai/v1/chat/completions"),
        (ROOT, {}, f"{ROOT}/openai/v1/chat/completions"),
        (f"{ROOT}/openai/v1/", {}, f"{ROOT}/openai/v1/chat/completions"),
        (ROOT, {"api": "responses"}, f"{ROOT}/openai/v1/responses"),
        (
            f"{ROOT}/openai",
            {"api_version": "2024-10-21"},
            f"{ROOT}/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21",
        ),
    ],
)
async def test_addresses(base_url: str | None, options: Mapping[str, object], expected: str) -> None:
    assert await sent_url(base_url, options) == expected


def test_without_an_address_it_is_not_configured() -> None:
    host = make_host(fetch=FakeFetch(), secrets={"AZURE_OPENAI_API_KEY": "KEY"})

    assert not create_model(ModelReference("azure", "gpt"), host).info.is_configured


@pytest.mark.parametrize(
    "options",
    [
        {"resource": "a/b"},
        {"api_version": "1?x=2"},
        {"api_version": 20241021},
        {"api": "completions"},
        {"api": "responses", "api_version": "2024-10-21"},
    ],
)
def test_options_are_checked_early(options: Mapping[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        create_model(ModelReference("azure", "gpt", base_url=ROOT, options=options), make_host(fetch=FakeFetch()))
