"""The Responses format of OpenAI, which Azure, xAI, OpenRouter, vLLM and others speak as well.

Source: OpenAI's API reference ("Responses", "Streaming events"), its guide to reasoning without stored responses, and
the types of its Python library 3.54.

Nothing is stored at the provider: each request brings the conversation as items. What the model thought comes as an
encrypted item and must go back as it came, before the call or the text it led to. So every item that is neither text
nor a function call (thoughts, and the calls of tools that run at the provider) is kept as reasoning, whole in
`provider_metadata["item"]`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import ModelError
from ..events import Usage
from ..messages import ImagePart, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from ..model import Finish, ModelRequest
from ..wire import FinishReason, Json, JsonObject
from .http_errors import error_from_response
from .json_answer import JsonAnswerReader, as_count, as_index, as_list, as_object, as_text
from .schema_dialects import OPENAI, SchemaDialect, render_output
from .turns import NOT_RUN, open_calls, own_metadata, read_arguments, result_text, system_text, with_extra
from .wire_protocol import AnswerContext, RenderedRequest

PATH = "/responses"
ENCRYPTED = "reasoning.encrypted_content"

# Asking a model that doesn't think for its encrypted thoughts is refused; the names are OpenAI's.
_THINKS = re.compile(r"(?:^|[^a-z0-9])(?:o\d|gpt-(?:[5-9]|oss)|codex)(?!.*chat)", re.IGNORECASE)

_Key = tuple[str | int | None, ...]
"""Names a piece of content: its kind, the index of its item, and its own."""

_INCOMPLETE: dict[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}


@dataclass(frozen=True, slots=True)
class Responses:
    """The format as a `WireProtocol`.

    `has_encrypted_reasoning` None means: as the model's name says. `schema` is what the service takes of JSON Schema.
    """

    path: str = PATH
    has_encrypted_reasoning: bool | None = None
    schema: SchemaDialect = OPENAI

    def render(self, request: ModelRequest, *, model: str, model_id: str) -> RenderedRequest:
        """Make what asks `model` for a streamed answer."""
        body: dict[str, object] = {"model": model}
        instructions = system_text(request.messages)
        if instructions:
            body["instructions"] = instructions
        body |= {"input": _render_items(request.messages, model_id), "stream": True, "store": False}
        encrypted = self.has_encrypted_reasoning
        if encrypted or (encrypted is None and _THINKS.search(model)):
            body["include"] = [ENCRYPTED]
        if request.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                    "strict": False,  # the default is strict, which refuses a parameter that may be left out
                }
                for tool in request.tools
            ]
            if request.tool_choice != "auto":
                body["tool_choice"] = request.tool_choice
        if request.max_output_tokens is not None:
            body["max_output_tokens"] = request.max_output_tokens
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.output_schema is not None:
            schema, strict = render_output(request.output_schema, self.schema)
            form: JsonObject = {"type": "json_schema", "name": "answer", "schema": schema}
            body["text"] = {"format": form if strict is None else {**form, "strict": strict}}
        return RenderedRequest(self.path, with_extra(body, request))

    def read_answer(self, context: AnswerContext) -> ResponsesReader:
        """Begin to read an answer."""
        return ResponsesReader(context)

    def read_error(
        self, status: int, headers: Mapping[str, str], body: bytes, *, provider: str, model: str, now: float
    ) -> ModelError:
        """Make the error that a refusal stands for."""
        return error_from_response(status, headers, body, provider=provider, model=model, now=now)


def _render_items(messages: Sequence[Message], model_id: str) -> list[Json]:
    unanswered = open_calls(messages)
    items: list[Json] = []
    for message in messages:
        match message.role:
            case "user":
                items.append({"role": "user", "content": _render_content(message)})
            case "assistant":
                for part in message.parts:
                    _add_part(items, part, is_own=message.model == model_id)
                # A thought is refused without what it led to, as an answer that was cut off leaves it.
                while items and as_object(items[-1]).get("type") == "reasoning":
                    items.pop()
                items += [_call_output(call.id, NOT_RUN) for call in message.tool_calls if call.id in unanswered]
            case "tool":
                items += [_call_output(result.id, _output(result)) for result in message.tool_results]
    return items


def _render_content(message: Message) -> Json:
    if not any(isinstance(part, ImagePart) for part in message.parts):
        return message.text
    content: list[Json] = []
    for part in message.parts:
        if isinstance(part, TextPart):
            content.append({"type": "input_text", "text": part.text})
        elif isinstance(part, ImagePart):
            url = part.url or f"data:{part.media_type};base64,{part.data}"
            content.append({"type": "input_image", "image_url": url, "detail": "auto"})
    return content


def _add_part(items: list[Json], part: object, *, is_own: bool) -> None:
    match part:
        case TextPart() if part.text:
            _add_text(items, part, own_metadata(part, is_own))
        case ReasoningPart():
            item = own_metadata(part, is_own).get("item")
            if item:
                items.append(item)
        case ToolCallPart():
            call: JsonObject = {
                "type": "function_call",
                "call_id": part.id,
                "name": part.name,
                "arguments": part.arguments if read_arguments(part) else "{}",  # broken ones may be refused
            }
            metadata = own_metadata(part, is_own)
            items.append({**call, **{name: metadata[name] for name in ("id", "namespace") if name in metadata}})


def _add_text(items: list[Json], part: TextPart, metadata: Mapping[str, Json]) -> None:
    id = metadata.get("id")
    if not id:  # another model's, or a server that doesn't name its items
        items.append({"role": "assistant", "content": part.text})
        return
    if metadata.get("refusal"):
        content: JsonObject = {"type": "refusal", "refusal": part.text}
    else:
        content = {"type": "output_text", "text": part.text, "annotations": metadata.get("annotations", [])}
    last = as_object(items[-1]) if items else {}
    if last.get("id") == id:
        as_list(last["content"]).append(content)
        return
    item: JsonObject = {"type": "message", "id": id, "role": "assistant", "status": "completed", "content": [content]}
    items.append({**item, "phase": metadata["phase"]} if metadata.get("phase") else item)


def _output(result: ToolResultPart) -> str:
    return f"Error: {result_text(result)}" if result.is_error else result_text(result)


def _call_output(id: str, text: str) -> JsonObject:
    return {"type": "function_call_output", "call_id": id, "output": text}


class ResponsesReader(JsonAnswerReader):
    """Reads one answer; lives as long as the response. Items are known by their index in the output."""

    known_events = (
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.delta",
        "response.output_text.done",
        "response.refusal.delta",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.reasoning_summary_text.delta",
        "response.reasoning_text.delta",
        "response.completed",
        "response.incomplete",
        "response.failed",
    )

    def __init__(self, context: AnswerContext) -> None:
        super().__init__(context)
        self._status = ""
        self._incomplete_reason = ""
        self._has_refusal = False
        self._usage: JsonObject = {}
        self._items: dict[int | None, JsonObject] = {}
        self._is_whole: set[int | None] = set()
        # The content whose words come at the moment, and all whose words came.
        self._current: _Key = ()
        self._said: set[_Key] = set()
        self._texts: dict[_Key, JsonObject] = {}
        self._thought: _Key = ()

    def _is_ended(self) -> bool:
        return bool(self._status)

    def _read_event(self, name: str, data: JsonObject) -> None:
        index = as_index(data.get("output_index"))
        delta = as_text(data.get("delta"))
        match data.get("type", name):
            case "error":
                self._fail(data)
            case "response.created" | "response.in_progress":
                self._keep(as_object(data.get("response")), "id", "model")
            case "response.output_item.added":
                self._begin_item(index, as_object(data.get("item")))
            case "response.output_text.delta":
                self._add_words("text", index, data, delta)
            case "response.refusal.delta":
                self._add_words("refusal", index, data, delta)
            case "response.output_text.annotation.added":
                self._annotate(index, data)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                self._add_thought(index, data, delta)
            case "response.function_call_arguments.delta":
                self._add_arguments(index, delta)
            case "response.function_call_arguments.done":
                if ("call", index) not in self._said:
                    self._add_arguments(index, as_text(data.get("arguments")))
            case "response.output_item.done":
                self._end_item(index, as_object(data.get("item")))
            case "response.completed" | "response.incomplete" | "response.failed":
                self._read_response(as_object(data.get("response")), as_text(data.get("type", name)))
                self.is_done = True

    def _read_complete(self, data: object) -> None:
        response = as_object(data)
        if response.get("error"):
            self._fail(response)
        if "output" in response:
            self._read_response(response, "response.completed")

    def _read_response(self, response: JsonObject, event: str) -> None:
        self._status = as_text(response.get("status")) or event.removeprefix("response.")
        if self._status in ("failed", "cancelled"):
            self._fail(response)
        self._keep(response, "id", "model", "service_tier")
        self._usage = as_object(response.get("usage"))
        self._incomplete_reason = as_text(as_object(response.get("incomplete_details")).get("reason"))
        for index, item in enumerate(as_list(response.get("output"))):
            self._end_item(index, as_object(item))

    # --- items ---

    def _begin_item(self, index: int | None, item: JsonObject) -> None:
        self._items[index] = item
        if item.get("type") == "function_call":
            self._write_call(index, item, "")

    def _end_item(self, index: int | None, item: JsonObject) -> None:
        """Read what is only in the whole item, and of the rest what no delta brought."""
        if index in self._is_whole or not item:
            return
        self._is_whole.add(index)
        self._items[index] = item
        match item.get("type"):
            case "message":
                for position, content in enumerate(as_list(item.get("content"))):
                    self._end_content(index, position, as_object(content))
            case "function_call":
                is_said = ("call", index) in self._said
                self._write_call(index, item, "" if is_said else as_text(item.get("arguments")))
            case kind:
                self._enter(("reasoning", index))
                if kind == "reasoning" and ("reasoning", index) not in self._said:
                    parts = as_list(item.get("summary")) or as_list(item.get("content"))
                    thought = "\n\n".join(as_text(as_object(part).get("text")) for part in parts)
                    self._blocks.reasoning(thought)
                # Empty fields and the status of a thought are refused when they come back.
                kept: JsonObject = {
                    name: value
                    for name, value in item.items()
                    if value is not None and not (name == "status" and kind == "reasoning")
                }
                self._blocks.reasoning("", {"item": kept})
        self._current = ()
        self._blocks.end_block()

    def _end_content(self, index: int | None, position: int, content: JsonObject) -> None:
        kind = "refusal" if content.get("type") == "refusal" else "text"
        key = (kind, index, position)
        if key in self._said and key != self._current:
            return
        words = "" if key in self._said else as_text(content.get("refusal" if kind == "refusal" else "text"))
        if words or key in self._said:
            metadata = self._text_metadata(key)
            for name in ("annotations", "logprobs"):
                if as_list(content.get(name)):
                    metadata[name] = content[name]
            self._write_words(key, words)

    def _write_call(self, index: int | None, item: JsonObject, arguments: str) -> None:
        if arguments:
            self._said.add(("call", index))
        self._blocks.call(
            index=index,
            id=as_text(item.get("call_id")) or as_text(item.get("id")),
            name=as_text(item.get("name")),
            arguments=arguments,
            metadata={name: item[name] for name in ("id", "namespace") if item.get(name)},
        )

    # --- deltas ---

    def _enter(self, key: _Key) -> None:
        """Begin the block of other words than those before."""
        if key != self._current:
            self._current = key
            self._blocks.end_block()

    def _add_words(self, kind: str, index: int | None, data: JsonObject, delta: str) -> None:
        key = (kind, index, as_index(data.get("content_index", 0)))
        logprobs = as_list(data.get("logprobs"))
        if logprobs:
            known = self._text_metadata(key).setdefault("logprobs", [])
            as_list(known).extend(logprobs)
        self._write_words(key, delta)

    def _write_words(self, key: _Key, words: str) -> None:
        self._said.add(key)
        self._has_refusal = self._has_refusal or key[0] == "refusal"
        self._enter(key)
        self._blocks.text(words, self._text_metadata(key) or None)

    def _text_metadata(self, key: _Key) -> JsonObject:
        metadata = self._texts.get(key)
        if metadata is None:
            metadata = {}
            if key[0] == "refusal":
                metadata["refusal"] = True
            item = self._items.get(as_index(key[1]), {})
            metadata |= {name: item[name] for name in ("id", "phase") if item.get(name)}
            self._texts[key] = metadata
        return metadata

    def _annotate(self, index: int | None, data: JsonObject) -> None:
        key = ("text", index, as_index(data.get("content_index", 0)))
        if key != self._current or not data.get("annotation"):
            return
        metadata = self._text_metadata(key)
        as_list(metadata.setdefault("annotations", [])).append(data["annotation"])
        self._blocks.text("", metadata)

    def _add_thought(self, index: int | None, data: JsonObject, delta: str) -> None:
        key = ("reasoning", index)
        part = (as_index(data.get("summary_index")), as_index(data.get("content_index")))
        if key in self._said and part != self._thought:
            delta = "\n\n" + delta
        self._thought = part
        self._said.add(key)
        self._enter(key)
        self._blocks.reasoning(delta)

    def _add_arguments(self, index: int | None, delta: str) -> None:
        self._said.add(("call", index))
        self._blocks.call(index=index, id="", name="", arguments=delta)

    # --- the end ---

    def _finish(self) -> Finish:
        reason: FinishReason = self._reason_after_stop()
        if self._status == "incomplete":
            reason = _INCOMPLETE.get(self._incomplete_reason, reason)
            self._metadata["incomplete_reason"] = self._incomplete_reason
        if self._has_refusal and reason == "stop":
            reason = "content_filter"
        usage = Usage(
            input_tokens=as_count(self._usage.get("input_tokens")),
            output_tokens=as_count(self._usage.get("output_tokens")),
            cached_tokens=as_count(as_object(self._usage.get("input_tokens_details")).get("cached_tokens")),
            reasoning_tokens=as_count(as_object(self._usage.get("output_tokens_details")).get("reasoning_tokens")),
        )
        return Finish(reason, usage, self._metadata or None)
