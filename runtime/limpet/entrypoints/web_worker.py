"""The agents in a page's worker: the page's commands in, reports out, both JSON text (`wire.Command`, `wire.Report`).

`web/src/worker.ts` starts Pyodide, calls `start` once and passes on each message. Several runs may go on at once; the
events of each leave in batches, as many as the page has asked for. The remote model's key stays in this object and is
in nothing that is sent or stored.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Protocol, assert_never, cast

from ..conversation import load_conversation
from ..errors import AgentError, ConfigurationError, ModelUnavailableError, StorageError, WireError
from ..events import Approval, RunEnd, RunError, error_to_wire
from ..host import Host
from ..hosts.browser import BridgeBackend, JsFetch, JsInference, JsPool, create_host
from ..hosts.ffi import wait
from ..hosts.loop import install_drain_loop
from ..messages import TextPart, message_to_wire, part_from_wire
from ..run import Run
from ..stores.indexeddb import IndexedDbStorage, JsStorage
from ..wire import (
    AddAgentCommand,
    ApproveCommand,
    Command,
    HistoryReport,
    LoadStatus,
    RemoteSettingsWire,
    Report,
    ResumeCommand,
    RunCommand,
    StartCommand,
)
from .event_sender import EventSender
from .library import Library
from .page_agents import AgentSource, PageAgent, local_model
from .page_tools import PageCalls
from .run_journal import RunJournal, messages_so_far, open_run


class JsPlatform(Protocol):
    """What `web/src/boot.ts` hands over."""

    @property
    def fetch(self) -> JsFetch: ...

    @property
    def storage(self) -> JsStorage: ...

    @property
    def inference(self) -> JsInference: ...

    @property
    def pool(self) -> JsPool | None:
        """Missing where no workers can be started."""
        ...

    def install(self, name: str, /) -> object:
        """Install a package of the lock file; gives a promise."""
        ...


def start(platform: JsPlatform, post: Callable[[str], object], milliseconds: str) -> Callable[[str], None]:
    """Give the function that takes the page's commands. `milliseconds` says, as JSON, what starting took so far."""
    # An interpreter that was restored from a snapshot would draw the same numbers in every page.
    random.seed()
    install_drain_loop()
    return WebWorker(platform, post, json.loads(milliseconds)).receive


class WebWorker:
    """One page's agents; lives as long as its worker."""

    def __init__(self, platform: JsPlatform, post: Callable[[str], object], milliseconds: dict[str, float]) -> None:
        self._platform = platform
        self._post_text = post
        self._milliseconds = milliseconds
        self._started: asyncio.Future[_Started] = asyncio.get_running_loop().create_future()
        self._agents: dict[str, asyncio.Future[PageAgent]] = {}
        self._runs: dict[str, Run] = {}
        self._senders: dict[str, EventSender] = {}
        self._cancelled: set[str] = set()
        self._approvals: dict[tuple[str, str], asyncio.Future[bool]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # A conversation that is asked for and then erased is given whole: each of these waits for those before it.
        self._in_turn = asyncio.Lock()

    def receive(self, text: str) -> None:
        """Take one command. What goes wrong with it is reported, never raised."""
        try:
            self._take(cast(Command, json.loads(text)))
        except (ValueError, KeyError, TypeError, AssertionError) as error:  # not JSON, not an object, not a command
            _log(error)
            self._post({"type": "error", "error": error_to_wire(WireError("the worker was sent no command it knows"))})

    def _take(self, command: Command) -> None:
        match command["type"]:
            case "start":
                self._spawn(self._start(command))
            case "add_agent":
                self._spawn(self._add_agent(command))
            case "configure":
                self._spawn(self._configure(command.get("agent_id", ""), command["remote"]))
            case "tools":
                tools = command["tools"]
                self._change(command["agent_id"], lambda agent: agent.lend(tools))
            case "tool_output":
                if self._started.done():
                    self._started.result().calls.take(command)
            case "download":
                self._spawn(self._download(command["model_id"]))
            case "models":
                self._answer(command["request_id"], self._models)
            case "device":
                self._answer(command["request_id"], self._device)
            case "delete_model":
                deleted = command["model_id"]
                self._answer(command["request_id"], lambda request_id: self._delete(request_id, deleted))
            case "run" | "resume":
                self._spawn(self._run(command))
            case "cancel":
                self._cancel(command["run_id"])
            case "approve":
                self._approve(command)
            case "credit":
                if sender := self._senders.get(command["run_id"]):
                    sender.grant(command["count"])
            case "history":
                self._spawn(self._history(command["conversation_id"]))
            case "forget":
                self._spawn(self._forget(command["conversation_id"]))
            case "conversations":
                self._spawn(self._list(command["request_id"]))
            case "rename":
                title, renamed = command["title"], command["conversation_id"]
                self._keep(command["request_id"], lambda library: library.rename(renamed, title))
            case "import":
                brought = command["conversation_id"], command["title"], command["messages"]
                self._keep(command["request_id"], lambda library: library.bring_in(*brought))
            case "erase":
                erased = command["conversation_id"]
                self._keep(command["request_id"], lambda library: library.erase(erased))
            case _:
                assert_never(command["type"])

    def _post(self, report: Report) -> None:
        self._post_text(json.dumps(report, separators=(",", ":")))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except Exception as error:  # an entry point: whatever went wrong is told to the page
                _log(error)
                self._post({"type": "error", "error": error_to_wire(error)})

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- start, agents and settings ---

    async def _start(self, command: StartCommand) -> None:
        began = time.perf_counter()
        try:
            started = _Started(self._platform, command, self._post)
            agent = await self._load(started, _source(command))
            models = [await local_model(started.inference, model_id) for model_id in agent.local_models]
        except Exception as error:
            self._started.set_exception(error)
            self._started.exception()  # seen: asyncio need not warn when nobody runs anything
            raise
        self._started.set_result(started)
        self._milliseconds["agent"] = round((time.perf_counter() - began) * 1000, 1)
        self._post(
            {
                "type": "ready",
                "name": agent.base.name,
                "tools": agent.tool_names,
                "models": models,
                "remote_models": agent.remote_models,
                "milliseconds": self._milliseconds,
            }
        )
        agent.import_models()

    async def _add_agent(self, command: AddAgentCommand) -> None:
        agent_id = command["agent_id"]
        try:
            # First taken, then loaded: commands for it may come at once.
            self._agents[agent_id] = asyncio.get_running_loop().create_future()
            started = await asyncio.shield(self._started)
            agent = await self._load(started, _source(command))
            models = [await local_model(started.inference, model_id) for model_id in agent.local_models]
        except Exception as error:  # an entry point: told to whoever asked for this agent
            _log(error)
            if not self._agents[agent_id].done():
                self._agents[agent_id].set_exception(error)
                self._agents[agent_id].exception()
            self._post(
                {
                    "type": "agent",
                    "agent_id": agent_id,
                    "name": "",
                    "tools": [],
                    "models": [],
                    "remote_models": [],
                    "error": error_to_wire(error),
                }
            )
            return
        self._post(
            {
                "type": "agent",
                "agent_id": agent_id,
                "name": agent.base.name,
                "tools": agent.tool_names,
                "models": models,
                "remote_models": agent.remote_models,
            }
        )
        agent.import_models()

    async def _load(self, started: _Started, source: AgentSource) -> PageAgent:
        pool = getattr(self._platform, "pool", None)
        agent = PageAgent(source, started.host, started.calls, started.install, pool)
        await agent.load()
        loaded = self._agents.setdefault(source.agent_id, asyncio.get_running_loop().create_future())
        if not loaded.done():
            loaded.set_result(agent)
        return agent

    async def _agent(self, agent_id: str) -> PageAgent:
        await asyncio.shield(self._started)
        loaded = self._agents.get(agent_id)
        if loaded is None:
            raise ConfigurationError(f"there is no agent {agent_id!r} in this worker")
        return await asyncio.shield(loaded)

    async def _configure(self, agent_id: str, remote: RemoteSettingsWire | None) -> None:
        await (await self._agent(agent_id)).configure(remote)

    def _change(self, agent_id: str, change: Callable[[PageAgent], Coroutine[object, object, None]]) -> None:
        async def change_it() -> None:
            await change(await self._agent(agent_id))

        self._spawn(change_it())

    # --- local models ---

    async def _download(self, model_id: str) -> None:
        inference = (await asyncio.shield(self._started)).inference

        def report(status: LoadStatus, file: str, loaded: int, total: int) -> None:
            self._post(
                {
                    "type": "download_progress",
                    "model_id": model_id,
                    "status": status,
                    "file": file,
                    "loaded": loaded,
                    "total": total,
                }
            )

        try:
            await inference.download(model_id, report)
        except ModelUnavailableError as error:
            _log(error)
            model = await local_model(inference, model_id)
            self._post({"type": "model", "model": model, "error": error_to_wire(error)})
        else:
            self._post({"type": "model", "model": await local_model(inference, model_id)})

    async def _models(self, request_id: str) -> None:
        inference = (await asyncio.shield(self._started)).inference
        models, storage = await inference.cached(), await inference.storage()
        self._post({"type": "models", "request_id": request_id, "models": models, "storage": storage})

    async def _device(self, request_id: str) -> None:
        inference = (await asyncio.shield(self._started)).inference
        self._post({"type": "device", "request_id": request_id, "device": await inference.device()})

    async def _delete(self, request_id: str, model_id: str) -> None:
        await (await asyncio.shield(self._started)).inference.delete(model_id)
        self._post({"type": "done", "request_id": request_id})

    def _answer(self, request_id: str, work: Callable[[str], Coroutine[object, object, None]]) -> None:
        async def answer() -> None:
            try:
                await work(request_id)
            except AgentError as error:
                self._post({"type": "done", "request_id": request_id, "error": error_to_wire(error)})

        self._spawn(answer())

    # --- runs ---

    async def _run(self, command: RunCommand | ResumeCommand) -> None:
        run_id = command["run_id"]
        if run_id in self._senders:
            raise ConfigurationError(f"the run {run_id!r} goes on already")
        sender = self._senders[run_id] = EventSender(self._post, run_id, command.get("credits"))
        try:
            agent = await self._agent(command.get("agent_id", ""))
            run = await self._begin(agent, command)
            self._runs[run_id] = run
            if run_id in self._cancelled:
                self._stop(run)
            journal = RunJournal(
                agent.host.storage,
                run,
                command["conversation_id"],
                spawn=self._spawn,
                complain=lambda error: self._post({"type": "error", "error": error_to_wire(_not_kept(error))}),
            )
            await self._follow(run, sender, journal)
        except Exception as error:  # an entry point: a run always ends with an event
            if not sender.is_over:
                _log(error)
                wire = error_to_wire(error)
                sender.add(RunError(wire["name"], wire["message"], wire["is_retryable"]), sender.next_id)
        finally:
            self._cancelled.discard(run_id)
            self._senders.pop(run_id, None)
            for key in [key for key in self._approvals if key[0] == run_id]:
                del self._approvals[key]
            ended = self._runs.pop(run_id, None)
            for failure in ended.failures.values() if ended else ():
                _log(failure)

    async def _begin(self, agent: PageAgent, command: RunCommand | ResumeCommand) -> Run:
        run_id, conversation_id = command["run_id"], command["conversation_id"]

        async def ask(approval: Approval) -> bool:
            return await self._awaited_answer(run_id, approval.call_id)

        if command["type"] == "resume":
            state = await open_run(agent.host.storage, conversation_id)
            if state is None or state.get("run_id") != run_id:
                raise ConfigurationError("there is no such run to go on with")
            return agent.agent.resume(state, host=agent.host, approve=ask)
        library = Library(agent.host.storage, agent.host.clock)
        beginning = command.get("beginning")
        if beginning is not None:
            await library.cut(conversation_id, beginning["conversation_id"], beginning["message_count"])
        parts = [part_from_wire(part) for part in command["parts"]]
        text = next((part.text for part in parts if isinstance(part, TextPart)), "")
        self._spawn(_quietly(library.touch(conversation_id, text)))
        return agent.agent.run(parts, host=agent.host, conversation_id=conversation_id, approve=ask, run_id=run_id)

    async def _follow(self, run: Run, sender: EventSender, journal: RunJournal) -> None:
        async for event in run:
            if isinstance(event, Approval):
                # The answer may be here before the run asks for it: it must find somebody who waits.
                self._awaited_answer(run.run_id, event.call_id)
            event_id = run.next_event_id - 1
            if isinstance(event, (RunEnd, RunError)):
                await journal.end()
            else:
                await journal.follow(event)
            sender.add(event, event_id)
            await sender.room()

    def _cancel(self, run_id: str) -> None:
        run = self._runs.get(run_id)
        if run is not None:
            self._stop(run)
        else:
            self._cancelled.add(run_id)

    def _stop(self, run: Run) -> None:
        run.cancel()
        if sender := self._senders.get(run.run_id):
            sender.open()

    def _awaited_answer(self, run_id: str, call_id: str) -> asyncio.Future[bool]:
        return self._approvals.setdefault((run_id, call_id), asyncio.get_running_loop().create_future())

    def _approve(self, command: ApproveCommand) -> None:
        answer = self._approvals.get((command["run_id"], command["call_id"]))
        if answer is not None and not answer.done():
            answer.set_result(command["approved"])

    # --- conversations ---

    async def _history(self, conversation_id: str) -> None:
        storage = (await asyncio.shield(self._started)).host.storage
        async with self._in_turn:
            state = await open_run(storage, conversation_id)
            messages = messages_so_far(state) if state else await load_conversation(storage, conversation_id)
        report: HistoryReport = {
            "type": "history",
            "conversation_id": conversation_id,
            "messages": [message_to_wire(message) for message in messages],
        }
        if state is not None and state["run_id"] not in self._runs:
            report["open_run_id"] = str(state["run_id"])
        self._post(report)

    async def _forget(self, conversation_id: str) -> None:
        async with self._library() as library:
            await library.erase(conversation_id)

    async def _list(self, request_id: str) -> None:
        async with self._library() as library:
            conversations = await library.list()
        self._post({"type": "conversations", "request_id": request_id, "conversations": conversations})

    def _keep(self, request_id: str, change: Callable[[Library], Coroutine[object, object, None]]) -> None:
        async def keep(request_id: str) -> None:
            async with self._library() as library:
                await change(library)
            self._post({"type": "done", "request_id": request_id})

        self._answer(request_id, keep)

    @asynccontextmanager
    async def _library(self) -> AsyncIterator[Library]:
        host = (await asyncio.shield(self._started)).host
        async with self._in_turn:
            yield Library(host.storage, host.clock)


class _Started:
    """What there is once the page has said what to start: the host that all agents share."""

    def __init__(self, platform: JsPlatform, command: StartCommand, post: Callable[[Report], None]) -> None:
        self._platform = platform
        self.inference = BridgeBackend(
            platform.inference,
            command.get("models_url", f"{command['site_url']}models/"),
            allow_download=command["allow_download"],
            threads=command["threads"],
        )
        self.host: Host = create_host(
            fetch=platform.fetch,
            storage=IndexedDbStorage(platform.storage),
            inference=self.inference,
            secret=lambda name: None,
        )
        self.calls = PageCalls(post, self.host.new_id)

    async def install(self, name: str) -> object:
        """Install a package of the lock file. Raises `ForeignError`."""
        return await wait(self._platform.install(name))


def _source(command: StartCommand | AddAgentCommand) -> AgentSource:
    return AgentSource(
        command.get("agent_id", ""),
        command["agent_url"],
        command["remote"],
        command.get("instructions"),
        command.get("tools", []),
    )


def _not_kept(error: StorageError) -> StorageError:
    return StorageError(f"this answer could not be kept for a reload: {error.message}", key=error.key)


async def _quietly(work: Coroutine[object, object, None]) -> None:
    """Do what nobody waits for; the conversation's own saving tells of a store that fails."""
    with suppress(StorageError):
        await work


def _log(error: BaseException) -> None:
    """Show an error to whoever opens the console; what we raise on purpose is told on the page."""
    if not isinstance(error, AgentError):
        traceback.print_exception(error, file=sys.stderr)
