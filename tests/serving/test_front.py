"""Every request at the front door: what is answered, what is refused, and that no nonsense is a mistake of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limpet import Agent, ModelUnavailableError, RateLimitError, tool
from limpet.errors import AuthenticationError, ContextLengthError, PolicyRefusalError
from limpet.providers.scripted import Reply, ScriptedModel, call_tool
from limpet.serving.access import Access, Caller, Origins
from limpet.serving.front import Front, FrontPorts
from limpet.serving.gateway import Gateway
from limpet.serving.http import Reply as HttpReply
from limpet.serving.http import Request
from limpet.serving.limits import Meter
from limpet.serving.openapi import document
from limpet.serving.session import Ports, Session
from limpet.serving.session_server import SessionServer
from limpet.serving.settings import Settings
from limpet.stores.memory import MemoryStorage
from limpet.wire import JsonObject
from tests.fakes.host import make_host


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Place:
    """The front, and the conversations behind it, in one process."""

    def __init__(self, *replies: Reply, settings: Settings | None = None) -> None:
        self.agent = Agent(name="worker", model=ScriptedModel(list(replies) or ["Hello."] * 5000), tools=[add])
        self.host = make_host()
        settings = settings or Settings(access=Access(is_open=True))
        self.front = Front(self.agent, settings, self.host, Gateway(settings.routes))
        self.logged: list[BaseException] = []
        self.sessions: dict[str, SessionServer] = {}
        self.later: set[asyncio.Future[object]] = set()

    async def ask(self, method: str, path: str, data: object = None, **headers: str) -> HttpReply:
        body = data if isinstance(data, bytes) else b"" if data is None else json.dumps(data).encode()
        address, _, query = path.partition("?")
        pairs = dict(pair.split("=", 1) for pair in query.split("&") if "=" in pair)
        ports = FrontPorts(self._session, Meter(self._ledger), self._later, self.logged.append, list)
        return await self.front.handle(Request(method, address, pairs, headers, body), ports)

    def _later(self, work: Awaitable[object]) -> None:
        self.later.add(asyncio.ensure_future(work))

    async def _ledger(self, account: str, data: JsonObject) -> JsonObject:
        return {"granted": 1}

    async def _session(self, caller: Caller, id: str, request: Request, headers: Mapping[str, str]) -> HttpReply:
        server = self.sessions.get(f"{caller.subject}/{id}")
        if server is None:

            async def nothing(*_: object) -> None:
                pass

            host = make_host(storage=MemoryStorage())
            session = Session(self.agent, host, id, Ports(nothing, nothing, nothing, self.logged.append))
            server = self.sessions[f"{caller.subject}/{id}"] = SessionServer(session)
        return await server.handle(request)


async def read(reply: HttpReply) -> bytes:
    if isinstance(reply.body, bytes):
        return reply.body
    body = b"".join([piece async for piece in reply.body])
    assert isinstance(reply.body, AsyncGenerator)
    await reply.body.aclose()
    return body


async def read_json(reply: HttpReply) -> Any:
    return json.loads(await read(reply))


def completion(**more: object) -> dict[str, object]:
    return {"model": "worker", "messages": [{"role": "user", "content": "hi"}], **more}


async def test_a_completion_runs_the_agents_tools_and_tells_their_outcome_only() -> None:
    place = Place([call_tool("add", a=2, b=3)], "It is 5.")
    answer = await read_json(await place.ask("POST", "/v1/chat/completions", completion()))

    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "It is 5.", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert answer["usage"]["total_tokens"] == 24


async def test_a_clients_own_tool_is_given_back_to_it() -> None:
    place = Place([call_tool("mine", x=1)], "Done.")
    tools = [{"type": "function", "function": {"name": "mine"}}]
    answer = await read_json(await place.ask("POST", "/v1/chat/completions", completion(tools=tools)))
    taken = await read_json(
        await place.ask(
            "POST", "/v1/chat/completions", completion(tools=[{"type": "function", "function": {"name": "add"}}])
        )
    )

    choice = answer["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert [call["function"] for call in choice["message"]["tool_calls"]] == [{"name": "mine", "arguments": '{"x": 1}'}]
    assert taken["error"]["message"] == "tools: these names are taken: add"


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RateLimitError("secret-key", retry_after_seconds=3600), 429, "rate_limited"),
        (AuthenticationError("secret-key"), 502, "upstream_refused"),
        (ContextLengthError("secret-key"), 400, "context_length_exceeded"),
        (PolicyRefusalError("secret-key"), 400, "content_filter"),
        (ModelUnavailableError("secret-key"), 503, "upstream_unavailable"),
        (RuntimeError("secret-key"), 500, "internal_error"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_error_has_a_status_and_words_of_ours(error: Exception, status: int, code: str, stream: bool) -> None:
    reply = await Place(error).ask("POST", "/v1/chat/completions", completion(stream=stream))
    body = await read(reply)

    assert (reply.status, json.loads(body)["error"]["code"]) == (status, code)
    assert b"secret-key" not in body


async def test_every_address_of_the_document_is_served_and_no_other() -> None:
    place = Place()
    for path, operations in document("worker")["paths"].items():  # type: ignore[union-attr]
        for method in ("get", "post", "delete", "put", "patch"):
            reply = await place.ask(method.upper(), path.replace("{id}", "c"), {})
            known = method in operations  # type: ignore[operator]
            assert (reply.status in (404, 405)) != known, (method, path, reply.status)
    for path in (
        "/",
        "/v1",
        "/v1/nothing",
        "/conversations",
        "/conversations/a/b/c",
        "/chat/a",
        "//chat",
        "/chat/../x",
    ):
        assert (await place.ask("GET", path)).status in (404, 405), path


async def test_a_page_of_an_unknown_origin_gets_nothing_not_even_health() -> None:
    place = Place(settings=Settings(access=Access(is_open=True), origins=Origins(frozenset({"https://a.example"}))))

    assert (await place.ask("GET", "/health", origin="https://b.example")).status == 403
    reply = await place.ask("GET", "/health", origin="https://a.example")
    assert reply.headers["access-control-allow-origin"] == "https://a.example"


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    [
        "id",
        "messages",
        "role",
        "parts",
        "type",
        "text",
        "content",
        "model",
        "tools",
        "stream",
        "threadId",
        "runId",
        "call_id",
        "approved",
        "subject",
        "input",
        "trigger",
        "tool_calls",
        "function",
        "n",
        "max_tokens",
    ]
)
WORDS = st.sampled_from(["worker", "user", "assistant", "tool", "text", "c", "function", "regenerate-message", "hi"])
BODIES = st.recursive(
    JSON_VALUES | WORDS | st.text(st.characters(exclude_categories=()), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=6),
    max_leaves=20,
)
ADDRESSES = st.sampled_from(
    [
        "/chat",
        "/agui",
        "/v1/chat/completions",
        "/v1/embeddings",
        "/tokens",
        "/conversations/c/cancel",
        "/conversations/c/approve",
        "/conversations/c/stream?after=x",
        "/conversations/\ud800",
    ]
)


@settings(max_examples=400, deadline=None)
@given(address=ADDRESSES, body=BODIES | st.binary(max_size=60))
async def test_no_nonsense_is_a_mistake_of_ours(address: str, body: object) -> None:
    place = Place()
    reply = await place.ask("POST", address, body)
    await read(reply)

    assert reply.status < 500, place.logged
    assert place.logged == []
