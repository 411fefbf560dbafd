"""Tools of the client: the model may call them, the run then ends, and the client runs them and asks again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..agent import Agent
from ..calls import AnyTool
from ..hooks import Hook, RunContext, Stop
from ..messages import ToolCallPart
from ..model import ToolSpec
from ..tools import Tool
from ..wire import JsonObject
from .http import HttpError


class _ClientTool(Tool[..., str]):
    """What a model is told of a client's function; it is never called here."""

    def __init__(self, spec: ToolSpec) -> None:
        super().__init__(_never, name=spec.name, description=spec.description)
        self.spec = spec

    def parse(self, arguments_text: str | None) -> dict[str, object]:
        return {}


def _never() -> str:
    raise AssertionError("the run ends before a client's tool is called")


class _EndAtClientTools(Hook):
    name = "client tools"

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def before_tool(self, context: RunContext, call: ToolCallPart) -> Stop | None:
        return Stop("the client runs this tool") if call.name in self._names else None


def tools_to_wire(specs: Sequence[ToolSpec]) -> list[JsonObject]:
    """Give a client's tools as JSON."""
    return [{"name": it.name, "description": it.description, "parameters": it.parameters} for it in specs]


def tools_from_wire(data: object) -> list[ToolSpec]:
    """Read what `tools_to_wire` wrote."""
    return [ToolSpec(**item) for item in data] if isinstance(data, list) else []


def with_client_tools(agent: Agent, specs: Sequence[ToolSpec]) -> Agent:
    """Give the agent with a client's tools beside its own. Raises `HttpError` when two have one name.

    In a turn that calls one of them the agent's own tools are not run either: the model may call them in the next.
    """
    own = {tool.spec.name for tool in agent.tools}
    names = [spec.name for spec in specs]
    if twice := sorted(name for name in set(names) if name in own or names.count(name) > 1):
        raise HttpError(400, "invalid_request", f"tools: these names are taken: {', '.join(twice)}")
    tools: list[AnyTool] = [*agent.tools, *(_ClientTool(spec) for spec in specs)]
    return replace(agent, tools=tools, hooks=(*agent.hooks, _EndAtClientTools(frozenset(names))))
