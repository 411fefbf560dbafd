"""Ollama's own chat format, streamed as one JSON object a line.

Source: Ollama's API reference ("Generate a chat completion", "Tool calling", "Thinking", "Structured outputs",
"Errors"). Arguments are objects, not text. The format can't demand a call: `tool_choice` "required" is sent as "auto".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import ModelError, UnsupportedError
from ..events import Usage
from ..messages import ImagePart, Message, ReasoningPart
from ..model import Finish, ModelRequest
from ..wire import Json, JsonObject
from .http_errors import error_from_response
from .json_answer import MAX_ANSWER_BYTES, JsonAnswerReader, as_count, as_list, as_object, as_text, read_json
from .schema_dialects import LLAMA_CPP, render_output
from .turns import NOT_RUN, open_calls, read_arguments, result_text, with_extra
from .wire_protocol import AnswerContext, RenderedRequest


@dataclass(frozen=True, slots=True)
class OllamaChat:
    """The format as a `WireProtocol`."""

    def render(self, request: ModelRequest, *, model: str, model_id: str) -> RenderedRequest:
        """Make what asks `model` for a streamed answer. Raises `UnsupportedError` for a picture by its address."""
        body: dict[str, object] = {
            "model": model,
            "messages": _render_messages(request.messages, model_id),
            "stream": True,
        }
        if request.tools and request.tool_choice != "none":
            body["tools"] = [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
                }
                for tool in request.tools
            ]
        if request.output_schema is not None:
            body["format"], _ = render_output(request.output_schema, LLAMA_CPP)
        options = {"num_predict": request.max_output_tokens, "temperature": request.temperature}
        if any(option is not None for option in options.values()):
            body["options"] = {name: option for name, option in options.items() if option is not None}
        return RenderedRequest("/api/chat", with_extra(body, request))

    def read_answer(self, context: AnswerContext) -> OllamaReader:
        """Begin to read an answer."""
        return OllamaReader(context)

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
            rendered.append(_tool_result(result.name, f"Error: {text}" if result.is_error else text))
        if message.role == "tool":
            continue
        fields: JsonObject = {"role": message.role, "content": message.text}
        images = [part for part in message.parts if isinstance(part, ImagePart)]
        if any(image.url for image in images):
            raise UnsupportedError(f"{model_id} sees pictures sent with the message only, not those behind a URL")
        if images:
            fields["images"] = [image.data for image in images]
        if message.tool_calls:
            thoughts = "".join(part.text for part in message.parts if isinstance(part, ReasoningPart))
            if thoughts and message.model == model_id:
                fields["thinking"] = thoughts
            fields["tool_calls"] = [
                {"function": {"name": call.name, "arguments": read_arguments(call)}} for call in message.tool_calls
            ]
        rendered.append(fields)
        rendered += [_tool_result(call.name, NOT_RUN) for call in message.tool_calls if call.id in unanswered]
    return rendered


def _tool_result(name: str, text: str) -> JsonObject:
    return {"role": "tool", "tool_name": name, "content": text}


class OllamaReader(JsonAnswerReader):
    """Reads one answer; lives as long as the response."""

    def __init__(self, context: AnswerContext) -> None:
        super().__init__(context)
        self._line = bytearray()
        self._done_reason = ""
        self._usage = Usage()
        self._calls = 0
        self._logprobs: list[Json] = []

    def _feed(self, piece: bytes) -> None:
        self._line += piece
        if b"\n" not in piece:
            if len(self._line) > MAX_ANSWER_BYTES:
                raise self._context.broken(f"sent a line of more than {MAX_ANSWER_BYTES} bytes")
            return
        *lines, rest = self._line.split(b"\n")
        self._line = rest
        for line in lines:
            self._take_line(bytes(line), "sent a line that is not JSON")

    def _close(self) -> None:
        self._take_line(bytes(self._line), "broke off in the middle of a line")
        self._line.clear()
        super()._close()

    def _take_line(self, line: bytes, says: str) -> None:
        line = line.strip()
        if not line or self.is_done:
            return
        data = read_json(line)
        if isinstance(data, dict):
            self._keep_raw(data)
            self._read_event("", data)
        elif line.startswith(b"<"):
            raise self._context.broken("answered with a web page; check the base URL")
        elif line.startswith((b"data:", b"event:")):
            raise self._context.broken("speaks chat completions; end the base URL with /v1")
        else:
            raise self._context.broken(says)

    def _is_ended(self) -> bool:
        return bool(self._done_reason)

    def _read_event(self, name: str, data: JsonObject) -> None:
        if data.get("error"):
            self._fail(data)
        self._keep(data, "model")
        self._logprobs += as_list(data.get("logprobs"))
        message = as_object(data.get("message"))
        self._blocks.reasoning(as_text(message.get("thinking")))
        self._blocks.text(as_text(message.get("content")))
        for item in as_list(message.get("tool_calls")):
            call = as_object(item)
            function = as_object(call.get("function"))
            given = function.get("arguments")
            arguments = (
                given if isinstance(given, str) else "" if given is None else json.dumps(given, ensure_ascii=False)
            )
            # Each call comes whole, and its own index may be that of another one.
            self._blocks.call(
                index=self._calls, id=as_text(call.get("id")), name=as_text(function.get("name")), arguments=arguments
            )
            self._calls += 1
        if data.get("done") is True:
            self._done_reason = as_text(data.get("done_reason")) or "stop"
            self._usage = Usage(as_count(data.get("prompt_eval_count")), as_count(data.get("eval_count")))
            self.is_done = True

    def _finish(self) -> Finish:
        self._keep({"logprobs": self._logprobs}, "logprobs")
        if self._done_reason not in ("stop", "length"):
            self._metadata["done_reason"] = self._done_reason
        reason = "length" if self._done_reason == "length" else self._reason_after_stop()
        return Finish(reason, self._usage, self._metadata or None)
