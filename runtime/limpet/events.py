"""What a run reports, step by step. Every output of a run is one of these.

A run is `RunStart`, turns, then exactly one of `RunEnd` and `RunError`. A turn is `TurnStart`, notices
(`Progress`, `Retry`, `Fallback`), `ModelStart`, blocks of text, reasoning or tool call, the tools' reports, `TurnEnd`.
`OutputUpdate` and `HookAction` may stand between any two of them.
The classes from `Progress` to `ToolCallEnd` are also what a model yields (`model.Delta`), so the loop hands them on as
they are. `part_id` is unique within a turn, `call_id` within a conversation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from .errors import AgentError, FallbackReason
from .wire import (
    CHECKS,
    ErrorWire,
    EventWire,
    FinishReason,
    HookPoint,
    HookVerb,
    Json,
    JsonObject,
    LoadStatus,
    RunFinishReason,
    UsageWire,
    one_of,
    pick_class,
    read_fields,
    write_fields,
)


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts of tokens. `cached_tokens` are among the input tokens, `reasoning_tokens` among the output tokens."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )

    @property
    def total_tokens(self) -> int:
        """Input and output tokens together: what a token budget counts."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class RunStart:
    """The run begins (or is continued: then no second `RunStart` is reported)."""

    type: ClassVar[Literal["run_start"]] = "run_start"
    conversation_id: str | None
    models: list[str]


@dataclass(frozen=True, slots=True)
class TurnStart:
    """One more call of the model begins; turns count from 1."""

    type: ClassVar[Literal["turn_start"]] = "turn_start"
    turn: int


@dataclass(frozen=True, slots=True)
class Progress:
    """A local model is being made ready; `loaded` and `total` are bytes, `total` 0 when it isn't known."""

    type: ClassVar[Literal["progress"]] = "progress"
    model: str
    status: LoadStatus
    file: str
    loaded: int
    total: int


@dataclass(frozen=True, slots=True)
class Retry:
    """The same model is asked again after `delay_seconds`; `attempt` counts from 1."""

    type: ClassVar[Literal["retry"]] = "retry"
    model: str
    attempt: int
    delay_seconds: float
    reason: FallbackReason
    message: str


@dataclass(frozen=True, slots=True)
class Fallback:
    """The next model is asked instead, and why."""

    type: ClassVar[Literal["fallback"]] = "fallback"
    from_model: str
    to_model: str
    reason: FallbackReason
    message: str


@dataclass(frozen=True, slots=True)
class ModelStart:
    """This model is sure to answer. `confidence` (0..1) is given by models that know it."""

    type: ClassVar[Literal["model_start"]] = "model_start"
    model: str
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class TextStart:
    """A block of text begins."""

    type: ClassVar[Literal["text_start"]] = "text_start"
    part_id: str


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text; never empty."""

    type: ClassVar[Literal["text_delta"]] = "text_delta"
    part_id: str
    text: str


@dataclass(frozen=True, slots=True)
class TextEnd:
    """The block of text is whole."""

    type: ClassVar[Literal["text_end"]] = "text_end"
    part_id: str
    provider_metadata: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class ReasoningStart:
    """A block of reasoning begins."""

    type: ClassVar[Literal["reasoning_start"]] = "reasoning_start"
    part_id: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More reasoning; never empty."""

    type: ClassVar[Literal["reasoning_delta"]] = "reasoning_delta"
    part_id: str
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningEnd:
    """The block of reasoning is whole."""

    type: ClassVar[Literal["reasoning_end"]] = "reasoning_end"
    part_id: str
    provider_metadata: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class ToolCallStart:
    """The model begins to write a call."""

    type: ClassVar[Literal["tool_call_start"]] = "tool_call_start"
    call_id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of the arguments' JSON text; never empty."""

    type: ClassVar[Literal["tool_call_delta"]] = "tool_call_delta"
    call_id: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCallEnd:
    """The call is whole; only now may it be run. `arguments` is all of the text."""

    type: ClassVar[Literal["tool_call_end"]] = "tool_call_end"
    call_id: str
    name: str
    arguments: str
    provider_metadata: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """A call waits for a person's yes or no."""

    type: ClassVar[Literal["approval"]] = "approval"
    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolProgress:
    """A tool that is still at work reports something."""

    type: ClassVar[Literal["tool_progress"]] = "tool_progress"
    call_id: str
    content: Json


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A tool's answer, in the order of the calls."""

    type: ClassVar[Literal["tool_result"]] = "tool_result"
    call_id: str
    name: str
    content: Json
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class OutputUpdate:
    """What the agent's `output_type` says so far, as JSON; each holds all of the one before.

    The last one of a run `is_whole` and fits the type's schema. One that was not whole is void after another turn.
    """

    type: ClassVar[Literal["output_update"]] = "output_update"
    value: Json
    is_whole: bool


@dataclass(frozen=True, slots=True)
class HookAction:
    """A hook changed what happens: it put another value in place, left out, had made again, or ended the run."""

    type: ClassVar[Literal["hook_action"]] = "hook_action"
    hook: str
    point: HookPoint
    action: HookVerb
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TurnReset:
    """What this turn has said so far is taken back: the run was continued elsewhere, or a hook wants it again."""

    type: ClassVar[Literal["turn_reset"]] = "turn_reset"
    turn: int
    message: str


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """The assistant's message is whole and its tools have answered."""

    type: ClassVar[Literal["turn_end"]] = "turn_end"
    turn: int
    model: str
    finish_reason: FinishReason
    usage: Usage


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The run is over; `usage` is the sum of its turns'."""

    type: ClassVar[Literal["run_end"]] = "run_end"
    finish_reason: RunFinishReason
    turns: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class RunError:
    """The run failed; `name` is the class of the error."""

    type: ClassVar[Literal["run_error"]] = "run_error"
    name: str
    message: str
    is_retryable: bool = False


Event = (
    RunStart
    | TurnStart
    | Progress
    | Retry
    | Fallback
    | ModelStart
    | TextStart
    | TextDelta
    | TextEnd
    | ReasoningStart
    | ReasoningDelta
    | ReasoningEnd
    | ToolCallStart
    | ToolCallDelta
    | ToolCallEnd
    | Approval
    | ToolProgress
    | ToolResult
    | OutputUpdate
    | HookAction
    | TurnReset
    | TurnEnd
    | RunEnd
    | RunError
)

EVENTS: dict[str, type[Event]] = {event.type: event for event in get_args(Event)}

_CHECKS = {
    **CHECKS,
    "FinishReason": one_of(get_args(FinishReason)),
    "RunFinishReason": one_of(get_args(RunFinishReason)),
    "FallbackReason": one_of(get_args(FallbackReason)),
    "HookPoint": one_of(get_args(HookPoint)),
    "HookVerb": one_of(get_args(HookVerb)),
    "LoadStatus": one_of(get_args(LoadStatus)),
    "list[str]": lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
}


def usage_to_wire(usage: Usage) -> UsageWire:
    """Give the JSON shape of a usage."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def usage_from_wire(data: object) -> Usage:
    """Read a usage. Raises `WireError` naming the field that is wrong."""
    return Usage(**read_fields(Usage, data, "usage"))  # type: ignore[arg-type]


def event_to_wire(event: Event, *, id: int, run_id: str) -> EventWire:
    """Give the JSON shape of an event, with its number and its run."""
    data = write_fields(event)
    if isinstance(event, (TurnEnd, RunEnd)):
        data["usage"] = usage_to_wire(event.usage)
    data["id"] = id
    data["run_id"] = run_id
    return data  # type: ignore[return-value]  # tests compare every shape with wire.py


def event_from_wire(data: object) -> Event:
    """Read an event; its number and run are left to the reader. Raises `WireError` naming the field."""
    cls = pick_class(data, EVENTS, "an event")
    fields = read_fields(cls, data, f"a {cls.type} event", _CHECKS)
    if cls is TurnEnd or cls is RunEnd:
        fields["usage"] = usage_from_wire(data.get("usage") if isinstance(data, Mapping) else None)
    return cls(**fields)  # type: ignore[arg-type]


def error_to_wire(error: BaseException) -> ErrorWire:
    """Give what may be told of an error: the text only of those we raise on purpose."""
    if isinstance(error, AgentError):
        return {"name": type(error).__name__, "message": error.message, "is_retryable": error.is_retryable}
    return {"name": type(error).__name__, "message": "something went wrong inside; see the log", "is_retryable": False}
