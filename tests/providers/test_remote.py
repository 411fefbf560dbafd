"""A remote model's behaviour around the exchange: retries, failures, headers, cancelling. No sockets here."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest

from limpet.errors import (
    AuthenticationError,
    ConfigurationError,
    CorsError,
    FetchError,
    FetchFailure,
    ModelError,
    ModelUnavailableError,
    OfflineError,
    RateLimitError,
    WireFormatError,
)
from limpet.events import ModelStart, Retry, TextDelta, TextStart
from limpet.host import Host
from limpet.messages import Message
from limpet.model import Delta, Finish, ModelInfo, ModelReference, ModelRequest
from limpet.providers import PROVIDERS, create_model
from limpet.providers.openai import SERVICE as OPENAI
from limpet.providers.openai_compatible import SERVICE as OPENAI_COMPATIBLE
from limpet.providers.openrouter import SERVICE as OPENROUTER
from tests.fakes.clock import FakeClock
from tests.fakes.fetch import FakeFetch, FakeResponse, Hang
from tests.fakes.host import make_host

REFERENCE = ModelReference("lmstudio", "qwen3")
REQUEST = ModelRequest((Message.user("Hello."),))


def sse(*chunks: Any) -> bytes:
    return b"".join(
        b"data: " + (c.encode() if isinstance(c, str) else json.dumps(c).encode()) + b"\n\n" for c in chunks
    )


def words(*texts: str) -> bytes:
    return sse(*({"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts))


END = sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, "[DONE]")


def answer(*pieces: bytes | FetchError | Hang) -> FakeResponse:
    return FakeResponse(pieces or (words("Hello."), END))


def refusal(status: int, body: Any = None, **headers: str) -> FakeResponse:
    return FakeResponse(
        [json.dumps(body).encode()], status, {name.replace("_", "-"): text for name, text in headers.items()}
    )


async def collect(host: Host, reference: ModelReference = REFERENCE, request: ModelRequest = REQUEST) -> list[Delta]:
    return [delta async for delta in create_model(reference, host).stream(request)]


async def failure_of(host: Host, reference: ModelReference = REFERENCE) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await collect(host, reference)
    return caught.value


# --- the table ---


def test_an_unknown_provider_is_named_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"'oepnai'; known are local, openai, "):
        create_model(ModelReference.parse("oepnai:gpt-5"), make_host())


@pytest.mark.parametrize("service", [OPENAI, OPENAI_COMPATIBLE, OPENROUTER], ids=lambda service: service.provider)
def test_each_service_is_in_the_table_under_its_name(service: Any) -> None:
    assert service.provider in PROVIDERS


@pytest.mark.parametrize("reference", ["openai:gpt-5-mini", "openrouter:x/y:free", "lmstudio:qwen3:8b"])
def test_a_reference_becomes_a_model(reference: str) -> None:
    model = create_model(ModelReference.parse(reference), make_host(secrets={"OPENAI_API_KEY": "k"}))

    assert model.info.id == reference


@pytest.mark.parametrize(
    ("reference", "secrets", "is_configured"),
    [
        (ModelReference("openai", "m"), {}, False),
        (ModelReference("openai", "m"), {"OPENAI_API_KEY": ""}, False),
        (ModelReference("openai", "m"), {"OPENAI_API_KEY": "k"}, True),
        (ModelReference("openai", "m", key_name="MINE"), {"OPENAI_API_KEY": "k"}, False),
        (ModelReference("openai", "m", key_name="MINE"), {"MINE": "k"}, True),
        (ModelReference("openrouter", "m"), {"OPENROUTER_API_KEY": "k"}, True),
        (ModelReference("lmstudio", "m"), {}, True),
        (ModelReference("lmstudio", "m", key_name="MINE"), {}, False),
        (ModelReference("openai_compatible", "m"), {}, False),
        (ModelReference("openai_compatible", "m", base_url="http://127.0.0.1/v1"), {}, True),
    ],
)
def test_what_is_missing_shows_before_a_model_is_asked(
    reference: ModelReference, secrets: dict[str, str], is_configured: bool
) -> None:
    assert create_model(reference, make_host(secrets=secrets)).info.is_configured == is_configured


def test_what_is_known_of_a_model_is_told() -> None:
    reference = ModelReference("lmstudio", "llava", options={"context_length": 8192})

    assert create_model(reference, make_host()).info == ModelInfo(
        "lmstudio",
        "llava",
        context_length=8192,
        has_schema_with_tools=False,
        has_images=True,
        has_json_schema=True,
        has_reasoning=True,
        has_embeddings=True,
        browser_access="server",
    )


@pytest.mark.parametrize("options", [{"temprature": 1}, {"timeout_seconds": "5"}, {"max_attempts": 0}])
def test_options_that_it_has_not_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(options))!r}"):
        create_model(ModelReference("lmstudio", "m", options=options), make_host())


# --- address and headers ---


@pytest.mark.parametrize(
    ("base_url", "from_host", "url"),
    [
        (None, None, "http://127.0.0.1:1234/v1/chat/completions"),
        (None, "http://pi:1/v1/", "http://pi:1/v1/chat/completions"),
        ("https://me/v2", "http://pi:1/v1/", "https://me/v2/chat/completions"),
        ("https://me/v1/chat/completions", None, "https://me/v1/chat/completions"),
        ("http://[::1]:8080", None, "http://[::1]:8080/chat/completions"),
    ],
)
async def test_the_address_is_the_users_the_hosts_or_the_services(
    base_url: str | None, from_host: str | None, url: str
) -> None:
    fetch = FakeFetch(answer())
    host = make_host(fetch=fetch, base_urls={"lmstudio": from_host} if from_host else {})

    await collect(host, ModelReference("lmstudio", "m", base_url=base_url))

    assert [request.url for request in fetch.sent] == [url]


@pytest.mark.parametrize(
    "base_url", ["ftp://a/", "a.example/v1", "https://u:p@a/v1", "https://a/v1?key=s3cret", "https://a/v1 s3cret", ""]
)
def test_an_address_that_cannot_be_used_is_refused_without_repeating_it(base_url: str) -> None:
    reference = ModelReference("openai", "m", base_url=base_url or "https://")

    with pytest.raises(ConfigurationError) as caught:
        create_model(reference, make_host())

    assert "'https://host:port/path'" in caught.value.message
    assert "s3cret" not in caught.value.message


async def test_without_an_address_nothing_is_sent() -> None:
    with pytest.raises(ConfigurationError, match="needs the base URL"):
        await collect(make_host(fetch=FakeFetch()), ModelReference("openai_compatible", "m"))


@pytest.mark.parametrize("key", [None, "k-1"])
async def test_a_page_sends_two_headers_at_most(key: str | None) -> None:
    fetch = FakeFetch(answer())
    secrets = {"OPENAI_COMPATIBLE_API_KEY": key} if key else {}
    host = make_host(fetch=fetch, secrets=secrets, is_browser=True)

    await collect(host, ModelReference("openai_compatible", "m", base_url="http://127.0.0.1:1/v1"))

    assert fetch.sent[0].headers == {
        "content-type": "application/json",
        **({"authorization": "Bearer k-1"} if key else {}),
    }


@pytest.mark.parametrize(
    ("secrets", "text"),
    [
        ({}, "there is no API key; set 'OPENAI_API_KEY'"),
        ({"OPENAI_API_KEY": "  "}, "there is no API key; set 'OPENAI_API_KEY'"),
        ({"OPENAI_API_KEY": "s3c\nret"}, "'OPENAI_API_KEY' has characters that no API key has"),
        ({"OPENAI_API_KEY": "s3crét"}, "'OPENAI_API_KEY' has characters that no API key has"),
    ],
)
async def test_without_a_good_key_nothing_is_sent(secrets: dict[str, str], text: str) -> None:
    error = await failure_of(make_host(fetch=FakeFetch(), secrets=secrets), ModelReference("openai", "m"))

    assert isinstance(error, AuthenticationError)
    assert text in error.message
    assert "s3c" not in error.message


async def test_blanks_around_a_key_are_not_sent() -> None:
    fetch = FakeFetch(answer())

    await collect(make_host(fetch=fetch, secrets={"OPENAI_API_KEY": " k-1\n"}), ModelReference("openai", "m"))

    assert fetch.sent[0].headers["authorization"] == "Bearer k-1"


async def test_the_silence_allowed_is_the_options() -> None:
    fetch = FakeFetch(answer())

    await collect(make_host(fetch=fetch), ModelReference("lmstudio", "m", options={"timeout_seconds": 5}))

    assert fetch.sent[0].timeout_seconds == 5.0


# --- failures ---


@pytest.mark.parametrize(
    ("kind", "cls", "text"),
    [
        ("offline", OfflineError, "there is no network"),
        ("unreachable", ModelUnavailableError, "nobody answers at http://127.0.0.1:1234"),
        ("cors", CorsError, "does not let this page read its answer (CORS)"),
        ("timeout", ModelUnavailableError, "was silent for 60 seconds"),
        ("reset", ModelUnavailableError, "closed the connection without an answer"),
    ],
)
async def test_a_fetch_that_fails_is_told_apart(kind: FetchFailure, cls: type[ModelError], text: str) -> None:
    failure = FetchError("as the test says", kind=kind)

    error = await failure_of(make_host(fetch=FakeFetch(failure, failure, failure)))

    assert type(error) is cls
    assert error.message.startswith("lmstudio:qwen3: ")
    assert text in error.message
    assert error.__cause__ is failure


@pytest.mark.parametrize(
    ("reference", "hints"),
    [
        (ModelReference("lmstudio", "m"), ["lms server start --cors"]),
        (
            ModelReference("openai_compatible", "m", base_url="http://127.0.0.1:1234/v1"),
            ["lms server start --cors", "--allowed-origins", "lms server start --cors", "Access-Control-Allow-Origin"],
        ),
        (ModelReference("openai", "m", base_url="https://proxy.example"), ["Access-Control-Allow-Origin", "a proxy"]),
        (ModelReference("openrouter", "m"), ["Access-Control-Allow-Origin", "a proxy"]),
    ],
)
async def test_a_cors_refusal_names_the_servers_setting(reference: ModelReference, hints: list[str]) -> None:
    secrets = {"OPENAI_API_KEY": "k", "OPENROUTER_API_KEY": "k"}
    fetch = FakeFetch(FetchError("refused", kind="cors"))

    error = await failure_of(make_host(fetch=fetch, secrets=secrets, is_browser=True), reference)

    assert isinstance(error, CorsError)
    assert [hint for hint in hints if hint not in error.message] == []


@pytest.mark.parametrize(("kind", "cls"), [("reset", WireFormatError), ("timeout", ModelUnavailableError)])
async def test_an_answer_that_breaks_off_is_an_error(kind: FetchFailure, cls: type[ModelError]) -> None:
    fetch = FakeFetch(answer(words("Hel"), FetchError("gone", kind=kind)))

    error = await failure_of(make_host(fetch=fetch))

    assert type(error) is cls
    fetch.assert_done()


async def test_an_answer_that_breaks_off_after_its_end_is_whole() -> None:
    end = sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})

    deltas = await collect(make_host(fetch=FakeFetch(answer(words("Hello."), end, FetchError("gone", kind="reset")))))

    assert isinstance(deltas[-1], Finish)


async def test_nothing_is_read_after_the_end() -> None:
    fetch = FakeFetch(answer(words("Hello."), END, Hang()))

    deltas = await collect(make_host(fetch=fetch))

    assert isinstance(deltas[-1], Finish)
    fetch.assert_done()


# --- trying again ---


async def test_each_new_attempt_is_told_before_the_pause(clock: FakeClock) -> None:
    fetch = FakeFetch(refusal(503), refusal(429, {}, retry_after="9"), answer())

    deltas = await collect(make_host(fetch=fetch, clock=clock))

    assert deltas[:5] == [
        Retry(
            "lmstudio:qwen3",
            1,
            0.375,
            "unavailable",
            "lmstudio:qwen3: the server is overloaded or still loading the model (status 503)",
        ),
        Retry(
            "lmstudio:qwen3",
            2,
            9.0,
            "rate_limited",
            "lmstudio:qwen3: the server was sent too many requests (status 429)",
        ),
        ModelStart("lmstudio:qwen3"),
        TextStart("text-0"),
        TextDelta("text-0", "Hello."),
    ]
    assert clock.slept == [0.375, 9.0]
    fetch.assert_done()


async def test_after_the_last_attempt_the_last_error_stands(clock: FakeClock) -> None:
    fetch = FakeFetch(refusal(500), refusal(502), refusal(503))

    error = await failure_of(make_host(fetch=fetch, clock=clock))

    assert (type(error), error.status) == (ModelUnavailableError, 503)
    fetch.assert_done()


async def test_the_number_of_attempts_is_an_option() -> None:
    fetch = FakeFetch(refusal(500))

    await failure_of(make_host(fetch=fetch), ModelReference("lmstudio", "m", options={"max_attempts": 1}))

    fetch.assert_done()


async def test_a_server_that_wants_too_long_a_pause_is_not_waited_for(clock: FakeClock) -> None:
    error = await failure_of(make_host(fetch=FakeFetch(refusal(429, {}, retry_after="3600")), clock=clock))

    assert isinstance(error, RateLimitError)
    assert (error.retry_after_seconds, clock.slept) == (3600.0, [])


async def test_nothing_is_tried_again_after_the_first_word(clock: FakeClock) -> None:
    broken = sse({"error": {"code": 503, "message": "busy"}})
    fetch = FakeFetch(answer(words("Hel"), broken))

    error = await failure_of(make_host(fetch=fetch, clock=clock))

    assert (type(error), error.status, clock.slept) == (ModelUnavailableError, 503, [])
    fetch.assert_done()


async def test_an_error_in_the_stream_before_the_first_word_is_tried_again() -> None:
    fetch = FakeFetch(answer(sse({"error": {"code": 503, "message": "busy"}})), answer())

    deltas = await collect(make_host(fetch=fetch))

    assert [type(delta).__name__ for delta in deltas[:2]] == ["Retry", "ModelStart"]
    fetch.assert_done()


async def test_an_error_body_that_breaks_off_still_counts() -> None:
    body = FakeResponse([b'{"error": {', FetchError("gone", kind="reset")], 401)

    error = await failure_of(make_host(fetch=FakeFetch(body)))

    assert isinstance(error, AuthenticationError)
    assert body.is_closed


async def test_an_endless_error_body_is_not_read_to_its_end() -> None:
    body = FakeResponse([b"x" * 20_000] * 10, 400)

    await failure_of(make_host(fetch=FakeFetch(body)))

    assert (body.is_closed, body.has_ended) == (True, False)


# --- stopping ---


async def test_closing_the_stream_closes_the_response() -> None:
    fetch = FakeFetch(answer(words("Hel", "lo"), Hang()))

    async with aclosing(create_model(REFERENCE, make_host(fetch=fetch)).stream(REQUEST)) as stream:  # type: ignore[type-var]
        async for delta in stream:
            if isinstance(delta, TextDelta):
                break

    fetch.assert_done()


@pytest.mark.parametrize("pieces", [[words("Hel"), Hang()], [Hang()]], ids=["after a word", "before one"])
async def test_cancelling_closes_the_response(pieces: list[Any]) -> None:
    fetch = FakeFetch(answer(*pieces))
    task = asyncio.create_task(collect(make_host(fetch=fetch)))
    for _ in range(10):
        await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    fetch.assert_done()


async def test_cancelling_ends_the_pause_before_the_next_attempt() -> None:
    clock = FakeClock(is_moving=False)
    fetch = FakeFetch(refusal(503))
    task = asyncio.create_task(collect(make_host(fetch=fetch, clock=clock)))
    for _ in range(10):
        await asyncio.sleep(0)
    assert clock.slept == [0.375]

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    fetch.assert_done()


async def test_cancelling_while_nobody_has_answered_ends_the_request() -> None:
    is_cancelled = False

    async def fetch(request: object, /) -> Any:
        nonlocal is_cancelled
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            is_cancelled = True

    task = asyncio.create_task(collect(make_host(fetch=fetch)))
    for _ in range(10):
        await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_cancelled
