"""The agents of a page's worker: their files, models, and the functions which the page lends them.

All of them share one host: one loaded local model, one store. Each has its own remote model, whose key is in its memory
only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import invalidate_caches
from typing import cast

from ..agent import Agent
from ..errors import ConfigurationError, FetchError, ModelUnavailableError
from ..host import Host, HttpRequest
from ..hosts.browser import BridgeBackend, JsPool, PagePool
from ..hosts.ffi import ForeignError
from ..model import ModelReference
from ..providers import PROVIDERS, create_model, is_installed, local_models, package_of
from ..wire import LocalModelWire, PageToolWire, RemoteSettingsWire
from .agent_file import load_agent, remote_secrets, with_remote
from .page_tools import PageCalls, page_tools


@dataclass(frozen=True, slots=True)
class AgentSource:
    """What the page says of an agent; `instructions` are in place of those in its file."""

    agent_id: str
    agent_url: str
    remote: RemoteSettingsWire | None = None
    instructions: str | None = None
    tools: Sequence[PageToolWire] = ()


class PageAgent:
    """One agent, from its file to what is run. `install` fetches a package of the site, `pool` has its workers."""

    def __init__(
        self,
        source: AgentSource,
        host: Host,
        calls: PageCalls,
        install: Callable[[str], Awaitable[object]],
        pool: JsPool | None = None,
    ) -> None:
        self._source = source
        self._calls = calls
        self._install = install
        self._pool = pool
        self.host = replace(host, secret=lambda name: remote_secrets(self._source.remote).get(name))
        self.base: Agent
        self.agent: Agent

    async def load(self) -> None:
        """Fetch the agent's file and run it. Raises `ConfigurationError`."""
        text = await self._read(self._source.agent_url)
        name = self._source.agent_url.rsplit("/", 1)[-1]
        self.base = load_agent(text, name)
        if self._pool is not None:
            self.host = replace(self.host, pool=PagePool(self._pool, text, name))
        await self._use(self._source)

    async def configure(self, remote: RemoteSettingsWire | None) -> None:
        """Take another remote model from the next run on. Raises `ConfigurationError`."""
        await self._use(replace(self._source, remote=remote))

    async def lend(self, tools: Sequence[PageToolWire]) -> None:
        """Take other functions of the page from the next run on. Raises `ConfigurationError`."""
        await self._use(replace(self._source, tools=tools))

    async def _use(self, source: AgentSource) -> None:
        agent = self.base
        if source.instructions is not None or source.tools:
            agent = replace(
                agent,
                instructions=agent.instructions if source.instructions is None else source.instructions,
                tools=page_tools(agent.tools, source.tools, source.agent_id, self._calls),
            )
        agent = with_remote(agent, source.remote)
        await self._install_providers(agent)
        self._source, self.agent = source, agent

    async def _install_providers(self, agent: Agent) -> None:
        """Fetch the packages with the providers of its models, as far as they aren't here."""
        known = [model for model in agent.models if isinstance(model, ModelReference) and model.provider in PROVIDERS]
        for package in {package_of(model.provider): None for model in known if not is_installed(model)}:
            try:
                await self._install(package)
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

    @property
    def tool_names(self) -> list[str]:
        """The names of its tools, the page's too."""
        return [tool.spec.name for tool in self.agent.tools]

    @property
    def local_models(self) -> list[str]:
        """The names of the local models that the agent loads: those in its file, their parts, what chooses tools."""
        local, tool_count = [model for model in self._references() if model.provider == "local"], len(self.agent.tools)
        return list(dict.fromkeys(name for model in local for name in local_models(model, tool_count)))

    @property
    def remote_models(self) -> list[str]:
        """The other models in the agent's file, as `provider:name`."""
        return [model.id for model in self._references() if model.provider != "local"]

    def _references(self) -> list[ModelReference]:
        return [model for model in self.base.models if isinstance(model, ModelReference)]

    async def _read(self, url: str) -> str:
        try:
            response = await self.host.fetch(HttpRequest("GET", url))
            text = b"".join([chunk async for chunk in response.chunks()]).decode("utf-8")
        except (FetchError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the agent's file {url} could not be read: {error}") from error
        if response.status != 200:
            raise ConfigurationError(f"the agent's file {url} could not be read: the server said {response.status}")
        return text


async def local_model(inference: BridgeBackend, model_id: str) -> LocalModelWire:
    """Say whether a local model can be used, and what a download would cost."""
    wire: LocalModelWire = {"model_id": model_id, "availability": "unavailable", "size_bytes": 0, "license": ""}
    with suppress(ModelUnavailableError):
        wire["availability"] = await inference.availability(model_id)
        manifest = await inference.describe(model_id)
        files = cast(list[dict[str, int]], manifest["files"])
        wire["size_bytes"] = sum(file["size_bytes"] for file in files)
        wire["license"] = str(manifest.get("license", ""))
    return wire
