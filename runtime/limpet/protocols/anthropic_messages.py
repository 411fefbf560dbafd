"""The Messages format of Anthropic, as its own service and Vertex AI speak it.

Source: Anthropic's API reference ("Messages", "Streaming messages", "Extended thinking", "Errors") and the types of
its Python library 2.12. The version is 2023-06-01: the next one, 2026-10-21, differs in what is sent only by taking no
temperature from anybody; the models since 4.7 take none in either.

Thoughts are signed and go back as they came, in their place: a request whose last turn called a tool is refused
without them. Blocks that only the service understands (redacted thoughts, its own tools and their results) are kept as
reasoning without a text, whole in `provider_metadata["block"]`, and go back as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import ModelError, UnsupportedError
from ..events import Usage
from ..messages import ImagePart, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from ..model import Finish, ModelRequest
from ..wire import FinishReason, Json, JsonObject
from .http_errors import error_from_response
from .json_answer import JsonAnswerReader, as_count, as_index, as_list, as_object, as_text, read_json
from .schema_dialects import ANTHROPIC, render_output
from .turns import NOT_RUN, open_calls, own_metadata, read_arguments, result_text, system_text, with_extra
from .wire_protocol import AnswerContext, RenderedRequest, quote_segment

VERSION = "2023-06-01"

_TAKES_NO_TEMPERATURE = re.compile(r"claude-(?:opus-4-[7-9]|(?:opus|sonnet|haiku|fable)-(?:[5-9]|\d\d)(?!\d))")

_FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",  # a tool of the service's own takes long; sending the answer back goes on
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}


@dataclass(frozen=True, slots=True)
class AnthropicMessages:
    """The format as a `WireProtocol`.

    `max_tokens` is sent when the request has no bound, because the format wants one. `body_version` is for services
    that want the version in the body and the model in the path, where it stands for `{model}`.
    """

    path: str = "/messages"
    max_tokens: int = 16_384
    body_version: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: {"anthropic-version": VERSION})

    def render(self, request: ModelRequest, *, model: str, model_id: str) -> RenderedRequest:
        """Make what asks `model` for a streamed answer.

        Raises `UnsupportedError` for a temperature where the model takes none, and for a schema that can't be closed.
        """
        if request.temperature is not None and _TAKES_NO_TEMPERATURE.search(model):
            raise UnsupportedError(f"{model_id} takes no temperature; ask it without one")
        body: dict[str, object] = (
            {"model": model} if self.body_version is None else {"anthropic_version": self.body_version}
        )
        body["max_tokens"] = request.max_output_tokens if request.max_output_tokens is not None else self.max_tokens
        system = system_text(request.messages)
        if system:
            body["system"] = system
        body["messages"] = _render_messages(request.messages, model_id)
        body["stream"] = True
        if request.tools:
            body["tools"] = [
                {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
                for tool in request.tools
            ]
            if request.tool_choice != "auto":
                body["tool_choice"] = {"type": {"required": "any", "none": "none"}[request.tool_choice]}
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.output_schema is not None:
            schema, _ = render_output(request.output_schema, ANTHROPIC)
            body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        return RenderedRequest(
            self.path.replace("{model}", quote_segment(model)), with_extra(body, request), self.headers
        )

    def read_answer(self, context: AnswerContext) -> AnthropicReader:
        """Begin to read an answer."""
        return AnthropicReader(context)

    def read_error(
        self, status: int, headers: Mapping[str, str], body: bytes, *, provider: str, model: str, now: float
    ) -> ModelError:
        """Make the error that a refusal stands for."""
        return error_from_response(status, headers, body, provider=provider, model=model, now=now)


def _render_messages(messages: Sequence[Message], model_id: str) -> list[Json]:
    """Render turns: neighbours of one role become one, because results must follow their calls at once."""
    unanswered = open_calls(messages)
    turns: list[tuple[str, list[Json]]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _render_parts(message, is_own=message.model == model_id)
        if blocks and turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        elif blocks:
            turns.append((role, blocks))
        left_open = [call.id for call in message.tool_calls if call.id in unanswered]
        if left_open:
            turns.append(("user", [_tool_result(id, NOT_RUN, is_error=True) for id in left_open]))
    return [{"role": role, "content": blocks} for role, blocks in turns]


def _render_parts(message: Message, *, is_own: bool) -> list[Json]:
    blocks: list[Json] = []
    for part in message.parts:
        match part:
            case TextPart():
                if part.text.strip():  # blank text is refused
                    blocks.append(_render_text(part, is_own))
            case ReasoningPart():
                metadata = own_metadata(part, is_own)
                if "block" in metadata:
                    blocks.append(metadata["block"])
                elif metadata.get("signature"):
                    blocks.append({"type": "thinking", "thinking": part.text, "signature": metadata["signature"]})
            case ImagePart():
                blocks.append({"type": "image", "source": _image_source(part)})
            case ToolCallPart():
                blocks.append({"type": "tool_use", "id": part.id, "name": part.name, "input": read_arguments(part)})
            case ToolResultPart():
                blocks.append(_tool_result(part.id, result_text(part), is_error=part.is_error))
    # A turn that ends with a thought, as an answer that was cut off leaves it, is refused.
    while blocks and as_object(blocks[-1]).get("type") in ("thinking", "redacted_thinking"):
        blocks.pop()
    return blocks


def _render_text(part: TextPart, is_own: bool) -> JsonObject:
    block: JsonObject = {"type": "text", "text": part.text}
    citations = own_metadata(part, is_own).get("citations")
    return {**block, "citations": citations} if citations else block


def _image_source(part: ImagePart) -> JsonObject:
    if part.url:
        return {"type": "url", "url": part.url}
    return {"type": "base64", "media_type": part.media_type, "data": part.data}


def _tool_result(id: str, text: str, *, is_error: bool) -> JsonObject:
    block: JsonObject = {"type": "tool_result", "tool_use_id": id, "content": text}
    return {**block, "is_error": True} if is_error else block


class AnthropicReader(JsonAnswerReader):
    """Reads one answer; lives as long as the response."""

    known_events = (
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
    )

    def __init__(self, context: AnswerContext) -> None:
        super().__init__(context)
        self._stop_reason = ""
        self._usage: JsonObject = {}
        # What is known of each block so far, by index: the metadata of its end, or the block itself when it is opaque.
        self._open: dict[int | None, JsonObject] = {}
        self._opaque: dict[int | None, JsonObject] = {}
        self._inputs: dict[int | None, str] = {}

    def _is_ended(self) -> bool:
        return bool(self._stop_reason)

    def _read_event(self, name: str, data: JsonObject) -> None:
        match data.get("type", name):
            case "content_block_delta":  # nearly all events
                self._read_delta(as_index(data.get("index")), as_object(data.get("delta")))
            case "error":
                self._fail(data)
            case "message_start":
                self._read_message(as_object(data.get("message")), is_complete=False)
            case "content_block_start":
                self._start_block(as_index(data.get("index")), as_object(data.get("content_block")))
            case "content_block_stop":
                self._stop_block(as_index(data.get("index")))
            case "message_delta":
                self._read_end(as_object(data.get("delta")), data.get("usage"))
            case "message_stop":
                self.is_done = True

    def _read_complete(self, data: object) -> None:
        message = as_object(data)
        if message.get("type") == "error" or "error" in message:
            self._fail(message)
        self._read_message(message, is_complete=True)

    def _read_message(self, message: JsonObject, *, is_complete: bool) -> None:
        self._keep(message, "id", "model")
        for index, block in enumerate(as_list(message.get("content"))):
            self._start_block(index, as_object(block), is_complete=is_complete)
            self._stop_block(index)
        self._read_end(message, message.get("usage"))

    def _start_block(self, index: int | None, block: JsonObject, *, is_complete: bool = False) -> None:
        metadata = self._open[index] = {}
        match block.get("type"):
            case "text":
                citations = as_list(block.get("citations"))
                if citations:
                    metadata["citations"] = list(citations)
                self._blocks.text(as_text(block.get("text")), metadata or None)
            case "thinking":
                if block.get("signature"):
                    metadata["signature"] = block["signature"]
                self._blocks.reasoning(as_text(block.get("thinking")), metadata or None)
            case "tool_use":
                arguments = block.get("input")
                is_known = bool(arguments) or (is_complete and arguments is not None)  # a stream begins with `{}`
                self._blocks.call(
                    index=index,
                    id=as_text(block.get("id")),
                    name=as_text(block.get("name")),
                    arguments=json.dumps(arguments, ensure_ascii=False) if is_known else "",
                )
            case _:
                self._opaque[index] = dict(block)

    def _read_delta(self, index: int | None, delta: JsonObject) -> None:
        match delta.get("type"):
            case "text_delta":
                self._blocks.text(as_text(delta.get("text")))
            case "citations_delta":
                metadata = self._open.setdefault(index, {})
                citations = metadata.setdefault("citations", [])
                assert isinstance(citations, list)
                citations.append(delta.get("citation"))
                self._blocks.text("", metadata)
            case "thinking_delta":
                self._blocks.reasoning(as_text(delta.get("thinking")))
            case "signature_delta":
                metadata = self._open.setdefault(index, {})
                metadata["signature"] = as_text(metadata.get("signature")) + as_text(delta.get("signature"))
                self._blocks.reasoning("", metadata)
            case "input_json_delta":
                arguments = as_text(delta.get("partial_json"))
                if index in self._opaque:
                    self._inputs[index] = self._inputs.get(index, "") + arguments
                else:
                    self._blocks.call(index=index, id="", name="", arguments=arguments)

    def _stop_block(self, index: int | None) -> None:
        block = self._opaque.pop(index, None)
        if block:
            if self._inputs.get(index):
                block["input"] = as_object(read_json(self._inputs[index]))
            self._blocks.end_block()
            self._blocks.reasoning("", {"block": block})
        self._blocks.end_block()

    def _read_end(self, delta: JsonObject, usage: Json) -> None:
        self._stop_reason = as_text(delta.get("stop_reason")) or self._stop_reason
        self._keep(delta, "stop_sequence", "stop_details")
        # Counts are sums so far; those that the last event leaves out stand in the first one.
        self._usage.update({name: value for name, value in as_object(usage).items() if value is not None})

    def _finish(self) -> Finish:
        reason = _FINISH_REASONS.get(self._stop_reason)
        if reason in (None, "stop") and self._stop_reason not in ("", "end_turn", "stop_sequence"):
            self._metadata["stop_reason"] = self._stop_reason
        if reason in (None, "stop", "tool_calls"):
            reason = self._reason_after_stop()
        cached = as_count(self._usage.get("cache_read_input_tokens"))
        usage = Usage(
            # Here, unlike elsewhere, what was read from or written to the cache is not among the input tokens.
            input_tokens=as_count(self._usage.get("input_tokens"))
            + as_count(self._usage.get("cache_creation_input_tokens"))
            + cached,
            output_tokens=as_count(self._usage.get("output_tokens")),
            cached_tokens=cached,
            reasoning_tokens=as_count(as_object(self._usage.get("output_tokens_details")).get("thinking_tokens")),
        )
        return Finish(reason, usage, self._metadata or None)
