"""What reading one event of a streamed answer costs, beside the `openai` package where that is installed.

    python -m tests.bench.bench_sse [--events 20000]

Both are given the same bytes, one event a piece as a network brings them, and both must end with the same text.
`limpet, parser` is `sse.py` and `chat_completions.py`; `limpet, model` is all of `RemoteModel` around them.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

from limpet.events import TextDelta
from limpet.messages import Message
from limpet.model import ModelReference, ModelRequest
from limpet.protocols.chat_completions import AnswerParser
from limpet.providers import create_model
from limpet.sse import EventParser
from tests.fakes.fetch import FakeFetch, FakeResponse
from tests.fakes.host import make_host

REPEATS = 5


def make_events(count: int) -> list[bytes]:
    base = {"id": "chatcmpl-7f3a", "object": "chat.completion.chunk", "created": 1790000000, "model": "gpt-5-mini"}
    words = ["Eggs", " take", " ten", " minutes", ",", " Grüße", "."]
    chunks: list[dict[str, Any]] = [
        {**base, "choices": [{"index": 0, "delta": {"content": words[number % 7]}, "finish_reason": None}]}
        for number in range(count)
    ]
    chunks.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    return [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks] + [b"data: [DONE]\n\n"]


def read_events(events: list[bytes]) -> str:
    parser = EventParser()
    return str(sum(1 for event in events for _ in parser.feed(event)))


def read_with_json(events: list[bytes]) -> str:
    return str(sum(1 for event in events if event[6:7] == b"{" and json.loads(event[6:])))


def read_with_parser(events: list[bytes]) -> str:
    parser = AnswerParser(provider="p", model="m", new_id=str)
    deltas = [delta for event in events for delta in parser.feed(event)]
    return "".join(delta.text for delta in [*deltas, *parser.close()] if isinstance(delta, TextDelta))


def read_with_model(events: list[bytes]) -> str:
    async def read() -> str:
        host = make_host(fetch=FakeFetch(FakeResponse(events)))
        stream = create_model(ModelReference("lmstudio", "m"), host).stream(ModelRequest((Message.user("Hello."),)))
        return "".join([delta.text async for delta in stream if isinstance(delta, TextDelta)])

    return asyncio.run(read())


def make_openai_reader() -> Callable[[list[bytes]], str] | None:
    if find_spec("openai") is None:
        return None
    openai = importlib.import_module("openai")
    httpx = importlib.import_module("httpx2" if find_spec("httpx2") else "httpx")  # openai 3 uses the former

    def read(events: list[bytes]) -> str:
        class Body(httpx.SyncByteStream):  # type: ignore[misc, name-defined]
            def __iter__(self) -> Iterator[bytes]:
                return iter(events)

        transport = httpx.MockTransport(
            lambda _: httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Body())
        )
        client = openai.OpenAI(api_key="none", http_client=httpx.Client(transport=transport))
        stream = client.chat.completions.create(model="m", messages=[], stream=True)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    return read


def measure(read: Callable[[list[bytes]], str], events: list[bytes]) -> tuple[float, str]:
    """Give the best of several times, in microseconds an event, and what was read."""
    best, text = float("inf"), ""
    for _ in range(REPEATS):
        start = time.perf_counter()
        text = read(events)
        best = min(best, time.perf_counter() - start)
    return best / len(events) * 1e6, text


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--events", type=int, default=20_000)
    events = make_events(options.parse_args().events)
    openai_reader = make_openai_reader()
    readers: list[tuple[str, Callable[[list[bytes]], str] | None]] = [
        ("json.loads alone", read_with_json),
        ("limpet, sse.py alone", read_events),
        ("limpet, parser", read_with_parser),
        ("limpet, model", read_with_model),
        ("openai package", openai_reader),
    ]
    texts = set()
    print(f"{len(events)} events of {sum(map(len, events)) // len(events)} bytes, best of {REPEATS}")
    for name, read in readers:
        if read is None:
            print(f"{name:22} not installed")
            continue
        microseconds, text = measure(read, events)
        print(f"{name:22} {microseconds:8.1f} us an event")
        if read not in (read_events, read_with_json):
            texts.add(text)
    if len(texts) != 1:
        raise SystemExit("the readers did not read the same text")


if __name__ == "__main__":
    main()
