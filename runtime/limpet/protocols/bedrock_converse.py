"""The Converse format of Amazon Bedrock, streamed in Amazon's binary event stream.

Source: Amazon Bedrock API reference ("ConverseStream", "ContentBlock", "OutputConfig"). Thoughts are signed
and go back as they came. The format can't forbid calls: with `tool_choice` "none" tools are left out, unless the
conversation has calls in it, which must not stand there without their tools. Pictures are sent as bytes only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import ModelError, UnsupportedError, WireFormatError
from ..events import Usage
from ..messages import ImagePart, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from ..model import Finish, ModelRequest
from ..wire import FinishReason, Json, JsonObject
from .event_stream import MessageParser, StreamMessage
from .http_errors import error_from_body, error_from_response
from .json_answer import JsonAnswerReader, as_count, as_list, as_object, as_text, read_json
from .schema_dialects import BEDROCK, render_output
from .turns import NOT_RUN, open_calls, own_metadata, read_arguments, result_text, system_text, with_extra
from .wire_protocol import AnswerContext, RenderedRequest, quote_segment

_FINISH_REASONS: dict[str, FinishReason] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
# The model failed to write down what it meant, a call perhaps.
_BROKEN = ("malformed_model_output", "malformed_tool_use")
# An error within the stream is named only; the reference gives each its status.
_STATUSES = {
    "internalServerException": 500,
    "modelStreamErrorException": 424,
    "serviceUnavailableException": 503,
    "throttlingException": 429,
    "validationException": 400,
}


@dataclass(frozen=True, slots=True)
class BedrockConverse:
    """The format as a `WireProtocol`."""

    def render(self, request: ModelRequest, *, model: str, model_id: str) -> RenderedRequest:
        """Make what asks `model` for a streamed answer. Raises `UnsupportedError` for a picture by its address."""
        body: dict[str, object] = {"messages": _render_messages(request.messages, model_id)}
        system = system_text(request.messages)
        if system:
            body["system"] = [{"text": system}]
        limits = {"maxTokens": request.max_output_tokens, "temperature": request.temperature}
        if any(limit is not None for limit in limits.values()):
            body["inferenceConfig"] = {name: limit for name, limit in limits.items() if limit is not None}
        has_calls = any(message.tool_calls for message in request.messages)
        if request.tools and (has_calls or request.tool_choice != "none"):
            tools = [
                {
                    "toolSpec": {
                        "name": tool.name,
                        **({"description": tool.description} if tool.description else {}),
                        "inputSchema": {"json": tool.parameters},
                    }
                }
                for tool in request.tools
            ]
            choice: JsonObject = {"toolChoice": {"any": {}}} if request.tool_choice == "required" else {}
            body["toolConfig"] = {"tools": tools, **choice}
        if request.output_schema is not None:
            closed, _ = render_output(request.output_schema, BEDROCK)
            schema: JsonObject = {"name": "answer", "schema": json.dumps(closed)}
            body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}
        path = f"/model/{quote_segment(model)}/converse-stream"
        return RenderedRequest(
            path, with_extra(body, request), {"accept": "application/vnd.amazon.eventstream, application/json"}
        )

    def read_answer(self, context: AnswerContext) -> BedrockReader:
        """Begin to read an answer."""
        return BedrockReader(context)

    def read_error(
        self, status: int, headers: Mapping[str, str], body: bytes, *, provider: str, model: str, now: float
    ) -> ModelError:
        """Make the error that a refusal stands for."""
        return error_from_response(status, headers, body, provider=provider, model=model, now=now)


def _render_messages(messages: Sequence[Message], model_id: str) -> list[Json]:
    """Render turns: roles must take turns, and results must follow their calls at once."""
    unanswered = open_calls(messages)
    turns: list[tuple[str, list[Json]]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = [block for part in message.parts for block in _render_part(part, message, model_id)]
        if blocks and turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        elif blocks:
            turns.append((role, blocks))
        left_open = [call.id for call in message.tool_calls if call.id in unanswered]
        if left_open:
            turns.append(("user", [_tool_result(id, NOT_RUN, is_error=True) for id in left_open]))
    return [{"role": role, "content": blocks} for role, blocks in turns]


def _render_part(part: object, message: Message, model_id: str) -> Iterator[Json]:
    is_own = message.model == model_id
    match part:
        case TextPart() if part.text.strip():  # blank text is refused
            yield {"text": part.text}
        case ReasoningPart():
            metadata = own_metadata(part, is_own)
            if "redactedContent" in metadata:
                yield {"reasoningContent": {"redactedContent": metadata["redactedContent"]}}
            elif metadata.get("signature"):
                yield {"reasoningContent": {"reasoningText": {"text": part.text, "signature": metadata["signature"]}}}
        case ImagePart():
            if part.url:
                raise UnsupportedError(f"{model_id} sees pictures sent with the message only, not those behind a URL")
            yield {"image": {"format": part.media_type.removeprefix("image/"), "source": {"bytes": part.data}}}
        case ToolCallPart():
            yield {"toolUse": {"toolUseId": part.id, "name": part.name, "input": read_arguments(part)}}
        case ToolResultPart():
            yield _tool_result(part.id, result_text(part), is_error=part.is_error)


def _tool_result(id: str, text: str, *, is_error: bool) -> JsonObject:
    result: JsonObject = {"toolUseId": id, "content": [{"text": text}]}
    return {"toolResult": {**result, "status": "error"} if is_error else result}


class BedrockReader(JsonAnswerReader):
    """Reads one answer; lives as long as the response."""

    def __init__(self, context: AnswerContext) -> None:
        super().__init__(context)
        self._messages = MessageParser()
        self._is_text: bool | None = None
        self._stop_reason = ""
        self._usage: JsonObject = {}
        self._signature = ""

    def _feed(self, piece: bytes) -> None:
        # A message begins with its length, which is below 2^24; a complete answer and a web page begin with a letter.
        if self._is_text is None and piece:
            self._is_text = piece[0] > 0
        if self._is_text:
            super()._feed(piece)
            return
        try:
            for message in self._messages.feed(piece):
                self._take_message(message)
        except WireFormatError as error:
            raise WireFormatError(
                f"{self._context.provider}:{self._context.model}: {error.message}",
                provider=self._context.provider,
                model=self._context.model,
            ) from error

    def _close(self) -> None:
        if not self._messages.is_empty and not self.is_finished:
            raise self._context.broken("broke off in the middle of an event")
        super()._close()

    def _take_message(self, message: StreamMessage) -> None:
        headers = message.headers
        data = read_json(message.payload) if message.payload else {}
        match headers.get(":message-type"):
            case "exception" | "error":
                name = headers.get(":exception-type") or headers.get(":error-code", "")
                body: JsonObject = {"type": name, "message": as_text(as_object(data).get("message"))}
                raise error_from_body(
                    {"error": body},
                    status=_STATUSES.get(name, 500),
                    provider=self._context.provider,
                    model=self._context.model,
                )
            case "event":
                if not isinstance(data, dict):
                    raise self._context.broken("sent an event that is not JSON")
                name = headers.get(":event-type", "")
                self._keep_raw({name: data})
                self._read_event(name, data)

    def _is_ended(self) -> bool:
        return bool(self._stop_reason)

    def _read_event(self, name: str, data: JsonObject) -> None:
        index = data.get("contentBlockIndex")
        index = index if isinstance(index, int) else None
        match name:
            case "contentBlockStart":
                self._read_call(index, as_object(as_object(data.get("start")).get("toolUse")))
            case "contentBlockDelta":
                delta = as_object(data.get("delta"))
                self._blocks.text(as_text(delta.get("text")))
                self._read_reasoning(as_object(delta.get("reasoningContent")))
                self._read_call(index, as_object(delta.get("toolUse")))
                self._add_citations([delta.get("citation")])
            case "contentBlockStop":
                self._signature = ""
                self._blocks.end_block()
            case "messageStop":
                self._stop_reason = as_text(data.get("stopReason")) or "end_turn"
            case "metadata":
                self._usage = as_object(data.get("usage"))
                self.is_done = self._is_ended()

    def _read_complete(self, data: object) -> None:
        answer = as_object(data)
        message = as_object(as_object(answer.get("output")).get("message"))
        for index, item in enumerate(as_list(message.get("content"))):
            block = as_object(item)
            cited = as_object(block.get("citationsContent"))
            for part in (block, *as_list(cited.get("content"))):
                self._blocks.text(as_text(as_object(part).get("text")))
            self._add_citations(as_list(cited.get("citations")))
            reasoning = as_object(block.get("reasoningContent"))
            self._read_reasoning({**as_object(reasoning.get("reasoningText")), **reasoning})
            self._read_call(index, as_object(block.get("toolUse")))
            self._signature = ""
            self._blocks.end_block()
        self._stop_reason = as_text(answer.get("stopReason"))
        self._usage = as_object(answer.get("usage"))

    def _add_citations(self, citations: Sequence[Json]) -> None:
        for citation in citations:
            if isinstance(citation, dict):
                as_list(self._metadata.setdefault("citations", [])).append(citation)

    def _read_reasoning(self, reasoning: JsonObject) -> None:
        if reasoning.get("redactedContent"):
            self._blocks.reasoning("", {"redactedContent": reasoning["redactedContent"]})
        self._signature += as_text(reasoning.get("signature"))
        metadata: JsonObject | None = {"signature": self._signature} if reasoning.get("signature") else None
        self._blocks.reasoning(as_text(reasoning.get("text")), metadata)

    def _read_call(self, index: int | None, call: JsonObject) -> None:
        if not call:
            return
        given = call.get("input")
        arguments = given if isinstance(given, str) else "" if given is None else json.dumps(given, ensure_ascii=False)
        self._blocks.call(
            index=index, id=as_text(call.get("toolUseId")), name=as_text(call.get("name")), arguments=arguments
        )

    def _finish(self) -> Finish:
        if self._stop_reason in _BROKEN:
            raise self._context.broken("says that what the model wrote can't be read")
        reason = _FINISH_REASONS.get(self._stop_reason)
        if reason is None and self._stop_reason not in ("end_turn", "stop_sequence", "tool_use"):
            self._metadata["stop_reason"] = self._stop_reason
        cached = as_count(self._usage.get("cacheReadInputTokens"))
        usage = Usage(
            # What was read from or written to the cache is not among the input tokens here.
            input_tokens=as_count(self._usage.get("inputTokens"))
            + as_count(self._usage.get("cacheWriteInputTokens"))
            + cached,
            output_tokens=as_count(self._usage.get("outputTokens")),
            cached_tokens=cached,
        )
        return Finish(reason or self._reason_after_stop(), usage, self._metadata or None)
