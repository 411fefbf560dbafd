"""The AI SDK's UI message stream, version 1: a run's events as the chunks that `useChat` reads.

One run is one assistant message, one turn one step. Source: `ui-message-stream/ui-message-chunks.ts` and
`ui/process-ui-message-stream.ts` of the npm package `ai`, 7.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..events import (
    Approval,
    Event,
    Fallback,
    HookAction,
    OutputUpdate,
    Progress,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    Retry,
    RunEnd,
    RunError,
    RunStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolProgress,
    ToolResult,
    TurnEnd,
    TurnReset,
    TurnStart,
    usage_to_wire,
)
from ..messages import Part, TextPart
from ..wire import JsonObject
from .http import EVENT_STREAM
from .openai_chat import arguments_json
from .reading import as_object, bad, read_flag, read_id, read_image, read_list, read_text

HEADERS: Mapping[str, str] = {**EVENT_STREAM, "x-vercel-ai-ui-message-stream": "v1"}
_FINISH_REASONS = {
    "stop": "stop",
    "stopped": "stop",
    "length": "length",
    "content_filter": "content-filter",
    "tool_calls": "tool-calls",
}


class UiStream:
    """Turns the events of one run into chunks; lives as long as the run is followed.

    With `is_continued` the client has the beginning of the message already, as after it has answered an approval: the
    AI SDK's chat ends a stream that asks for one, and sends the answer with the next request.
    """

    def __init__(self, run_id: str, *, is_continued: bool = False) -> None:
        self._run_id = run_id
        self._turn = 0
        self._is_in_step = is_continued
        self._has_begun = not is_continued
        self._is_over = False
        self.is_waiting = False

    def add(self, event: Event) -> list[JsonObject]:
        """Give the chunks for an event."""
        self.is_waiting = isinstance(event, Approval)
        if self._has_begun:
            return self._chunks(event)
        self._has_begun = True
        return [{"type": "start", "messageId": self._run_id}, *self._chunks(event)]

    def end(self) -> list[JsonObject]:
        """Close a message that waits for a person."""
        if self._is_over or not self.is_waiting:
            return []
        return [*self._close(), {"type": "finish", "finishReason": "tool-calls"}]

    def _chunks(self, event: Event) -> list[JsonObject]:
        match event:
            case RunStart():
                return [{"type": "start", "messageId": self._run_id}]
            case TurnStart():
                self._turn = event.turn
                was_in_step, self._is_in_step = self._is_in_step, True
                return [] if was_in_step else [{"type": "start-step"}]
            case Fallback():
                # What a local model has begun is taken back: the next one says it again.
                notice: JsonObject = {
                    "from_model": event.from_model,
                    "to_model": event.to_model,
                    "reason": event.reason,
                }
                return [{"type": "reset-step"}, _data("fallback", notice)]
            case Progress() | Retry():
                return [_data(event.type, {"model": event.model})]
            case HookAction():
                return [_data(event.type, {"hook": event.hook, "action": event.action, "reason": event.reason})]
            case TurnReset():
                return [{"type": "reset-step"}]
            case TurnEnd():
                self._is_in_step = False
                return [{"type": "finish-step"}]
            case RunEnd():
                return self._end(event)
            case RunError():
                self._is_over = True
                return [*self._close(), {"type": "error", "errorText": event.message}]
            case OutputUpdate():
                value: JsonObject = {"value": event.value, "is_whole": event.is_whole}
                return [{"type": "data-output", "id": f"{self._run_id}-output", "data": value}]
        return self._part(event)

    def _part(self, event: Event) -> list[JsonObject]:
        match event:
            case TextStart():
                return [{"type": "text-start", "id": self._id(event.part_id)}]
            case TextDelta():
                return [{"type": "text-delta", "id": self._id(event.part_id), "delta": event.text}]
            case TextEnd():
                return [{"type": "text-end", "id": self._id(event.part_id)}]
            case ReasoningStart():
                return [{"type": "reasoning-start", "id": self._id(event.part_id)}]
            case ReasoningDelta():
                return [{"type": "reasoning-delta", "id": self._id(event.part_id), "delta": event.text}]
            case ReasoningEnd():
                return [{"type": "reasoning-end", "id": self._id(event.part_id)}]
            case ToolCallStart():
                return [{"type": "tool-input-start", "toolCallId": event.call_id, "toolName": event.name}]
            case ToolCallDelta():
                return [{"type": "tool-input-delta", "toolCallId": event.call_id, "inputTextDelta": event.arguments}]
            case ToolCallEnd():
                return [_input(event)]
            case Approval():
                return [{"type": "tool-approval-request", "approvalId": event.call_id, "toolCallId": event.call_id}]
            case ToolProgress():
                output: JsonObject = {"type": "tool-output-available", "toolCallId": event.call_id}
                return [{**output, "output": event.content, "preliminary": True}]
            case ToolResult() if event.is_error:
                return [{"type": "tool-output-error", "toolCallId": event.call_id, "errorText": str(event.content)}]
            case ToolResult():
                return [{"type": "tool-output-available", "toolCallId": event.call_id, "output": event.content}]
        return []

    def _id(self, part_id: str) -> str:
        return f"{self._turn}-{part_id}"

    def _end(self, event: RunEnd) -> list[JsonObject]:
        self._is_over = True
        if event.finish_reason == "cancelled":
            return [*self._close(), {"type": "abort", "reason": "the run was cancelled"}]
        usage: JsonObject = {"usage": {**usage_to_wire(event.usage)}, "turns": event.turns}  # type: ignore[dict-item]
        reason = _FINISH_REASONS[event.finish_reason]
        return [*self._close(), {"type": "finish", "finishReason": reason, "messageMetadata": usage}]

    def _close(self) -> list[JsonObject]:
        was_in_step, self._is_in_step = self._is_in_step, False
        return [{"type": "finish-step"}] if was_in_step else []


def _data(name: str, data: JsonObject) -> JsonObject:
    return {"type": f"data-{name}", "data": data, "transient": True}


def _input(event: ToolCallEnd) -> JsonObject:
    call: JsonObject = {"toolCallId": event.call_id, "toolName": event.name}
    value = arguments_json(event.arguments)
    if value is None:
        text = "the arguments are not JSON"
        return {"type": "tool-input-error", **call, "input": event.arguments, "errorText": text}
    return {"type": "tool-input-available", **call, "input": value}  # type: ignore[dict-item]  # json.loads gives JSON


@dataclass(frozen=True, slots=True)
class UiRequest:
    """What `useChat` sends, read. Of its messages only what is new counts: the history is kept here.

    `parts` is what the user says; without it the last answer is asked for again, or goes on with `approvals`.
    """

    conversation_id: str
    parts: tuple[Part, ...] = ()
    approvals: Mapping[str, bool] | None = None
    is_regenerate: bool = False
    is_background: bool = False


def read_ui_request(data: JsonObject) -> UiRequest:
    """Read a request of the AI SDK's `DefaultChatTransport`. Raises `HttpError` naming the field that is wrong."""
    conversation_id = read_id(data.get("id"), "id")
    trigger = read_text(data, "trigger", "submit-message")
    is_background = read_flag(data, "background")
    if trigger not in ("submit-message", "regenerate-message"):
        bad("trigger", "submit-message or regenerate-message")
    if trigger == "regenerate-message":
        return UiRequest(conversation_id, is_regenerate=True, is_background=is_background)
    messages = read_list(data, "messages", is_needed=True)
    where = f"messages[{len(messages) - 1}]"
    last = as_object(messages[-1], where)
    match last.get("role"):
        case "user":
            parts = _read_parts(read_list(last, "parts", is_needed=True), where)
            return UiRequest(conversation_id, parts, is_background=is_background)
        case "assistant":
            approvals = _read_approvals(read_list(last, "parts"))
            if approvals:
                return UiRequest(conversation_id, approvals=approvals, is_background=is_background)
    return bad(where, "a message of the user, or one of the assistant with answers to approvals")


def _read_parts(items: Sequence[object], where: str) -> tuple[Part, ...]:
    parts: list[Part] = []
    for index, item in enumerate(items):
        part = as_object(item, f"{where}.parts[{index}]")
        match part.get("type"):
            case "text":
                parts.append(TextPart(read_text(part, "text")))
            case "file" if str(part.get("mediaType", "")).startswith("image/"):
                parts.append(read_image(part.get("url"), f"{where}.parts[{index}].url"))
            case _:
                bad(f"{where}.parts[{index}].type", "text, or a file that is an image")
    return tuple(parts)


def _read_approvals(items: Sequence[object]) -> dict[str, bool]:
    approvals: dict[str, bool] = {}
    for item in items:
        if isinstance(item, dict) and item.get("state") == "approval-responded":
            approval = as_object(item.get("approval"), "approval")
            approvals[read_text(approval, "id")] = read_flag(approval, "approved")
    return approvals
