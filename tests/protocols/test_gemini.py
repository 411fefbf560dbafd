"""The generateContent format beyond the recordings: signatures, ids, settings, and odd answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from limpet.errors import ModelUnavailableError, PolicyRefusalError, RateLimitError, WireFormatError
from limpet.events import ReasoningEnd, TextEnd, ToolCallEnd
from limpet.messages import ImagePart, Message, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from limpet.model import Finish, ModelRequest, ToolSpec
from limpet.protocols.gemini import UNSIGNED, Gemini, GeminiReader
from limpet.protocols.wire_protocol import AnswerContext

MODEL = "gemini:gemini-2.5-flash"


def render(request: ModelRequest, *, model: str = "gemini-2.5-flash") -> dict[str, Any]:
    return dict(Gemini().render(request, model=model, model_id=f"gemini:{model}").body)


def contents(*parts: Part, results: tuple[Part, ...] = (), model: str = "gemini-2.5-flash") -> list[Any]:
    messages = [Message.user("Go."), Message("assistant", parts, model=MODEL)]
    if results:
        messages.append(Message("tool", results))
    return list(render(ModelRequest(tuple(messages)), model=model)["contents"][1:])


def read(*parts: dict[str, Any], finish: str | None = "STOP", **more: Any) -> list[Any]:
    reader = GeminiReader(AnswerContext("gemini", "gemini-2.5-flash", iter("abcdef").__next__))
    candidate: dict[str, Any] = {"content": {"parts": list(parts)}}
    if finish is not None:
        candidate["finishReason"] = finish
    data = f"data: {json.dumps({'candidates': [candidate], **more})}\n\n"
    return [*reader.feed(data.encode()), *reader.close()]


def test_a_name_may_have_the_prefix_of_googles_lists() -> None:
    rendered = Gemini().render(ModelRequest((Message.user("Go."),)), model="models/gemini-pro", model_id=MODEL)

    assert rendered.path == "/models/gemini-pro:streamGenerateContent?alt=sse"
    assert rendered.body == {"contents": [{"role": "user", "parts": [{"text": "Go."}]}]}


def test_settings_have_a_place_of_their_own_and_extra_joins_them() -> None:
    request = ModelRequest(
        (Message.user("Go."),),
        max_output_tokens=9,
        output_schema={"type": "object"},
        extra={"generationConfig": {"topK": 3}, "safetySettings": []},
    )

    body = render(request)

    assert body["generationConfig"] == {
        "maxOutputTokens": 9,
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object"},
        "topK": 3,
    }
    assert body["safetySettings"] == []


def test_a_tool_without_parameters_has_none() -> None:
    tool = ToolSpec("look", "Look.", {"type": "object", "properties": {}})

    body = render(ModelRequest((Message.user("Go."),), tools=(tool,), tool_choice="required"))

    assert body["tools"] == [{"functionDeclarations": [{"name": "look", "description": "Look."}]}]
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}


@pytest.mark.parametrize(
    ("model", "signature"),
    [("gemini-2.5-flash", None), ("gemini-3-pro-preview", UNSIGNED), ("gemini-3.1-flash", UNSIGNED)],
)
def test_calls_of_other_models_are_signed_where_that_is_needed(model: str, signature: str | None) -> None:
    parts = contents(ToolCallPart("1", "look", "{}"), ToolCallPart("2", "look", "{}"), model=model)[0]["parts"]

    assert [part.get("thoughtSignature") for part in parts] == [signature, None]


def test_ids_that_the_server_gave_go_back_and_those_we_made_do_not() -> None:
    given = ToolCallPart("ours-1", "look", "{}", {"id": "theirs-1"})
    calls, results = contents(
        given,
        ToolCallPart("ours-2", "look", "{}"),
        results=(ToolResultPart("ours-1", "look", [1]), ToolResultPart("ours-2", "look", "no", is_error=True)),
    )

    assert [part["functionCall"] for part in calls["parts"]] == [
        {"name": "look", "args": {}, "id": "theirs-1"},
        {"name": "look", "args": {}},
    ]
    assert [part["functionResponse"] for part in results["parts"]] == [
        {"name": "look", "response": {"output": [1]}, "id": "theirs-1"},
        {"name": "look", "response": {"error": "no"}},
    ]


def test_a_call_left_open_is_answered_beside_the_others() -> None:
    _, results = contents(
        ToolCallPart("1", "look", "{}"),
        ToolCallPart("2", "look", "{}"),
        results=(ToolResultPart("1", "look", "yes"),),
    )

    assert [part["functionResponse"]["response"] for part in results["parts"]] == [
        {"output": "yes"},
        {"error": "Error: the call was not run"},
    ]


def test_a_call_left_open_at_the_end_is_answered() -> None:
    assert [content["role"] for content in contents(ToolCallPart("1", "look", "{}"))] == ["model", "user"]


def test_signed_and_opaque_parts_go_back_in_their_place() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}

    (content,) = contents(
        ReasoningPart("unsigned"),
        ReasoningPart("", {"part": code}),
        TextPart("Hm."),
        TextPart("", {"thoughtSignature": "c2ln"}),
    )

    assert content["parts"] == [code, {"text": "Hm."}, {"text": "", "thoughtSignature": "c2ln"}]


@pytest.mark.parametrize("media_type", ["", "image/png"])
def test_a_picture_by_address(media_type: str) -> None:
    request = ModelRequest((Message("user", (ImagePart(media_type=media_type, url="https://host/egg.png"),)),))

    known = {"mimeType": media_type} if media_type else {}
    assert render(request)["contents"][0]["parts"] == [{"fileData": {**known, "fileUri": "https://host/egg.png"}}]


def test_signed_text_is_a_block_of_its_own() -> None:
    deltas = read(
        {"text": "Eggs "},
        {"text": "take", "thoughtSignature": "YQ=="},
        {"text": " ten"},
        {"text": "Hm.", "thought": True, "thoughtSignature": "Yg=="},
    )

    ends = [delta.provider_metadata for delta in deltas if isinstance(delta, (TextEnd, ReasoningEnd))]
    assert ends == [None, {"thoughtSignature": "YQ=="}, None, {"thoughtSignature": "Yg=="}]


def test_two_calls_of_the_same_tool_stay_two() -> None:
    call = {"functionCall": {"name": "look", "args": {}}}

    deltas = read(call, call)

    assert [delta.call_id for delta in deltas if isinstance(delta, ToolCallEnd)] == ["a", "b"]


@pytest.mark.parametrize(
    ("finish", "expected"),
    [("STOP", "stop"), ("MAX_TOKENS", "length"), ("RECITATION", "content_filter"), ("OTHER", "stop"), ("NEW", "stop")],
)
def test_finish_reasons(finish: str, expected: str) -> None:
    end = read({"text": "Eggs."}, finish=finish)[-1]

    assert isinstance(end, Finish)
    assert end.finish_reason == expected


@pytest.mark.parametrize("finish", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", None])
def test_an_answer_that_can_not_be_read(finish: str | None) -> None:
    with pytest.raises(WireFormatError):
        read({"text": "Eggs."}, finish=finish)


def test_what_blocked_a_request_is_told_only_as_a_word() -> None:
    with pytest.raises(PolicyRefusalError) as caught:
        read(promptFeedback={"blockReason": "because you said: secret"})

    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.074824224s"}], 34.074824224),
        ([{"retryDelay": "soon"}, "text"], None),
        (None, None),
    ],
)
def test_how_long_to_wait_is_in_the_body(details: object, expected: float | None) -> None:
    body = json.dumps([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": details}}]).encode()

    error = Gemini().read_error(429, {}, body, provider="gemini", model="m", now=0.0)

    assert isinstance(error, RateLimitError)
    assert error.retry_after_seconds == expected


def test_an_error_that_is_no_json_is_one_by_its_status() -> None:
    error = Gemini().read_error(502, {}, b"<html>", provider="gemini", model="m", now=0.0)

    assert isinstance(error, ModelUnavailableError)


@pytest.mark.parametrize("part", [{}, None, {"text": None}, {"functionCall": None}])
def test_odd_parts_break_nothing(part: Any) -> None:
    assert isinstance(read(part)[-1], Finish)
