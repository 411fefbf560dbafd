"""The host of a CPython process over real sockets, against the fake server and servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

if sys.platform == "emscripten":
    pytest.skip("a browser has no sockets", allow_module_level=True)

from limpet.errors import (
    AuthenticationError,
    ConfigurationError,
    FetchError,
    ModelUnavailableError,
    WireFormatError,
)
from limpet.events import Retry, TextDelta
from limpet.host import Host, HttpRequest
from limpet.hosts.cpython import create_host
from limpet.hosts.http1 import Http1Fetch
from limpet.messages import Message, TextPart, ToolCallPart
from limpet.model import Delta, Finish, ModelReference, ModelRequest
from limpet.providers import create_model
from limpet.stores.memory import MemoryStorage
from tests.fake_server import FakeServer
from tests.suites.stream_grammar import assert_stream, parts_of

REQUEST = ModelRequest((Message.user("Hello."),))


def host_for(server: FakeServer, **secrets: str) -> Host:
    return create_host(storage=MemoryStorage(), secrets=secrets, base_urls={"openai_compatible": server.base_url})


async def collect(host: Host, recipe: str, **options: object) -> list[Delta]:
    model = create_model(ModelReference("openai_compatible", recipe, options=options), host)
    return [delta async for delta in model.stream(REQUEST)]


# --- a whole exchange ---


@pytest.mark.parametrize(
    ("recipe", "parts", "reason"),
    [
        ("text:Grüße aus Gent 🍳", [TextPart("Grüße aus Gent 🍳")], "stop"),
        ('tool:set_timer:{"minutes": 10}', [ToolCallPart("", "set_timer", '{"minutes": 10}')], "tool_calls"),
        ("length:Grüße", [TextPart("Grüße")], "length"),
        ("echo", [TextPart("You said: Hello.")], "stop"),
        ("empty", [], "stop"),
    ],
)
async def test_a_model_answers_over_a_socket(recipe: str, parts: list[Any], reason: str) -> None:
    with FakeServer() as server:
        deltas = await collect(host_for(server), recipe)

    assert_stream(deltas)
    assert parts_of(deltas) == parts
    assert isinstance(deltas[-1], Finish)
    assert deltas[-1].finish_reason == reason
    assert (len(server.requests), server.closes) == (1, 0)


async def test_the_request_arrives_as_it_was_made() -> None:
    with FakeServer(key="k-1") as server:
        await collect(host_for(server, OPENAI_COMPATIBLE_API_KEY="k-1"), "text:Hello.")

    request = server.requests[0]
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers == {
        "host": f"127.0.0.1:{server.port}",
        "connection": "close",
        "content-length": str(len(request.body)),
        "content-type": "application/json",
        "authorization": "Bearer k-1",
        "accept": "text/event-stream, application/json",
    }
    assert request.json["messages"] == [{"role": "user", "content": "Hello."}]


async def test_a_refused_attempt_is_made_again() -> None:
    with FakeServer() as server:
        deltas = await collect(host_for(server), "429:0.01|text:Hello.")

    assert isinstance(deltas[0], Retry)
    assert parts_of(deltas) == [TextPart("Hello.")]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("recipe", "error"),
    [
        ("500", ModelUnavailableError),
        ("401", AuthenticationError),
        ("cut", WireFormatError),
        ("garbage", WireFormatError),
        ("html", WireFormatError),
    ],
)
async def test_failures_over_a_socket_are_typed(recipe: str, error: type[Exception]) -> None:
    with FakeServer() as server, pytest.raises(error):
        await collect(host_for(server), recipe, max_attempts=1)


async def test_a_server_that_echoes_the_key_does_not_get_it_into_the_error() -> None:
    with FakeServer(key="right") as server, pytest.raises(AuthenticationError) as caught:
        await collect(host_for(server, OPENAI_COMPATIBLE_API_KEY="sk-planted-1"), "text:Hello.")

    assert "sk-planted-1" not in repr(caught.value) + repr(caught.value.__dict__)


# --- stopping ---


async def test_closing_the_stream_closes_the_socket_at_once() -> None:
    with FakeServer() as server:
        model = create_model(ModelReference("openai_compatible", "hang:Hello."), host_for(server))
        async with aclosing(model.stream(REQUEST)) as stream:  # type: ignore[type-var]
            async for delta in stream:
                if isinstance(delta, TextDelta):
                    break
        closed_at = time.monotonic()

        seen_at = await asyncio.to_thread(server.wait_for_close)

    assert seen_at - closed_at < 1


@pytest.mark.parametrize("recipe", ["hang", "hang:Hello."], ids=["before the answer", "in the answer"])
async def test_cancelling_closes_the_socket_at_once(recipe: str) -> None:
    with FakeServer() as server:
        task = asyncio.create_task(collect(host_for(server), recipe))
        await asyncio.to_thread(server.wait_for_requests, 1)
        cancelled_at = time.monotonic()

        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task
        seen_at = await asyncio.to_thread(server.wait_for_close)

    assert seen_at - cancelled_at < 1


async def test_a_stream_that_goes_on_is_closed_in_the_middle() -> None:
    with FakeServer(pause_seconds=0.01) as server:
        model = create_model(ModelReference("openai_compatible", "slow:" + "word " * 1000), host_for(server))
        async with aclosing(model.stream(REQUEST)) as stream:  # type: ignore[type-var]
            async for delta in stream:
                if isinstance(delta, TextDelta):
                    break

        await asyncio.to_thread(server.wait_for_close)

    assert server.closes == 1


# --- fetch on its own ---


@asynccontextmanager
async def serving(
    reply: bytes, *, stays_open: bool = False, waits: bool = True, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Answer every request with the same bytes, without `waits` before it has come."""
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        if waits:
            await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        if not stays_open:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        for writer in writers:
            writer.transport.abort()
        server.close()
        await server.wait_closed()


async def fetch_all(url: str, **fields: Any) -> tuple[int, dict[str, str], bytes]:
    host = create_host(storage=MemoryStorage(), secrets={})
    response = await host.fetch(HttpRequest("GET", url, **fields))
    body = b"".join([chunk async for chunk in response.chunks()])
    await response.close()
    return response.status, dict(response.headers), body


REPLIES: dict[str, tuple[bytes, int, bytes]] = {
    "to the end": (b"HTTP/1.1 200 OK\r\n\r\nabc", 200, b"abc"),
    "with a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", 200, b"abc"),
    "in chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nTrailer: 1\r\n\r\n",
        200,
        b"abc",
    ),
    "after a remark": (b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 201 Made\r\n\r\nabc", 201, b"abc"),
    "without a reason": (b"HTTP/1.0 404 \r\n\r\n", 404, b""),
    "without a body": (b"HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n", 204, b""),
}


@pytest.mark.parametrize(("reply", "status", "body"), REPLIES.values(), ids=REPLIES.keys())
async def test_a_body_is_read(reply: bytes, status: int, body: bytes) -> None:
    async with serving(reply) as url:
        result = await fetch_all(url)

    assert (result[0], result[2]) == (status, body)


async def test_header_names_are_in_lower_case() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\nRetry-After:  7 \r\nX-Empty:\r\n\r\n") as url:
        assert (await fetch_all(url))[1] == {"retry-after": "7", "x-empty": ""}


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-",
    "not HTTP": b"220 mail.example ESMTP\r\n\r\n",
    "no number": b"HTTP/1.1 abc\r\n\r\n",
    "an endless head": b"HTTP/1.1 200 OK\r\nx: " + b"a" * 600_000,
    "a body that is too short": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
    "a chunk that is too short": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc",
    "no last chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "a chunk without a size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\nabc\r\n",
    "a chunk of less than nothing": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-3\r\nabc\r\n",
}


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN.keys())
async def test_a_broken_answer_is_a_reset(reply: bytes) -> None:
    async with serving(reply) as url:
        with pytest.raises(FetchError) as caught:
            await fetch_all(url)

    assert caught.value.kind == "reset"


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["before the head", "in the body"])
async def test_a_silence_that_is_too_long_ends_the_request(reply: bytes) -> None:
    async with serving(reply, stays_open=True) as url:
        with pytest.raises(FetchError) as caught:
            await fetch_all(url, timeout_seconds=0.05)

    assert caught.value.kind == "timeout"


async def test_a_port_that_nobody_listens_at_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/"

        with pytest.raises(FetchError) as caught:
            await fetch_all(url)

    assert caught.value.kind == "unreachable"


async def test_a_host_that_does_not_speak_tls_is_unreachable() -> None:
    async with serving(b"HTTP/1.1 400 Bad Request\r\n\r\n", waits=False) as url:
        with pytest.raises(FetchError) as caught:
            await fetch_all(url.replace("http:", "https:"), timeout_seconds=5.0)

    assert caught.value.kind in ("unreachable", "reset")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody trusts, with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    command += f" -keyout {path} -out {path}.crt"
    subprocess.run(command.split(), check=True, capture_output=True, timeout=60)
    path.write_text(path.read_text() + path.with_name("both.pem.crt").read_text())
    return path


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_tls_is_spoken_with_those_we_trust(certificate: Path, is_trusted: bool) -> None:
    ours, theirs = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(certificate)
    if is_trusted:
        ours.load_verify_locations(certificate)
    async with serving(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", stays_open=True, tls=theirs) as url:
        request = HttpRequest("GET", url.replace("http:", "https:"))
        try:
            response = await Http1Fetch(tls=ours)(request)
            result = b"".join([chunk async for chunk in response.chunks()]).decode()
        except FetchError as error:
            result = error.kind

    assert result == ("abc" if is_trusted else "unreachable")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http:///a", "127.0.0.1/a", "http://127.0.0.1:99999/"])
async def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        await fetch_all(url)


async def test_a_header_with_a_line_break_is_refused_without_repeating_it() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n\r\n") as url:
        with pytest.raises(ConfigurationError) as caught:
            await fetch_all(url, headers={"authorization": "Bearer s3cret\r\nx: y"})

    assert caught.value.message == "the header 'authorization' has a line break in it"


async def test_closing_twice_is_harmless() -> None:
    async with serving(b"HTTP/1.1 200 OK\r\n\r\nabc", stays_open=True) as url:
        response = await create_host(storage=MemoryStorage()).fetch(HttpRequest("GET", url))

        await response.close()
        await response.close()


# --- clock, keys, ids ---


async def test_the_rest_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "k-1")
    host = create_host(storage=MemoryStorage())

    await host.clock.sleep(0)

    assert abs(host.clock.now() - time.time()) < 60
    assert (host.secret("SOME_KEY"), host.secret("NO_SUCH_KEY_AT_ALL")) == ("k-1", None)
    assert create_host(storage=MemoryStorage(), secrets={}).secret("SOME_KEY") is None
    assert len({host.new_id() for _ in range(100)}) == 100
    numbers = [host.random() for _ in range(100)]
    assert all(0 <= number < 1 for number in numbers)
    assert len(set(numbers)) > 90
    assert not host.is_browser


# --- the fake server itself ---


@pytest.mark.parametrize("lets_in", [True, False])
async def test_the_fake_server_lets_pages_in_only_when_told(lets_in: bool) -> None:
    host = create_host(storage=MemoryStorage(), secrets={})
    headers = {"origin": "http://127.0.0.1:9", "access-control-request-method": "POST"}
    with FakeServer(cors=lets_in) as server:
        response = await host.fetch(HttpRequest("OPTIONS", f"{server.base_url}/chat/completions", headers))
        await response.close()

    assert response.status == (204 if lets_in else 405)
    assert response.headers.get("access-control-allow-origin") == ("http://127.0.0.1:9" if lets_in else None)


async def test_the_fake_server_runs_as_a_program_and_ends_by_itself() -> None:
    command = [sys.executable, "-m", "tests.fake_server", "text:Hello.", "--seconds", "20"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        port = int(await asyncio.wait_for(process.stdout.readline(), 20))
        host = replace(
            create_host(storage=MemoryStorage(), secrets={}),
            base_urls={"openai_compatible": f"http://127.0.0.1:{port}/v1"},
        )

        deltas = await collect(host, "any-model")

        _, _, seen = await fetch_all(f"http://127.0.0.1:{port}/requests")
    finally:
        process.terminate()
        await process.wait()
    assert parts_of(deltas) == [TextPart("Hello.")]
    assert [request["method"] for request in json.loads(seen)] == ["POST"]


def test_addresses_come_from_the_environment_unless_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_BASE_URL", "")

    found = create_host().base_urls

    assert found["groq"] == "http://127.0.0.1:9/v1"
    assert "openai" not in found
    assert create_host(base_urls={}).base_urls == {}
