"""The process that reads with the peers, in a Python of its own: their stream parsers, with the HTTP layer mocked.

Each is asked for in the cheapest way that it has: the client that does not wait, events as they come, nothing gathered.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .reading import Read, serve

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network for prices when it is imported
openai = importlib.import_module("openai")
anthropic = importlib.import_module("anthropic")
litellm = importlib.import_module("litellm")
httpx = importlib.import_module("httpx")
# The newer SDKs bring a fork of httpx.
openai_http = importlib.import_module(
    "httpx2" if "httpx2" in vars(importlib.import_module("openai._base_client")) else "httpx"
)


def make_client(http: Any, pieces: Sequence[bytes]) -> Any:
    """Make an HTTP client that answers everything with these pieces."""

    class Body(http.SyncByteStream):  # type: ignore[misc]
        def __iter__(self) -> Iterator[bytes]:
            return iter(pieces)

    def answer(_: object) -> Any:
        return http.Response(200, headers={"content-type": "text/event-stream"}, stream=Body())

    return http.Client(transport=http.MockTransport(answer))


def read_with_openai(_: str, pieces: Sequence[bytes]) -> Read:
    client = openai.OpenAI(api_key="none", http_client=make_client(openai_http, pieces))
    chunks = client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES, stream=True)
    return read_chunks(chunks)


def read_chunks(chunks: Any) -> Read:
    text: list[str] = []
    arguments: list[str] = []
    tokens = 0
    for chunk in chunks:
        usage = getattr(chunk, "usage", None)
        tokens = usage.completion_tokens if usage else tokens
        for choice in chunk.choices:
            text.append(choice.delta.content or "")
            arguments += [call.function.arguments or "" for call in choice.delta.tool_calls or ()]
    return "".join(text), "".join(arguments), tokens


def read_with_anthropic(_: str, pieces: Sequence[bytes]) -> Read:
    client = anthropic.Anthropic(api_key="none", http_client=make_client(anthropic_http(), pieces))
    text: list[str] = []
    arguments: list[str] = []
    tokens = 0
    for event in client.messages.create(model="claude-sonnet-4-5", max_tokens=99, messages=MESSAGES, stream=True):
        if event.type == "content_block_delta":
            if event.delta.type == "text_delta":
                text.append(event.delta.text)
            elif event.delta.type == "input_json_delta":
                arguments.append(event.delta.partial_json)
        elif event.type == "message_delta":
            tokens = event.usage.output_tokens
    return "".join(text), "".join(arguments), tokens


def anthropic_http() -> Any:
    return importlib.import_module(
        "httpx2" if "httpx2" in vars(importlib.import_module("anthropic._base_client")) else "httpx"
    )


def read_with_litellm(stream: str, pieces: Sequence[bytes]) -> Read:
    options: dict[str, Any] = {"messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}
    if stream == "chat completions":
        client = openai.OpenAI(api_key="none", http_client=make_client(openai_http, pieces))
        return read_chunks(litellm.completion(model="openai/gpt-5-mini", client=client, **options))
    handler = importlib.import_module("litellm.llms.custom_httpx.http_handler")
    client = handler.HTTPHandler(client=make_client(httpx, pieces))
    return read_chunks(
        litellm.completion(model="anthropic/claude-sonnet-4-5", api_key="none", client=client, **options)
    )


MESSAGES = [{"role": "user", "content": "Ten minutes for the eggs."}]
READERS: dict[str, Callable[[str, Sequence[bytes]], Read]] = {
    "openai": read_with_openai,
    "anthropic": read_with_anthropic,
    "litellm": read_with_litellm,
}

if __name__ == "__main__":
    serve(READERS)
