"""A model that says what it was told to say: for the tests of agents, without a network or weights."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

from ..errors import ConfigurationError
from ..events import (
    ModelStart,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from ..host import Clock
from ..messages import Part, ReasoningPart, TextPart, ToolCallPart
from ..model import Delta, Finish, ModelInfo, ModelRequest
from ..wire import Json


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait between two deltas, by the model's clock."""

    seconds: float


Step = Delta | Pause | Exception
"""What a model does next: yield a delta, wait, or fail."""
Reply = str | Exception | Part | Sequence[Part | Step]
"""One answer: a text, parts to be streamed, or the very steps. An exception alone is raised before `ModelStart`."""


def call_tool(name: str, call_id: str = "", /, **arguments: Json) -> ToolCallPart:
    """Make the part by which a scripted model calls a tool.

    >>> call_tool("set_timer", minutes=10)
    ToolCallPart(id='set_timer-1', name='set_timer', arguments='{"minutes": 10}', provider_metadata=None)
    """
    return ToolCallPart(call_id or f"{name}-1", name, json.dumps(arguments, ensure_ascii=False))


class ScriptedModel:
    """Answers the first request with the first reply, the second with the second, and so on.

    A reply may also be a function that is given the request and gives a reply. Parts are streamed word by word, with
    `pause_seconds` between two deltas; around them `ModelStart` and `Finish` are added, unless the reply brings its
    own. `requests` is what the model was asked so far.
    """

    def __init__(
        self,
        replies: Sequence[Reply | Callable[[ModelRequest], Reply]],
        *,
        name: str = "scripted:model",
        clock: Clock | None = None,
        pause_seconds: float | None = None,
        usage: Usage | None = None,
        context_length: int = 0,
        is_local: bool = False,
        is_configured: bool = True,
    ) -> None:
        provider, _, model = name.partition(":")
        self.info = ModelInfo(
            provider, model, context_length=context_length, is_local=is_local, is_configured=is_configured
        )
        self.requests: list[ModelRequest] = []
        self._replies = list(replies)
        self._sleep = asyncio.sleep if clock is None else clock.sleep
        self._pause_seconds = pause_seconds
        self._usage = usage or Usage(input_tokens=8, output_tokens=4)

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        """Answer with the next reply. Raises `ConfigurationError` when there is none left."""
        self.requests.append(request)
        if len(self.requests) > len(self._replies):
            raise ConfigurationError(f"the script of {self.info.id} has {len(self._replies)} replies and needs more")
        reply = self._replies[len(self.requests) - 1]
        for step in self._steps(reply(request) if callable(reply) else reply):
            if isinstance(step, Exception):
                raise step
            if isinstance(step, Pause):
                await self._sleep(step.seconds)
                continue
            if self._pause_seconds is not None:
                await self._sleep(self._pause_seconds)
            yield step

    def _steps(self, reply: Reply) -> Iterator[Step]:
        items = _items(reply)
        if not any(isinstance(item, ModelStart) for item in items) and not isinstance(reply, Exception):
            yield ModelStart(self.info.id)
        has_calls = False
        for index, item in enumerate(items):
            has_calls = has_calls or isinstance(item, (ToolCallPart, ToolCallEnd))
            yield from _part_steps(item, str(index))
        if not any(isinstance(item, Finish) for item in items):
            yield Finish("tool_calls" if has_calls else "stop", self._usage)


def _items(reply: Reply) -> Sequence[Part | Step]:
    if isinstance(reply, Sequence):
        # A text is a sequence too; and said this way round, mypy follows.
        return [TextPart(reply)] if isinstance(reply, str) else reply
    return [reply]


def _part_steps(item: Part | Step, part_id: str) -> Iterator[Step]:
    match item:
        case TextPart():
            yield TextStart(part_id)
            for word in _words(item.text):
                yield TextDelta(part_id, word)
            yield TextEnd(part_id, item.provider_metadata)
        case ReasoningPart():
            yield ReasoningStart(part_id)
            for word in _words(item.text):
                yield ReasoningDelta(part_id, word)
            yield ReasoningEnd(part_id, item.provider_metadata)
        case ToolCallPart():
            yield ToolCallStart(item.id, item.name)
            for word in _words(item.arguments):
                yield ToolCallDelta(item.id, word)
            yield ToolCallEnd(item.id, item.name, item.arguments, item.provider_metadata)
        case _:
            yield item  # type: ignore[misc]  # an image or a tool's result, which the accumulator refuses


def _words(text: str) -> list[str]:
    return re.findall(r"\S+\s*|\s+", text)
