"""Workers AI: whose account is asked, and that a host with a binding needs neither account nor key."""

from __future__ import annotations

import json

import pytest

from limpet.errors import ConfigurationError, UnsupportedError
from limpet.host import Host
from limpet.model import ModelReference
from limpet.protocols.workers_ai import BINDING_URL
from limpet.providers import create_embeddings, create_model
from tests.fakes.fetch import FakeFetch, FakeResponse
from tests.fakes.host import make_host
from tests.recordings import Recording
from tests.suites.model_suite import QUESTION

NAME = "@cf/meta/llama-3.3-70b-instruct-fp8-fast"
SECRETS = {"CLOUDFLARE_API_TOKEN": "KEY", "CLOUDFLARE_ACCOUNT_ID": "ACCOUNT"}


async def sent_by(reference: ModelReference, host: Host, fetch: FakeFetch) -> tuple[str, bool]:
    """Ask once; give the address, and whether the key went with it."""
    async for _ in create_model(reference, host).stream(QUESTION):
        pass
    return fetch.sent[0].url, "authorization" in fetch.sent[0].headers


@pytest.mark.parametrize(
    ("reference", "base_urls", "expected"),
    [
        (ModelReference("workers_ai", NAME), {}, ("https://api.cloudflare.com/client/v4/accounts/ACCOUNT/ai", True)),
        (ModelReference("workers_ai", NAME), {"workers_ai": BINDING_URL}, (BINDING_URL, False)),
        (ModelReference("workers_ai", NAME, base_url=BINDING_URL), {}, (BINDING_URL, False)),
        (
            ModelReference("workers_ai", NAME, base_url="https://proxy.example/ai"),
            {"workers_ai": BINDING_URL},
            ("https://proxy.example/ai", True),
        ),
    ],
    ids=["REST", "the host's binding", "the binding by name", "a proxy in spite of the binding"],
)
async def test_where_it_is_asked_and_with_what(
    reference: ModelReference, base_urls: dict[str, str], expected: tuple[str, bool]
) -> None:
    fetch = FakeFetch(*Recording("workers_ai", "plain_text").responses("whole"))
    host = make_host(fetch=fetch, secrets=SECRETS, base_urls=base_urls)

    url, has_key = await sent_by(reference, host, fetch)

    assert (url.removesuffix(f"/run/{NAME}"), has_key) == expected


async def test_the_binding_lists_no_models() -> None:
    host = make_host(base_urls={"workers_ai": BINDING_URL})
    model = create_model(ModelReference("workers_ai", NAME), host)

    assert model.info.is_configured
    with pytest.raises(UnsupportedError, match="keeps no list"):
        await model.list_models()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("base_urls", "answer"),
    [
        ({}, {"result": {"shape": [2, 1], "data": [[1], [2]]}, "success": True, "errors": []}),
        ({"workers_ai": BINDING_URL}, {"shape": [2, 1], "data": [[1], [2]]}),
    ],
    ids=["REST", "binding"],
)
async def test_embeddings(base_urls: dict[str, str], answer: object) -> None:
    fetch = FakeFetch(FakeResponse([json.dumps(answer).encode()]))
    host = make_host(fetch=fetch, secrets=SECRETS, base_urls=base_urls)
    model = create_embeddings(ModelReference("workers_ai", "@cf/baai/bge-m3"), host)

    assert await model.embed(["a", "b"]) == [[1.0], [2.0]]
    assert fetch.sent[0].url.endswith("/run/@cf/baai/bge-m3")


def test_an_account_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must be its id"):
        create_model(ModelReference("workers_ai", NAME, options={"account_id": "a/b"}), make_host())
