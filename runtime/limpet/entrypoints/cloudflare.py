"""Cloudflare Workers: the classes that a Worker's `entry.py` derives from, and all that connects them.

`Front` takes every request and keeps no state; each conversation is a `Session`, each account a `Ledger`, both Durable
Objects. Requests go from one to the other as HTTP, with who asks in headers that nobody else can set: a Durable Object
is reached through its binding only. What a Worker is set up with is read at its first request, since nothing may be
read before.
"""

from __future__ import annotations

import asyncio
import json
import sys
import traceback
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import ClassVar
from urllib.parse import parse_qsl

import js  # type: ignore[import-not-found]  # only Pyodide has it
from workers import (  # type: ignore[import-not-found]  # only Workers have it
    DurableObject,
    Response,
    WorkerEntrypoint,
    import_from_javascript,
)

from ..agent import Agent
from ..errors import AgentError, ConfigurationError
from ..events import Usage
from ..host import Fetch, Host
from ..hosts.cloudflare import BodyStream, WorkersFetch, binding, create_host, read_headers, text_of
from ..hosts.cloudflare_onnx import OnnxBackend
from ..hosts.ffi import Foreign, from_bytes, keep, to_bytes, to_object, wait
from ..hosts.workers_ai_binding import WorkersAIFetch
from ..model import ModelReference
from ..protocols.workers_ai import BINDING_URL
from ..providers import import_provider
from ..serving.access import Caller, caller_from_text, caller_to_text
from ..serving.front import Front as Server
from ..serving.front import FrontPorts
from ..serving.gateway import Gateway
from ..serving.http import HttpError, Reply, Request, error_reply
from ..serving.limits import LedgerServer, Meter
from ..serving.refusals import refusal
from ..serving.session import Ports
from ..serving.session import Session as Conversation
from ..serving.session_server import SessionServer
from ..serving.settings import Settings
from ..stores.durable_object import DurableObjectStorage
from ..stores.kv import KvStorage
from ..stores.memory import MemoryStorage
from ..wire import JsonObject
from .agent_file import remote_secrets, with_remote

_CALLER, _CONVERSATION, _ANSWER_HEADERS = "x-limpet-caller", "x-limpet-conversation", "x-limpet-answer-headers"
_BODY_METHODS = ("POST", "PUT", "PATCH", "DELETE")


class _Set:
    """What this Worker is set up with; lives as long as its isolate."""

    def __init__(self, agent: Agent) -> None:
        self.env: Foreign = import_from_javascript("cloudflare:workers").env
        self.settings = Settings.read(lambda name: text_of(self.env, name))
        self.agent = with_remote(agent, self.settings.remote)
        self.meter = Meter(self.ask_ledger)
        cache = binding(self.env, "CACHE")
        storage = MemoryStorage() if cache is None else KvStorage(cache)
        self.host = self.create_host(storage, keeps_sessions=False)
        gateway = Gateway(
            self.settings.routes,
            cache_seconds=self.settings.cache_seconds if cache else 0,
            cooldown_seconds=self.settings.cooldown_seconds,
        )
        self.server = Server(self.agent, self.settings, self.host, gateway)

    def create_host(self, storage: DurableObjectStorage | KvStorage | MemoryStorage, *, keeps_sessions: bool) -> Host:
        """Make a host with the Worker's secrets and bindings; `keeps_sessions` of local models, in one object."""
        fetch: Fetch = WorkersFetch()
        base_urls = dict(self.settings.base_urls)
        if ai := binding(self.env, "AI"):
            fetch = WorkersAIFetch(ai, base_url=BINDING_URL, elsewhere=fetch)
            base_urls.setdefault("workers_ai", BINDING_URL)
        remote = remote_secrets(self.settings.remote)
        return create_host(
            storage=storage,
            secret=lambda name: remote.get(name) or text_of(self.env, name),
            base_urls=base_urls,
            fetch=fetch,
            inference=OnnxBackend(binding(self.env, "ONNX"), keeps_sessions=keeps_sessions),
        )

    async def ask_ledger(self, account: str, data: JsonObject) -> JsonObject:
        """Ask the Durable Object of an account."""
        namespace = self.env.LEDGER
        stub = namespace.get(namespace.idFromName(account))
        options = to_object({"method": "POST", "body": json.dumps(data)})
        reply = await wait(stub.fetch("https://ledger.invalid/", options))
        answer: JsonObject = json.loads(await wait(reply.text()))
        return answer

    def missing(self) -> list[str]:
        """Say which bindings the Worker lacks."""
        return [name for name in ("SESSION", "LEDGER") if binding(self.env, name) is None]


def prepare(agent: Agent) -> None:
    """Import what the agent's models need. A snapshot holds it then, and the first request does not wait for it."""
    for model in agent.models:
        if isinstance(model, ModelReference):
            with suppress(ConfigurationError):  # told when the model is asked
                import_provider(model.provider)


_sets: dict[int, _Set] = {}


def _set_up(agent: Agent) -> _Set:
    """Give what is set up for an agent. Raises `ConfigurationError`, at every request until it is put right."""
    found = _sets.get(id(agent))
    if found is None:
        found = _sets[id(agent)] = _Set(agent)
    return found


class Front(WorkerEntrypoint):  # type: ignore[misc]  # not typed without Workers
    """Takes every request. `agent` is set by the class that derives from it."""

    agent: ClassVar[Agent]

    async def fetch(self, request: Foreign) -> Foreign:
        """Answer a request; a client that leaves before ends the work for it."""
        try:
            known = _set_up(type(self).agent)
        except ConfigurationError as error:
            _log(error)
            return _to_response(error_reply(refusal(error)))
        leaving = _Leaving(request.js_object)
        try:
            most = known.settings.max_body_bytes
            reply = await known.server.handle(await _read_request(request.js_object, most), self._ports(known))
            return _to_response(reply)
        finally:
            leaving.release()

    def _ports(self, known: _Set) -> FrontPorts:
        async def session(caller: Caller, conversation_id: str, request: Request, headers: Mapping[str, str]) -> Reply:
            namespace = known.env.SESSION
            stub = namespace.get(namespace.idFromName(f"{caller.subject}/{conversation_id}"))
            answer = await wait(stub.fetch(_to_js_request(caller, conversation_id, request, headers)))
            return Reply(int(answer.status), raw=answer)

        return FrontPorts(session, known.meter, self._later, _log, known.missing)

    def _later(self, work: Awaitable[object]) -> None:
        async def guarded() -> None:
            try:
                await work
            except Exception as error:  # nobody waits for it any more
                _log(error)

        self.ctx.waitUntil(guarded())


class Session(DurableObject):  # type: ignore[misc]  # not typed without Workers
    """One conversation. `agent` is set by the class that derives from it."""

    agent: ClassVar[Agent]

    def __init__(self, ctx: Foreign, env: Foreign) -> None:
        super().__init__(ctx, env)
        self._storage: DurableObjectStorage | None = None
        self._conversation: Conversation | None = None
        self._account = ""

    async def fetch(self, request: Foreign) -> Foreign:
        """Answer what `Front` hands on."""
        read = await _read_request(request.js_object, sys.maxsize)
        headers: Mapping[str, str] = json.loads(read.headers.get(_ANSWER_HEADERS, "{}"))
        leaving = _Leaving(request.js_object)
        try:
            caller = caller_from_text(read.headers[_CALLER])
            conversation = await self._open(read.headers[_CONVERSATION], caller.account)
            reply = await SessionServer(conversation).handle(read)
        except Exception as error:  # an entry point: whatever went wrong is told, in our own words
            refused = refusal(error)
            if refused.status >= 500:
                _log(error)
            reply = error_reply(refused)
        finally:
            leaving.release()
        return _to_response(Reply(reply.status, {**reply.headers, **headers}, reply.body))

    async def alarm(self, info: object = None) -> None:
        """Go on with a run that was broken off, and stay until it ends."""
        owner = await self._store().get("owner")
        if owner is None:
            return
        data = json.loads(owner)
        conversation = await self._open(data["conversation_id"], data["account"])
        await conversation.open()
        await conversation.wait_until_idle()

    async def _open(self, conversation_id: str, account: str) -> Conversation:
        if self._conversation is None:
            known = _set_up(type(self).agent)
            ports = Ports(self._sync, self._wake, self._meter, _log)
            host = known.create_host(self._store(), keeps_sessions=True)
            self._conversation = Conversation(
                known.agent, host, conversation_id, ports, wake_seconds=known.settings.resume_seconds
            )
        if account != self._account:
            self._account = account
            owner = {"conversation_id": conversation_id, "account": account}
            await self._store().put("owner", json.dumps(owner).encode())
        return self._conversation

    def _store(self) -> DurableObjectStorage:
        if self._storage is None:
            self._storage = DurableObjectStorage(_raw_storage(self.ctx))
        return self._storage

    async def _sync(self) -> None:
        await self._store().sync()

    async def _wake(self, seconds: float | None) -> None:
        storage = _raw_storage(self.ctx)
        if seconds is None:
            await wait(storage.deleteAlarm())
        else:
            await wait(storage.setAlarm(js.Date.now() + seconds * 1000))

    async def _meter(self, model: str, usage: Usage) -> None:
        known = _set_up(type(self).agent)
        nobody = Caller(self._account, self._account, frozenset())
        await known.meter.spend(nobody, model, usage)


class Ledger(DurableObject):  # type: ignore[misc]  # not typed without Workers
    """What one account has used."""

    def __init__(self, ctx: Foreign, env: Foreign) -> None:
        super().__init__(ctx, env)
        self._server: LedgerServer | None = None

    async def fetch(self, request: Foreign) -> Foreign:
        """Answer what a `Meter` asks."""
        if self._server is None:
            store = DurableObjectStorage(_raw_storage(self.ctx))

            async def load() -> JsonObject | None:
                data = await store.get("account")
                return None if data is None else json.loads(data)

            async def save(data: JsonObject) -> None:
                await store.put("account", json.dumps(data).encode())

            self._server = LedgerServer(load, save)
        data = json.loads(await wait(request.js_object.text()))
        return Response(json.dumps(await self._server.answer(data, js.Date.now() / 1000)))


def _raw_storage(ctx: Foreign) -> Foreign:
    """Give `ctx.storage` as JavaScript has it: the SDK's wrapper (1.9) converts each argument, which takes longer."""
    inner: Foreign = getattr(ctx, "_ctx", ctx)
    return inner.storage


class _Leaving:
    """Cancels the task that answers a request when its client goes away before there is an answer."""

    def __init__(self, request: Foreign) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._signal = request.signal
        self._kept = keep(lambda _event: task.cancel())
        self._signal.addEventListener("abort", self._kept.proxy)

    def release(self) -> None:
        self._signal.removeEventListener("abort", self._kept.proxy)
        self._kept.release()


async def _read_request(request: Foreign, most_bytes: int) -> Request:
    """Read a request whole; of a body that is too long only as much as shows that."""
    url = str(request.url)
    rest = url.split("://", 1)[-1].partition("#")[0]
    address, _, query = rest.partition("?")
    path = "/" + address.partition("/")[2]
    method = str(request.method)
    body = await _read_body(request, most_bytes) if method in _BODY_METHODS and request.body else b""
    return Request(method, path, dict(parse_qsl(query)), read_headers(request.headers), body)


async def _read_body(request: Foreign, most_bytes: int) -> bytes:
    length = request.headers.get("content-length")
    if isinstance(length, str) and length.isdecimal() and int(length) <= most_bytes:
        return to_bytes(await wait(request.arrayBuffer()))
    body = bytearray()
    reader = request.body.getReader()
    while len(body) <= most_bytes:
        result = await wait(reader.read())
        if result.done:
            return bytes(body)
        body += to_bytes(result.value)
    await wait(reader.cancel())
    return bytes(body)


def _to_js_request(caller: Caller, conversation_id: str, request: Request, headers: Mapping[str, str]) -> Foreign:
    sent = {
        _CALLER: caller_to_text(caller),
        _CONVERSATION: conversation_id,
        _ANSWER_HEADERS: json.dumps(dict(headers)),
    }
    if "last-event-id" in request.headers:
        sent["last-event-id"] = request.headers["last-event-id"]
    options: dict[str, object] = {"method": request.method, "headers": to_object(sent)}
    if request.body:
        options["body"] = from_bytes(request.body)
    query = f"?after={request.query['after']}" if request.query.get("after", "").isalnum() else ""
    return js.Request.new(f"https://session.invalid{request.path}{query}", to_object(options))


def _to_response(reply: Reply) -> Foreign:
    if reply.raw is not None:
        return Response(reply.raw)
    body: Foreign = None
    if isinstance(reply.body, bytes):
        body = from_bytes(reply.body) if reply.body else None
    else:
        body = BodyStream(reply.body, _log).stream
    options = to_object({"status": reply.status, "headers": to_object(reply.headers)})
    return Response(js.Response.new(body, options))


def _log(error: BaseException) -> None:
    """Tell the Worker's log; of what we raise on purpose the text is enough."""
    if isinstance(error, (AgentError, HttpError)):
        print(f"{type(error).__name__}: {error.message}", file=sys.stderr)
    else:
        traceback.print_exception(error, file=sys.stderr)
