"""The chat-completions format: OpenAI's, and what the many servers that imitate it make of it.

`render_request` makes the body, `ChatReader` reads the answer. Where imitators differ in what they want to be sent, a
`Dialect` says so; what they answer is read in every variant, so that no server's name is needed for it.
Source: the API reference of OpenAI, and the documents and recorded answers of the servers named at each oddity.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import ModelError
from ..events import Usage
from ..messages import ImagePart, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from ..model import Finish, ModelRequest
from ..sse import ServerEvent
from ..wire import FinishReason, Json, JsonObject
from .http_errors import error_from_response
from .json_answer import JsonAnswerReader, as_list, as_object, as_text, read_json
from .schema_dialects import AS_IS, SchemaDialect, render_output
from .wire_protocol import AnswerContext, RenderedRequest, quote_segment

PATH = "/chat/completions"
_NAMES = ("id", "model", "provider", "system_fingerprint", "service_tier")

_FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",  # Mistral
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "refusal": "content_filter",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server wants to be sent.

    `reasoning_field` is where it wants the model's earlier reasoning back; `schema` is what it takes of JSON Schema
    for an answer, `tool_schema` for a tool's parameters.
    """

    max_tokens_field: str = "max_tokens"
    has_stream_options: bool = True
    reasoning_field: str | None = None
    schema: SchemaDialect = AS_IS
    tool_schema: SchemaDialect = AS_IS


@dataclass(frozen=True, slots=True)
class ChatCompletions:
    """The format as a `WireProtocol`. A `{model}` in the path is replaced by the model's name, as Azure wants it."""

    dialect: Dialect = Dialect()
    path: str = PATH

    def render(self, request: ModelRequest, *, model: str, model_id: str) -> RenderedRequest:
        """Make what asks `model` for a streamed answer."""
        body = render_request(request, model=model, model_id=model_id, dialect=self.dialect)
        return RenderedRequest(self.path.replace("{model}", quote_segment(model)), body)

    def read_answer(self, context: AnswerContext) -> ChatReader:
        """Begin to read an answer."""
        return ChatReader(context)

    def read_error(
        self, status: int, headers: Mapping[str, str], body: bytes, *, provider: str, model: str, now: float
    ) -> ModelError:
        """Make the error that a refusal stands for."""
        return error_from_response(status, headers, body, provider=provider, model=model, now=now)


def render_request(request: ModelRequest, *, model: str, model_id: str, dialect: Dialect) -> JsonObject:
    """Make the body that asks `model` for a streamed answer.

    `model_id` is `provider:name`: opaque data of earlier answers goes back only to the model that sent it.
    """
    body: dict[str, object] = {
        "model": model,
        "messages": _render_messages(request.messages, model_id, dialect),
        "stream": True,
    }
    if dialect.has_stream_options:
        body["stream_options"] = {"include_usage": True}
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": render_output(tool.parameters, dialect.tool_schema)[0],
                },
            }
            for tool in request.tools
        ]
        if request.tool_choice != "auto":
            body["tool_choice"] = request.tool_choice
    if request.output_schema is not None:
        schema, strict = render_output(request.output_schema, dialect.schema)
        output: JsonObject = {"name": "answer", "schema": schema}
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": output if strict is None else {**output, "strict": strict},
        }
    if request.max_output_tokens is not None:
        body[dialect.max_tokens_field] = request.max_output_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    return {**body, **request.extra}  # type: ignore[dict-item]  # `extra` is the caller's JSON


def _render_messages(messages: Sequence[Message], model_id: str, dialect: Dialect) -> list[Json]:
    answered = {result.id for message in messages for result in message.tool_results}
    rendered: list[Json] = []
    for message in messages:
        if message.role == "tool":
            rendered += [_render_result(result) for result in message.tool_results]
        elif message.role == "assistant":
            rendered.append(_render_answer(message, message.model == model_id, dialect))
            # Each call must be answered, or the whole request is refused; a cancelled run leaves some open.
            rendered += [
                {"role": "tool", "tool_call_id": call.id, "content": "Error: the call was not run"}
                for call in message.tool_calls
                if call.id not in answered
            ]
        else:
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


def _render_answer(message: Message, is_own: bool, dialect: Dialect) -> JsonObject:
    rendered: JsonObject = {"role": "assistant", "content": message.text or None}
    if message.tool_calls:
        rendered["tool_calls"] = [_render_call(call, is_own) for call in message.tool_calls]
    elif not message.text:
        rendered["content"] = ""
    if is_own and dialect.reasoning_field is not None:
        reasoning = [part for part in message.parts if isinstance(part, ReasoningPart)]
        details = [(part.provider_metadata or {}).get(dialect.reasoning_field) for part in reasoning]
        opaque = [detail for detail in details if isinstance(detail, list) and detail]
        if opaque:
            rendered[dialect.reasoning_field] = opaque[-1]  # each has those before it in it
        elif reasoning and dialect.reasoning_field != "reasoning_details":
            rendered[dialect.reasoning_field] = "".join(part.text for part in reasoning)
    if dialect.reasoning_field == "reasoning_content" and message.tool_calls:
        # DeepSeek and Moonshot refuse a call without the field, also one that another model made.
        rendered.setdefault("reasoning_content", "")
    return rendered


def _render_call(call: ToolCallPart, is_own: bool) -> JsonObject:
    # Broken arguments are kept in the conversation, but many servers parse them and refuse the whole request.
    arguments = call.arguments if isinstance(read_json(call.arguments), dict) else "{}"
    rendered: JsonObject = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }
    if is_own and call.provider_metadata is not None:
        rendered.update(call.provider_metadata)
    return rendered


def _render_result(result: ToolResultPart) -> JsonObject:
    content = result.content if isinstance(result.content, str) else json.dumps(result.content, ensure_ascii=False)
    return {
        "role": "tool",
        "tool_call_id": result.id,
        "content": f"Error: {content}" if result.is_error else content,
    }


class ChatReader(JsonAnswerReader):
    """Reads one answer, streamed or complete; lives as long as the response."""

    def __init__(self, context: AnswerContext) -> None:
        super().__init__(context)
        self._has_refusal = False
        self._reasoning_details: list[Json] = []
        self._finish_reason: str | None = None
        self._usage = Usage()
        self._unnamed: tuple[str, ...] = _NAMES

    def _is_ended(self) -> bool:
        return self._finish_reason is not None

    def _take_text(self, event: ServerEvent, text: str, *, is_last: bool) -> None:
        if text == "[DONE]":  # some servers say nothing else at the end
            self.is_done = True
        elif "\n" in text:  # some gateways forget the blank lines between events
            for line in text.split("\n"):
                self._take(ServerEvent(line, event.name), is_last=is_last)
        else:
            super()._take_text(event, text, is_last=is_last)

    def _read_complete(self, data: object) -> None:
        self._read_event("message", as_object(data))

    def _read_event(self, name: str, data: JsonObject) -> None:
        if data.get("error") or data.get("object") == "error":  # the latter is vLLM's
            self._fail(data)
        self._read_names(data)
        if data.get("usage") or "x_groq" in data:
            self._read_usage(data)
        choices = data.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and choice.get("index") in (0, None):
                self._read_choice(choice)

    def _read_names(self, chunk: JsonObject) -> None:
        """Take over what is told of the answer, often with each chunk; of its names the first counts."""
        for name in self._unnamed:
            value = chunk.get(name)
            if value and isinstance(value, str):
                self._metadata[name] = value
                self._unnamed = tuple(other for other in self._unnamed if other != name)
        for name in ("citations", "search_results"):  # Perplexity, in each chunk
            if name in chunk and isinstance(chunk[name], list):
                self._metadata[name] = chunk[name]

    def _read_choice(self, choice: Mapping[str, Json]) -> None:
        if choice.get("error"):  # OpenRouter, when the provider behind it fails half-way
            self._fail(choice)
        delta = choice.get("delta")
        if not delta and not self._blocks.has_blocks:  # else it may be the whole once more
            delta = choice.get("message")
        if isinstance(delta, dict):
            self._read_delta(delta)
            if "annotations" in delta:
                notes = as_list(delta["annotations"])
                self._gather("annotations", [note for note in notes if as_object(note).get("type") == "url_citation"])
        probabilities = choice.get("logprobs")
        if isinstance(probabilities, dict):
            for name in ("content", "refusal"):
                self._gather("logprobs", as_list(probabilities.get(name)))
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._finish_reason = reason

    def _gather(self, name: str, values: Sequence[Json]) -> None:
        known = self._metadata.setdefault(name, []) if values else None
        if isinstance(known, list):
            known.extend(values)

    def _read_delta(self, delta: JsonObject) -> None:
        # `reasoning_content` is DeepSeek's, llama.cpp's and LM Studio's word, `reasoning` OpenRouter's, Groq's and
        # Ollama's; vLLM has sent both with the same text.
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        details = delta.get("reasoning_details")
        metadata: JsonObject | None = None
        if isinstance(details, list) and details:
            reasoning = reasoning or "".join(_detail_text(detail) for detail in details)
            self._merge_details(details)
            metadata = {"reasoning_details": list(self._reasoning_details)}
        self._blocks.reasoning(as_text(reasoning), metadata)
        content = delta.get("content")
        if isinstance(content, list):
            self._read_parts(content)
        elif content:
            self._blocks.text(as_text(content))
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._has_refusal = True
            self._blocks.text(refusal, {"refusal": True})
        calls = as_list(delta.get("tool_calls"))
        for position, call in enumerate(calls):
            if isinstance(call, dict):
                self._read_call(call, position if len(calls) > 1 else None)

    def _read_parts(self, parts: Sequence[Json]) -> None:
        """Read content that is a list of parts, as Mistral sends it when it thinks."""
        for part in parts:
            if not isinstance(part, dict):
                continue
            text, thinking = part.get("text"), part.get("thinking")
            if isinstance(text, str):
                self._blocks.text(text)
            for thought in thinking if isinstance(thinking, list) else (thinking,):
                words = thought.get("text") if isinstance(thought, dict) else thought
                if isinstance(words, str):
                    self._blocks.reasoning(words)

    def _read_call(self, call: JsonObject, position: int | None) -> None:
        function = as_object(call.get("function"))
        index, arguments = call.get("index"), function.get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)  # some servers send the object itself
        self._blocks.call(
            index=index if isinstance(index, int) else position,
            id=as_text(call.get("id")),
            name=as_text(function.get("name")),
            arguments=arguments or "",
            # Gemini wants the signature of its thoughts back with the call.
            metadata={"extra_content": call["extra_content"]} if call.get("extra_content") else None,
        )

    def _merge_details(self, details: Sequence[Json]) -> None:
        """Join OpenRouter's `reasoning_details`: pieces of one type and index are one item, its texts appended."""
        for piece in details:
            if not isinstance(piece, dict):
                continue
            item = self._reasoning_details[-1] if self._reasoning_details else None
            if not isinstance(item, dict) or any(item.get(key) != piece.get(key) for key in ("type", "index")):
                self._reasoning_details.append(dict(piece))
                continue
            for key, value in piece.items():
                known = item.get(key)
                if key in ("text", "summary", "data") and isinstance(known, str) and isinstance(value, str):
                    item[key] = known + value
                elif value is not None:
                    item[key] = value

    # --- the end ---

    def _read_usage(self, chunk: Mapping[str, Json]) -> None:
        usage = chunk.get("usage")
        if not isinstance(usage, dict):
            groq = chunk.get("x_groq")
            usage = groq.get("usage") if isinstance(groq, dict) else None
        if not isinstance(usage, dict):
            return
        inputs = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
        outputs = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
        # The last one counts: some servers send the sum so far with each chunk.
        self._usage = Usage(
            input_tokens=_count(usage, "prompt_tokens", "input_tokens"),
            output_tokens=_count(usage, "completion_tokens", "output_tokens"),
            cached_tokens=_count(inputs, "cached_tokens") or _count(usage, "prompt_cache_hit_tokens"),  # DeepSeek's
            reasoning_tokens=_count(outputs, "reasoning_tokens") or _count(usage, "reasoning_tokens"),
        )

    def _finish(self) -> Finish:
        if self._finish_reason is None and not self._blocks.has_blocks:
            raise self._context.broken("sent no answer")
        return Finish(self._read_finish_reason(), self._usage, self._metadata or None)

    def _read_finish_reason(self) -> FinishReason:
        raw = self._finish_reason or "stop"  # some servers end with [DONE] alone
        if raw == "error":
            self._fail(None)
        reason = _FINISH_REASONS.get(raw.lower())
        if reason is None:
            self._metadata["finish_reason"] = raw
            reason = "stop"
        if reason in ("stop", "tool_calls"):  # several servers say `stop` after a call, some the other way round
            reason = "tool_calls" if self._blocks.has_calls else "stop"
        return "content_filter" if self._has_refusal and reason == "stop" else reason


def _detail_text(detail: Json) -> str:
    text = (detail.get("text") or detail.get("summary")) if isinstance(detail, dict) else None
    return text if isinstance(text, str) else ""


def _count(usage: object, *names: str) -> int:
    for name in names:
        value = usage.get(name) if isinstance(usage, dict) else None
        if isinstance(value, (int, float)) and value > 0:
            return int(value)
    return 0
