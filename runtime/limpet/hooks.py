"""Hooks: what looks in on a run at six points, and may change its course there.

A hook is asked at each point in the order in which the agent has its hooks, and each is given what those before it made
of the value. It gives None (go on), another value in place of the one it was given, or what is to be done: `Skip`,
`Redo` or `Stop`; after one of these the hooks behind it are not asked. A hook that raises ends the run with a
`HookError` that has its name.
"""

from __future__ import annotations

import inspect
import json
from asyncio import CancelledError, current_task
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar, get_args

from .errors import AgentError, ConfigurationError, HookError, WireError
from .events import HookAction, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from .jobs import Stopped
from .messages import ImagePart, Message, ToolCallPart, ToolResultPart, message_from_wire, message_to_wire
from .model import Delta, ModelRequest
from .wire import HookPoint, HookVerb

POINTS: tuple[HookPoint, ...] = get_args(HookPoint)
MOST_REDOS = 3
"""How often a hook may have the same request or the same call made again."""

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Skip:
    """Leave out what the point is about; `reason` stands in its place where something has to."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Redo:
    """Do it once more; `reason` is told to the model where it is the model that must do better."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the run here, as finished: the reason to finish is `stopped`."""

    reason: str = ""


Action = Skip | Redo | Stop
Given: TypeAlias = "V | Action | Awaitable[V | Action | None] | None"
"""What a hook gives, at once or when it is awaited."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """Where a run is when a hook is asked. `messages` is the history so far, without the agent's instructions."""

    run_id: str
    conversation_id: str | None
    turn: int
    messages: tuple[Message, ...]
    usage: Usage


class Hook:
    """Override the methods that are wanted, each as a function or a coroutine; the rest let everything pass.

    | method | None or a value | `Skip(reason)` | `Redo(reason)` | `Stop(reason)` |
    |---|---|---|---|---|
    | `before_model` | the request that is sent | not asked, the answer is `reason` | all hooks are asked again | ends |
    | `after_model` | the answer as it is kept | left out, `reason` in its place | told `reason`, one more turn | ends |
    | `before_tool` | the call that is made | not made, its result is `reason` | not made, an error `reason` | ends |
    | `after_tool` | the result the model is told | the result is `reason` | the tool is called again | ends |
    | `on_delta` | what is told and kept | it is left out | the answer is taken back, one more turn | ends |
    | `on_turn_end` | nothing to change | the run ends, whatever is to do | told `reason`, one more turn | ends |

    "The answer is `reason`": with an `output_type` it must be JSON that fits, else the result's `output` is None.

    The same request or call is made again at most `MOST_REDOS` times; turns are limited by the agent's `max_turns`.
    """

    @property
    def name(self) -> str:
        """How events and errors call it."""
        return type(self).__name__

    def before_model(self, context: RunContext, request: ModelRequest) -> Given[ModelRequest]:
        """Before a model is asked; a call after a fallback or a retry is the same request."""

    def after_model(self, context: RunContext, message: Message) -> Given[Message]:
        """After an answer is whole, before its tools are called. `context.messages` does not hold it yet."""

    def before_tool(self, context: RunContext, call: ToolCallPart) -> Given[ToolCallPart]:
        """Before a tool is called and before anybody is asked to approve. A changed call keeps its id."""

    def after_tool(self, context: RunContext, call: ToolCallPart, result: ToolResultPart) -> Given[ToolResultPart]:
        """After a tool has answered or failed. A changed result keeps its id and name."""

    def on_delta(self, context: RunContext, delta: Delta) -> Given[Delta]:
        """At each piece of text, reasoning or a call's arguments. Must be quick: nothing is told meanwhile.

        A piece of arguments can be looked at, or end in `Redo` or `Stop`, but not be changed. A changed piece keeps its
        `part_id`. What was told before `Stop` or `Redo` was told; this piece is not.
        """

    def on_turn_end(self, context: RunContext, finish_reason: str) -> Action | Awaitable[Action | None] | None:
        """After a turn is whole, its tools' results in `context.messages`."""


def check_hooks(hooks: object) -> None:
    """Raise `ConfigurationError` unless these are hooks, each of which looks in at some point."""
    if not isinstance(hooks, Sequence):
        raise ConfigurationError(f"hooks are given as a list, such as hooks=[MyHook()], not {hooks!r}")
    for hook in hooks:
        if not isinstance(hook, Hook):
            raise ConfigurationError(f"a hook is an object of a class derived from Hook, not {hook!r}")
        if not any(_overrides(hook, point) for point in POINTS):
            raise ConfigurationError(f"the hook {hook.name} has none of the methods {', '.join(POINTS)}")


class Hooks:
    """The hooks of one agent, asked in order."""

    def __init__(self, hooks: Sequence[Hook]) -> None:
        self._at = {point: [hook for hook in hooks if _overrides(hook, point)] for point in POINTS}

    def has(self, point: HookPoint) -> bool:
        """Whether anybody wants to be asked there."""
        return bool(self._at[point])

    async def ask(
        self,
        point: HookPoint,
        context: RunContext,
        value: V,
        *also: object,
        wait: Callable[[Awaitable[object]], Awaitable[object]],
    ) -> tuple[V, Action | None, list[HookAction]]:
        """Ask the hooks of a point: the value they made, what is to be done, and what to report of it.

        The value is the last of a method's arguments, `also` stand before it; `wait` waits for what a coroutine gives.
        Raises `HookError`.
        """
        report: list[HookAction] = []
        for hook in self._at[point]:
            try:
                given = getattr(hook, point)(context, *also, value)
                if inspect.isawaitable(given):
                    given = await wait(given)
            except Stopped:  # the run was told to stop while a hook made it wait
                raise
            except CancelledError as error:
                # An aborted request inside the hook looks like this too, and then nobody has cancelled this run.
                task = current_task()
                if task is None or task.cancelling():
                    raise
                text = f"the hook {hook.name} failed in {point}: its own work was cancelled"
                raise HookError(text, hook=hook.name) from error
            except AgentError as error:
                raise HookError(f"the hook {hook.name} failed in {point}: {error.message}", hook=hook.name) from error
            except Exception as error:  # a hook is a user's function, whatever it raises
                text = f"the hook {hook.name} failed in {point}: {type(error).__name__}"
                raise HookError(text, hook=hook.name) from error
            if given is None or given is value:
                continue
            if isinstance(value, ToolCallDelta) and not isinstance(given, (Redo, Stop)):
                text = "can't change a part of a call's arguments; before_tool can change the call"
                raise HookError(f"the hook {hook.name} {text}", hook=hook.name)
            if isinstance(given, Action):
                return value, given, [*report, HookAction(hook.name, point, _VERBS[type(given)], given.reason)]
            if point == "on_turn_end" or type(given) is not type(value):
                raise HookError(
                    f"the hook {hook.name} gave {type(given).__name__} in {point}, which takes None, Skip, Redo, Stop"
                    + ("" if point == "on_turn_end" else f" or another {type(value).__name__}"),
                    hook=hook.name,
                )
            try:
                value = _in_place_of(value, given)
            except (WireError, TypeError, ValueError) as error:
                text = f"the hook {hook.name} gave in {point} what a conversation can't hold: {error}"
                raise HookError(text, hook=hook.name) from error
            if point != "on_delta":  # there may be thousands
                report.append(HookAction(hook.name, point, "rewrite"))
        return value, None, report


_VERBS: dict[type, HookVerb] = {Skip: "skip", Redo: "redo", Stop: "stop"}


def _in_place_of(value: V, given: V) -> V:
    """Give what a hook made of a value, with the value's own ids. Raises what tells that it can't be kept."""
    match value, given:
        case (TextDelta() | ReasoningDelta(), TextDelta() | ReasoningDelta()):
            return replace(given, part_id=value.part_id)
        case ToolCallPart(), ToolCallPart():
            _check_kept(Message("assistant", (given,)))
            return replace(given, id=value.id)
        case ToolResultPart(), ToolResultPart():
            _check_kept(Message("tool", (given,)))
            return replace(given, id=value.id, name=value.name)
        case Message(), Message():
            if given.role != value.role:
                raise ValueError(f"its role is {given.role}, not {value.role}")
            if any(isinstance(part, (ImagePart, ToolResultPart)) for part in given.parts):
                raise ValueError("an answer is of text, reasoning and calls")
            ids = [call.id for call in given.tool_calls]
            if len(set(ids)) < len(ids):
                raise ValueError("two calls have the same id")
            _check_kept(given)
    return given


def _check_kept(message: Message) -> None:
    """Raise `WireError`, `TypeError` or `ValueError` unless the message can be stored and read again."""
    message_from_wire(json.loads(json.dumps(message_to_wire(message))))


def _overrides(hook: Hook, point: HookPoint) -> bool:
    return getattr(type(hook), point) is not getattr(Hook, point) or point in vars(hook)
