"""Our readers: the wire format alone, and all of `RemoteModel` over a fetch that gives the pieces at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from itertools import chain

from limpet.events import TextDelta, ToolCallDelta
from limpet.host import HttpRequest, HttpResponse
from limpet.messages import Message
from limpet.model import Delta, Finish, ModelReference, ModelRequest
from limpet.protocols.anthropic_messages import AnthropicMessages
from limpet.protocols.chat_completions import ChatCompletions
from limpet.protocols.wire_protocol import AnswerContext, WireProtocol
from limpet.providers import create_model
from tests.fakes.host import make_host

from .reading import Read

REQUEST = ModelRequest((Message.user("Ten minutes for the eggs."),))
MODELS = {
    "chat completions": ModelReference("openai", "gpt-5-mini"),
    "anthropic messages": ModelReference("anthropic", "claude-sonnet-4-5"),
}
PROTOCOLS: Mapping[str, WireProtocol] = {
    "chat completions": ChatCompletions(),
    "anthropic messages": AnthropicMessages(),
}


class _Response:
    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    async def close(self) -> None:
        pass


def _collect(deltas: Sequence[Delta]) -> Read:
    finish = deltas[-1]
    assert isinstance(finish, Finish)
    return (
        "".join([delta.text for delta in deltas if isinstance(delta, TextDelta)]),
        "".join([delta.arguments for delta in deltas if isinstance(delta, ToolCallDelta)]),
        finish.usage.output_tokens,
    )


def read_with_protocol(stream: str, pieces: Sequence[bytes]) -> Read:
    """Read with the wire format alone: bytes in, deltas out."""
    reader = PROTOCOLS[stream].read_answer(AnswerContext("p", "m", lambda: "id"))
    return _collect([*chain.from_iterable(map(reader.feed, pieces)), *reader.close()])


def read_with_model(stream: str, pieces: Sequence[bytes]) -> Read:
    """Read with a whole remote model."""

    async def fetch(_: HttpRequest, /) -> HttpResponse:
        return _Response(pieces)

    async def read() -> Read:
        secrets = {"OPENAI_API_KEY": "KEY", "ANTHROPIC_API_KEY": "KEY"}
        model = create_model(MODELS[stream], make_host(fetch=fetch, secrets=secrets))
        return _collect([delta async for delta in model.stream(REQUEST)])

    return _run(read())


def _run(coroutine: Coroutine[object, object, Read]) -> Read:
    """Run what never waits without an event loop: the same on every host, and no loop is measured."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: Read = end.value
        return result
    raise RuntimeError("the reader waited for something")


READERS: Mapping[str, Callable[[str, Sequence[bytes]], Read]] = {
    "limpet, wire format": read_with_protocol,
    "limpet, whole model": read_with_model,
}
