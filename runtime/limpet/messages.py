"""A message and its parts: the values that a conversation is made of.

Two messages are equal when all their fields are. Nothing here waits or knows a provider;
`protocols/` turn messages into what a provider wants to read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from .errors import WireError
from .wire import CHECKS, Json, JsonObject, MessageWire, PartWire, one_of, pick_class, read_fields, write_fields

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class TextPart:
    """Plain text."""

    type: ClassVar[Literal["text"]] = "text"
    text: str
    provider_metadata: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class ReasoningPart:
    """What a model thought aloud; opaque signatures that its provider wants back are in `provider_metadata`."""

    type: ClassVar[Literal["reasoning"]] = "reasoning"
    text: str
    provider_metadata: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A picture: either `data` (base64) with its `media_type`, or a `url`."""

    type: ClassVar[Literal["image"]] = "image"
    media_type: str = ""
    data: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """A call that a model made; `arguments` is the JSON text as the model wrote it, broken or not."""

    type: ClassVar[Literal["tool_call"]] = "tool_call"
    id: str
    name: str
    arguments: str
    provider_metadata: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class ToolResultPart:
    """What a tool answered to the call `id`; with `is_error` the content tells the model what went wrong."""

    type: ClassVar[Literal["tool_result"]] = "tool_result"
    id: str
    name: str
    content: Json
    is_error: bool = False


Part = TextPart | ReasoningPart | ImagePart | ToolCallPart | ToolResultPart

_PARTS: dict[str, type[Part]] = {
    part.type: part for part in (TextPart, ReasoningPart, ImagePart, ToolCallPart, ToolResultPart)
}


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. `model` names the model that wrote it, as `provider:name`."""

    role: Role
    parts: tuple[Part, ...]
    model: str | None = None
    provider_metadata: JsonObject | None = None

    @classmethod
    def user(cls, text: str) -> Message:
        """Make a user's message of one text part."""
        return cls("user", (TextPart(text),))

    @classmethod
    def system(cls, text: str) -> Message:
        """Make a system message of one text part."""
        return cls("system", (TextPart(text),))

    @classmethod
    def assistant(cls, text: str, *, model: str | None = None) -> Message:
        """Make an assistant's message of one text part."""
        return cls("assistant", (TextPart(text),), model=model)

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def tool_calls(self) -> tuple[ToolCallPart, ...]:
        """The tool calls, in the order in which they were made."""
        return tuple(part for part in self.parts if isinstance(part, ToolCallPart))

    @property
    def tool_results(self) -> tuple[ToolResultPart, ...]:
        """The tool results, in the order of their calls."""
        return tuple(part for part in self.parts if isinstance(part, ToolResultPart))


_MESSAGE_CHECKS = {**CHECKS, "Role": one_of(ROLES)}


def part_to_wire(part: Part) -> PartWire:
    """Give the JSON shape of a part."""
    return write_fields(part)  # type: ignore[return-value]  # tests compare every shape with wire.py


def part_from_wire(data: object) -> Part:
    """Read a part. Raises `WireError` naming the field that is wrong."""
    cls = pick_class(data, _PARTS, "a part")
    return cls(**read_fields(cls, data, f"a {cls.type} part"))  # type: ignore[arg-type]


def message_to_wire(message: Message) -> MessageWire:
    """Give the JSON shape of a message."""
    data: MessageWire = {"role": message.role, "parts": [part_to_wire(part) for part in message.parts]}
    if message.model is not None:
        data["model"] = message.model
    if message.provider_metadata is not None:
        data["provider_metadata"] = message.provider_metadata
    return data


def message_from_wire(data: object) -> Message:
    """Read a message. Raises `WireError` naming the field that is wrong."""
    fields = read_fields(Message, data, "a message", _MESSAGE_CHECKS)
    parts = data.get("parts") if isinstance(data, Mapping) else None
    if not isinstance(parts, (list, tuple)):
        raise WireError("a message needs a list of parts")
    return Message(parts=tuple(part_from_wire(part) for part in parts), **fields)  # type: ignore[arg-type]
