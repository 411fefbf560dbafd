"""The generateContent format of Google's Gemini, as the Gemini API and Vertex AI speak it.

Source: Google's API reference ("Generating content", "Function calling", "Thought signatures", "Errors") and the types
of its Python library 3.4.

Each event is a part of one answer; there is no end mark, the reason why it ended comes with the last piece. A part may
be signed, and goes back signed, as a part of its own: signed text is therefore a block of its own, too. Parts that only
the service understands (code that it ran, pictures) are kept as reasoning, whole in `provider_metadata["part"]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import ModelError
from ..events import Usage
from ..messages import ImagePart, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from ..model import Finish, ModelRequest, ToolSpec
from ..wire import FinishReason, Json, JsonObject
from .gemini_schema import to_gemini_schema
from .http_errors import error_from_response
from .json_answer import JsonAnswerReader, as_count, as_list, as_object, as_text, read_json
from .schema_dialects import GEMINI, render_output
from .turns import NOT_RUN, open_calls, own_metadata, read_arguments, result_text, system_text, with_extra
from .wire_protocol import AnswerContext, RenderedRequest, quote_segment

PATH = "/models/{model}:streamGenerateContent?alt=sse"

UNSIGNED = "skip_thought_signature_validator"
"""What stands for the signature of a call that another model made; from Gemini 3 on, the first call needs one."""
_WANTS_SIGNATURE = re.compile(r"gemini-(?:[3-9]|[1-9]\d)")

_MODES = {"none": "NONE", "required": "ANY"}
_FINISH_REASONS: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
# The model tried to call a tool and failed to write it down.
_BROKEN_CALLS = ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE")
_SECONDS = re.compile(r"(\d{1,9}(?:\.\d+)?)s", re.ASCII)


@dataclass(frozen=True, slots=True)
class Gemini:
    """The format as a `WireProtocol`. In the path, `{model}` stands for the model's name."""

    path: str = PATH

    def render(self, request: ModelRequest, *, model: str, model_id: str) -> RenderedRequest:
        """Make what asks `model` for a streamed answer."""
        body: dict[str, object] = {}
        system = system_text(request.messages)
        if system:
            body["systemInstruction"] = {"parts": [{"text": system}]}
        body["contents"] = _render_contents(request.messages, model_id, _WANTS_SIGNATURE.search(model) is not None)
        if request.tools:
            body["tools"] = [{"functionDeclarations": [_render_tool(tool) for tool in request.tools]}]
            if request.tool_choice != "auto":
                body["toolConfig"] = {"functionCallingConfig": {"mode": _MODES[request.tool_choice]}}
        settings = _render_settings(request)
        if settings:
            body["generationConfig"] = settings
        path = self.path.replace("{model}", quote_segment(model.removeprefix("models/")))
        return RenderedRequest(path, with_extra(body, request))

    def read_answer(self, context: AnswerContext) -> GeminiReader:
        """Begin to read an answer."""
        return GeminiReader(context)

    def read_error(
        self, status: int, headers: Mapping[str, str], body: bytes, *, provider: str, model: str, now: float
    ) -> ModelError:
        """Make the error that a refusal stands for. How long to wait is told in the body, not in a header."""
        error = error_from_response(status, headers, body, provider=provider, model=model, now=now)
        if error.retry_after_seconds is None:
            error.retry_after_seconds = _retry_delay(read_json(body))
        return error


def _render_settings(request: ModelRequest) -> dict[str, object]:
    settings: dict[str, object] = {}
    if request.max_output_tokens is not None:
        settings["maxOutputTokens"] = request.max_output_tokens
    if request.temperature is not None:
        settings["temperature"] = request.temperature
    if request.output_schema is not None:
        schema, _ = render_output(request.output_schema, GEMINI)
        settings |= {"responseMimeType": "application/json", "responseJsonSchema": schema}
    return settings


def _render_tool(tool: ToolSpec) -> JsonObject:
    rendered: JsonObject = {"name": tool.name, "description": tool.description}
    if tool.parameters.get("properties"):  # an object without properties is refused
        rendered["parameters"] = to_gemini_schema(tool.parameters)
    return rendered


def _render_contents(messages: Sequence[Message], model_id: str, wants_signature: bool) -> list[Json]:
    unanswered = open_calls(messages)
    # The server's own names of calls; those that we made up are not sent.
    call_ids: dict[str, Json] = {}
    contents: list[Json] = []
    left_open: list[Json] = []
    for message in messages:
        if message.role == "system":
            continue
        is_own = message.model == model_id
        for call in message.tool_calls:
            call_ids[call.id] = own_metadata(call, is_own).get("id")
        if left_open and message.role != "tool":
            contents.append({"role": "user", "parts": left_open})
            left_open = []
        parts = [*_render_parts(message, is_own=is_own, call_ids=call_ids), *left_open]
        if message.role == "assistant" and wants_signature:
            _sign_first_call(parts)
        # All results of one answer must stand in one content, those of calls left open, too.
        left_open = [
            _response(call.name, call_ids[call.id], {"error": NOT_RUN})
            for call in message.tool_calls
            if call.id in unanswered
        ]
        if parts:
            contents.append({"role": "model" if message.role == "assistant" else "user", "parts": parts})
    return [*contents, {"role": "user", "parts": left_open}] if left_open else contents


def _render_parts(message: Message, *, is_own: bool, call_ids: Mapping[str, Json]) -> list[Json]:
    parts: list[Json] = []
    for part in message.parts:
        match part:
            case TextPart() | ReasoningPart():
                metadata = own_metadata(part, is_own)
                signature = metadata.get("thoughtSignature")
                if metadata.get("part"):
                    parts.append(metadata["part"])
                elif signature or (part.text and isinstance(part, TextPart)):
                    thought: JsonObject = {"thought": True} if isinstance(part, ReasoningPart) else {}
                    parts.append(_signed({"text": part.text, **thought}, signature))
            case ImagePart():
                parts.append(_render_image(part))
            case ToolCallPart():
                call: JsonObject = {"name": part.name, "args": read_arguments(part)}
                if call_ids[part.id]:
                    call["id"] = call_ids[part.id]
                parts.append(_signed({"functionCall": call}, own_metadata(part, is_own).get("thoughtSignature")))
            case ToolResultPart():
                content = result_text(part) if part.is_error else part.content
                parts.append(
                    _response(part.name, call_ids.get(part.id), {"error" if part.is_error else "output": content})
                )
    return parts


def _signed(part: JsonObject, signature: Json) -> JsonObject:
    return {**part, "thoughtSignature": signature} if signature else part


def _sign_first_call(parts: list[Json]) -> None:
    for part in parts:
        if isinstance(part, dict) and "functionCall" in part:
            part.setdefault("thoughtSignature", UNSIGNED)
            return


def _response(name: str, id: Json, response: JsonObject) -> JsonObject:
    rendered: JsonObject = {"name": name, "response": response}
    return {"functionResponse": {**rendered, "id": id} if id else rendered}


def _render_image(part: ImagePart) -> JsonObject:
    if part.url:
        media_type: JsonObject = {"mimeType": part.media_type} if part.media_type else {}
        return {"fileData": {**media_type, "fileUri": part.url}}
    return {"inlineData": {"mimeType": part.media_type, "data": part.data}}


def _retry_delay(body: object) -> float | None:
    error = as_object(as_object(body[0] if isinstance(body, list) and body else body).get("error"))
    for detail in as_list(error.get("details")):
        match = _SECONDS.fullmatch(as_text(as_object(detail).get("retryDelay")))
        if match is not None:
            return float(match[1])
    return None


class GeminiReader(JsonAnswerReader):
    """Reads one answer; lives as long as the response."""

    def __init__(self, context: AnswerContext) -> None:
        super().__init__(context)
        self._finish_reason = ""
        self._usage: JsonObject = {}
        self._calls = 0

    def _is_ended(self) -> bool:
        return bool(self._finish_reason)

    def _read_complete(self, data: object) -> None:
        # Without `alt=sse` a stream is one array of its pieces.
        for piece in data if isinstance(data, list) else (data,):
            self._read_event("message", as_object(piece))

    def _read_event(self, name: str, data: JsonObject) -> None:
        if "error" in data:
            self._fail(data)
        if data.get("modelVersion"):
            self._metadata["model"] = data["modelVersion"]
        if data.get("responseId"):
            self._metadata["id"] = data["responseId"]
        # The last one counts: each piece brings the sums so far.
        self._usage = as_object(data.get("usageMetadata")) or self._usage
        blocked = as_text(as_object(data.get("promptFeedback")).get("blockReason"))
        if blocked:
            known = f" ({blocked})" if re.fullmatch(r"[A-Z_]{1,40}", blocked) else ""
            raise self._refused(f"the provider's policy blocked the request{known}")
        for candidate in map(as_object, as_list(data.get("candidates"))):
            if candidate.get("index", 0) == 0:
                self._read_candidate(candidate)

    def _read_candidate(self, candidate: JsonObject) -> None:
        for part in as_list(as_object(candidate.get("content")).get("parts")):
            self._read_part(as_object(part))
        for name in ("groundingMetadata", "urlContextMetadata"):  # the last piece has the whole
            if candidate.get(name):
                self._metadata[name] = candidate[name]
        for name in ("citationMetadata", "logprobsResult"):  # each piece has its own
            self._gather(name, as_object(candidate.get(name)))
        self._finish_reason = as_text(candidate.get("finishReason")) or self._finish_reason

    def _gather(self, name: str, lists: JsonObject) -> None:
        """Append the lists of an object to those of the pieces before."""
        known = as_object(self._metadata.setdefault(name, {})) if lists else {}
        for key, values in lists.items():
            known[key] = [*as_list(known.get(key)), *values] if isinstance(values, list) else values

    def _read_part(self, part: JsonObject) -> None:
        signature = part.get("thoughtSignature")
        metadata: JsonObject | None = {"thoughtSignature": signature} if signature else None
        call = part.get("functionCall")
        if isinstance(call, dict):
            self._read_call(call, metadata or {})
            return
        text = part.get("text")
        is_words = isinstance(text, str)
        if metadata is not None or not is_words:
            self._blocks.end_block()
        if not is_words:
            if part:
                self._blocks.reasoning("", {"part": part})
        elif part.get("thought"):
            self._blocks.reasoning(as_text(text), metadata)
        else:
            self._blocks.text(as_text(text), metadata)
        if metadata is not None or not is_words:
            self._blocks.end_block()

    def _read_call(self, call: JsonObject, metadata: JsonObject) -> None:
        arguments, id = call.get("args"), as_text(call.get("id"))
        if id:
            metadata["id"] = id
        self._calls += 1
        self._blocks.call(
            index=self._calls,
            id=id,
            name=as_text(call.get("name")),
            arguments="" if arguments is None else json.dumps(arguments, ensure_ascii=False),
            metadata=metadata,
        )
        self._blocks.end_block()

    def _finish(self) -> Finish:
        raw = self._finish_reason
        if raw in _BROKEN_CALLS:
            raise self._context.broken("says that the model's call of a tool can't be read")
        reason = _FINISH_REASONS.get(raw)
        if reason is None:
            if not self._blocks.has_blocks:
                raise self._context.broken("ended its answer before it began")
            self._metadata["finish_reason"] = raw
        if reason in (None, "stop"):
            reason = self._reason_after_stop()
        thoughts = as_count(self._usage.get("thoughtsTokenCount"))
        usage = Usage(
            input_tokens=as_count(self._usage.get("promptTokenCount"))
            + as_count(self._usage.get("toolUsePromptTokenCount")),
            output_tokens=as_count(self._usage.get("candidatesTokenCount")) + thoughts,
            cached_tokens=as_count(self._usage.get("cachedContentTokenCount")),
            reasoning_tokens=thoughts,
        )
        return Finish(reason, usage, self._metadata or None)
