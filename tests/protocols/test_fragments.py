"""Tool calls in any fragmentation: however a server cuts the arguments of its calls, and mixes them, they are whole.

Formats whose calls come whole (Gemini, Ollama) have nothing to cut.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limpet.events import ModelStart, ToolCallEnd
from limpet.model import Finish
from limpet.protocols.anthropic_messages import AnthropicMessages
from limpet.protocols.bedrock_converse import BedrockConverse
from limpet.protocols.chat_completions import ChatCompletions
from limpet.protocols.cohere_chat import CohereChat
from limpet.protocols.responses import Responses
from limpet.protocols.wire_protocol import AnswerContext, WireProtocol
from limpet.protocols.workers_ai import WorkersAI
from tests.recordings.event_stream import encode_message
from tests.suites.stream_grammar import assert_stream

Fragments = Sequence[tuple[int, str]]
"""Which call a piece belongs to, and the piece; the first of each call is its beginning."""


def sse(*events: Any) -> bytes:
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()


def chat_completions(fragments: Fragments) -> bytes:
    def chunks() -> Iterator[Any]:
        for (number, piece), is_first in with_firsts(fragments):
            named = {"id": f"call-{number}", "type": "function"} if is_first else {}
            function = {"arguments": piece, **({"name": f"tool_{number}"} if is_first else {})}
            yield {"delta": {"tool_calls": [{"index": number, **named, "function": function}]}}
        yield {"delta": {}, "finish_reason": "tool_calls"}

    return sse(*({"choices": [{"index": 0, **chunk}]} for chunk in chunks()))


def responses(fragments: Fragments) -> bytes:
    def item(number: int, arguments: str) -> Any:
        name = {"id": f"fc-{number}", "call_id": f"call-{number}", "name": f"tool_{number}"}
        return {"type": "function_call", **name, "arguments": arguments}

    def events() -> Iterator[Any]:
        for (number, piece), is_first in with_firsts(fragments):
            if is_first:
                yield {"type": "response.output_item.added", "output_index": number, "item": item(number, "")}
            yield {"type": "response.function_call_arguments.delta", "output_index": number, "delta": piece}
        for number, arguments in enumerate(join(fragments)):
            done = {"output_index": number, "arguments": arguments}
            yield {"type": "response.function_call_arguments.done", **done}
            yield {"type": "response.output_item.done", "output_index": number, "item": item(number, arguments)}
        yield {"type": "response.completed", "response": {"status": "completed", "output": []}}

    return sse(*events())


def anthropic(fragments: Fragments) -> bytes:
    def events() -> Iterator[Any]:
        for (number, piece), is_first in with_firsts(fragments):
            if is_first:
                block = {"type": "tool_use", "id": f"call-{number}", "name": f"tool_{number}", "input": {}}
                yield {"type": "content_block_start", "index": number, "content_block": block}
            delta = {"type": "input_json_delta", "partial_json": piece}
            yield {"type": "content_block_delta", "index": number, "delta": delta}
        for number, _ in enumerate(join(fragments)):
            yield {"type": "content_block_stop", "index": number}
        yield {"type": "message_delta", "delta": {"stop_reason": "tool_use"}}
        yield {"type": "message_stop"}

    return sse(*events())


def cohere(fragments: Fragments) -> bytes:
    def events() -> Iterator[Any]:
        for (number, piece), is_first in with_firsts(fragments):
            call: Any = {"function": {"arguments": piece}}
            if is_first:
                call = {"id": f"call-{number}", "function": {"name": f"tool_{number}", "arguments": piece}}
            kind = "tool-call-start" if is_first else "tool-call-delta"
            yield {"type": kind, "index": number, "delta": {"message": {"tool_calls": call}}}
        for number, _ in enumerate(join(fragments)):
            yield {"type": "tool-call-end", "index": number}
        yield {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}}

    return sse(*events())


def bedrock(fragments: Fragments) -> bytes:
    def events() -> Iterator[tuple[str, Any]]:
        for (number, piece), is_first in with_firsts(fragments):
            if is_first:
                start = {"toolUse": {"toolUseId": f"call-{number}", "name": f"tool_{number}"}}
                yield "contentBlockStart", {"contentBlockIndex": number, "start": start}
            yield "contentBlockDelta", {"contentBlockIndex": number, "delta": {"toolUse": {"input": piece}}}
        for number, _ in enumerate(join(fragments)):
            yield "contentBlockStop", {"contentBlockIndex": number}
        yield "messageStop", {"stopReason": "tool_use"}

    headers = {":message-type": "event"}
    return b"".join(
        encode_message({**headers, ":event-type": name}, json.dumps(data).encode()) for name, data in events()
    )


@dataclass(frozen=True)
class Format:
    protocol: WireProtocol
    write: Callable[[Fragments], bytes]


FORMATS = {
    "chat_completions": Format(ChatCompletions(), chat_completions),
    "workers_ai": Format(WorkersAI(), chat_completions),
    "responses": Format(Responses(), responses),
    "anthropic": Format(AnthropicMessages(), anthropic),
    "cohere": Format(CohereChat(), cohere),
    "bedrock": Format(BedrockConverse(), bedrock),
}


def with_firsts(fragments: Fragments) -> Iterator[tuple[tuple[int, str], bool]]:
    """Give each fragment, and whether it is the first of its call."""
    begun: set[int] = set()
    for number, piece in fragments:
        yield (number, piece), number not in begun
        begun.add(number)


def join(fragments: Fragments) -> list[str]:
    """Give the arguments of each call, by number."""
    numbers = sorted({number for number, _ in fragments})
    return ["".join(piece for other, piece in fragments if other == number) for number in numbers]


@st.composite
def fragments_of_calls(draw: st.DrawFn) -> Fragments:
    """Draw up to three calls, their arguments cut anywhere and sent in turns of any length."""
    values = st.one_of(st.integers(), st.text(max_size=12), st.lists(st.booleans(), max_size=3))
    queues: list[list[str]] = []
    for _ in range(draw(st.integers(1, 3))):
        text = json.dumps(
            draw(st.dictionaries(st.text(max_size=4), values, max_size=3)), ensure_ascii=draw(st.booleans())
        )
        cuts = draw(st.lists(st.integers(0, len(text)), max_size=6))
        queues.append([text[start:end] for start, end in pairwise([0, *sorted(cuts), len(text)])])
    fragments: list[tuple[int, str]] = [(number, queue.pop(0)) for number, queue in enumerate(queues[:1])]
    begun = 1
    while any(queues):
        # The next call may begin at any time, but they begin in their order.
        number = draw(st.sampled_from([n for n, queue in enumerate(queues) if queue and n <= begun]))
        begun = max(begun, number + 1)
        fragments.append((number, queues[number].pop(0)))
    return fragments


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=50, deadline=None)
@given(fragments=fragments_of_calls())
def test_calls_are_whole_however_they_are_cut_and_mixed(name: str, fragments: Fragments) -> None:
    reader = FORMATS[name].protocol.read_answer(AnswerContext("p", "m", lambda: "unused"))

    deltas = [*reader.feed(FORMATS[name].write(fragments)), *reader.close()]

    assert_stream([ModelStart("p:m"), *deltas])
    assert isinstance(deltas[-1], Finish)
    assert deltas[-1].finish_reason == "tool_calls"
    assert [(end.call_id, end.name, end.arguments) for end in deltas if isinstance(end, ToolCallEnd)] == [
        (f"call-{number}", f"tool_{number}", arguments) for number, arguments in enumerate(join(fragments))
    ]
