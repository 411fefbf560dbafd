"""The Messages format beyond the recordings: choices, bounds, opaque blocks and odd answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from limpet.errors import UnsupportedError, WireFormatError
from limpet.messages import ImagePart, Message, Part, ReasoningPart, TextPart, ToolCallPart
from limpet.model import Finish, ModelRequest, ToolSpec
from limpet.protocols.anthropic_messages import AnthropicMessages, AnthropicReader
from limpet.protocols.wire_protocol import AnswerContext
from limpet.wire import JsonObject

MODEL = "anthropic:claude"
TOOL = ToolSpec("look", "Look.", {"type": "object", "properties": {}})


def render(request: ModelRequest, **settings: Any) -> dict[str, Any]:
    return dict(AnthropicMessages(**settings).render(request, model="claude", model_id=MODEL).body)


def ask(*parts: Part, model: str = MODEL) -> ModelRequest:
    return ModelRequest((Message.user("Go."), Message("assistant", parts, model=model), Message.user("On.")))


def read(*events: dict[str, Any]) -> list[Any]:
    reader = AnthropicReader(AnswerContext("anthropic", "claude", lambda: "made"))
    data = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return [*reader.feed(data.encode()), *reader.close()]


@pytest.mark.parametrize(
    ("choice", "expected"), [("auto", None), ("none", {"type": "none"}), ("required", {"type": "any"})]
)
def test_tool_choice(choice: Any, expected: object) -> None:
    body = render(ModelRequest((Message.user("Go."),), tools=(TOOL,), tool_choice=choice))

    assert body.get("tool_choice") == expected


def test_max_tokens_is_always_sent() -> None:
    assert render(ModelRequest((Message.user("Go."),)), max_tokens=99)["max_tokens"] == 99


def test_extra_is_merged_into_what_is_there() -> None:
    request = ModelRequest(
        (Message.user("Go."),), (TOOL,), "required", extra={"tool_choice": {"name": "x"}, "top_k": 3}
    )

    body = render(request)

    assert body["tool_choice"] == {"type": "any", "name": "x"}
    assert body["top_k"] == 3


def test_a_service_may_want_the_version_in_the_body_and_the_model_in_the_path() -> None:
    protocol = AnthropicMessages(path="/models/{model}:streamRawPredict", body_version="vertex-2023-10-16", headers={})

    rendered = protocol.render(ModelRequest((Message.user("Go."),)), model="claude@1", model_id=MODEL)

    assert rendered.path == "/models/claude%401:streamRawPredict"
    assert rendered.headers == {}
    assert "model" not in rendered.body
    assert rendered.body["anthropic_version"] == "vertex-2023-10-16"


def test_opaque_blocks_go_back_in_their_place_to_their_own_model_only() -> None:
    block = {"type": "redacted_thinking", "data": "ZGF0YQ=="}
    parts = (ReasoningPart("", {"block": block}), TextPart("Hm.", {"citations": [{"type": "x"}]}))

    own, other = (render(ask(*parts, model=model))["messages"][1] for model in (MODEL, "anthropic:another"))

    assert own["content"] == [block, {"type": "text", "text": "Hm.", "citations": [{"type": "x"}]}]
    assert other["content"] == [{"type": "text", "text": "Hm."}]


def test_what_would_be_an_empty_turn_is_left_out() -> None:
    body = render(ask(ReasoningPart("unsigned"), TextPart(" \n")))

    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Go."}, {"type": "text", "text": "On."}]}
    ]


def test_a_picture_by_address() -> None:
    request = ModelRequest((Message("user", (ImagePart(url="https://host/egg.png"),)),))

    assert render(request)["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "url", "url": "https://host/egg.png"}}
    ]


def test_broken_arguments_go_back_as_none() -> None:
    content = render(ask(ToolCallPart("1", "look", "[1")))["messages"][1]["content"]

    assert content == [{"type": "tool_use", "id": "1", "name": "look", "input": {}}]


@pytest.mark.parametrize(
    ("reason", "finish_reason", "is_kept"),
    [
        ("end_turn", "stop", False),
        ("stop_sequence", "stop", False),
        ("pause_turn", "stop", True),
        ("something_new", "stop", True),
        ("max_tokens", "length", False),
        ("model_context_window_exceeded", "length", False),
        ("refusal", "content_filter", False),
    ],
)
def test_stop_reasons(reason: str, finish_reason: str, is_kept: bool) -> None:
    finish = read(
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Eggs."}},
        {"type": "message_delta", "delta": {"stop_reason": reason}},
    )[-1]

    assert isinstance(finish, Finish)
    assert finish.finish_reason == finish_reason
    assert finish.provider_metadata == ({"stop_reason": reason} if is_kept else None)


@pytest.mark.parametrize(
    "events",
    [
        [{"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}}],
        [{"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "id": "1", "input": {}}}],
    ],
    ids=["arguments of no call", "a call without a name"],
)
def test_a_call_without_a_name_is_a_broken_answer(events: list[dict[str, Any]]) -> None:
    with pytest.raises(WireFormatError):
        read(*events, {"type": "message_delta", "delta": {"stop_reason": "tool_use"}})


@pytest.mark.parametrize(
    "event",
    [
        {"type": "message_start", "message": None},
        {"type": "content_block_start", "index": None, "content_block": []},
        {"type": "content_block_delta", "index": "0", "delta": {"type": "text_delta", "text": None}},
        {"type": "content_block_stop"},
        {"type": "message_delta", "usage": {"input_tokens": "many", "output_tokens": -1}},
    ],
)
def test_fields_of_a_wrong_kind_are_skipped(event: dict[str, Any]) -> None:
    deltas = read(event, {"type": "message_delta", "delta": {"stop_reason": "end_turn"}})

    assert deltas == [Finish("stop")]


def test_a_schema_of_the_answer_is_sent() -> None:
    schema: JsonObject = {"type": "object", "properties": {"n": {"type": "integer"}}}

    body = render(ModelRequest((Message.user("Go."),), output_schema=schema))

    closed = {**schema, "additionalProperties": False}
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": closed}}


@pytest.mark.parametrize(
    ("model", "is_refused"),
    [
        ("claude-sonnet-4-5", False),
        ("claude-sonnet-4-5-20250929", False),
        ("claude-3-5-haiku-20241022", False),
        ("claude-sonnet-4-20250514", False),
        ("claude-opus-4-7", True),
        ("claude-opus-5", True),
        ("claude-sonnet-5-5@20260901", True),
    ],
)
def test_a_temperature_is_refused_where_the_model_takes_none(model: str, is_refused: bool) -> None:
    request = ModelRequest((Message.user("Go."),), temperature=0.5)
    protocol = AnthropicMessages()

    if is_refused:
        with pytest.raises(UnsupportedError, match="temperature"):
            protocol.render(request, model=model, model_id=MODEL)
    else:
        assert protocol.render(request, model=model, model_id=MODEL).body["temperature"] == 0.5


def test_a_thought_that_led_to_nothing_is_left_out() -> None:
    thought = ReasoningPart("Hm.", {"signature": "c2ln"})

    messages = render(ask(TextPart("Eggs."), thought, ReasoningPart("", {"block": {"type": "redacted_thinking"}})))

    assert messages["messages"][1]["content"] == [{"type": "text", "text": "Eggs."}]
