"""What a provider sent, as a recording has it, goes back to it as it came: thoughts, signatures, calls, citations."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any

import pytest

from limpet.accumulate import Accumulator
from limpet.messages import Message, ToolResultPart, message_from_wire, message_to_wire
from limpet.model import ModelReference, ModelRequest
from limpet.providers import create_model
from tests.fakes.fetch import FakeFetch
from tests.fakes.host import make_host
from tests.recordings import Recording
from tests.test_recordings import MODELS, SECRETS

QUESTION = Message.user("Go.")


async def next_body(folder: str, name: str) -> Any:
    """Play a recording, store its answer and load it again, answer its calls; give the body of the next request."""
    recording = Recording(folder, name)
    (first,), (second,) = recording.responses("whole"), recording.responses("whole")
    fetch = FakeFetch(first, second)
    reference: ModelReference = MODELS[folder]
    model = create_model(reference, make_host(fetch=fetch, secrets=SECRETS))
    answer = Accumulator()
    async with aclosing(model.stream(ModelRequest((QUESTION,)))) as stream:  # type: ignore[type-var]
        async for delta in stream:
            answer.add(delta)
    stored = json.loads(json.dumps(message_to_wire(answer.message())))
    message = message_from_wire(stored)
    results = tuple(ToolResultPart(call.id, call.name, "done") for call in message.tool_calls)
    messages = (QUESTION, message, Message("tool", results)) if results else (QUESTION, message, QUESTION)
    async with aclosing(model.stream(ModelRequest(messages))) as stream:  # type: ignore[type-var]
        async for _ in stream:
            pass
    assert fetch.sent[1].body is not None
    return json.loads(fetch.sent[1].body)


def complete_answer(folder: str) -> Any:
    body = (Recording(folder, "complete_answer").folder / "response.txt").read_bytes().partition(b"\r\n\r\n")[2]
    return json.loads(body)


async def test_a_complete_answer_of_anthropic() -> None:
    body = await next_body("anthropic", "complete_answer")

    assert body["messages"][1] == {"role": "assistant", "content": complete_answer("anthropic")["content"]}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "redacted_thinking",
            [
                {
                    "type": "thinking",
                    "thinking": "Hard or soft? Hard.",
                    "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3hgGYxBdjrkzLoky3dl1pk=",
                },
                {
                    "type": "redacted_thinking",
                    "data": "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIwxtE3rAFBa8cr3qpP",
                },
                {"type": "text", "text": "Eggs take ten minutes."},
            ],
        ),
        (
            "citations",
            [
                {"type": "server_tool_use", "id": "srvtoolu_01W", "name": "web_search", "input": {"query": "eggs"}},
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "srvtoolu_01W",
                    "content": [
                        {
                            "type": "web_search_result",
                            "title": "Eggs",
                            "url": "https://example.com/eggs",
                            "encrypted_content": "EqgfCioIARgB",
                            "page_age": None,
                        }
                    ],
                },
                {"type": "text", "text": "I looked it up. "},
                {
                    "type": "text",
                    "text": "Eggs take ten minutes.",
                    "citations": [
                        {
                            "type": "web_search_result_location",
                            "cited_text": "Boil for ten minutes.",
                            "url": "https://example.com/eggs",
                            "title": "Eggs",
                            "encrypted_index": "Eo8BCioIAhgB",
                        }
                    ],
                },
            ],
        ),
    ],
)
async def test_a_streamed_answer_of_anthropic(name: str, expected: Any) -> None:
    body = await next_body("anthropic", name)

    assert body["messages"][1] == {"role": "assistant", "content": expected}


async def test_a_complete_answer_of_responses() -> None:
    body = await next_body("openai_responses", "complete_answer")

    thought, text, call = complete_answer("openai_responses")["output"]
    del call["status"]
    assert body["input"][1:4] == [thought, text, call]


async def test_a_streamed_answer_of_responses() -> None:
    body = await next_body("openai_responses", "citations")

    search, text = body["input"][1:3]
    assert search == {
        "id": "ws_0",
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "search", "query": "eggs"},
    }
    assert text["id"] == "msg_1"
    assert text["content"][0]["annotations"][0]["url"] == "https://example.com/eggs"


async def test_a_complete_answer_of_gemini() -> None:
    body = await next_body("gemini", "complete_answer")

    # The thought is not signed, so only what it led to goes back.
    _, text, call = (piece["candidates"][0]["content"]["parts"][0] for piece in complete_answer("gemini"))
    assert body["contents"][1] == {"role": "model", "parts": [text, call]}
    assert body["contents"][2]["parts"][0]["functionResponse"]["id"] == "fc-1"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "signature_after_the_text",
            [{"text": "Eggs take ten minutes."}, {"text": "", "thoughtSignature": "EuwBCukBAXLI2n4="}],
        ),
        (
            "search_and_code",
            [
                {"executableCode": {"language": "PYTHON", "code": "print(10)"}},
                {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "10\n"}},
                {"text": "Eggs take ten minutes."},
            ],
        ),
        (
            "two_tool_calls",
            [
                {
                    "functionCall": {"name": "stop_timers", "args": {}, "id": "fc-a1"},
                    "thoughtSignature": "EpwCCpkCAXLI2nw=",
                },
                {"functionCall": {"name": "set_timer", "args": {"minutes": 10, "label": "eggs"}, "id": "fc-b2"}},
            ],
        ),
    ],
)
async def test_a_streamed_answer_of_gemini(name: str, expected: Any) -> None:
    body = await next_body("gemini", name)

    assert body["contents"][1] == {"role": "model", "parts": expected}


async def test_a_streamed_answer_of_bedrock() -> None:
    body = await next_body("bedrock", "signed_and_redacted_thinking")

    assert body["messages"][1] == {
        "role": "assistant",
        "content": [
            {"reasoningContent": {"reasoningText": {"text": "Hard or soft?", "signature": "c2lnbmVk"}}},
            {"reasoningContent": {"redactedContent": "b3BhcXVl"}},
            {"text": "Hard."},
        ],
    }


async def test_a_streamed_answer_of_openrouter() -> None:
    body = await next_body("openrouter", "reasoning_before_text")

    assert body["messages"][1] == {
        "role": "assistant",
        "content": "Eggs take ten minutes.",
        "reasoning_details": [
            {
                "type": "reasoning.text",
                "format": "anthropic-claude-v1",
                "index": 0,
                "text": "Hard or soft? Hard.",
                "signature": "RXJSUEMrZ3lN",
            }
        ],
    }
