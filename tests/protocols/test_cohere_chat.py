"""Cohere's chat format beyond the recordings: choices, bounds, ends and odd answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from limpet.errors import ModelUnavailableError, PolicyRefusalError, WireFormatError
from limpet.events import ReasoningEnd, TextEnd
from limpet.messages import Message, ReasoningPart, TextPart, ToolCallPart
from limpet.model import Finish, ModelRequest, ToolSpec
from limpet.protocols.cohere_chat import CohereChat, CohereReader
from limpet.protocols.wire_protocol import AnswerContext

GO = (Message.user("Go."),)
TOOL = ToolSpec("look", "Look.", {"type": "object", "properties": {}})


def render(request: ModelRequest) -> dict[str, Any]:
    return dict(CohereChat().render(request, model="m", model_id="cohere:m").body)


def make_reader() -> CohereReader:
    return CohereReader(AnswerContext("cohere", "m", lambda: "made"))


def read(*events: dict[str, Any]) -> list[Any]:
    reader = make_reader()
    data = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return [*reader.feed(data.encode()), *reader.close()]


def content(**fields: Any) -> dict[str, Any]:
    return {"type": "content-delta", "index": 0, "delta": {"message": {"content": fields}}}


def end(reason: str) -> dict[str, Any]:
    return {"type": "message-end", "delta": {"finish_reason": reason}}


@pytest.mark.parametrize(("choice", "expected"), [("auto", None), ("none", "NONE"), ("required", "REQUIRED")])
def test_tool_choice(choice: Any, expected: object) -> None:
    assert render(ModelRequest(GO, (TOOL,), choice)).get("tool_choice") == expected


def test_a_schema_has_its_field() -> None:
    body = render(ModelRequest(GO, output_schema={"type": "object"}))

    assert body["response_format"] == {"type": "json_object", "json_schema": {"type": "object"}}


def test_thoughts_go_back_to_their_own_model_only() -> None:
    parts = (ReasoningPart("Hm."), TextPart("Look."), ToolCallPart("1", "look", "[broken"))
    own, other = (
        render(ModelRequest((*GO, Message("assistant", parts, model=model))))["messages"][1]
        for model in ("cohere:m", "cohere:n")
    )

    assert own["content"] == [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Look."}]
    assert other["content"] == [{"type": "text", "text": "Look."}]
    assert own["tool_calls"][0]["function"]["arguments"] == "{}"


def test_a_plan_and_a_thought_are_kept_apart() -> None:
    deltas = read(
        content(thinking="Hm."),
        {"type": "content-end", "index": 0},
        {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I look."}}},
        end("COMPLETE"),
    )

    assert [delta for delta in deltas if isinstance(delta, ReasoningEnd)] == [
        ReasoningEnd("reasoning-0"),
        ReasoningEnd("reasoning-1", {"tool_plan": True}),
    ]


def test_each_text_has_its_own_citations() -> None:
    cite = {"type": "citation-start", "delta": {"message": {"citations": {"text": "Hi"}}}}
    stop = {"type": "content-end"}

    deltas = read(content(text="Hi"), cite, stop, content(text="Ho"), stop, end("COMPLETE"))

    assert [delta.provider_metadata for delta in deltas if isinstance(delta, TextEnd)] == [
        {"citations": [{"text": "Hi"}]},
        None,
    ]


@pytest.mark.parametrize(
    ("reason", "finish_reason", "metadata"),
    [
        ("COMPLETE", "stop", None),
        ("STOP_SEQUENCE", "stop", None),
        ("MAX_TOKENS", "length", None),
        ("ERROR_TOXIC", "content_filter", None),
        ("NEW", "stop", {"finish_reason": "NEW"}),
    ],
)
def test_ends(reason: str, finish_reason: str, metadata: Any) -> None:
    finish = read(content(text="Hi"), end(reason))[-1]

    assert finish == Finish(finish_reason, provider_metadata=metadata)  # type: ignore[arg-type]


def test_ends_that_are_errors() -> None:
    with pytest.raises(ModelUnavailableError):
        read(content(text="Hi"), end("ERROR"))
    with pytest.raises(PolicyRefusalError):
        read(end("ERROR_TOXIC"))


@pytest.mark.parametrize("body", ['{"message": "no such thing"}', '{"id": "x"}', "[]"])
def test_a_complete_answer_without_a_message_is_none(body: str) -> None:
    reader = make_reader()
    list(reader.feed(body.encode()))

    with pytest.raises((WireFormatError, ModelUnavailableError)):
        list(reader.close())


def test_probabilities_are_kept() -> None:
    values = {"token_ids": [1], "text": "Hi", "logprobs": [-0.5]}

    assert read({**content(text="Hi"), "logprobs": values}, end("COMPLETE"))[-1] == Finish(
        "stop", provider_metadata={"logprobs": [values]}
    )
