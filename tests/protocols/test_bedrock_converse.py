"""The Converse format beyond the recordings: choices, bounds, ends, errors and odd fields."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limpet.errors import (
    AuthenticationError,
    InvalidRequestError,
    ModelError,
    ModelUnavailableError,
    RateLimitError,
    WireFormatError,
)
from limpet.events import ModelStart, TextDelta, Usage
from limpet.messages import Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from limpet.model import Finish, ModelRequest, ToolSpec
from limpet.protocols.bedrock_converse import BedrockConverse, BedrockReader
from limpet.protocols.wire_protocol import AnswerContext
from limpet.wire import JsonObject
from tests.recordings.event_stream import encode_message
from tests.suites.stream_grammar import assert_stream

GO = (Message.user("Go."),)
TOOL = ToolSpec("look", "", {"type": "object", "properties": {}})
CALL = (Message("assistant", (ToolCallPart("1", "look", "{}"),)), Message("tool", (ToolResultPart("1", "look", "x"),)))


def render(request: ModelRequest) -> dict[str, Any]:
    return dict(BedrockConverse().render(request, model="m", model_id="bedrock:m").body)


def make_reader() -> BedrockReader:
    return BedrockReader(AnswerContext("bedrock", "m", lambda: "made"))


def event(name: str, data: Any, kind: str = "event") -> bytes:
    return encode_message({f":{kind}-type": name, ":message-type": kind}, json.dumps(data).encode())


def read(*events: bytes) -> list[Any]:
    reader = make_reader()
    return [*reader.feed(b"".join(events)), *reader.close()]


HI = event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi"}})
STOP = event("messageStop", {"stopReason": "end_turn"})


@pytest.mark.parametrize(
    ("choice", "messages", "expected"),
    [
        ("auto", GO, {}),
        ("required", GO, {"toolChoice": {"any": {}}}),
        ("none", GO, None),
        ("none", (*GO, *CALL), {}),
    ],
    ids=["auto", "required", "none", "none, but calls in the conversation"],
)
def test_tool_choice(choice: Any, messages: Any, expected: Any) -> None:
    config = render(ModelRequest(messages, (TOOL,), choice)).get("toolConfig")

    assert config == (None if expected is None else {"tools": config["tools"], **expected})  # type: ignore[index]
    if config is not None:
        assert config["tools"] == [{"toolSpec": {"name": "look", "inputSchema": {"json": TOOL.parameters}}}]


def test_a_schema_is_sent_as_text() -> None:
    schema: JsonObject = {"type": "object", "properties": {"n": {"type": "integer"}}}

    config = render(ModelRequest(GO, output_schema=schema))["outputConfig"]

    text = '{"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": false}'
    assert config["textFormat"]["structure"] == {"jsonSchema": {"name": "answer", "schema": text}}


def test_thoughts_without_a_signature_and_of_others_stay_here() -> None:
    parts = (ReasoningPart("Hm."), ReasoningPart("", {"redactedContent": "eA=="}), TextPart(" "), TextPart("Hi"))
    own, other = (
        render(ModelRequest((*GO, Message("assistant", parts, model=model))))["messages"][1]["content"]
        for model in ("bedrock:m", "bedrock:n")
    )

    assert own == [{"reasoningContent": {"redactedContent": "eA=="}}, {"text": "Hi"}]
    assert other == [{"text": "Hi"}]


@pytest.mark.parametrize(
    ("reason", "finish_reason", "metadata"),
    [
        ("end_turn", "stop", None),
        ("stop_sequence", "stop", None),
        ("max_tokens", "length", None),
        ("model_context_window_exceeded", "length", None),
        ("guardrail_intervened", "content_filter", None),
        ("content_filtered", "content_filter", None),
        ("some_new_reason", "stop", {"stop_reason": "some_new_reason"}),
    ],
)
def test_ends(reason: str, finish_reason: str, metadata: Any) -> None:
    finish = read(HI, event("messageStop", {"stopReason": reason}))[-1]

    assert finish == Finish(finish_reason, provider_metadata=metadata)  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", ["malformed_tool_use", "malformed_model_output"])
def test_what_the_model_could_not_write_down_is_a_broken_answer(reason: str) -> None:
    with pytest.raises(WireFormatError, match="can't be read"):
        read(HI, event("messageStop", {"stopReason": reason}))


def test_a_complete_answer_has_its_citations() -> None:
    citation = {"title": "Eggs", "location": {"web": {"url": "https://example.com/eggs"}}}
    content = [{"citationsContent": {"content": [{"text": "Ten minutes."}], "citations": [citation]}}]
    answer = {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "end_turn"}

    deltas = read(json.dumps(answer).encode())

    assert TextDelta("text-0", "Ten minutes.") in deltas
    assert deltas[-1] == Finish("stop", provider_metadata={"citations": [citation]})


def test_what_the_cache_gave_is_among_the_input() -> None:
    usage = {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 30, "cacheWriteInputTokens": 400}

    assert read(HI, STOP, event("metadata", {"usage": usage}))[-1].usage == Usage(431, 2, cached_tokens=30)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("internalServerException", ModelUnavailableError),
        ("modelStreamErrorException", ModelUnavailableError),
        ("serviceUnavailableException", ModelUnavailableError),
        ("throttlingException", RateLimitError),
        ("validationException", InvalidRequestError),
        ("somethingNewException", ModelUnavailableError),
    ],
)
def test_errors_within_the_stream(name: str, error: type[ModelError]) -> None:
    with pytest.raises(error) as caught:
        read(HI, event(name, {"message": "as the test says"}, "exception"))

    assert type(caught.value) is error


def test_an_error_message_of_the_framing_itself() -> None:
    headers = {":message-type": "error", ":error-code": "InternalError", ":error-message": "broken"}

    with pytest.raises(ModelUnavailableError):
        read(HI, encode_message(headers, b""))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_signature(status: int) -> None:
    error = BedrockConverse().read_error(
        status, {}, b'{"message": "The request signature..."}', provider="bedrock", model="m", now=0
    )

    assert type(error) is AuthenticationError


@pytest.mark.parametrize("body", [b"<html>", b"{", b"nonsense", b"\0\0\0\1"])
def test_other_bytes_are_a_broken_answer(body: bytes) -> None:
    with pytest.raises(WireFormatError) as caught:
        read(body)

    assert caught.value.message.startswith("bedrock:m: ")


def test_what_comes_after_the_numbers_is_not_needed() -> None:
    reader = make_reader()

    deltas = [*reader.feed(HI + STOP + event("metadata", {}) + b"\0\0"), *reader.close()]

    assert TextDelta("text-0", "Hi") in deltas


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["text", "toolUse", "toolUseId", "name", "input", "reasoningContent", "signature"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "metadata", "new"]
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # making the values takes long in Pyodide
@given(st.lists(st.tuples(NAMES, st.dictionaries(st.sampled_from(["start", "delta", "usage"]), VALUES)), max_size=6))
def test_odd_values_give_a_stream_or_a_model_error(events: list[tuple[str, Any]]) -> None:
    try:
        deltas = read(*(event(name, data) for name, data in events), STOP)
    except ModelError:
        return

    assert isinstance(deltas[-1], Finish)
    assert_stream([ModelStart("bedrock:m"), *deltas])
