"""What a run has come to, as plain data: enough to go on in another process.

A run goes through phases; each step of it changes this state before it gives its event, so that the state between two
events is always one that a run can begin with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, get_args

from .calls import Call, call_from_wire, call_to_wire
from .errors import WireError
from .events import HookAction, Usage, event_from_wire, event_to_wire, usage_from_wire, usage_to_wire
from .messages import Message, message_from_wire, message_to_wire
from .wire import CHECKS, ErrorWire, FinishReason, JsonObject, RunFinishReason, one_of, read_fields

FORMAT = 1

Phase = Literal["start", "load", "save", "turn", "model", "tools", "turn_end", "turn_over", "end", "over"]
"""What comes next: report the start; load the conversation; save the user's message; begin a turn; hear the model;
hear the tools; show the turn to the hooks; save and end it; end the run; nothing."""


@dataclass(slots=True)
class RunState:
    """The state of one run; changes as it goes.

    `messages` is the whole history without the agent's instructions; `prompt` is not yet in it while it is set.
    `is_answering` says that the model has begun an answer which is not whole yet, and `partial` holds its text so far.
    `reported` is how many of `calls` had their `ToolResult` reported, `reports` what hooks did that was not reported
    yet. `goes_on`: another turn follows this one though no tool was called; `is_stopped`: a hook ended the run;
    `reasks`: how often the model was told that its answer does not fit the output type. `turn_*` belong to the last
    whole answer.
    """

    run_id: str
    phase: Phase = "start"
    conversation_id: str | None = None
    next_event_id: int = 0
    turn: int = 0
    spent_seconds: float = 0.0
    is_answering: bool = False
    reported: int = 0
    reasks: int = 0
    goes_on: bool = False
    is_stopped: bool = False
    turn_model: str = ""
    turn_finish_reason: FinishReason = "stop"
    finish_reason: RunFinishReason | None = None
    messages: list[Message] = field(default_factory=list)
    prompt: Message | None = None
    partial: Message | None = None
    calls: list[Call] = field(default_factory=list)
    reports: list[HookAction] = field(default_factory=list)
    usage: Usage = Usage()
    turn_usage: Usage = Usage()
    failure: ErrorWire | None = None


_CHECKS = {
    **CHECKS,
    "Phase": one_of(get_args(Phase)),
    "FinishReason": one_of(get_args(FinishReason)),
    "RunFinishReason | None": lambda value: value is None or one_of(get_args(RunFinishReason))(value),
}


def state_to_wire(state: RunState) -> JsonObject:
    """Give the JSON shape of a run's state."""
    data: dict[str, object] = {"format": FORMAT}
    data.update((item.name, getattr(state, item.name)) for item in fields(state))
    data["messages"] = [message_to_wire(message) for message in state.messages]
    data["calls"] = [call_to_wire(call) for call in state.calls]
    data["reports"] = [event_to_wire(report, id=0, run_id=state.run_id) for report in state.reports]
    for name, message in (("prompt", state.prompt), ("partial", state.partial)):
        data[name] = None if message is None else message_to_wire(message)
    data["usage"] = usage_to_wire(state.usage)
    data["turn_usage"] = usage_to_wire(state.turn_usage)
    return data  # type: ignore[return-value]  # TypedDicts are JSON objects


def state_from_wire(data: object) -> RunState:
    """Read a run's state. Raises `WireError`, also when another version of Limpet wrote it in another format."""
    values = read_fields(RunState, data, "a stored run", _CHECKS)
    assert isinstance(data, Mapping)
    if data.get("format") != FORMAT:
        raise WireError(f"a stored run of format {data.get('format')!r} can't be read; this version reads {FORMAT}")
    for name in ("messages", "calls", "reports"):
        if not isinstance(data.get(name, ()), (list, tuple)):
            raise WireError(f"a stored run needs a list of {name}")
    for name in ("prompt", "partial"):
        values[name] = None if data.get(name) is None else message_from_wire(data[name])
    values["messages"] = [message_from_wire(message) for message in data["messages"]]
    values["calls"] = [call_from_wire(call) for call in data["calls"]]
    reports = [event_from_wire(report) for report in data.get("reports", ())]
    values["reports"] = [report for report in reports if isinstance(report, HookAction)]
    values["usage"] = usage_from_wire(data.get("usage"))
    values["turn_usage"] = usage_from_wire(data.get("turn_usage"))
    values["failure"] = _read_failure(data.get("failure"))
    return RunState(**values)  # type: ignore[arg-type]


def _read_failure(data: object) -> ErrorWire | None:
    if data is None:
        return None
    if (
        not isinstance(data, Mapping)
        or not isinstance(data.get("name"), str)
        or not isinstance(data.get("message"), str)
    ):
        raise WireError("the failure of a stored run needs a 'name' and a 'message'")
    return {"name": data["name"], "message": data["message"], "is_retryable": data.get("is_retryable") is True}
