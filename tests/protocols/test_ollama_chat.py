"""Ollama's chat format beyond the recordings: choices, options, ends and odd lines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from limpet.errors import UnsupportedError, WireFormatError
from limpet.events import TextDelta, ToolCallEnd
from limpet.messages import ImagePart, Message
from limpet.model import Finish, ModelRequest, ToolSpec
from limpet.protocols.ollama_chat import OllamaChat, OllamaReader
from limpet.protocols.wire_protocol import AnswerContext

GO = (Message.user("Go."),)
TOOL = ToolSpec("look", "Look.", {"type": "object", "properties": {}})


def render(request: ModelRequest) -> dict[str, Any]:
    return dict(OllamaChat().render(request, model="m", model_id="ollama:m").body)


def read(*lines: Any) -> list[Any]:
    reader = OllamaReader(AnswerContext("ollama", "m", lambda: "made"))
    data = "".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines)
    return [*reader.feed(data.encode()), *reader.close()]


@pytest.mark.parametrize(("choice", "has_tools"), [("auto", True), ("required", True), ("none", False)])
def test_tools_are_left_out_when_none_may_be_called(choice: Any, has_tools: bool) -> None:
    assert ("tools" in render(ModelRequest(GO, (TOOL,), choice))) == has_tools


def test_bounds_and_a_schema_and_more_have_their_fields() -> None:
    body = render(
        ModelRequest(
            GO, max_output_tokens=9, output_schema={"type": "object"}, extra={"options": {"seed": 1}, "think": True}
        )
    )

    assert body["options"] == {"num_predict": 9, "seed": 1}
    assert body["format"] == {"type": "object"}
    assert body["think"] is True


def test_a_picture_by_address_cannot_be_sent() -> None:
    with pytest.raises(UnsupportedError):
        render(ModelRequest((Message("user", (ImagePart(url="https://host/egg.png"),)),)))


@pytest.mark.parametrize(
    ("reason", "finish_reason", "metadata"),
    [
        ("stop", "stop", None),
        (None, "stop", None),
        ("length", "length", None),
        ("unload", "stop", {"done_reason": "unload"}),
    ],
)
def test_ends(reason: str | None, finish_reason: str, metadata: Any) -> None:
    finish = read({"message": {"content": "Hi"}, "done": True, "done_reason": reason})[-1]

    assert finish == Finish(finish_reason, provider_metadata=metadata)  # type: ignore[arg-type]


def test_two_calls_with_one_index_are_two() -> None:
    line = {"message": {"tool_calls": [{"function": {"index": 0, "name": "look", "arguments": {}}}]}}

    deltas = read(line, line, {"done": True})

    assert [delta.name for delta in deltas if isinstance(delta, ToolCallEnd)] == ["look", "look"]


@pytest.mark.parametrize("line", ["not JSON", '["a list"]', "7", "<html>", "data: {}"])
def test_a_line_that_is_no_object_is_a_broken_answer(line: str) -> None:
    with pytest.raises(WireFormatError):
        read(line)


def test_the_last_line_needs_no_end() -> None:
    reader = OllamaReader(AnswerContext("ollama", "m", lambda: "made"))

    deltas = [*reader.feed(b'\r\n{"message": {"content": "Hi"}, "done": true}'), *reader.close()]

    assert TextDelta("text-0", "Hi") in deltas


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    reader = OllamaReader(AnswerContext("ollama", "m", lambda: "made"))

    list(reader.feed(b"x" * 20_000_000))

    with pytest.raises(WireFormatError, match="line of more than"):
        list(reader.feed(b"x" * 20_000_000))


def test_probabilities_are_kept() -> None:
    lines = [{"message": {"content": text}, "logprobs": [{"token": text, "logprob": -0.5}]} for text in ("a", "b")]

    assert read(*lines, {"done": True})[-1] == Finish(
        "stop", provider_metadata={"logprobs": [{"token": text, "logprob": -0.5} for text in ("a", "b")]}
    )
