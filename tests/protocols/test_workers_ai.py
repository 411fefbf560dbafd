"""The format of Workers AI beyond the recordings: what is sent, both kinds of answer, its own error codes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from limpet.errors import AuthenticationError, ModelError, ModelUnavailableError, RateLimitError, WireFormatError
from limpet.events import TextDelta, TextEnd, TextStart, ToolCallEnd, Usage
from limpet.messages import Message, ToolCallPart
from limpet.model import Finish, ModelRequest
from limpet.protocols.wire_protocol import AnswerContext
from limpet.protocols.workers_ai import WorkersAI, WorkersReader

GO = (Message.user("Go."),)


def read(*data: Any, has_end: bool = True) -> list[Any]:
    reader = WorkersAI().read_answer(AnswerContext("workers_ai", "m", lambda: "made"))
    assert isinstance(reader, WorkersReader)
    body = "".join(f"data: {json.dumps(item)}\n\n" for item in data) + ("data: [DONE]\n\n" if has_end else "")
    return [*reader.feed(body.encode()), *reader.close()]


def read_whole(data: Any) -> list[Any]:
    reader = WorkersAI().read_answer(AnswerContext("workers_ai", "m", lambda: "made"))
    return [*reader.feed(json.dumps(data).encode()), *reader.close()]


def test_the_name_stands_in_the_path_and_an_empty_content_is_a_text() -> None:
    call = Message("assistant", (ToolCallPart("1", "look", "{}"),))

    rendered = WorkersAI().render(ModelRequest((*GO, call)), model="@cf/a b/c", model_id="workers_ai:@cf/a b/c")

    assert rendered.path == "/run/@cf/a%20b/c"
    assert "model" not in rendered.body
    assert [message["content"] for message in rendered.body["messages"]] == [  # type: ignore[index, union-attr, call-overload]
        "Go.",
        "",
        "Error: the call was not run",
    ]


def test_what_must_fit_a_schema_is_not_streamed() -> None:
    body = WorkersAI().render(ModelRequest(GO, output_schema={"type": "object"}), model="m", model_id="x:m").body

    assert body["stream"] is False
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"type": "object"}}


def test_an_older_models_answer_ends_with_its_mark_only() -> None:
    assert read({"response": "Hi"}) == [*read({"response": "Hi"})[:-1], Finish("stop")]
    with pytest.raises(WireFormatError, match="broke off"):
        read({"response": "Hi"}, {"response": "", "usage": {"prompt_tokens": 1}}, has_end=False)


def test_a_complete_answer_of_a_newer_model() -> None:
    choice = {"index": 0, "message": {"content": "Hi"}, "finish_reason": "length"}

    deltas = read_whole({"success": True, "result": {"choices": [choice]}})

    assert TextDelta("text-0", "Hi") in deltas
    assert deltas[-1] == Finish("length")


def test_calls_of_the_other_shape_are_read_too() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}

    assert ToolCallEnd("1", "look", "{}") in read({"response": None, "tool_calls": [call]})


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, 5007, ModelUnavailableError),
        (400, 7000, ModelUnavailableError),
        (403, 3036, RateLimitError),
        (500, 1, ModelUnavailableError),
    ],
)
def test_its_own_codes(status: int, code: int, error: type[ModelError]) -> None:
    body = {"success": False, "errors": [{"code": code, "message": "as the test says"}]}

    made = WorkersAI().read_error(status, {}, json.dumps(body).encode(), provider="workers_ai", model="m", now=0.0)

    assert type(made) is error


@pytest.mark.parametrize(
    ("code", "error"),
    [(5007, ModelUnavailableError), (3036, RateLimitError), (3040, RateLimitError), (3023, AuthenticationError)],
)
def test_the_bindings_errors_tell_their_code_only(code: int, error: type[ModelError]) -> None:
    body = json.dumps({"internalCode": code, "name": "InferenceUpstreamError", "description": "as the test says"})

    made = WorkersAI().read_error(500, {}, body.encode(), provider="workers_ai", model="m", now=0.0)

    assert type(made) is error


def test_the_bindings_complete_answer_has_no_envelope() -> None:
    assert read_whole({"response": "Hi", "usage": {"prompt_tokens": 2}}) == [
        TextStart("text-0"),
        TextDelta("text-0", "Hi"),
        TextEnd("text-0"),
        Finish("stop", Usage(input_tokens=2)),
    ]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"errors": []}', b'{"errors": ["x"]}', b'{"errors": {"a": 1}}'])
def test_error_bodies_of_another_shape(body: bytes) -> None:
    assert isinstance(WorkersAI().read_error(500, {}, body, provider="p", model="m", now=0.0), ModelUnavailableError)


def test_an_error_within_an_envelope() -> None:
    with pytest.raises(ModelError):
        read_whole({"success": False, "result": None, "errors": [{"code": 1, "message": "no"}]})
