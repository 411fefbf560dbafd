"""The routes of one conversation, answered where it lives: in its Durable Object."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Protocol

from ..events import Event, event_from_wire
from ..messages import Message
from ..wire import JsonObject
from .ag_ui import AgUiStream, read_ag_ui_request
from .http import DONE, EVENT_STREAM, HttpError, Reply, Request, json_reply, sse
from .journal import Entry
from .reading import bad, read_flag, read_object, read_text
from .session import Session
from .ui_stream import HEADERS as UI_HEADERS
from .ui_stream import UiStream, read_ui_request

EVENT_ID = "x-limpet-last-event-id"
"""The header of a stream which says after which event it begins: where to resume when nothing of it arrived."""
RUN_ID = "x-limpet-run-id"


class _Rendering(Protocol):
    """Turns a run's events into a client's."""

    @property
    def is_waiting(self) -> bool:
        """Whether a person is asked, and the client sends the answer with a request of its own."""
        ...

    def add(self, event: Event) -> list[JsonObject]: ...

    def end(self) -> list[JsonObject]:
        """Give what is still to be said when the stream ends here."""
        ...


class SessionServer:
    """Answers for one `Session`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def handle(self, request: Request) -> Reply:
        """Answer a request whose caller may use this conversation. Raises `HttpError` and what a session raises."""
        await self._session.open()
        match (request.method, request.path.strip("/").split("/")):
            case ("POST", ["chat"]):
                return await self._chat(request)
            case ("GET", ["chat", _, "stream"]):
                return await self._reconnect()
            case ("POST", ["agui"]):
                return await self._agui(request)
            case ("GET", ["conversations", _]):
                return json_reply(await self._session.describe())
            case ("GET", ["conversations", _, "stream"]):
                return self._resume(request)
            case ("POST", ["conversations", _, "cancel"]):
                return await self._cancel(request)
            case ("POST", ["conversations", _, "approve"]):
                return await self._approve(request)
            case ("DELETE", ["conversations", _]):
                await self._session.forget()
                return Reply(204)
        raise HttpError(404, "not_found", "there is nothing at this address")

    # --- the AI SDK ---

    async def _chat(self, request: Request) -> Reply:
        wanted = read_ui_request(read_object(request.body))
        if wanted.approvals is not None:
            return await self._answer_approvals(wanted.approvals)
        messages = await self._for_another_answer() if wanted.is_regenerate else None
        run_id, before = await self._session.start(wanted.parts, messages=messages, is_background=wanted.is_background)
        return self._stream(UiStream(run_id), UI_HEADERS, run_id, before, is_owner=True, last=DONE)

    async def _for_another_answer(self) -> list[Message]:
        """Give the history without what was said after the user's last message."""
        messages = await self._session.messages()
        while messages and messages[-1].role != "user":
            messages.pop()
        if not messages:
            bad("trigger", "submit-message, since there is no answer yet to be made anew")
        return messages

    async def _answer_approvals(self, approvals: Mapping[str, bool]) -> Reply:
        run_id = self._session.active_run_id
        if run_id is None:
            raise HttpError(409, "no_run", "no run waits for an answer in this conversation")
        after = await self._session.last_approval(approvals)
        for call_id, approved in approvals.items():
            await self._session.approve(call_id, approved)
        rendering = UiStream(run_id, is_continued=True)
        return self._stream(rendering, UI_HEADERS, run_id, after, is_owner=True, last=DONE)

    async def _reconnect(self) -> Reply:
        """Let a page that was loaded anew see the answer that is under way, from its beginning."""
        run_id = self._session.active_run_id
        if run_id is None:
            return Reply(204)
        return self._stream(UiStream(run_id), UI_HEADERS, run_id, self._session.before_run, last=DONE)

    # --- AG-UI ---

    async def _agui(self, request: Request) -> Reply:
        wanted = read_ag_ui_request(read_object(request.body))
        run_id, before = await self._session.start(
            wanted.parts,
            run_id=wanted.run_id,
            is_background=wanted.is_background,
            tools=wanted.tools,
            results=wanted.results,
        )
        rendering = AgUiStream(wanted.conversation_id, run_id)
        return self._stream(rendering, EVENT_STREAM, run_id, before, is_owner=True)

    # --- our own events ---

    def _resume(self, request: Request) -> Reply:
        after = _read_event_id(request)
        self._session.check_kept(after)

        async def write() -> AsyncIterator[bytes]:
            async with aclosing(self._session.follow(after)) as batches:
                async for batch in batches:
                    yield b"".join(sse(entry.event, entry.id) for entry in batch)

        return Reply(200, EVENT_STREAM, write())

    async def _cancel(self, request: Request) -> Reply:
        data = read_object(request.body) if request.body else {}
        run_id = read_text(data, "run_id", "") or None
        return json_reply({"cancelled": await self._session.cancel(run_id)})

    async def _approve(self, request: Request) -> Reply:
        data = read_object(request.body)
        if "approved" not in data:
            bad("approved", "true or false")
        await self._session.approve(read_text(data, "call_id"), read_flag(data, "approved"))
        return json_reply({"approved": data["approved"]})

    def _stream(
        self,
        rendering: _Rendering,
        headers: Mapping[str, str],
        run_id: str,
        after: int,
        *,
        is_owner: bool = False,
        last: bytes = b"",
    ) -> Reply:
        session = self._session

        async def write() -> AsyncIterator[bytes]:
            # The client that began a run and goes away ends it; who merely looks on does not.
            has_left = is_owner
            try:
                async with aclosing(session.follow(after, run_id=run_id)) as batches:
                    async for batch in batches:
                        if data := b"".join(_render(rendering, batch)):
                            yield data
                        if is_owner and rendering.is_waiting:
                            session.pause(run_id)
                            break
                if data := b"".join(sse(item) for item in rendering.end()):
                    yield data
                has_left = False
                if last:
                    yield last
            finally:
                if has_left:
                    session.leave(run_id)

        return Reply(200, {**headers, RUN_ID: run_id, EVENT_ID: str(after)}, write())


def _render(rendering: _Rendering, entries: list[Entry]) -> list[bytes]:
    return [sse(item, entry.id) for entry in entries for item in rendering.add(event_from_wire(entry.event))]


def _read_event_id(request: Request) -> int:
    text = request.query.get("after") or request.headers.get("last-event-id") or "0"
    if not text.isascii() or not text.isdecimal() or len(text) > 15:
        bad("after", "the number of an event")
    return int(text)
