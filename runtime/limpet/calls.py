"""Tool calls of one turn: how far each has come, and the work of answering one.

A call is always answered, whatever goes wrong, because the model must be told and because a history with a call that
has no result is refused by providers.
"""

from __future__ import annotations

from asyncio import CancelledError, Semaphore, current_task
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any

from .errors import ToolError, WireError
from .events import Approval
from .host import ToolPool
from .messages import ToolCallPart, ToolResultPart, part_from_wire, part_to_wire
from .tools import Tool
from .wire import Json, JsonObject

Approve = Callable[[Approval], Awaitable[bool] | bool]
"""Asks a person whether a call may run; a function or a coroutine."""
AnyTool = Tool[..., Any]
"""A tool, whatever its function takes and gives."""

_DENIED = "a person refused this call; don't make it again unless asked to"
_NO_APPROVER = "this call needs a person's approval and nobody is there to give it"
_UNKNOWN_EFFECT = (
    "this call was running when the run was moved; it is not known whether it took effect, and it was not run again"
)


@dataclass(slots=True)
class Call:
    """One call and how far it has come; changes as it goes.

    `is_seen`: the hooks before the tool were asked; `redos`: how often hooks had it made again.
    `is_asked`: its `Approval` was reported. `is_begun`: the tool was started, so it may have taken effect.
    `result` is there before its `ToolResult` is reported.
    """

    part: ToolCallPart
    is_asked: bool = False
    is_approved: bool = False
    is_begun: bool = False
    is_seen: bool = False
    redos: int = 0
    result: ToolResultPart | None = None

    def answer(self, content: Json, *, is_error: bool = False) -> None:
        """Set the result."""
        self.result = ToolResultPart(self.part.id, self.part.name, content, is_error)


class Caller:
    """Answers the calls of one turn, at most `max_parallel` at a time; approvals are waited for outside that count.

    What tools raise is put into `failures`, by call id: the model is told the text of a `ToolError` only.
    """

    def __init__(
        self,
        tools: Mapping[str, AnyTool],
        *,
        approve: Approve | None,
        max_parallel: int,
        failures: dict[str, Exception],
        pool: ToolPool | None = None,
    ) -> None:
        self._tools = tools
        self._approve = approve
        self._slots = Semaphore(max_parallel)
        self._arguments: dict[str, dict[str, object]] = {}
        self._failures = failures
        self._pool = pool
        self.is_begun = False
        """Whether the calls were set to work."""

    def prepare(self, call: Call) -> None:
        """Find the tool and read the arguments; a call that can't be run is answered at once."""
        tool = self._tools.get(call.part.name)
        if tool is None:
            names = ", ".join(self._tools) or "none"
            call.answer(f"there is no tool {call.part.name!r}; the tools are: {names}", is_error=True)
            return
        if call.is_begun and not tool.is_idempotent:
            call.answer(_UNKNOWN_EFFECT, is_error=True)
            return
        try:
            self._arguments[call.part.id] = tool.parse(call.part.arguments)
        except ToolError as error:
            self._fail(call, error)

    def can_repeat(self, call: Call) -> bool:
        """Whether a call was run, as far as is known, so that it can be run again."""
        if not call.is_begun or call.result is None or call.result.content == _UNKNOWN_EFFECT:
            return False
        tool = self._tools.get(call.part.name)
        if tool is not None and call.part.id not in self._arguments:  # it was run before the run was moved
            with suppress(ToolError):
                self._arguments[call.part.id] = tool.parse(call.part.arguments)
        return call.part.id in self._arguments

    def needs_approval(self, call: Call) -> bool:
        """Whether a person has still to be asked."""
        return call.result is None and not call.is_approved and self._tools[call.part.name].requires_approval

    async def run(self, call: Call, report: Callable[[Json], None]) -> None:
        """Answer a prepared call; `report` is given the tool's progress."""
        if self.needs_approval(call):
            if not await self._is_approved(call):
                return
            call.is_approved = True
        async with self._slots:
            call.is_begun = True
            try:
                content = await self._tools[call.part.name].call(self._arguments[call.part.id], report, self._pool)
            except CancelledError as error:
                # An aborted request inside the tool looks like this too, and then nobody has cancelled this task.
                task = current_task()
                if task is None or task.cancelling():
                    raise
                self._fail(call, ToolError("the tool's own work was cancelled").with_traceback(error.__traceback__))
            except Exception as error:  # a tool that fails is an answer, whatever it raises
                self._fail(call, error)
            else:
                call.answer(content)

    async def _is_approved(self, call: Call) -> bool:
        if self._approve is None:
            call.answer(_NO_APPROVER, is_error=True)
            return False
        part = call.part
        answer = self._approve(Approval(part.id, part.name, part.arguments))
        # Only a plain yes is one: a tool must not run because of a word like "no".
        if (await answer if isawaitable(answer) else answer) is not True:
            call.answer(_DENIED, is_error=True)
            return False
        return True

    def _fail(self, call: Call, error: Exception) -> None:
        self._failures[call.part.id] = error
        text = error.message if isinstance(error, ToolError) else f"the tool failed: {type(error).__name__}"
        call.answer(text, is_error=True)


def call_to_wire(call: Call) -> JsonObject:
    """Give the JSON shape of a call and how far it has come."""
    return {
        "part": part_to_wire(call.part),  # type: ignore[dict-item]  # a TypedDict is a JSON object
        "is_asked": call.is_asked,
        "is_approved": call.is_approved,
        "is_begun": call.is_begun,
        "is_seen": call.is_seen,
        "redos": call.redos,
        "result": None if call.result is None else part_to_wire(call.result),  # type: ignore[dict-item]
    }


def call_from_wire(data: object) -> Call:
    """Read a call. Raises `WireError`."""
    if not isinstance(data, Mapping):
        raise WireError("a call of a stored run must be a JSON object")
    part = part_from_wire(data.get("part"))
    result = None if data.get("result") is None else part_from_wire(data["result"])
    if not isinstance(part, ToolCallPart) or not (result is None or isinstance(result, ToolResultPart)):
        raise WireError("a call of a stored run needs a tool_call as 'part' and a tool_result as 'result'")
    flags = {name: data.get(name) is True for name in ("is_asked", "is_approved", "is_begun", "is_seen")}
    redos = data.get("redos", 0)
    if not isinstance(redos, int):
        raise WireError("a call of a stored run: the field 'redos' must be int")
    return Call(part, result=result, redos=redos, **flags)
