"""The agent in a page's worker: the page's commands in, reports out, both JSON text (`wire.Command`, `wire.Report`).

`web/src/worker.ts` starts Pyodide, calls `start` once and passes on each message. Several runs may go on at once; the
events of each leave in batches. The remote model's key stays in this object and is in nothing that is sent or stored.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import traceback
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib import invalidate_caches
from typing import Protocol, assert_never, cast

from ..agent import Agent
from ..conversation import forget_conversation, load_conversation
from ..errors import AgentError, ConfigurationError, FetchError, ModelUnavailableError, WireError
from ..events import Approval, Event, RunEnd, RunError, error_to_wire, event_to_wire
from ..host import HttpRequest
from ..hosts.browser import BridgeBackend, JsFetch, JsInference, create_host
from ..hosts.ffi import ForeignError, wait
from ..messages import message_to_wire, part_from_wire
from ..model import ModelReference
from ..providers import PROVIDERS, create_model, is_installed, package_of
from ..run import Run
from ..stores.indexeddb import IndexedDbStorage, JsStorage
from ..wire import (
    ApproveCommand,
    Command,
    EventWire,
    LoadStatus,
    LocalModelWire,
    RemoteSettingsWire,
    Report,
    RunCommand,
    StartCommand,
)
from .agent_file import load_agent, remote_secrets, with_remote

# The page draws 60 times a second: what comes within half a picture may travel together.
_BATCH_SECONDS = 0.008


class JsPlatform(Protocol):
    """What `web/src/boot.ts` hands over."""

    @property
    def fetch(self) -> JsFetch: ...

    @property
    def storage(self) -> JsStorage: ...

    @property
    def inference(self) -> JsInference: ...

    def install(self, name: str, /) -> object:
        """Install a package of the lock file; gives a promise."""
        ...


def start(platform: JsPlatform, post: Callable[[str], object], milliseconds: str) -> Callable[[str], None]:
    """Give the function that takes the page's commands. `milliseconds` says, as JSON, what starting took so far."""
    return WebWorker(platform, post, json.loads(milliseconds)).receive


class WebWorker:
    """One page's agent; lives as long as its worker."""

    def __init__(self, platform: JsPlatform, post: Callable[[str], object], milliseconds: dict[str, float]) -> None:
        self._platform = platform
        self._post_text = post
        self._milliseconds = milliseconds
        self._started: asyncio.Future[_Started] = asyncio.get_running_loop().create_future()
        self._remote: RemoteSettingsWire | None = None
        self._runs: dict[str, Run] = {}
        self._cancelled: set[str] = set()
        self._approvals: dict[tuple[str, str], asyncio.Future[bool]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

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
            case "configure":
                self._spawn(self._configure(command["remote"]))
            case "download":
                self._spawn(self._download(command["model_id"]))
            case "run":
                self._spawn(self._run(command))
            case "cancel":
                self._cancel(command["run_id"])
            case "approve":
                self._approve(command)
            case "history":
                self._spawn(self._history(command["conversation_id"]))
            case "forget":
                self._spawn(self._forget(command["conversation_id"]))
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

    # --- start and settings ---

    async def _start(self, command: StartCommand) -> None:
        began = time.perf_counter()
        try:
            started = _Started(self._platform, command, self._secret)
            self._remote = command["remote"]
            await started.load_agent(self._remote)
            models = [await started.local_model(model_id) for model_id in started.local_models]
        except Exception as error:
            self._started.set_exception(error)
            self._started.exception()  # seen: asyncio need not warn when nobody runs anything
            raise
        self._started.set_result(started)
        self._milliseconds["agent"] = round((time.perf_counter() - began) * 1000, 1)
        self._post(
            {
                "type": "ready",
                "name": started.base_agent.name,
                "tools": [tool.spec.name for tool in started.base_agent.tools],
                "models": models,
                "remote_models": started.remote_models,
                "milliseconds": self._milliseconds,
            }
        )
        started.import_models()

    async def _configure(self, remote: RemoteSettingsWire | None) -> None:
        started = await asyncio.shield(self._started)
        self._remote = remote
        agent = with_remote(started.base_agent, remote)
        await started.install_providers(agent)
        started.agent = agent

    def _secret(self, name: str) -> str | None:
        return remote_secrets(self._remote).get(name)

    # --- local models ---

    async def _download(self, model_id: str) -> None:
        started = await asyncio.shield(self._started)

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
            await started.inference.download(model_id, report)
        except ModelUnavailableError as error:
            _log(error)
            model = await started.local_model(model_id)
            self._post({"type": "model", "model": model, "error": error_to_wire(error)})
        else:
            self._post({"type": "model", "model": await started.local_model(model_id)})

    # --- runs ---

    async def _run(self, command: RunCommand) -> None:
        run_id = command["run_id"]
        batch = _Batch(self._post, run_id)
        try:
            started = await asyncio.shield(self._started)
            parts = [part_from_wire(part) for part in command["parts"]]
            run = started.agent.run(
                parts,
                host=started.host,
                conversation_id=command["conversation_id"],
                approve=lambda approval: self._ask(run_id, approval),
                run_id=run_id,
            )
            self._runs[run_id] = run
            if run_id in self._cancelled:
                run.cancel()
            async for event in run:
                if isinstance(event, Approval):
                    # The answer may be here before the run asks for it: it must find somebody who waits.
                    self._awaited_answer(run_id, event.call_id)
                batch.add(event)
        except Exception as error:  # an entry point: a run always ends with an event
            if not batch.is_over:
                _log(error)
                wire = error_to_wire(error)
                batch.add(RunError(wire["name"], wire["message"], wire["is_retryable"]))
        finally:
            self._cancelled.discard(run_id)
            for key in [key for key in self._approvals if key[0] == run_id]:
                del self._approvals[key]
            ended = self._runs.pop(run_id, None)
            for failure in ended.failures.values() if ended else ():
                _log(failure)

    def _cancel(self, run_id: str) -> None:
        run = self._runs.get(run_id)
        if run is not None:
            run.cancel()
        else:
            self._cancelled.add(run_id)

    async def _ask(self, run_id: str, approval: Approval) -> bool:
        return await self._awaited_answer(run_id, approval.call_id)

    def _awaited_answer(self, run_id: str, call_id: str) -> asyncio.Future[bool]:
        return self._approvals.setdefault((run_id, call_id), asyncio.get_running_loop().create_future())

    def _approve(self, command: ApproveCommand) -> None:
        answer = self._approvals.get((command["run_id"], command["call_id"]))
        if answer is not None and not answer.done():
            answer.set_result(command["approved"])

    # --- conversations ---

    async def _history(self, conversation_id: str) -> None:
        started = await asyncio.shield(self._started)
        messages = await load_conversation(started.host.storage, conversation_id)
        self._post(
            {
                "type": "history",
                "conversation_id": conversation_id,
                "messages": [message_to_wire(message) for message in messages],
            }
        )

    async def _forget(self, conversation_id: str) -> None:
        started = await asyncio.shield(self._started)
        await forget_conversation(started.host.storage, conversation_id)


class _Started:
    """What there is once the page has said what to start: the host, and the agent with the page's remote model."""

    def __init__(self, platform: JsPlatform, command: StartCommand, secret: Callable[[str], str | None]) -> None:
        self._platform = platform
        self.inference = BridgeBackend(
            platform.inference,
            f"{command['site_url']}models/",
            allow_download=command["allow_download"],
            threads=command["threads"],
        )
        self.host = create_host(
            fetch=platform.fetch,
            storage=IndexedDbStorage(platform.storage),
            inference=self.inference,
            secret=secret,
        )
        self._agent_url = command["agent_url"]
        self.base_agent: Agent
        self.agent: Agent
        self.local_models: list[str] = []
        self.remote_models: list[str] = []

    async def load_agent(self, remote: RemoteSettingsWire | None) -> None:
        """Fetch the agent's file and run it. Raises `ConfigurationError`, `FetchError`."""
        source = await self._read(self._agent_url)
        self.base_agent = load_agent(source, self._agent_url.rsplit("/", 1)[-1])
        self.agent = with_remote(self.base_agent, remote)
        await self.install_providers(self.agent)
        for model in self.base_agent.models:
            if isinstance(model, ModelReference):
                (self.local_models if model.provider == "local" else self.remote_models).append(
                    model.name if model.provider == "local" else model.id
                )

    async def install_providers(self, agent: Agent) -> None:
        """Fetch the packages with the providers of its models, as far as they aren't here. Raises `ConfigurationError`."""
        known = [model for model in agent.models if isinstance(model, ModelReference) and model.provider in PROVIDERS]
        for package in {package_of(model.provider): None for model in known if not is_installed(model)}:
            try:
                await wait(self._platform.install(package))
            except ForeignError as error:
                raise ConfigurationError(f"the package {package} could not be fetched from this site") from error
        invalidate_caches()

    def import_models(self) -> None:
        """Import what the first run would: a Stop that came meanwhile would be heard only afterwards."""
        for model in self.agent.models:
            if isinstance(model, ModelReference):
                # What is set up wrongly is told by the run, to whoever asked for it.
                with suppress(ConfigurationError):
                    create_model(model, self.host)

    async def local_model(self, model_id: str) -> LocalModelWire:
        """Say whether a local model can be used, and what a download would cost."""
        wire: LocalModelWire = {"model_id": model_id, "availability": "unavailable", "size_bytes": 0, "license": ""}
        with suppress(ModelUnavailableError):
            wire["availability"] = await self.inference.availability(model_id)
            manifest = await self.inference.describe(model_id)
            files = cast(list[dict[str, int]], manifest["files"])
            wire["size_bytes"] = sum(file["size_bytes"] for file in files)
            wire["license"] = str(manifest.get("license", ""))
        return wire

    async def _read(self, url: str) -> str:
        try:
            response = await self.host.fetch(HttpRequest("GET", url))
            text = b"".join([chunk async for chunk in response.chunks()]).decode("utf-8")
        except (FetchError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the agent's file {url} could not be read: {error}") from error
        if response.status != 200:
            raise ConfigurationError(f"the agent's file {url} could not be read: the server said {response.status}")
        return text


class _Batch:
    """Collects the events of one run and posts them together; the last one, and a question, at once."""

    def __init__(self, post: Callable[[Report], None], run_id: str) -> None:
        self._post = post
        self._run_id = run_id
        self._count = 0
        self._events: list[EventWire] = []
        self.is_over = False

    def add(self, event: Event) -> None:
        """Number an event and send it soon."""
        self._events.append(event_to_wire(event, id=self._count, run_id=self._run_id))
        self._count += 1
        self.is_over = isinstance(event, (RunEnd, RunError))
        if self.is_over or isinstance(event, Approval):
            self._flush()
        elif len(self._events) == 1:
            asyncio.get_running_loop().call_later(_BATCH_SECONDS, self._flush)

    def _flush(self) -> None:
        if self._events:
            events, self._events = self._events, []
            self._post({"type": "events", "run_id": self._run_id, "events": events})


def _log(error: BaseException) -> None:
    """Show an error to whoever opens the console; what we raise on purpose is told on the page."""
    if not isinstance(error, AgentError):
        traceback.print_exception(error, file=sys.stderr)
