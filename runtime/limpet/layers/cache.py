"""Answer what was answered before from the host's storage.

Two requests are the same when the model would be sent the same: its id, the messages, the tools and all settings, in
whatever order their keys stand. The ids of calls don't matter, only which result belongs to which call. Where a model
is served and with which options of its own is not looked at: give each such model a `prefix` of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass

from ..accumulate import Accumulator
from ..errors import StorageError, WireError
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
    usage_from_wire,
    usage_to_wire,
)
from ..fallback import close_stream
from ..host import Host
from ..messages import Message, Part, ReasoningPart, TextPart, ToolCallPart, message_from_wire, message_to_wire
from ..model import Delta, Finish, Model, ModelRequest
from ..wire import JsonObject
from .layer import CACHED_USAGE, Wrapped, check_above_zero

_FORMAT = 1
_WHOLE = ("stop", "tool_calls")


@dataclass(frozen=True, slots=True)
class Cache:
    """Keep answers for `max_age_seconds` (None: for ever) under keys that begin with `prefix`.

    Only whole answers are kept: none that was cut off, refused or broken, and no empty one. A replay has used nothing;
    what the answer had cost is under `cached_usage` in the `provider_metadata` of its end. A store that fails is a
    store without the answer. What is too old stays there until it is answered anew.

    An answer is kept as it was said, for whoever can read the store, and it may repeat what it was asked; of the
    request itself only a digest is kept. No key is in either.
    """

    max_age_seconds: float | None = None
    prefix: str = "cache/"

    def __post_init__(self) -> None:
        check_above_zero(self, "max_age_seconds")

    def wrap(self, model: Model, host: Host) -> Model:
        """Give a model that remembers its answers."""
        return _Caching(self, model, host)


class _Caching(Wrapped):
    def __init__(self, settings: Cache, model: Model, host: Host) -> None:
        super().__init__(model, host)
        self._settings = settings

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        digest = request_digest(self.info.id, request)
        key = None if digest is None else self._settings.prefix + digest
        replay = None if key is None else await self._load(key, request)
        if replay is not None:
            for delta in replay:
                yield delta
            return
        answer = Accumulator()
        confidence = None
        stream = self._model.stream(request)
        try:
            async for delta in stream:
                answer.add(delta)
                if isinstance(delta, ModelStart):
                    confidence = delta.confidence
                elif isinstance(delta, Finish) and key is not None:
                    # Before the end is told: a reader goes away after it.
                    await self._save(key, answer.message(), delta, confidence)
                yield delta
        finally:
            await close_stream(stream)

    async def _load(self, key: str, request: ModelRequest) -> list[Delta] | None:
        try:
            data = await self._host.storage.get(key)
            if data is None:
                return None
            saved = json.loads(data)
            max_age = self._settings.max_age_seconds
            if saved["format"] != _FORMAT:
                return None
            if max_age is not None and self._host.clock.now() - saved["saved_at"] > max_age:
                return None
            taken_ids = {call.id for message in request.messages for call in message.tool_calls}
            return list(_replay(saved, taken_ids, self._host.new_id))
        except (StorageError, WireError, ValueError, KeyError, TypeError):
            return None

    async def _save(self, key: str, message: Message, finish: Finish, confidence: float | None) -> None:
        if finish.finish_reason not in _WHOLE or not message.parts:
            return
        saved = {
            "format": _FORMAT,
            "saved_at": self._host.clock.now(),
            "confidence": confidence,
            "finish_reason": finish.finish_reason,
            "usage": usage_to_wire(finish.usage),
            "message": message_to_wire(message),
        }
        try:
            await self._host.storage.put(key, json.dumps(saved, separators=(",", ":")).encode())
        except (StorageError, TypeError, ValueError):
            return


def request_digest(model_id: str, request: ModelRequest) -> str | None:
    """Give the name of a request, 64 hexadecimal digits; None when its `extra` is no JSON."""
    call_ids: dict[str, str] = {}
    data: dict[str, object] = {
        "model": model_id,
        "messages": [_without_ids(message, call_ids) for message in request.messages],
        "tools": [[tool.name, tool.description, tool.parameters] for tool in request.tools],
        "tool_choice": request.tool_choice,
        "max_output_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "extra": dict(request.extra),
        "output_schema": request.output_schema,
    }
    try:
        text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError):
        return None
    return hashlib.sha256(text.encode()).hexdigest()


def _without_ids(message: Message, call_ids: dict[str, str]) -> JsonObject:
    data: JsonObject = dict(message_to_wire(message))  # type: ignore[arg-type]  # a message's JSON is JSON
    # A message's own metadata is sent to nobody, and differs from answer to answer.
    data.pop("provider_metadata", None)
    for part in data["parts"]:  # type: ignore[union-attr]
        if "id" in part:  # type: ignore[operator]
            part["id"] = call_ids.setdefault(part["id"], str(len(call_ids)))  # type: ignore
    return data


def _replay(saved: JsonObject, taken_ids: Collection[str], new_id: Callable[[], str]) -> Iterator[Delta]:
    message = message_from_wire(saved["message"])
    confidence, reason = saved["confidence"], saved["finish_reason"]
    if (
        not message.model
        or reason not in ("stop", "tool_calls")
        or not isinstance(confidence, (float, int, type(None)))
    ):
        raise WireError("this is no answer")
    yield ModelStart(message.model, confidence)
    for index, part in enumerate(message.parts):
        yield from _block(part, str(index), taken_ids, new_id)
    usage_from_wire(saved["usage"])
    metadata: JsonObject = {**(message.provider_metadata or {}), CACHED_USAGE: saved["usage"]}
    yield Finish(reason, provider_metadata=metadata)  # type: ignore[arg-type]


def _block(part: Part, part_id: str, taken_ids: Collection[str], new_id: Callable[[], str]) -> Iterator[Delta]:
    match part:
        case TextPart():
            yield TextStart(part_id)
            if part.text:
                yield TextDelta(part_id, part.text)
            yield TextEnd(part_id, part.provider_metadata)
        case ReasoningPart():
            yield ReasoningStart(part_id)
            if part.text:
                yield ReasoningDelta(part_id, part.text)
            yield ReasoningEnd(part_id, part.provider_metadata)
        case ToolCallPart():
            call_id = new_id() if part.id in taken_ids else part.id
            yield ToolCallStart(call_id, part.name)
            if part.arguments:
                yield ToolCallDelta(call_id, part.arguments)
            yield ToolCallEnd(call_id, part.name, part.arguments, part.provider_metadata)
        case _:
            raise WireError(f"no answer has a {part.type} part")
