"""The Responses format beyond the recordings: what imitators leave out, parallel items, what goes back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from limpet.errors import ModelUnavailableError, WireFormatError
from limpet.events import ReasoningEnd, TextDelta, TextEnd, ToolCallEnd
from limpet.messages import Message, Part, ReasoningPart, TextPart, ToolCallPart
from limpet.model import Finish, ModelRequest
from limpet.protocols.responses import Responses, ResponsesReader
from limpet.protocols.wire_protocol import AnswerContext
from limpet.wire import JsonObject

MODEL = "openai:gpt-5"
COMPLETED = {"type": "response.completed", "response": {"status": "completed", "output": []}}


def render(*parts: Part, name: str = "gpt-5", model: str = MODEL, **settings: Any) -> dict[str, Any]:
    request = ModelRequest((Message.user("Go."), Message("assistant", parts, model=model)))
    return dict(Responses(**settings).render(request, model=name, model_id=MODEL).body)


def read(*events: dict[str, Any]) -> list[Any]:
    reader = ResponsesReader(AnswerContext("openai", "gpt-5", lambda: "made"))
    data = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return [*reader.feed(data.encode()), *reader.close()]


@pytest.mark.parametrize(
    ("name", "is_asked"),
    [
        ("gpt-5-mini", True),
        ("o3", True),
        ("openai/gpt-oss-120b", True),
        ("gpt-5.1-codex", True),
        ("gpt-4o", False),
        ("gpt-5-chat-latest", False),
        ("turbo1", False),
    ],
)
def test_encrypted_thoughts_are_asked_of_models_that_think(name: str, is_asked: bool) -> None:
    assert ("include" in render(name=name)) is is_asked


def test_whether_a_model_thinks_can_be_set() -> None:
    assert "include" not in render(has_encrypted_reasoning=False)
    assert "include" in render(name="my-deployment", has_encrypted_reasoning=True)


def test_only_the_same_model_gets_its_items_back() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}
    parts = (
        ReasoningPart("", {"item": item}),
        TextPart("One.", {"id": "msg_1"}),
        TextPart("No.", {"id": "msg_1", "refusal": True}),
    )

    own, other = (render(*parts, model=model)["input"][1:] for model in (MODEL, "openai:gpt-4o"))

    assert own == [
        item,
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [
                {"type": "output_text", "text": "One.", "annotations": []},
                {"type": "refusal", "refusal": "No."},
            ],
        },
    ]
    assert other == [{"role": "assistant", "content": "One."}, {"role": "assistant", "content": "No."}]


def test_broken_arguments_go_back_as_none() -> None:
    call, output = render(ToolCallPart("1", "look", '{"a'))["input"][1:]

    assert call == {"type": "function_call", "call_id": "1", "name": "look", "arguments": "{}"}
    assert output["type"] == "function_call_output"


def test_an_answer_only_in_the_last_event_is_read() -> None:
    output = [
        {"type": "reasoning", "id": "r", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {"type": "message", "content": [{"type": "output_text", "text": "Eggs."}]},
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
    ]

    deltas = read({"type": "response.completed", "response": {"output": output}})

    assert [delta.text for delta in deltas if isinstance(delta, TextDelta)] == ["Eggs."]
    assert ToolCallEnd("c", "look", "{}") in deltas
    assert deltas[-1] == Finish("tool_calls")


def test_nothing_is_said_twice_when_the_whole_follows_the_deltas() -> None:
    item = {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Eggs."}]}
    call = {"type": "function_call", "call_id": "c", "name": "look", "arguments": '{"a": 1}'}
    thought = {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Hm."}]}

    deltas = read(
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "Hm."},
        {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "Eggs."},
        {"type": "response.output_item.added", "output_index": 2, "item": {**call, "arguments": ""}},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"a": 1}'},
        {"type": "response.completed", "response": {"status": "completed", "output": [thought, item, call]}},
    )

    assert [delta.text for delta in deltas if isinstance(delta, TextDelta)] == ["Eggs."]
    assert [delta.arguments for delta in deltas if isinstance(delta, ToolCallEnd)] == ['{"a": 1}']
    assert sum(isinstance(delta, TextEnd) for delta in deltas) == 1


def test_arguments_that_come_only_at_their_end() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "look", "arguments": ""}

    deltas = read(
        {"type": "response.output_item.added", "output_index": 0, "item": call},
        {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": '{"a": 1}'},
        {"type": "response.output_item.done", "output_index": 0, "item": {**call, "arguments": '{"a": 1}'}},
        COMPLETED,
    )

    assert [delta for delta in deltas if isinstance(delta, ToolCallEnd)] == [ToolCallEnd("c", "look", '{"a": 1}')]


def test_calls_written_in_parallel_come_one_after_the_other() -> None:
    def added(index: int, id: str) -> dict[str, Any]:
        item = {"type": "function_call", "call_id": id, "name": "look"}
        return {"type": "response.output_item.added", "output_index": index, "item": item}

    def piece(index: int, text: str) -> dict[str, Any]:
        return {"type": "response.function_call_arguments.delta", "output_index": index, "delta": text}

    deltas = read(
        added(0, "a"), added(1, "b"), piece(1, '{"n"'), piece(0, '{"n": '), piece(1, ": 2}"), piece(0, "1}"), COMPLETED
    )

    assert [delta for delta in deltas if isinstance(delta, ToolCallEnd)] == [
        ToolCallEnd("a", "look", '{"n": 1}'),
        ToolCallEnd("b", "look", '{"n": 2}'),
    ]


def test_log_probabilities_are_kept_with_the_text() -> None:
    one, two = {"token": "Eg", "logprob": -0.1}, {"token": "gs", "logprob": -0.2}

    deltas = read(
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Eg", "logprobs": [one]},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "gs", "logprobs": [two]},
        COMPLETED,
    )

    assert [delta.provider_metadata for delta in deltas if isinstance(delta, TextEnd)] == [{"logprobs": [one, two]}]


def test_fields_that_are_refused_when_they_come_back_are_left_out() -> None:
    item = {"type": "reasoning", "id": "r", "summary": [], "status": "completed", "content": None}

    deltas = read({"type": "response.output_item.done", "output_index": 0, "item": item}, COMPLETED)

    ends = [delta for delta in deltas if isinstance(delta, ReasoningEnd)]
    assert ends == [
        ReasoningEnd("reasoning-0", {"item": {"type": "reasoning", "id": "r", "summary": []}}),
    ]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_an_answer_that_failed_is_an_error(status: str) -> None:
    with pytest.raises(ModelUnavailableError):
        read(
            {"type": f"response.{status}", "response": {"status": status}},
            {**COMPLETED, "response": {"status": status}},
        )


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.output_item.added", "output_index": 0, "item": "message"},
        {"type": "response.output_item.done", "item": {"type": "message", "content": [None, "text"]}},
        {"type": "response.output_text.delta", "delta": None},
        {"type": "response.output_text.annotation.added", "annotation": {}},
        {"type": "response.created", "response": None},
    ],
)
def test_fields_of_a_wrong_kind_are_skipped(event: dict[str, Any]) -> None:
    assert read(event, COMPLETED) == [Finish("stop")]


def test_json_without_an_answer_is_a_broken_answer() -> None:
    reader = ResponsesReader(AnswerContext("openai", "gpt-5", lambda: "made"))

    with pytest.raises(WireFormatError):
        [*reader.feed(b'{"hello": "there"}'), *reader.close()]


def test_a_schema_of_the_answer_is_sent() -> None:
    request = ModelRequest((Message.user("Go."),), output_schema={"type": "object"})

    body = Responses().render(request, model="gpt-5", model_id=MODEL).body

    assert body["text"] == {"format": {"type": "json_schema", "name": "answer", "schema": {"type": "object"}}}


def test_a_schema_that_can_be_closed_is_sent_strict() -> None:
    schema: JsonObject = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    request = ModelRequest((Message.user("Go."),), output_schema=schema)

    body = Responses().render(request, model="m", model_id=MODEL).body

    closed = {**schema, "additionalProperties": False}
    assert body["text"] == {"format": {"type": "json_schema", "name": "answer", "schema": closed, "strict": True}}


def test_a_thought_that_led_to_nothing_is_left_out() -> None:
    item = {"type": "reasoning", "id": "rs_1", "summary": []}

    items = render(ReasoningPart("", {"item": item}), TextPart("Eggs."), ReasoningPart("", {"item": item}))["input"]

    assert items[1:] == [item, {"role": "assistant", "content": "Eggs."}]
