"""Functions of the page as tools: the model calls them as it calls any tool, the page runs them and answers.

Their schemas come from the page as they are, so only what JSON Schema says of an object's properties is looked at here:
whether those that are required are there. The page checks the rest; its refusal is an answer for the model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from ..calls import AnyTool
from ..errors import ToolArgumentsError, ToolError
from ..loose_json import parse_object
from ..model import ToolSpec
from ..tools import Report, Tool
from ..wire import Json, JsonObject, PageToolWire, ToolCancelReport, ToolOutputCommand, ToolRequestReport


class PageCalls:
    """The calls which the page has not answered yet."""

    def __init__(self, post: Callable[[ToolRequestReport | ToolCancelReport], None], new_id: Callable[[], str]) -> None:
        self._post = post
        self._new_id = new_id
        self._waiting: dict[str, asyncio.Future[ToolOutputCommand]] = {}

    async def ask(self, agent_id: str, name: str, arguments: JsonObject) -> Json:
        """Have the page run a function. Raises `ToolError` with what the page said was wrong."""
        request_id = self._new_id()
        answer: asyncio.Future[ToolOutputCommand] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = answer
        self._post(
            {
                "type": "tool_request",
                "request_id": request_id,
                "agent_id": agent_id,
                "name": name,
                "arguments": arguments,
            }
        )
        try:
            output = await answer
        except asyncio.CancelledError:
            self._post({"type": "tool_cancel", "request_id": request_id})
            raise
        finally:
            del self._waiting[request_id]
        if output["is_error"]:
            raise ToolError(str(output["content"]))
        return output["content"]

    def take(self, output: ToolOutputCommand) -> None:
        """Take the page's answer; one that comes too late is dropped."""
        answer = self._waiting.get(output["request_id"])
        if answer is not None and not answer.done():
            answer.set_result(output)


def _answered_by_the_page() -> None:
    """Stand in for a function that is not in Python."""


class PageTool(Tool[..., object]):
    """A function of the page."""

    def __init__(self, wire: PageToolWire, agent_id: str, calls: PageCalls) -> None:
        super().__init__(
            _answered_by_the_page,
            name=wire["name"],
            description=wire["description"],
            requires_approval=wire["requires_approval"],
            is_idempotent=wire["is_idempotent"],
        )
        self.spec = ToolSpec(wire["name"], wire["description"], wire["parameters"])
        self._agent_id = agent_id
        self._calls = calls

    def parse(self, arguments_text: str | None) -> dict[str, object]:
        """Read a call's arguments; those that the schema requires must be there. Raises `ToolArgumentsError`."""
        arguments = parse_object(arguments_text)
        required = self.spec.parameters.get("required")
        missing = [name for name in required if name not in arguments] if isinstance(required, list) else []
        if missing:
            raise ToolArgumentsError(f"{self.name} was not called, it needs: {', '.join(map(str, missing))}")
        return cast(dict[str, object], arguments)

    async def call_here(self, arguments: Mapping[str, object], on_progress: Report) -> Json:
        """Have the page run it. Raises `ToolError`."""
        return await self._calls.ask(self._agent_id, self.name, cast(JsonObject, dict(arguments)))


def page_tools(own: Sequence[AnyTool], wires: Sequence[PageToolWire], agent_id: str, calls: PageCalls) -> list[AnyTool]:
    """Give an agent's own tools with the page's behind them."""
    return [*own, *(PageTool(wire, agent_id, calls) for wire in wires)]
