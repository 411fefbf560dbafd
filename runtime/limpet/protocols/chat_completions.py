"""The chat-completions format: OpenAI's, and what the many servers that imitate it make of it.

`render_request` makes the body, `AnswerParser` turns the bytes of the answer into deltas, streamed or complete; which
of the two it is shows at its first character. Where imitators differ in what they want to be sent, a `Dialect` says so;
what they answer is read in every variant, so that no server's name is needed for it.
Source: the API reference of OpenAI, and the documents and recorded answers of the servers named at each oddity.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import ModelError, PolicyRefusalError, WireFormatError
from ..events import Usage
from ..messages import ImagePart, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from ..model import Finish, ModelRequest
from ..sse import EventParser, ServerEvent
from ..wire import FinishReason, Json, JsonObject
from .blocks import Block, BlockWriter
from .http_errors import error_from_body, error_from_response
from .wire_protocol import AnswerContext, RenderedRequest, quote_segment

PATH = "/chat/completions"
MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""How large a complete (not streamed) answer may be."""

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
    """What a server wants to be sent. `reasoning_field` is where it wants the model's earlier reasoning back."""

    max_tokens_field: str = "max_tokens"
    has_stream_options: bool = True
    reasoning_field: str | None = None


@dataclass(frozen=True, slots=True)
class ChatCompletions:
    """The format as a `WireProtocol`. A `{model}` in the path is replaced by the model's name, as Azure wants it."""

    dialect: Dialect = Dialect()
    path: str = PATH

    def render(self, request: ModelRequest, *, model: str, model_id: str) -> RenderedRequest:
        """Make what asks `model` for a streamed answer."""
        body = render_request(request, model=model, model_id=model_id, dialect=self.dialect)
        return RenderedRequest(self.path.replace("{model}", quote_segment(model)), body)

    def read_answer(self, context: AnswerContext) -> AnswerParser:
        """Begin to read an answer."""
        return AnswerParser(
            provider=context.provider, model=context.model, new_id=context.new_id, taken_ids=context.taken_ids
        )

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
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
            for tool in request.tools
        ]
        if request.tool_choice != "auto":
            body["tool_choice"] = request.tool_choice
    if request.output_schema is not None:
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": request.output_schema},
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
        details = [part.provider_metadata.get(dialect.reasoning_field) for part in reasoning if part.provider_metadata]
        opaque = [item for detail in details if isinstance(detail, list) for item in detail]
        if opaque:
            rendered[dialect.reasoning_field] = opaque
        elif reasoning and dialect.reasoning_field != "reasoning_details":
            rendered[dialect.reasoning_field] = "".join(part.text for part in reasoning)
    if dialect.reasoning_field == "reasoning_content" and message.tool_calls:
        # DeepSeek and Moonshot refuse a call without the field, also one that another model made.
        rendered.setdefault("reasoning_content", "")
    return rendered


def _render_call(call: ToolCallPart, is_own: bool) -> JsonObject:
    # Broken arguments are kept in the conversation, but many servers parse them and refuse the whole request.
    arguments = call.arguments if isinstance(_read_json(call.arguments), dict) else "{}"
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


class AnswerParser:
    """Reads one answer, streamed or complete, from bytes that may be cut anywhere; lives as long as the response.

    `provider` and `model` are for the texts of errors. `new_id` makes ids for calls that come without one, or with one
    of `taken_ids`, those that the conversation has already.
    """

    def __init__(
        self, *, provider: str, model: str, new_id: Callable[[], str], taken_ids: Collection[str] = ()
    ) -> None:
        self._provider = provider
        self._model = model
        self._events = EventParser()
        self._complete: bytearray | None = None
        self._has_begun = False
        self._blocks = BlockWriter(new_id=new_id, taken_ids=taken_ids)
        self._has_refusal = False
        self._reasoning_details: list[Json] = []
        self._finish_reason: str | None = None
        self._usage = Usage()
        self._metadata: JsonObject = {}
        self.is_done = False
        """Whether the server said that nothing more will come."""

    @property
    def is_finished(self) -> bool:
        """Whether all of the answer is there: only numbers may still come."""
        return self.is_done or self._finish_reason is not None

    def feed(self, piece: bytes) -> Iterator[Block]:
        """Yield what `piece` completes; exhaust it before the next call. Raises `ModelError`."""
        if not self._has_begun:
            first = piece.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
            self._has_begun = bool(first)
            if first == b"<":
                raise self._broken("answered with a web page; check the base URL")
            if first in (b"{", b"["):
                self._complete = bytearray()
        if self._complete is not None:
            self._complete += piece
            if len(self._complete) > MAX_ANSWER_BYTES:
                raise self._broken(f"sent an answer of more than {MAX_ANSWER_BYTES} bytes")
            return
        for event in self._events.feed(piece):
            yield from self._read_event(event)

    def close(self) -> Iterator[Block | Finish]:
        """Yield what the end of the bytes leaves open, and `Finish`.

        Raises `WireFormatError` when the answer broke off, `PolicyRefusalError` when a filter left nothing of it.
        """
        if self._complete is not None:
            data = _read_json(bytes(self._complete))
            if not isinstance(data, dict):
                raise self._broken("sent an answer that is not whole JSON")
            yield from self._read_chunk(data)
            if self._finish_reason is None and not self._blocks.has_blocks:
                raise self._broken("sent JSON without an answer in it")
            self.is_done = True
        for event in self._events.close():
            yield from self._read_event(event, is_last=True)
        if not self.is_finished:
            raise self._broken("broke off in the middle of its answer")
        if self._finish_reason is None and not self._blocks.has_blocks:
            raise self._broken("sent no answer")
        yield from self._blocks.close()
        finish_reason = self._read_finish_reason()
        if finish_reason == "content_filter" and not self._blocks.has_blocks:
            raise PolicyRefusalError(
                f"{self._provider}:{self._model}: the provider's policy left nothing of the answer",
                provider=self._provider,
                model=self._model,
            )
        yield Finish(finish_reason, self._usage, self._metadata or None)

    def _broken(self, says: str) -> WireFormatError:
        return WireFormatError(
            f"{self._provider}:{self._model}: the server {says}", provider=self._provider, model=self._model
        )

    # --- the stream ---

    def _read_event(self, event: ServerEvent, *, is_last: bool = False) -> Iterator[Block]:
        data = event.data.strip()
        if self.is_done or not data:
            return
        if data == "[DONE]":
            self.is_done = True
            return
        chunk = _read_json(data)
        if chunk is _BROKEN:
            if "\n" in data:  # some gateways forget the blank lines between events
                for line in data.split("\n"):
                    yield from self._read_event(ServerEvent(line, event.name), is_last=is_last)
                return
            if event.name not in ("message", "error"):
                return  # some other server's invention
            raise self._broken("broke off in the middle of an event" if is_last else "sent an event that is not JSON")
        if event.name == "error":
            raise error_from_body(chunk, status=None, provider=self._provider, model=self._model)
        if isinstance(chunk, dict):
            yield from self._read_chunk(chunk)

    def _read_chunk(self, chunk: Mapping[str, Json]) -> Iterator[Block]:
        if chunk.get("error") or chunk.get("object") == "error":  # the latter is vLLM's
            raise error_from_body(chunk, status=None, provider=self._provider, model=self._model)
        for name in ("id", "model", "provider", "system_fingerprint", "service_tier"):
            value = chunk.get(name)
            if isinstance(value, str) and value and name not in self._metadata:
                self._metadata[name] = value
        for name in ("citations", "search_results"):  # Perplexity, in each chunk
            if isinstance(chunk.get(name), list):
                self._metadata[name] = chunk[name]
        self._read_usage(chunk)
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and choice.get("index") in (0, None):
                yield from self._read_choice(choice)

    def _read_choice(self, choice: Mapping[str, Json]) -> Iterator[Block]:
        if choice.get("error"):  # OpenRouter, when the provider behind it fails half-way
            raise error_from_body(choice, status=None, provider=self._provider, model=self._model)
        delta = choice.get("delta")
        if not delta and not self._blocks.has_blocks:  # else it may be the whole once more
            delta = choice.get("message")
        if isinstance(delta, dict):
            yield from self._read_delta(delta)
            annotations = delta.get("annotations")
            if isinstance(annotations, list):
                cited = [note for note in annotations if isinstance(note, dict) and note.get("type") == "url_citation"]
                self._gather("annotations", cited)
        probabilities = choice.get("logprobs")
        for name, values in probabilities.items() if isinstance(probabilities, dict) else ():
            if name in ("content", "refusal") and isinstance(values, list):
                self._gather("logprobs", values)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self._finish_reason = reason

    def _gather(self, name: str, values: Sequence[Json]) -> None:
        known = self._metadata.setdefault(name, []) if values else None
        if isinstance(known, list):
            known.extend(values)

    def _read_delta(self, delta: Mapping[str, Json]) -> Iterator[Block]:
        # `reasoning_content` is DeepSeek's, llama.cpp's and LM Studio's word, `reasoning` OpenRouter's, Groq's and
        # Ollama's; vLLM has sent both with the same text.
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        details = delta.get("reasoning_details")
        metadata: JsonObject | None = None
        if isinstance(details, list) and details:
            reasoning = reasoning or "".join(_detail_text(detail) for detail in details)
            self._merge_details(details)
            metadata = {"reasoning_details": list(self._reasoning_details)}
        yield from self._blocks.reasoning(reasoning if isinstance(reasoning, str) else "", metadata)
        content = delta.get("content")
        if isinstance(content, str):
            yield from self._blocks.text(content)
        elif isinstance(content, list):
            yield from self._read_parts(content)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._has_refusal = True
            yield from self._blocks.text(refusal, {"refusal": True})
        calls = delta.get("tool_calls")
        calls = calls if isinstance(calls, list) else []
        for position, call in enumerate(calls):
            if isinstance(call, dict):
                yield from self._read_call(call, position if len(calls) > 1 else None)

    def _read_parts(self, parts: Sequence[Json]) -> Iterator[Block]:
        """Read content that is a list of parts, as Mistral sends it when it thinks."""
        for part in parts:
            if not isinstance(part, dict):
                continue
            text, thinking = part.get("text"), part.get("thinking")
            if isinstance(text, str):
                yield from self._blocks.text(text)
            for thought in thinking if isinstance(thinking, list) else (thinking,):
                words = thought.get("text") if isinstance(thought, dict) else thought
                if isinstance(words, str):
                    yield from self._blocks.reasoning(words)

    def _read_call(self, call: Mapping[str, Json], position: int | None) -> Iterator[Block]:
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        index, id, name, arguments = call.get("index"), call.get("id"), function.get("name"), function.get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)  # some servers send the object itself
        # Gemini wants the signature of its thoughts back with the call.
        metadata: JsonObject = {key: call[key] for key in ("extra_content",) if call.get(key)}
        return self._blocks.call(
            index=index if isinstance(index, int) else position,
            id=id if isinstance(id, str) else "",
            name=name if isinstance(name, str) else "",
            arguments=arguments or "",
            metadata=metadata,
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

    def _read_finish_reason(self) -> FinishReason:
        raw = self._finish_reason or "stop"  # some servers end with [DONE] alone
        if raw == "error":
            raise error_from_body(None, status=None, provider=self._provider, model=self._model)
        reason = _FINISH_REASONS.get(raw.lower())
        if reason is None:
            self._metadata["finish_reason"] = raw
            reason = "stop"
        if reason in ("stop", "tool_calls"):  # several servers say `stop` after a call, some the other way round
            reason = "tool_calls" if self._blocks.has_calls else "stop"
        return "content_filter" if self._has_refusal and reason == "stop" else reason


_BROKEN = object()


def _read_json(text: str | bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _BROKEN


def _detail_text(detail: Json) -> str:
    text = (detail.get("text") or detail.get("summary")) if isinstance(detail, dict) else None
    return text if isinstance(text, str) else ""


def _count(usage: object, *names: str) -> int:
    for name in names:
        value = usage.get(name) if isinstance(usage, dict) else None
        if isinstance(value, (int, float)) and value > 0:
            return int(value)
    return 0
