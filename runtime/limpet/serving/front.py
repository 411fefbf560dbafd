"""Every request comes here first: who asks, from which page, how big, how often; then to whom it goes.

A conversation's requests go on to the place where it lives. The rest is answered here and keeps nothing between
requests but the gateway's record of the providers' health and some requests taken ahead from a ledger.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from ..agent import Agent
from ..errors import ConfigurationError
from ..events import Event, Usage
from ..fallback import close_stream
from ..host import Host
from ..model import Delta, Model, ModelReference
from ..providers import create_model
from ..run import Run
from ..run_state import RunState, state_to_wire
from ..wire import JsonObject
from .access import LONGEST_TOKEN_SECONDS, Caller, sign_token
from .client_tools import with_client_tools
from .gateway import Gateway
from .http import DONE, EVENT_STREAM, HttpError, Reply, Request, error_reply, json_reply, sse
from .limits import Meter
from .openai_chat import ChatChunks, ChatRequest, WholeAnswer, read_chat_request, read_embedding_request
from .openapi import document
from .reading import read_id, read_object, read_whole
from .refusals import refusal
from .settings import MAX_HEADER_BYTES, Settings

OWNER = "limpet"


@dataclass(frozen=True, slots=True)
class FrontPorts:
    """What the front asks of its host.

    `session` hands a request on to a conversation, named by whose it is and its id, with the headers for its answer.
    `later` lets work go on after the answer; `log` is told what went wrong inside; `is_ready` says what is missing.
    """

    session: Callable[[Caller, str, Request, Mapping[str, str]], Awaitable[Reply]]
    meter: Meter
    later: Callable[[Awaitable[object]], object]
    log: Callable[[BaseException], object]
    is_ready: Callable[[], list[str]]


class Front:
    """Answers requests. Lives as long as its Worker; `handle` may run many times at once."""

    def __init__(self, agent: Agent, settings: Settings, host: Host, gateway: Gateway) -> None:
        self._agent = agent
        self._settings = settings
        self._host = host
        self._gateway = gateway

    async def handle(self, request: Request, ports: FrontPorts) -> Reply:
        """Answer a request, whatever it is: what goes wrong is an answer too."""
        headers: Mapping[str, str] = {}
        try:
            headers = self._settings.origins.check(request)
            reply = await self._answer(request, ports, headers)
        except Exception as error:  # an entry point: whatever went wrong is told, in our own words
            refused = refusal(error)
            if refused.status >= 500:
                ports.log(error)
            reply = error_reply(refused)
        if reply.raw is not None or not headers:
            return reply
        return Reply(reply.status, {**reply.headers, **headers}, reply.body)

    async def _answer(self, request: Request, ports: FrontPorts, headers: Mapping[str, str]) -> Reply:
        self._check_size(request)
        if request.method == "OPTIONS":
            return self._settings.origins.preflight(request)
        match (request.method, request.path):
            case ("GET", "/health"):
                return json_reply({"status": "ok"})
            case ("GET", "/ready"):
                return await self._ready(ports)
            case ("GET", "/openapi.json"):
                return json_reply(document(self._agent.name))
        caller = self._settings.access.identify(request, self._host.clock.now())
        return await self._answer_caller(caller, request, ports, headers)

    async def _answer_caller(
        self, caller: Caller, request: Request, ports: FrontPorts, headers: Mapping[str, str]
    ) -> Reply:
        match (request.method, request.path):
            case ("GET", "/v1/models"):
                return self._models(caller)
            case ("POST", "/v1/chat/completions"):
                return await self._complete(caller, request, ports)
            case ("POST", "/v1/embeddings"):
                return await self._embed(caller, request, ports)
            case ("POST", "/tokens"):
                return self._make_token(caller, request)
            case _:
                conversation_id = conversation_of(request)
                caller.need("agent")
                caller.may_use(conversation_id)
                if request.method == "POST":
                    await ports.meter.admit(caller, self._host.clock.now())
                return await ports.session(caller, conversation_id, request, headers)

    def _check_size(self, request: Request) -> None:
        if len(request.body) > self._settings.max_body_bytes:
            raise HttpError(413, "too_large", f"a body may have {self._settings.max_body_bytes} bytes")
        if sum(len(name) + len(value) for name, value in request.headers.items()) > MAX_HEADER_BYTES:
            raise HttpError(431, "headers_too_large", f"the headers may have {MAX_HEADER_BYTES} bytes")

    async def _ready(self, ports: FrontPorts) -> Reply:
        missing = ports.is_ready()
        for model in self._agent.models:
            if await could_answer(model, self._host):
                break
        else:
            missing.append("model")
        data: JsonObject = {"status": "missing" if missing else "ready", "missing": list(missing)}
        return json_reply(data, 503 if missing else 200)

    def _models(self, caller: Caller) -> Reply:
        names = [self._agent.name] if "agent" in caller.scopes else []
        if "gateway" in caller.scopes:
            names += [name for name in self._gateway.names if caller.models is None or name in caller.models]
        data: list[JsonObject] = [{"id": name, "object": "model", "created": 0, "owned_by": OWNER} for name in names]
        return json_reply({"object": "list", "data": data})

    def _make_token(self, caller: Caller, request: Request) -> Reply:
        caller.need("tokens")
        secret = self._settings.access.token_secret
        if secret is None:
            raise ConfigurationError("LIMPET_TOKEN_SECRET is not set")
        data = read_object(request.body)
        seconds = read_whole(data, "expires_in", 1, LONGEST_TOKEN_SECONDS) or 3600
        conversation = data.get("conversation_id")
        expires_at = self._host.clock.now() + seconds
        token = sign_token(
            secret,
            subject=read_id(data.get("subject"), "subject"),
            expires_at=expires_at,
            key=caller.account,
            conversation_id=None if conversation is None else read_id(conversation, "conversation_id"),
        )
        return json_reply({"token": token, "expires_at": int(expires_at)})

    # --- OpenAI ---

    async def _complete(self, caller: Caller, request: Request, ports: FrontPorts) -> Reply:
        wanted = read_chat_request(read_object(request.body))
        shown: frozenset[str] | None = None
        stream: AsyncIterator[Delta | Event]
        await self._admit(caller, wanted.model, ports)
        if wanted.model == self._agent.name:
            shown = frozenset(tool.name for tool in wanted.tools)
            stream = self._run(wanted)
        else:
            model = self._gateway.model(wanted.model, self._host, is_whole=not wanted.is_stream)
            stream = model.stream(wanted.for_model)
        id, created = f"chatcmpl-{self._host.new_id()}", int(self._host.clock.now())
        if not wanted.is_stream:
            answer = WholeAnswer(id, wanted.model, created, shown=shown)
            await _read_whole(stream, answer)
            self._count(caller, wanted.model, answer.usage, ports)
            return json_reply(answer.json())
        chunks = ChatChunks(id, wanted.model, created, includes_usage=wanted.includes_usage, shown=shown)
        # What fails before the first words can still be an answer with a status.
        first = await _first(stream, chunks)

        async def write() -> AsyncIterator[bytes]:
            try:
                yield first
                async for item in stream:
                    if data := chunks.add(item):
                        yield data
                yield DONE
            except Exception as error:  # the status is sent already: the stream says it
                refused = refusal(error)
                if refused.status >= 500:
                    ports.log(error)
                yield sse({"error": {"message": refused.message, "type": "server_error", "code": refused.code}})
            finally:
                await close_stream(stream)
                self._count(caller, wanted.model, chunks.usage, ports)

        return Reply(200, EVENT_STREAM, write())

    async def _admit(self, caller: Caller, model: str, ports: FrontPorts) -> None:
        caller.need("agent" if model == self._agent.name else "gateway")
        if model != self._agent.name and caller.models is not None and model not in caller.models:
            raise HttpError(403, "forbidden", "this key may not be used for this model")
        if caller.conversation_id is not None:
            raise HttpError(403, "forbidden", "this token is for one conversation")
        await ports.meter.admit(caller, self._host.clock.now())

    async def _run(self, wanted: ChatRequest) -> AsyncIterator[Event]:
        """Take a client's whole history through the agent, without keeping anything of it."""
        if wanted.messages[-1].role not in ("user", "tool"):
            raise HttpError(400, "invalid_request", "the last message must be of the user or of a tool")
        agent = with_client_tools(self._agent, wanted.tools) if wanted.tools else self._agent
        state = RunState(self._host.new_id(), messages=list(wanted.messages))
        run: Run = agent.resume(state_to_wire(state), host=self._host)
        try:
            async for event in run:
                yield event
        finally:
            await run.close()

    async def _embed(self, caller: Caller, request: Request, ports: FrontPorts) -> Reply:
        wanted = read_embedding_request(read_object(request.body))
        await self._admit(caller, wanted.model, ports)
        data = await self._gateway.embed(wanted, self._host)
        return json_reply(data)

    def _count(self, caller: Caller, model: str, usage: Usage, ports: FrontPorts) -> None:
        if usage != Usage():
            ports.later(ports.meter.spend(caller, model, usage))


async def could_answer(model: ModelReference | Model, host: Host) -> bool:
    """Whether a model could be asked: its key and its address are set, or it is here."""
    try:
        info = (create_model(model, host) if isinstance(model, ModelReference) else model).info
    except ConfigurationError:
        return False
    if info.is_local and host.inference is not None:
        return await host.inference.availability(info.name) == "available"
    return info.is_configured


def conversation_of(request: Request) -> str:
    """Give the conversation that a request is about. Raises `HttpError`."""
    match (request.method, request.path.strip("/").split("/")):
        case ("POST", ["chat"]):
            return read_id(read_object(request.body).get("id"), "id")
        case ("POST", ["agui"]):
            return read_id(read_object(request.body).get("threadId"), "threadId")
        case ("GET" | "DELETE", ["conversations", id]) | ("GET", ["conversations" | "chat", id, "stream"]):
            return read_id(id, "the conversation's id")
        case ("POST", ["conversations", id, "cancel" | "approve"]):
            return read_id(id, "the conversation's id")
    known = {"chat", "agui", "conversations", "v1", "tokens", "health", "ready", "openapi.json"}
    if request.path.strip("/").split("/")[0] in known and _is_known(request.path):
        raise HttpError(405, "method_not_allowed", "this address is not asked in this way")
    raise HttpError(404, "not_found", "there is nothing at this address; GET /openapi.json says what there is")


def _is_known(path: str) -> bool:
    match path.strip("/").split("/"):
        case ["chat" | "agui" | "tokens" | "health" | "ready" | "openapi.json"] | ["conversations", _]:
            return True
        case ["v1", "models" | "embeddings"] | ["v1", "chat", "completions"]:
            return True
        case ["conversations", _, "stream" | "cancel" | "approve"] | ["chat", _, "stream"]:
            return True
    return False


async def _read_whole(stream: AsyncIterator[Delta | Event], answer: WholeAnswer) -> None:
    try:
        async for item in stream:
            answer.add(item)
    finally:
        await close_stream(stream)


async def _first(stream: AsyncIterator[Delta | Event], chunks: ChatChunks) -> bytes:
    """Read until there is something to tell. Raises what the stream raises before."""
    is_begun = False
    try:
        async for item in stream:
            if data := chunks.add(item):
                is_begun = True
                return data
        return b""
    finally:
        if not is_begun:
            await close_stream(stream)
