from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet.errors import WireError
from limpet.messages import (
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    message_from_wire,
    message_to_wire,
    part_from_wire,
    part_to_wire,
)
from tests.wire_values import PARTS, all_messages, field_hints, values_of

SECRET = "hunter2"
SAMPLES: list[Part] = [
    TextPart("a", {"b": 1}),
    ReasoningPart("a"),
    ImagePart("image/png", "AAAA"),
    ToolCallPart("1", "set_timer", "{}"),
    ToolResultPart("1", "set_timer", {"a": None}, is_error=True),
]


def test_there_is_a_sample_of_each_part() -> None:
    assert [type(sample) for sample in SAMPLES] == list(PARTS)


@pytest.mark.parametrize("cls", PARTS, ids=lambda cls: cls.type)
@given(st.data())
def test_parts_survive_json(cls: type[Part], values: st.DataObject) -> None:
    part = values.draw(values_of(cls))

    assert part_from_wire(json.loads(json.dumps(part_to_wire(part)))) == part


@given(all_messages)
def test_messages_survive_json(message: Message) -> None:
    assert message_from_wire(json.loads(json.dumps(message_to_wire(message)))) == message


def test_a_message_looks_like_this() -> None:
    message = Message("assistant", (TextPart("Ten."), ToolCallPart("1", "set_timer", "{}")), model="local:needle")

    assert message_to_wire(message) == {
        "role": "assistant",
        "parts": [
            {"type": "text", "text": "Ten."},
            {"type": "tool_call", "id": "1", "name": "set_timer", "arguments": "{}"},
        ],
        "model": "local:needle",
    }


def test_parts_of_a_message_are_found_by_kind() -> None:
    message = Message("assistant", (TextPart("a"), SAMPLES[3], SAMPLES[4], TextPart("b")))

    assert message.text == "ab"
    assert message.tool_calls == (SAMPLES[3],)
    assert message.tool_results == (SAMPLES[4],)


def test_short_ways_to_make_a_message() -> None:
    assert Message.user("a") == Message("user", (TextPart("a"),))
    assert Message.system("a") == Message("system", (TextPart("a"),))
    assert Message.assistant("a", model="x:y") == Message("assistant", (TextPart("a"),), "x:y")


def test_messages_of_a_newer_version_are_read() -> None:
    data = {"role": "user", "parts": [{"type": "text", "text": "a", "color": 1}], "color": 2}

    assert message_from_wire(data) == Message.user("a")


FIELDS = [(sample, name) for sample in SAMPLES for name in field_hints(type(sample))]


@pytest.mark.parametrize(("sample", "name"), FIELDS, ids=[f"{sample.type}-{name}" for sample, name in FIELDS])
def test_a_wrong_field_of_a_part_is_named_without_its_value(sample: Part, name: str) -> None:
    data: dict[str, Any] = {**part_to_wire(sample), name: {SECRET}}  # a set fits nowhere

    with pytest.raises(WireError, match=f"'{name}'") as caught:
        part_from_wire(data)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, "a message must be a JSON object, not NoneType"),
        ({"parts": []}, "a message lacks the field 'role'"),
        ({"role": SECRET, "parts": []}, "the field 'role' must be Role"),
        ({"role": "user"}, "a message needs a list of parts"),
        ({"role": "user", "parts": SECRET}, "a message needs a list of parts"),
        ({"role": "user", "parts": [SECRET]}, "a part needs a 'type' of text, reasoning"),
        ({"role": "user", "parts": [{"type": SECRET}]}, "a part needs a 'type' of text, reasoning"),
        ({"role": "user", "parts": [{"type": "text"}]}, "a text part lacks the field 'text'"),
        ({"role": "user", "parts": [], "model": [SECRET]}, "the field 'model' must be str | None"),
    ],
)
def test_a_wrong_message_is_refused_without_its_values(data: object, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        message_from_wire(data)

    assert reason in caught.value.message
    assert SECRET not in caught.value.message
