"""One conversation: its runs take turns, each goes on beside whoever follows it, and a restart loses nothing told.

Lives in one place at a time: a Durable Object, whose requests may share its locks and futures.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ..agent import Agent
from ..conversation import forget_conversation, load_conversation, mend, save_conversation
from ..errors import AgentError, WireError
from ..events import Approval, Event, RunEnd, RunError, RunStart, ToolResult, TurnEnd, TurnStart, Usage, event_to_wire
from ..hooks import Hook, RunContext
from ..host import Host
from ..messages import Message, Part, ToolCallPart, ToolResultPart, message_to_wire
from ..model import ToolSpec
from ..run import Run
from ..run_state import RunState, state_from_wire, state_to_wire
from ..wire import EventWire, JsonObject
from .client_tools import tools_from_wire, tools_to_wire, with_client_tools
from .http import HttpError
from .journal import Entry, Journal, resumable

MOST_WAITING = 8
"""How many runs of one conversation may wait for their turn."""
MOST_STARTS = 3
"""How often a run that ends with its process is begun again."""
WAKE_SECONDS = 30.0
"""After so long a run that was broken off goes on, when no request comes before."""
_SAVED_AFTER = (RunStart, TurnStart, Approval, ToolResult, TurnEnd)
_APPROVALS = "approvals/"


@dataclass(frozen=True, slots=True)
class Ports:
    """What a session asks of the place where it lives.

    `sync` waits until what was written is on disk; `wake` asks to be called (`resume`) after some seconds, None: not
    any more; `meter` is told what a run has used; `log` what went wrong inside.
    """

    sync: Callable[[], Awaitable[object]]
    wake: Callable[[float | None], Awaitable[object]]
    meter: Callable[[str, Usage], Awaitable[object]]
    log: Callable[[BaseException], object]


@dataclass(eq=False)
class _Live:
    """The run that goes on."""

    run: Run
    is_background: bool
    tools: Sequence[ToolSpec]
    """The client's."""
    starts: int = 1
    is_paused: bool = False
    task: asyncio.Task[None] | None = None
    models: dict[str, Usage] = field(default_factory=dict)


class Session:
    """The conversation `conversation_id`. Each method raises `StorageError`, and `HttpError` as it says."""

    def __init__(
        self, agent: Agent, host: Host, conversation_id: str, ports: Ports, *, wake_seconds: float = WAKE_SECONDS
    ) -> None:
        self._agent = agent
        self._host = host
        self.conversation_id = conversation_id
        self._ports = ports
        self._wake_seconds = wake_seconds
        self._journal = Journal(host.storage)
        self._opening: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._live: _Live | None = None
        self._pending: list[EventWire] = []
        self._state: JsonObject | None = None
        self._writing: asyncio.Task[None] | None = None
        self._told = 0
        self.before_run = 0
        """The number of the event before the first of the run that goes on, as far as it is known."""
        self._recent: list[Entry] = []
        self._failure: Exception | None = None
        self._followers: set[asyncio.Future[None]] = set()
        self._approvals: dict[str, asyncio.Future[bool]] = {}

    async def open(self) -> None:
        """Find out what is stored, and go on with a run that was broken off. Harmless when called again."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        try:
            await asyncio.shield(self._opening)
        except BaseException:
            if self._opening.done() and (self._opening.cancelled() or self._opening.exception()):
                self._opening = None
            raise

    async def _open(self) -> None:
        await self._journal.open()
        self._told = self._journal.last_id
        saved = await self._journal.open_run()
        if saved is None:
            return
        state, starts = saved.get("state"), saved.get("starts")
        if not isinstance(state, dict) or not isinstance(starts, int):
            await self._journal.end_run()
            return
        answers = {
            key.removeprefix(_APPROVALS): await self._host.storage.get(key)
            for key in await self._host.storage.keys(_APPROVALS)
        }
        state = resumable(state, self._journal.last_event, [id for id, answer in answers.items() if answer == b"yes"])
        try:
            if starts >= MOST_STARTS:
                raise WireError("the run was broken off again and again")
            tools = tools_from_wire(saved.get("tools"))
            run = self._agent_with(tools).resume(state, host=self._host, approve=self._approve)
        except WireError as error:
            await self._end_broken(state, error)
            return
        for call in state_from_wire(state).calls:
            if call.is_asked and call.result is None and call.part.id not in answers:
                self._answer_to(call.part.id)  # the answer may come before the run asks for it
        await self._turn.acquire()
        self.before_run = await self._journal.before_run(run.run_id)
        live = _Live(run, saved.get("is_background") is True, tools, starts + 1)
        await self._ports.wake(self._wake_seconds)
        await self._save_run(live, state)
        self._begin(live)

    async def _end_broken(self, state: JsonObject, error: WireError) -> None:
        end: EventWire = {
            "type": "run_error",
            "id": int(str(state["next_event_id"])),
            "run_id": str(state["run_id"]),
            "name": type(error).__name__,
            "message": error.message,
            "is_retryable": False,
        }
        await self._journal.write([end])
        await self._journal.end_run()
        await self._ports.sync()
        self._told = self._journal.last_id

    # --- runs ---

    async def start(
        self,
        parts: Sequence[Part],
        *,
        run_id: str | None = None,
        is_background: bool = False,
        messages: Sequence[Message] | None = None,
        tools: Sequence[ToolSpec] = (),
        results: Sequence[ToolResultPart] = (),
    ) -> tuple[str, int]:
        """Begin a run when those before it have ended; gives its id and the number of the event before its first.

        Without `parts` the last message of the history is answered; `messages` take the history's place. `tools` are
        the client's: a call of one ends the run, and its `results` come with the next. Raises `HttpError` (429) when
        too many wait, (409) when nothing waits for the results, and what is raised early by a model that is set up
        wrongly.
        """
        agent = self._agent_with(tools)
        if self._waiting >= MOST_WAITING:
            raise HttpError(429, "busy", "too many messages wait in this conversation", headers={"retry-after": "1"})
        self._waiting += 1
        if self._live is not None and self._live.is_paused:
            self._live.run.cancel()
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        try:
            if messages is None:
                own = {tool.spec.name for tool in self._agent.tools}
                messages = mend(_with_results(await self.messages(), results, own, is_needed=not parts))
            if parts:
                messages = [*messages, Message("user", tuple(parts))]
            state = state_to_wire(RunState(run_id or self._host.new_id(), conversation_id=self.conversation_id))
            live = _Live(agent.resume(state, host=self._host, approve=self._approve), is_background, tools)
            await self._ports.wake(self._wake_seconds)
            # One after the other without a pause: a crash finds both or neither.
            await save_conversation(self._host.storage, self.conversation_id, messages)
            await self._save_run(live, state)
        except BaseException:
            self._turn.release()
            raise
        self.before_run, self._failure = self._told, None
        self._begin(live)
        return live.run.run_id, self.before_run

    def _agent_with(self, tools: Sequence[ToolSpec]) -> Agent:
        """Give the agent with a client's tools. Raises `HttpError` (400) when a name is taken."""
        agent = with_client_tools(self._agent, tools) if tools else self._agent
        return replace(agent, hooks=(*agent.hooks, _Keeper(self._keep_before_tool)))

    async def _save_run(self, live: _Live, state: JsonObject) -> None:
        tools = tools_to_wire(live.tools)
        await self._journal.save_run(state, is_background=live.is_background, starts=live.starts, tools=tools)

    def _begin(self, live: _Live) -> None:
        self._live = live
        live.task = asyncio.create_task(self._drive(live))

    async def _drive(self, live: _Live) -> None:
        try:
            try:
                async for event in live.run:
                    self._take(live, event)
            except AgentError:  # told as the last event
                pass
            except Exception as error:  # a mistake inside a run ends that run only; its last event says so
                self._ports.log(error)
            for failure in live.run.failures.values():
                self._ports.log(failure)
            await self._settle()
            await self._forget_approvals()
            await self._ports.sync()
            await self._ports.wake(None)
        except Exception as error:  # the store is gone: those who follow must not wait for ever
            self._ports.log(error)
            self._failure = error
        finally:
            self._live = None
            self._pending, self._state = [], None
            self._recent = []
            self._turn.release()
            self._wake_followers()
        for model, usage in live.models.items():
            with suppress(Exception):  # the answer is given; a ledger that is away must not undo it
                await self._ports.meter(model, usage)

    def _take(self, live: _Live, event: Event) -> None:
        """Keep an event until it is written; nobody is told of it before."""
        self._pending.append(event_to_wire(event, id=live.run.next_event_id - 1, run_id=live.run.run_id))
        if isinstance(event, _SAVED_AFTER):
            self._state = live.run.dump()
        if isinstance(event, TurnEnd):
            live.models[event.model] = live.models.get(event.model, Usage()) + event.usage
        if isinstance(event, Approval):
            # The answer may come before the run asks for it.
            self._answer_to(event.call_id)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Write what is pending until nothing is; what comes meanwhile goes into the next batch."""
        try:
            while self._pending or self._state is not None:
                batch, self._pending = self._pending, []
                state, self._state = self._state, None
                entries = await self._journal.write(batch) if batch else []
                live = self._live
                if entries and _is_end(entries[-1]):
                    await self._journal.end_run()  # with the end, or a crash in between would end it twice
                elif state is not None and live is not None:
                    await self._save_run(live, state)
                await self._ports.sync()
                self._recent += entries
                self._told = entries[-1].id if entries else self._told
                self._wake_followers()
        finally:
            self._writing = None

    async def _settle(self) -> None:
        """Wait until all that was taken is written."""
        while self._writing is not None or self._pending:
            writing = self._writing = self._writing or asyncio.create_task(self._write())
            await asyncio.shield(writing)

    async def _keep_before_tool(self) -> None:
        """Write the run's state before its tools begin: from then on they may have had effect."""
        if self._live is not None:
            self._state = self._live.run.dump()
            if self._writing is None:
                self._writing = asyncio.create_task(self._write())
            await self._settle()

    # --- following ---

    async def follow(self, after: int, *, run_id: str | None = None) -> AsyncGenerator[list[Entry], None]:
        """Yield the events after number `after` as they are written: to the end of a run, or of all that goes on."""
        while True:
            entries = await self._written_after(after)
            if entries:
                for place, entry in enumerate(entries):
                    if entry.event["run_id"] == run_id and _is_end(entry):
                        yield entries[: place + 1]
                        return
                after = entries[-1].id
                yield entries
            elif self._live is None:
                if self._failure is not None:
                    raise self._failure
                return
            else:
                await self._wait()

    def leave(self, run_id: str) -> None:
        """Cancel a run because the client that began it has gone; a background run goes on."""
        live = self._live
        if live is not None and live.run.run_id == run_id and not live.is_background:
            live.run.cancel()

    def pause(self, run_id: str) -> None:
        """Note that a run waits for a person and that nobody follows it: the next message takes its place."""
        if self._live is not None and self._live.run.run_id == run_id:
            self._live.is_paused = True

    async def last_approval(self, call_ids: Collection[str]) -> int:
        """Give the number of the last event that asked about one of these calls. Raises `HttpError` (404)."""
        entries = await self._journal.after(self.before_run)
        asked = [
            entry.id for entry in entries if entry.event["type"] == "approval" and entry.event["call_id"] in call_ids
        ]
        if not asked:
            raise HttpError(404, "no_such_approval", "no call of this id waits for an answer")
        return asked[-1]

    def check_kept(self, after: int) -> None:
        """Refuse to follow from an event whose successors are not kept any more. Raises `HttpError` (410)."""
        if after + 1 < self._journal.first_id and self._journal.last_id:
            raise HttpError(410, "events_gone", "these events are not kept any more; read the conversation instead")

    async def _written_after(self, after: int) -> list[Entry]:
        """Give what may be told: what is on disk."""
        if after >= self._told:
            return []
        if self._recent and self._recent[0].id <= after + 1:
            return self._recent[after + 1 - self._recent[0].id :]
        told = self._told
        return [entry for entry in await self._journal.after(after) if entry.id <= told]

    async def _wait(self) -> None:
        signal = asyncio.get_running_loop().create_future()
        self._followers.add(signal)
        try:
            await signal
        finally:
            self._followers.discard(signal)

    def _wake_followers(self) -> None:
        for signal in self._followers:
            if not signal.done():
                signal.set_result(None)

    # --- what else a client may ask ---

    @property
    def active_run_id(self) -> str | None:
        """The run that goes on, if one does."""
        return None if self._live is None else self._live.run.run_id

    @property
    def last_event_id(self) -> int:
        """The number of the last event that may be told."""
        return self._told

    @property
    def waiting_approvals(self) -> list[str]:
        """The calls that wait for a person's answer."""
        return [call_id for call_id, answer in self._approvals.items() if not answer.done()]

    async def wait_until_idle(self) -> None:
        """Wait for the run that goes on."""
        if self._live is not None and self._live.task is not None:
            await asyncio.wait({self._live.task})

    async def cancel(self, run_id: str | None = None) -> bool:
        """Cancel the run that goes on, or a certain one; gives whether there was one. Waits for its end."""
        live = self._live
        if live is None or (run_id is not None and live.run.run_id != run_id):
            return False
        live.run.cancel()
        await self.wait_until_idle()
        return True

    async def approve(self, call_id: str, approved: bool) -> None:
        """Answer whether a call may be made; it counts from when this returns. Raises `HttpError` (404, 409)."""
        answer = self._approvals.get(call_id)
        if self._live is None or answer is None:
            raise HttpError(404, "no_such_approval", "no call of this id waits for an answer")
        if answer.done():
            if answer.result() != approved:
                raise HttpError(409, "already_answered", "this call was answered already, and otherwise")
            return
        await self._host.storage.put(_APPROVALS + call_id, b"yes" if approved else b"no")
        await self._ports.sync()
        self._live.is_paused = False
        if not answer.done():
            answer.set_result(approved)

    def _answer_to(self, call_id: str) -> asyncio.Future[bool]:
        return self._approvals.setdefault(call_id, asyncio.get_running_loop().create_future())

    async def _approve(self, approval: Approval) -> bool:
        stored = await self._host.storage.get(_APPROVALS + approval.call_id)
        return stored == b"yes" if stored is not None else await self._answer_to(approval.call_id)

    async def _forget_approvals(self) -> None:
        self._approvals.clear()
        for key in await self._host.storage.keys(_APPROVALS):
            await self._host.storage.delete(key)

    async def messages(self) -> list[Message]:
        """Read the history."""
        return await load_conversation(self._host.storage, self.conversation_id)

    async def describe(self) -> JsonObject:
        """Give the history and where the conversation stands, as JSON."""
        messages = await self.messages()
        return {
            "id": self.conversation_id,
            "messages": [message_to_wire(message) for message in messages],  # type: ignore[misc]  # JSON
            "last_event_id": self.last_event_id,
            "active_run_id": self.active_run_id,
            "approvals": list(self.waiting_approvals),
        }

    async def forget(self) -> None:
        """Cancel what goes on and delete all that is stored."""
        await self.cancel()
        await forget_conversation(self._host.storage, self.conversation_id)
        for key in await self._host.storage.keys():
            await self._host.storage.delete(key)
        await self._ports.sync()
        self._journal = Journal(self._host.storage)
        self._told = 0


class _Keeper(Hook):
    """Has the run's state written before its first tool of a turn begins."""

    name = "keeper"

    def __init__(self, keep: Callable[[], Awaitable[None]]) -> None:
        self._keep = keep
        self._kept: tuple[str, int] | None = None

    async def before_tool(self, context: RunContext, call: ToolCallPart) -> None:
        """Write the state, once a turn."""
        turn = (context.run_id, context.turn)
        if turn != self._kept:
            self._kept = turn
            await self._keep()


def _with_results(
    messages: list[Message], results: Sequence[ToolResultPart], own: Collection[str], *, is_needed: bool
) -> list[Message]:
    """Put what a client's tools returned where the calls were left open. Raises `HttpError` (409) when none was.

    Those calls are answered already, since a stored history is whole: with the error that the run was ended at them.
    """
    last = messages[-1] if messages else None
    open_calls = {it.id: it for it in last.tool_results if it.name not in own} if last is not None else {}
    found = {it.id: replace(it, name=open_calls[it.id].name) for it in results if it.id in open_calls}
    if is_needed and results and not found:
        raise HttpError(409, "no_such_call", "no call of these ids waits for a result")
    if last is None or not found:
        return messages
    parts = tuple(found.get(part.id, part) if isinstance(part, ToolResultPart) else part for part in last.parts)
    return [*messages[:-1], replace(last, parts=parts)]


def _is_end(entry: Entry) -> bool:
    return entry.event["type"] in (RunEnd.type, RunError.type)
