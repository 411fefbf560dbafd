"""Cohere's chat format, version 2.

Source: Cohere's API reference ("Chat", "Chat with Streaming") and its guides "Streaming Responses", "Streaming for
tool use" and "Structured Outputs". What the model means to do with its tools (`tool_plan`) is kept as reasoning and
goes back as a plan; citations are kept with their text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import ModelError
from ..events import Usage
from ..messages import ImagePart, Message, ReasoningPart, TextPart, ToolCallPart
from ..model import Finish, ModelRequest
from ..wire import FinishReason, Json, JsonObject
from .http_errors import error_from_response
from .json_answer import JsonAnswerReader, as_count, as_list, as_object, as_text
from .schema_dialects import COHERE, render_output
from .turns import NOT_RUN, open_calls, own_metadata, read_arguments, result_text, with_extra
from .wire_protocol import AnswerContext, RenderedRequest

_FINISH_REASONS: dict[str, FinishReason] = {"MAX_TOKENS": "length", "ERROR_TOXIC": "content_filter"}


@dataclass(frozen=True, slots=True)
class CohereChat:
    """The format as a `WireProtocol`."""

    def render(self, request: ModelRequest, *, model: str, model_id: str) -> RenderedRequest:
        """Make what asks `model` for a streamed answer."""
        body: dict[str, object] = {
            "model": model,
            "messages": _render_messages(request.messages, model_id),
            "stream": True,
        }
        if request.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
                }
                for tool in request.tools
            ]
            if request.tool_choice != "auto":
                body["tool_choice"] = request.tool_choice.upper()
        if request.output_schema is not None:
            schema, _ = render_output(request.output_schema, COHERE)
            body["response_format"] = {"type": "json_object", "json_schema": schema}
        if request.max_output_tokens is not None:
            body["max_tokens"] = request.max_output_tokens
        if request.temperature is not None:
            body["temperature"] = request.temperature
        return RenderedRequest("/chat", with_extra(body, request))

    def read_answer(self, context: AnswerContext) -> CohereReader:
        """Begin to read an answer."""
        return CohereReader(context)

    def read_error(
        self, status: int, headers: Mapping[str, str], body: bytes, *, provider: str, model: str, now: float
    ) -> ModelError:
        """Make the error that a refusal stands for."""
        return error_from_response(status, headers, body, provider=provider, model=model, now=now)


def _render_messages(messages: Sequence[Message], model_id: str) -> list[Json]:
    unanswered = open_calls(messages)
    rendered: list[Json] = []
    for message in messages:
        for result in message.tool_results:
            text = result_text(result)
            rendered.append(_tool_result(result.id, f"Error: {text}" if result.is_error else text))
        if message.role == "assistant":
            rendered.append(_render_answer(message, message.model == model_id))
            rendered += [_tool_result(call.id, NOT_RUN) for call in message.tool_calls if call.id in unanswered]
        elif message.role != "tool":
            rendered.append({"role": message.role, "content": _render_content(message)})
    return rendered


def _render_content(message: Message) -> Json:
    if not any(isinstance(part, ImagePart) for part in message.parts):
        return message.text
    content: list[Json] = []
    for part in message.parts:
        if isinstance(part, TextPart):
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, ImagePart):
            url = part.url or f"data:{part.media_type};base64,{part.data}"
            content.append({"type": "image_url", "image_url": {"url": url}})
    return content


def _render_answer(message: Message, is_own: bool) -> JsonObject:
    content: list[Json] = []
    plan = ""
    for part in message.parts:
        if isinstance(part, TextPart) and part.text:
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, ReasoningPart) and is_own:
            if own_metadata(part, is_own).get("tool_plan"):
                plan += part.text
            elif part.text:
                content.append({"type": "thinking", "thinking": part.text})
    rendered: JsonObject = {"role": "assistant"}
    if content or not message.tool_calls:
        rendered["content"] = content or ""
    if message.tool_calls:
        rendered["tool_calls"] = [_render_call(call) for call in message.tool_calls]
        if plan:
            rendered["tool_plan"] = plan
    return rendered


def _render_call(call: ToolCallPart) -> JsonObject:
    arguments = call.arguments if read_arguments(call) else "{}"
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _tool_result(id: str, text: str) -> JsonObject:
    return {"role": "tool", "tool_call_id": id, "content": text}


class CohereReader(JsonAnswerReader):
    """Reads one answer; lives as long as the response."""

    known_events = (
        *("message-start", "message-end", "content-start", "content-delta", "content-end", "tool-plan-delta"),
        *("tool-call-start", "tool-call-delta", "tool-call-end", "citation-start", "citation-end"),
    )

    def __init__(self, context: AnswerContext) -> None:
        super().__init__(context)
        self._finish_reason = ""
        self._usage: JsonObject = {}
        self._citations: list[Json] = []
        self._logprobs: list[Json] = []

    def _is_ended(self) -> bool:
        return bool(self._finish_reason)

    def _read_event(self, name: str, data: JsonObject) -> None:
        delta = as_object(data.get("delta"))
        message = as_object(delta.get("message"))
        match data.get("type", name):
            case "message-start":
                self._keep(data, "id")
            case "content-start" | "content-delta":
                self._read_content(message.get("content"))
                self._logprobs += [data["logprobs"]] if data.get("logprobs") else []
            case "content-end":
                self._citations = []
                self._blocks.end_block()
            case "tool-plan-delta":
                self._read_plan(message)
            case "tool-call-start" | "tool-call-delta":
                index = data.get("index")
                self._read_call(index if isinstance(index, int) else None, message.get("tool_calls"))
            case "citation-start":
                self._citations.append(message.get("citations"))
                self._blocks.text("", {"citations": list(self._citations)})
            case "message-end":
                self._read_end({**data, **delta})

    def _read_complete(self, data: object) -> None:
        answer = as_object(data)
        if "message" in answer and not isinstance(answer["message"], dict):  # an error's text
            self._fail(answer)
        self._keep(answer, "id")
        message = as_object(answer.get("message"))
        self._read_plan(message)
        for part in as_list(message.get("content")):
            self._read_content(part)
        if message.get("citations"):
            self._blocks.text("", {"citations": message["citations"]})
        for index, call in enumerate(as_list(message.get("tool_calls"))):
            self._read_call(index, call)
        self._read_end(answer)

    def _read_content(self, content: Json) -> None:
        part = as_object(content)
        self._blocks.reasoning(as_text(part.get("thinking")))
        self._blocks.text(as_text(part.get("text")))

    def _read_plan(self, message: JsonObject) -> None:
        plan = as_text(message.get("tool_plan"))
        self._blocks.reasoning(plan, {"tool_plan": True} if plan else None)

    def _read_call(self, index: int | None, item: Json) -> None:
        call = as_object(item)
        function = as_object(call.get("function"))
        self._blocks.call(
            index=index,
            id=as_text(call.get("id")),
            name=as_text(function.get("name")),
            arguments=as_text(function.get("arguments")),
        )

    def _read_end(self, end: JsonObject) -> None:
        self._finish_reason = as_text(end.get("finish_reason"))
        self._usage = as_object(end.get("usage"))
        self._keep(end, "logprobs")
        if self._finish_reason in ("ERROR", "TIMEOUT"):
            self._fail({"error": as_text(end.get("error"))})

    def _finish(self) -> Finish:
        self._keep({"logprobs": self._logprobs}, "logprobs")
        if self._finish_reason not in (*_FINISH_REASONS, "COMPLETE", "TOOL_CALL", "STOP_SEQUENCE"):
            self._metadata["finish_reason"] = self._finish_reason
        # What is billed leaves out what the service adds to the prompt; the tokens are what the model has read.
        tokens = as_object(self._usage.get("tokens")) or as_object(self._usage.get("billed_units"))
        usage = Usage(
            as_count(tokens.get("input_tokens")),
            as_count(tokens.get("output_tokens")),
            cached_tokens=as_count(self._usage.get("cached_tokens")),
        )
        reason = _FINISH_REASONS.get(self._finish_reason) or self._reason_after_stop()
        return Finish(reason, usage, self._metadata or None)
