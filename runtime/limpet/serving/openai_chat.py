"""Chat completions from the server's side: requests in OpenAI's shape to ours, and answers back.

`ChatChunks` makes a stream of chunks of a model's deltas or a run's events, which are the same classes. `whole_answer`
joins them again. Source: the API reference of OpenAI, "Chat Completions", and what its Python client accepts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..events import (
    Event,
    ReasoningDelta,
    RunEnd,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    TurnReset,
    Usage,
)
from ..messages import ImagePart, Message, Part, TextPart, ToolCallPart, ToolResultPart
from ..model import Delta, Finish, ModelRequest, ToolSpec
from ..wire import JsonObject
from .http import HttpError, sse
from .reading import as_object, bad, read_flag, read_image, read_list, read_number, read_text, read_whole

ToolChoice = Literal["auto", "none", "required"]
MOST_MESSAGES = 2000
MOST_TOOLS = 128
# Sent to a provider as they are; what else a client sends is not passed on.
_PASSED = ("top_p", "stop", "seed", "presence_penalty", "frequency_penalty", "reasoning_effort", "logit_bias")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request in OpenAI's shape, read."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: ToolChoice = "auto"
    is_stream: bool = False
    includes_usage: bool = False
    max_output_tokens: int | None = None
    temperature: float | None = None
    output_schema: JsonObject | None = None
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def for_model(self) -> ModelRequest:
        """The request as our models take it."""
        return ModelRequest(
            self.messages,
            self.tools,
            tool_choice=self.tool_choice,
            max_output_tokens=self.max_output_tokens,
            temperature=self.temperature,
            extra=self.extra,
            output_schema=self.output_schema,
        )


def read_chat_request(data: JsonObject) -> ChatRequest:
    """Read a request. Raises `HttpError` naming the field that is wrong, or that can't be done here."""
    if (data.get("n") or 1) != 1:
        raise HttpError(400, "unsupported", "n: there is one answer to a request")
    for name in ("audio", "functions", "function_call", "logprobs", "prediction"):
        if data.get(name):
            raise HttpError(400, "unsupported", f"{name} is not supported")
    options = data.get("stream_options")
    return ChatRequest(
        model=read_text(data, "model"),
        messages=read_messages(read_list(data, "messages", is_needed=True)),
        tools=_read_tools(read_list(data, "tools")),
        tool_choice=_read_tool_choice(data.get("tool_choice")),
        is_stream=read_flag(data, "stream"),
        includes_usage=options is not None and read_flag(as_object(options, "stream_options"), "include_usage"),
        max_output_tokens=(
            read_whole(data, "max_completion_tokens", 1, 1_000_000) or read_whole(data, "max_tokens", 1, 1_000_000)
        ),
        temperature=read_number(data, "temperature", 0, 2),
        output_schema=_read_response_format(data.get("response_format")),
        extra={name: data[name] for name in _PASSED if data.get(name) is not None},
    )


def read_messages(items: Sequence[object]) -> tuple[Message, ...]:
    """Read the messages; the results of tools in a row become one message."""
    if len(items) > MOST_MESSAGES:
        bad("messages", f"at most {MOST_MESSAGES} messages")
    messages: list[Message] = []
    names: dict[str, str] = {}
    for index, item in enumerate(items):
        where = f"messages[{index}]"
        data = as_object(item, where)
        match data.get("role"):
            case "system" | "developer":
                messages.append(Message("system", _read_content(data.get("content"), where)))
            case "user":
                messages.append(Message("user", _read_content(data.get("content"), where)))
            case "assistant":
                message = _read_answer(data, where)
                names.update((call.id, call.name) for call in message.tool_calls)
                messages.append(message)
            case "tool":
                result = _read_result(data, where, names)
                if messages and messages[-1].role == "tool":
                    messages[-1] = Message("tool", (*messages[-1].parts, result))
                else:
                    messages.append(Message("tool", (result,)))
            case _:
                bad(f"{where}.role", "system, developer, user, assistant or tool")
    return tuple(messages)


def _read_content(content: object, where: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    if not isinstance(content, list) or not content:
        bad(f"{where}.content", "a text or a list of parts")
    parts: list[Part] = []
    for number, item in enumerate(content):
        at = f"{where}.content[{number}]"
        part = as_object(item, at)
        match part.get("type"):
            case "text":
                parts.append(TextPart(read_text(part, "text")))
            case "image_url":
                parts.append(read_image(as_object(part.get("image_url"), f"{at}.image_url").get("url"), f"{at}.url"))
            case _:
                bad(f"{at}.type", "text or image_url")
    return tuple(parts)


def _read_answer(data: JsonObject, where: str) -> Message:
    content = data.get("content")
    parts: list[Part] = [] if content is None else list(_read_content(content, where))
    if any(isinstance(part, ImagePart) for part in parts):
        bad(f"{where}.content", "a text")
    for number, item in enumerate(read_list(data, "tool_calls")):
        at = f"{where}.tool_calls[{number}]"
        call = as_object(item, at)
        function = as_object(call.get("function"), f"{at}.function")
        parts.append(ToolCallPart(read_text(call, "id"), read_text(function, "name"), read_text(function, "arguments")))
    return Message("assistant", tuple(part for part in parts if part != TextPart("")))


def _read_result(data: JsonObject, where: str, names: Mapping[str, str]) -> ToolResultPart:
    id = read_text(data, "tool_call_id")
    if id not in names:
        bad(f"{where}.tool_call_id", "the id of a call in a message before it")
    content = "".join(part.text for part in _read_content(data.get("content"), where) if isinstance(part, TextPart))
    return ToolResultPart(id, names[id], content)


def _read_tools(items: Sequence[object]) -> tuple[ToolSpec, ...]:
    if len(items) > MOST_TOOLS:
        bad("tools", f"at most {MOST_TOOLS} tools")
    tools = []
    for index, item in enumerate(items):
        where = f"tools[{index}]"
        tool = as_object(item, where)
        if tool.get("type") != "function":
            bad(f"{where}.type", "function")
        tools.append(read_tool(as_object(tool.get("function"), f"{where}.function"), f"{where}.function"))
    return tuple(tools)


def read_tool(data: JsonObject, where: str) -> ToolSpec:
    """Read what a client says of a tool of its own."""
    parameters = data.get("parameters")
    return ToolSpec(
        read_name(data.get("name"), f"{where}.name"),
        read_text(data, "description", ""),
        {"type": "object", "properties": {}} if parameters is None else as_object(parameters, f"{where}.parameters"),
    )


def read_name(value: object, field: str) -> str:
    """Read the name of a tool."""
    if not isinstance(value, str) or not 1 <= len(value) <= 64 or not value.replace("-", "_").isidentifier():
        bad(field, "1 to 64 letters, digits, _ or -, the first no digit")
    return value


def _read_tool_choice(value: object) -> ToolChoice:
    match value:
        case None | "auto":
            return "auto"
        case "none":
            return "none"
        case "required" | {"type": "function"}:
            return "required"
    return bad("tool_choice", "auto, none, required or a function")


def _read_response_format(value: object) -> JsonObject | None:
    if value is None:
        return None
    data = as_object(value, "response_format")
    match data.get("type"):
        case "text":
            return None
        case "json_object":
            return {"type": "object"}
        case "json_schema":
            schema = as_object(data.get("json_schema"), "response_format.json_schema").get("schema")
            return as_object(schema, "response_format.json_schema.schema")
    return bad("response_format.type", "text, json_object or json_schema")


_MARK = "the words"
_MARK_JSON = b'"the words"'


class ChatChunks:
    """Turns one answer's deltas or events into chunks; lives as long as the answer.

    Of a run only the calls in `shown` are told, those of the client's own tools: the others have been run here.
    """

    def __init__(
        self, id: str, model: str, created: int, *, includes_usage: bool = False, shown: frozenset[str] | None = None
    ) -> None:
        self._head: JsonObject = {"id": id, "object": "chat.completion.chunk", "created": created, "model": model}
        self._includes_usage = includes_usage
        # Most chunks are words, so all but the words is written once: it takes a quarter of the time.
        before, _, after = sse(self._chunk({"content": _MARK}, None)).partition(_MARK_JSON)
        self._before, self._after = before, after
        self._shown = shown
        self._calls: dict[str, int] = {}
        self._has_begun = False
        self.usage = Usage()

    def add(self, item: Delta | Event) -> bytes:
        """Give the chunks for a delta or an event, as server-sent events."""
        if isinstance(item, TextDelta) and self._has_begun:
            return b"%s%s%s" % (self._before, json.dumps(item.text).encode(), self._after)
        return b"".join(map(sse, self._chunks(item)))

    def _chunks(self, item: Delta | Event) -> list[JsonObject]:
        match item:
            case TextDelta():
                return self._delta({"content": item.text})
            case ReasoningDelta():
                return self._delta({"reasoning_content": item.text})
            case ToolCallStart() if self._shown is None or item.name in self._shown:
                index = self._calls[item.call_id] = len(self._calls)
                function: JsonObject = {"name": item.name, "arguments": ""}
                call: JsonObject = {"index": index, "id": item.call_id, "type": "function", "function": function}
                return self._delta({"tool_calls": [call]})
            case ToolCallDelta() if item.call_id in self._calls:
                piece: JsonObject = {"index": self._calls[item.call_id], "function": {"arguments": item.arguments}}
                return self._delta({"tool_calls": [piece]})
            case Finish():
                self.usage = item.usage
                return self._finish("tool_calls" if self._calls else item.finish_reason)
            case RunEnd():
                self.usage = item.usage
                reason = "stop" if item.finish_reason in ("cancelled", "stopped", "tool_calls") else item.finish_reason
                return self._finish("tool_calls" if self._calls else reason)
        return []

    def _delta(self, delta: JsonObject) -> list[JsonObject]:
        chunks = []
        if not self._has_begun:
            self._has_begun = True
            chunks.append(self._chunk({"role": "assistant", "content": ""}, None))
        chunks.append(self._chunk(delta, None))
        return chunks

    def _finish(self, reason: str) -> list[JsonObject]:
        chunks = [] if self._has_begun else self._delta({"content": ""})
        chunks.append(self._chunk({}, reason))
        if self._includes_usage:
            chunks.append({**self._head, "choices": [], "usage": usage_json(self.usage)})
        return chunks

    def _chunk(self, delta: JsonObject, reason: str | None) -> JsonObject:
        chunk: JsonObject = {
            **self._head,
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}],
        }
        if self._includes_usage:
            chunk["usage"] = None
        return chunk


class WholeAnswer:
    """Joins one answer's deltas or events into the answer that a client gets who doesn't stream."""

    def __init__(self, id: str, model: str, created: int, *, shown: frozenset[str] | None = None) -> None:
        self._head: JsonObject = {"id": id, "object": "chat.completion", "created": created, "model": model}
        self._shown = shown
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._calls: list[JsonObject] = []
        self._reason = "stop"
        self.usage = Usage()

    def add(self, item: Delta | Event) -> None:
        """Take a delta or an event."""
        match item:
            case TextDelta():
                self._texts.append(item.text)
            case ReasoningDelta():
                self._thoughts.append(item.text)
            case ToolCallEnd() if self._shown is None or item.name in self._shown:
                function: JsonObject = {"name": item.name, "arguments": item.arguments}
                self._calls.append({"id": item.call_id, "type": "function", "function": function})
            case TurnReset():
                self._texts.clear()
                self._calls.clear()
            case Finish() | RunEnd():
                self.usage = item.usage
                self._reason = item.finish_reason

    def json(self) -> JsonObject:
        """Give the answer."""
        message: JsonObject = {"role": "assistant", "content": "".join(self._texts) or None, "refusal": None}
        reason = "stop" if self._reason in ("cancelled", "stopped", "tool_calls") else self._reason
        if self._thoughts:
            message["reasoning_content"] = "".join(self._thoughts)
        if self._calls:
            message["tool_calls"] = list(self._calls)
            reason = "tool_calls"
        elif not self._texts:
            message["content"] = ""
        choice: JsonObject = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        return {**self._head, "choices": [choice], "usage": usage_json(self.usage)}


def usage_json(usage: Usage) -> JsonObject:
    """Give a usage in OpenAI's words."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A request for vectors, read."""

    model: str
    texts: tuple[str, ...]
    is_base64: bool = False


def read_embedding_request(data: JsonObject) -> EmbeddingRequest:
    """Read a request for embeddings. Raises `HttpError`; token ids in the place of texts are refused."""
    value = data.get("input")
    texts = [value] if isinstance(value, str) else value
    if (
        not isinstance(texts, list)
        or not 1 <= len(texts) <= 2048
        or not all(isinstance(it, str) and it for it in texts)
    ):
        bad("input", "a text, or a list of 1 to 2048 texts, none of them empty")
    encoding = read_text(data, "encoding_format", "float")
    if encoding not in ("float", "base64"):
        bad("encoding_format", "float or base64")
    return EmbeddingRequest(read_text(data, "model"), tuple(texts), encoding == "base64")  # type: ignore[arg-type]


def arguments_json(text: str) -> object:
    """Read a call's arguments; None when they are no JSON."""
    try:
        return json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
