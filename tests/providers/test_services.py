"""What is known of each service, what follows from it, and what else a service is asked: vectors, names, whether."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import limpet
from limpet.errors import (
    AuthenticationError,
    ConfigurationError,
    FetchError,
    ModelError,
    ModelUnavailableError,
    UnsupportedError,
    WireFormatError,
)
from limpet.events import TextDelta
from limpet.messages import ImagePart, Message
from limpet.model import ModelReference, ModelRequest, ToolSpec
from limpet.protocols.chat_completions import ChatCompletions
from limpet.providers import PROVIDERS, create_embeddings, create_model, is_installed
from limpet.providers.remote import RemoteModel
from limpet.providers.service import Service
from tests.fakes.fetch import FakeFetch, FakeResponse
from tests.fakes.host import make_host

REMOTE = [name for name in PROVIDERS if name != "local"]
TOOL = ToolSpec("look", "Look.", {"type": "object", "properties": {}})
GO = (Message.user("Go."),)


def service_of(provider: str) -> Service:
    service: Service = import_module(f"limpet.providers.{provider}").SERVICE
    return service


DATA = [name for name in REMOTE if not hasattr(import_module(f"limpet.providers.{name}"), "create")]
CHATTING = [
    name for name in DATA if isinstance(service_of(name).protocol, ChatCompletions) and service_of(name).base_url
]


def make(name: str, *answers: Any, **options: Any) -> tuple[RemoteModel, FakeFetch]:
    fetch = FakeFetch(
        *(answer if isinstance(answer, FetchError | FakeResponse) else reply(answer) for answer in answers)
    )
    service = service_of(name.partition(":")[0])
    names = [service.key_name, *service.secrets]
    host = make_host(fetch=fetch, secrets={key: "KEY" for key in names if key})
    model = create_model(limpet.model(name, **options), host)
    assert isinstance(model, RemoteModel)
    return model, fetch


def reply(data: Any, status: int = 200) -> FakeResponse:
    body = json.dumps(data).encode()
    return FakeResponse([body[:5], body[5:]], status)


async def refusal_of(model: RemoteModel, request: ModelRequest) -> ModelError:
    with pytest.raises(ModelError) as caught:
        async for _ in model.stream(request):
            pass
    return caught.value


# --- the table ---


def test_the_table_names_every_module_of_a_provider_and_nothing_else() -> None:
    folder = Path(limpet.providers.__file__).parent
    shared = {"__init__", "remote", "scripted", "service"}

    modules = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("local_")}
    assert sorted(PROVIDERS) == sorted(modules - shared)
    assert all(is_installed(ModelReference(provider, "m")) for provider in PROVIDERS)
    assert not is_installed(ModelReference("no_such_provider", "m"))


@pytest.mark.parametrize("provider", DATA)
def test_a_provider_that_speaks_a_known_format_is_one_short_file(provider: str) -> None:
    module = import_module(f"limpet.providers.{provider}")

    assert len(Path(module.__file__ or "").read_text("utf-8").splitlines()) <= 40


@pytest.mark.parametrize(
    ("reference", "module"),
    [
        (limpet.model("gemini:gemini-3-flash"), "limpet.providers.gemini"),
        (limpet.model("openai:gpt-5", api="responses"), "limpet.protocols.responses"),
    ],
    ids=["provider", "format"],
)
def test_what_the_other_package_holds_is_named_with_what_to_install(
    reference: ModelReference, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(ConfigurationError, match=r"pip install limpet\[providers\]"):
        create_model(reference, make_host())


@pytest.mark.parametrize("provider", REMOTE)
def test_what_a_service_says_of_itself_fits_together(provider: str) -> None:
    service = service_of(provider)

    assert service.provider == provider
    assert service.base_url is None or service.base_url.startswith(("https://", "http://127.0.0.1:"))
    assert service.key_name is None or service.key_name.isupper()
    assert service.protocol is not None or service.embeddings is not None
    assert service.has_tools or not service.has_parallel_tools
    assert all(length > 1000 for length in service.context_lengths.values())


@pytest.mark.parametrize("provider", CHATTING)
async def test_each_service_is_asked_at_its_address_with_its_key_and_answers(provider: str) -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}
    model, fetch = make(f"{provider}:m", FakeResponse([f"data: {json.dumps(chunk)}\n\n".encode()]))

    deltas = [delta async for delta in model.stream(ModelRequest(GO))]

    assert TextDelta("text-0", "Hi") in deltas
    sent = fetch.sent[0]
    assert sent.url == f"{service_of(provider).base_url}/chat/completions"
    assert sent.headers.get("authorization") == ("Bearer KEY" if service_of(provider).key_name else None)
    has_options = provider not in ("mistral", "perplexity")
    assert ("stream_options" in json.loads(sent.body or b"")) == has_options
    fetch.assert_done()


def test_the_context_is_that_of_the_longest_name_that_fits_or_what_is_set() -> None:
    lengths = [make(name)[0].info.context_length for name in ("xai:grok-4", "xai:grok-4-fast-1", "xai:other")]

    assert lengths == [256_000, 2_000_000, 0]
    assert make("xai:grok-4", context_length=7)[0].info.context_length == 7


def test_a_model_may_differ_from_its_service() -> None:
    info = make("vllm:qwen", has_images=False, has_tools=False)[0].info

    assert (info.has_images, info.has_tools, info.has_json_schema) == (False, False, True)


@pytest.mark.parametrize("name", ["has_tools", "raw_events"])
def test_an_ability_is_yes_or_no(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"'{name}'"):
        make("vllm:qwen", **{name: "yes"})


def test_a_model_is_named_with_its_settings() -> None:
    assert limpet.model("vllm:q", base_url="http://h/v1", key_name="K", has_tools=False) == ModelReference(
        "vllm", "q", "http://h/v1", "K", {"has_tools": False}
    )


# --- what a model can't do ---


@pytest.mark.parametrize(
    ("name", "request_", "says"),
    [
        ("perplexity:sonar", ModelRequest(GO, tools=(TOOL,)), "can't call tools"),
        ("deepseek:deepseek-chat", ModelRequest(GO, output_schema={"type": "object"}), "JSON Schema"),
        ("cerebras:m", ModelRequest((Message("user", (ImagePart(url="https://h/x.png"),)),)), "pictures"),
        ("voyage:voyage-3.5", ModelRequest(GO), "embeddings only"),
        ("ollama:m", ModelRequest(GO, tools=(TOOL,), tool_choice="required"), "can't be made to call a tool"),
        ("gemini:m", ModelRequest(GO, tools=(TOOL,), output_schema={"type": "object"}), "while it has tools to call"),
    ],
)
async def test_what_a_model_cant_do_is_refused_before_anything_is_sent(
    name: str, request_: ModelRequest, says: str
) -> None:
    model, fetch = make(name)

    error = await refusal_of(model, request_)

    assert type(error) is UnsupportedError
    assert says in error.message
    assert (error.provider, error.model) == tuple(name.split(":"))
    assert fetch.sent == []


def test_a_model_is_made_by_its_name_alone_too() -> None:
    host = make_host()

    assert create_model("groq:m", host).info == create_model(ModelReference("groq", "m"), host).info
    assert create_embeddings("voyage:voyage-3.5", host).info.has_embeddings
    with pytest.raises(ConfigurationError, match="anthropic:m makes no embeddings"):
        create_embeddings("anthropic:m", host)


async def test_a_schema_is_sent_where_it_is_kept() -> None:
    model, fetch = make("together:m", FetchError("no", kind="offline"))

    await refusal_of(model, ModelRequest(GO, output_schema={"type": "object"}))

    assert json.loads(fetch.sent[0].body or b"")["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}},
    }


# --- embeddings ---


async def test_texts_become_vectors_in_order_and_in_batches() -> None:
    def batch(start: int, count: int) -> dict[str, Any]:
        items = [{"index": index, "embedding": [start + index, 1]} for index in range(count)]
        return {"data": items[::-1]}

    model, fetch = make("mistral:mistral-embed", batch(0, 128), batch(128, 128), batch(256, 44))

    vectors = await model.embed([str(number) for number in range(300)])

    assert vectors == [[float(number), 1.0] for number in range(300)]
    assert [len(json.loads(sent.body or b"")["input"]) for sent in fetch.sent] == [128, 128, 44]
    assert fetch.sent[0].url == "https://api.mistral.ai/v1/embeddings"
    assert fetch.sent[0].headers["authorization"] == "Bearer KEY"
    fetch.assert_done()


async def test_no_texts_need_no_request() -> None:
    assert await make("voyage:voyage-3.5")[0].embed([]) == []


@pytest.mark.parametrize(
    "answer",
    [
        {"data": [{"embedding": [1, 2]}, {"embedding": [1]}]},
        {"data": [{"embedding": [1, 2]}]},
        {"data": [{"embedding": [1, 2]}, {"embedding": []}]},
        {"data": [{"embedding": [1, 2]}, {"embedding": [1, "2"]}]},
        {"data": None},
        [],
    ],
    ids=["lengths differ", "one is missing", "one is empty", "not numbers", "nothing", "a list"],
)
async def test_vectors_that_are_not_what_was_asked_for_are_a_broken_answer(answer: Any) -> None:
    with pytest.raises(WireFormatError):
        await make("jina:jina-embeddings-v3", answer)[0].embed(["a", "b"])


async def test_embeddings_are_tried_again() -> None:
    model, fetch = make("jina:j", reply({}, 503), {"data": [{"index": 0, "embedding": [0.5]}]})

    assert await model.embed(["a"], purpose="query") == [[0.5]]
    assert json.loads(fetch.sent[1].body or b"") == {"model": "j", "input": ["a"], "task": "retrieval.query"}
    fetch.assert_done()


async def test_a_service_without_embeddings_says_so() -> None:
    with pytest.raises(UnsupportedError, match="makes no embeddings"):
        await make("perplexity:sonar")[0].embed(["a"])


@pytest.mark.parametrize("provider", REMOTE)
async def test_what_has_embeddings_makes_them_and_nothing_else_does(provider: str) -> None:
    reference = limpet.model(f"{provider}:m")
    if service_of(provider).embeddings is None:
        with pytest.raises(ConfigurationError, match="no embeddings"):
            create_embeddings(reference, make_host())
    else:
        assert await create_embeddings(reference, make_host()).embed([]) == []


async def test_whole_json_is_asked_for() -> None:
    with pytest.raises(WireFormatError, match="whole JSON"):
        await make("jina:j", FakeResponse([b'{"data": [']))[0].embed(["a"])


# --- names, and whether ---


@pytest.mark.parametrize(
    "answer",
    [
        {"object": "list", "data": [{"id": "m"}, {"id": "n"}]},
        [{"id": "m"}, {"id": "n"}, {"object": "?"}],
        {"models": [{"name": "models/m"}, {"name": "n"}]},
        {"result": [{"id": "1", "name": "m"}, {"id": "2", "name": "n"}]},
        {"modelSummaries": [{"modelId": "m"}, {"modelId": "n"}]},
    ],
)
async def test_the_models_of_a_service_are_listed_in_each_shape(answer: Any) -> None:
    model, fetch = make("groq:m", answer)

    assert await model.list_models() == ["m", "n"]
    assert (fetch.sent[0].method, fetch.sent[0].url) == ("GET", "https://api.groq.com/openai/v1/models")
    assert fetch.sent[0].body is None


async def test_a_list_may_be_at_another_address() -> None:
    model, fetch = make("github:openai/gpt-4o", [{"id": "openai/gpt-4o"}])

    await model.verify()

    assert fetch.sent[0].url == "https://models.github.ai/catalog/models"


async def test_the_key_for_another_address_does_not_go_to_the_services_list() -> None:
    model, fetch = make(
        "cohere:command-a", {"message": {"content": []}, "finish_reason": "COMPLETE"}, base_url="http://proxy/v2"
    )

    with pytest.raises(UnsupportedError, match="keeps no list"):
        await model.list_models()
    await model.verify()

    assert [sent.url for sent in fetch.sent] == ["http://proxy/v2/chat"]


async def test_no_list_is_a_broken_answer_and_no_address_for_it_is_said() -> None:
    with pytest.raises(WireFormatError, match="list of models"):
        await make("groq:m", {"data": "none"})[0].list_models()
    with pytest.raises(UnsupportedError, match="keeps no list"):
        await make("zai:glm-4.6")[0].list_models()


async def test_verify_knows_a_wrong_name_and_a_wrong_key() -> None:
    await make("groq:m", {"data": [{"id": "n"}, {"id": "m"}]})[0].verify()
    await make("groq:m", {"data": [{"id": "m-20250929"}]})[0].verify()
    await make("groq:m", {"data": [{"id": "m-2025-09-29"}]})[0].verify()
    with pytest.raises(ModelUnavailableError, match="does not list this model"):
        await make("groq:m", {"data": [{"id": "n"}, {"id": "m-mini"}, {"id": ""}]})[0].verify()
    with pytest.raises(AuthenticationError):
        await make("groq:m", reply({}, 401))[0].verify()


async def test_verify_asks_for_a_word_where_there_is_no_list() -> None:
    answer = {"choices": [{"index": 0, "message": {"content": "Hi"}, "finish_reason": "stop"}]}
    model, fetch = make("perplexity:sonar", answer)

    await model.verify()

    assert json.loads(fetch.sent[0].body or b"")["max_tokens"] == 16
    await make("voyage:v", {"data": [{"embedding": [1]}]})[0].verify()


# --- Ollama ---


@pytest.mark.parametrize(
    ("base_url", "address"),
    [
        (None, "http://127.0.0.1:11434/api/chat"),
        ("http://box:11434/", "http://box:11434/api/chat"),
        ("http://box:11434/v1", "http://box:11434/v1/chat/completions"),
        ("http://box/v1/chat/completions", "http://box/v1/chat/completions"),
    ],
)
async def test_ollama_speaks_its_own_format_unless_the_address_is_of_the_other(
    base_url: str | None, address: str
) -> None:
    model, fetch = make("ollama:qwen3", *[FetchError("no", kind="offline")], base_url=base_url)

    await refusal_of(model, ModelRequest(GO))

    assert fetch.sent[0].url == address


async def test_ollamas_list_and_vectors_are_its_own_too() -> None:
    model, fetch = make("ollama:nomic", {"models": [{"name": "nomic:latest"}]}, {"embeddings": [[1]]})

    await model.verify()

    assert await model.embed(["a"]) == [[1.0]]
    assert [sent.url for sent in fetch.sent] == [
        "http://127.0.0.1:11434/api/tags",
        "http://127.0.0.1:11434/api/embed",
    ]


# --- Cloudflare ---


def test_the_account_is_needed_and_checked() -> None:
    host = make_host(secrets={"CLOUDFLARE_API_TOKEN": "KEY"})

    assert not create_model(limpet.model("workers_ai:@cf/m"), host).info.is_configured
    assert create_model(limpet.model("workers_ai:@cf/m", account_id="0a"), host).info.is_configured
    with pytest.raises(ConfigurationError, match="account"):
        create_model(limpet.model("workers_ai:@cf/m", account_id="../x"), host)
