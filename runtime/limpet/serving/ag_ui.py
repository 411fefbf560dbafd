"""AG-UI: a run's events in the words of that protocol, version 1.0, and its `RunAgentInput` read.

Source: the schemas of the npm package `@ag-ui/core`, and the order of events that `@ag-ui/client` insists on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from ..events import (
    Event,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    RunEnd,
    RunError,
    RunStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolResult,
    TurnEnd,
    TurnStart,
    event_to_wire,
)
from ..messages import Part, TextPart, ToolResultPart
from ..model import ToolSpec
from ..wire import JsonObject
from .openai_chat import MOST_TOOLS, read_tool
from .reading import as_object, bad, read_flag, read_id, read_image, read_list, read_text


class AgUiStream:
    """Turns the events of one run into AG-UI's; lives as long as the run is followed."""

    def __init__(self, thread_id: str, run_id: str) -> None:
        self._ids: JsonObject = {"threadId": thread_id, "runId": run_id}
        self._run_id = run_id
        self._turn = 0
        self._has_step = False
        self._open: list[JsonObject] = []
        self.is_waiting = False

    def add(self, event: Event) -> list[JsonObject]:
        """Give AG-UI's events for one of ours. What it has no word for is a `CUSTOM` event named `limpet.TYPE`."""
        match event:
            case RunStart():
                return [{"type": "RUN_STARTED", **self._ids}]
            case TurnStart():
                closing = self._close_all()
                self._turn, self._has_step = event.turn, True
                return [*closing, {"type": "STEP_STARTED", "stepName": self._step}]
            case TurnEnd():
                return self._close_all()
            case RunEnd():
                result: JsonObject = {"finish_reason": event.finish_reason, "turns": event.turns}
                return [*self._close_all(), {"type": "RUN_FINISHED", **self._ids, "result": result}]
            case RunError():
                closing = self._close_all()
                return [*closing, {"type": "RUN_ERROR", "message": event.message, "code": event.name}]
        return self._block(event)

    def end(self) -> list[JsonObject]:
        """Say nothing more: a run's last event is its end here."""
        return []

    @property
    def _step(self) -> str:
        return f"turn {self._turn}"

    def _block(self, event: Event) -> list[JsonObject]:
        match event:
            case TextStart():
                ids: JsonObject = {"messageId": self._id(event.part_id)}
                return self._begin(
                    [{"type": "TEXT_MESSAGE_START", **ids, "role": "assistant"}], {"type": "TEXT_MESSAGE_END", **ids}
                )
            case TextDelta():
                id = self._id(event.part_id)
                return [{"type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": event.text}]
            case ReasoningStart():
                ids = {"messageId": self._id(event.part_id)}
                return self._begin(
                    [
                        {"type": "REASONING_START", **ids},
                        {"type": "REASONING_MESSAGE_START", **ids, "role": "reasoning"},
                    ],
                    {"type": "REASONING_MESSAGE_END", **ids},
                    {"type": "REASONING_END", **ids},
                )
            case ReasoningDelta():
                id = self._id(event.part_id)
                return [{"type": "REASONING_MESSAGE_CONTENT", "messageId": id, "delta": event.text}]
            case ToolCallStart():
                ids = {"toolCallId": event.call_id}
                return self._begin(
                    [{"type": "TOOL_CALL_START", **ids, "toolCallName": event.name}], {"type": "TOOL_CALL_END", **ids}
                )
            case ToolCallDelta():
                return [{"type": "TOOL_CALL_ARGS", "toolCallId": event.call_id, "delta": event.arguments}]
            case TextEnd() | ReasoningEnd() | ToolCallEnd():
                return self._close_blocks()
            case ToolResult():
                text = event.content if isinstance(event.content, str) else json.dumps(event.content)
                ids = {"messageId": f"{self._run_id}-{event.call_id}", "toolCallId": event.call_id}
                return [{"type": "TOOL_CALL_RESULT", **ids, "content": text, "role": "tool"}]
        wire = dict(event_to_wire(event, id=0, run_id=self._run_id))
        wire = {name: value for name, value in wire.items() if name not in ("id", "run_id", "type")}
        closing = self._close_blocks() if event.type == "turn_reset" else []
        return [*closing, {"type": "CUSTOM", "name": f"limpet.{event.type}", "value": wire}]  # type: ignore[dict-item]

    def _id(self, part_id: str) -> str:
        return f"{self._run_id}-{self._turn}-{part_id}"

    def _begin(self, events: list[JsonObject], *ends: JsonObject) -> list[JsonObject]:
        self._open = list(ends)
        return events

    def _close_blocks(self) -> list[JsonObject]:
        ends, self._open = self._open, []
        return ends

    def _close_all(self) -> list[JsonObject]:
        ends = self._close_blocks()
        if self._has_step:
            self._has_step = False
            ends.append({"type": "STEP_FINISHED", "stepName": self._step})
        return ends


@dataclass(frozen=True, slots=True)
class AgUiRequest:
    """A `RunAgentInput`, read. Of its messages those behind the last answer count: the history is kept here."""

    conversation_id: str
    run_id: str
    parts: tuple[Part, ...]
    is_background: bool = False
    tools: tuple[ToolSpec, ...] = ()
    """The client's own, which it runs itself."""
    results: tuple[ToolResultPart, ...] = ()
    """What they returned; without a name, which a client does not send."""


def read_ag_ui_request(data: JsonObject) -> AgUiRequest:
    """Read a request of AG-UI's `HttpAgent`. Raises `HttpError` naming the field that is wrong."""
    messages = read_list(data, "messages", is_needed=True)
    place = len(messages) - 1
    last = as_object(messages[place], f"messages[{place}]")
    parts: tuple[Part, ...] = ()
    if last.get("role") == "user":
        parts = _read_content(last.get("content"), f"messages[{place}]")
        place -= 1
    results: list[ToolResultPart] = []
    while place >= 0 and (message := as_object(messages[place], f"messages[{place}]")).get("role") == "tool":
        results.insert(0, _read_result(message))
        place -= 1
    if not parts and not results:
        bad(f"messages[{len(messages) - 1}].role", "user or tool")
    tools = read_list(data, "tools")
    if len(tools) > MOST_TOOLS:
        bad("tools", f"at most {MOST_TOOLS} tools")
    props = data.get("forwardedProps")
    return AgUiRequest(
        read_id(data.get("threadId"), "threadId"),
        read_id(data.get("runId"), "runId"),
        parts,
        isinstance(props, dict) and read_flag(props, "background"),
        tuple(read_tool(as_object(tool, f"tools[{index}]"), f"tools[{index}]") for index, tool in enumerate(tools)),
        tuple(results),
    )


def _read_result(message: JsonObject) -> ToolResultPart:
    error = read_text(message, "error", "")
    return ToolResultPart(read_text(message, "toolCallId"), "", error or read_text(message, "content", ""), bool(error))


def _read_content(content: object, where: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    if not isinstance(content, list) or not content:
        bad(f"{where}.content", "a text or a list of parts")
    return tuple(_read_part(as_object(item, f"{where}.content"), where) for item in content)


def _read_part(part: JsonObject, where: str) -> Part:
    if part.get("type") == "text":
        return TextPart(read_text(part, "text"))
    source = part.get("source")
    if part.get("type") == "image" and isinstance(source, dict):
        value = read_text(source, "value")
        if source.get("type") == "data":
            value = f"data:{read_text(source, 'mimeType')};base64,{value}"
        return read_image(value, f"{where}.content")
    return bad(f"{where}.content", "made of texts and images")
