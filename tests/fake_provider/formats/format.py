"""What every format is, and what several of them share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..answers import Answer, Question

MARK = "\ue000"
"""Stands in an answer for bytes that are no UTF-8."""
_DAMAGE = b"\xff\xfe"


@dataclass(frozen=True, slots=True)
class Frames:
    """A streamed answer. Frame `end` says that it is whole: what is cut off before that is not."""

    frames: tuple[bytes, ...]
    end: int


class Format(Protocol):
    """A wire format as a server speaks it. `headers` are those that a page may send beside `content-type`."""

    name: str
    content_type: str
    headers: tuple[str, ...]
    garbage: bytes
    """A frame that is none."""

    def knows(self, path: str, body: Mapping[str, Any]) -> bool:
        """Whether a POST is one of this format's questions."""
        ...

    def read(self, path: str, body: Mapping[str, Any]) -> Question:
        """Read the question."""
        ...

    def stream(self, answer: Answer, question: Question) -> Frames:
        """Write an answer as it is streamed."""
        ...

    def complete(self, answer: Answer, question: Question) -> bytes:
        """Write an answer in one piece."""
        ...

    def error(self, status: int, message: str) -> bytes:
        """Write the body of a refusal."""
        ...


def dump(data: object) -> bytes:
    """Write JSON as servers do, not escaped; the mark becomes damage."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.encode().replace(MARK.encode(), _DAMAGE)


def sse(data: object, event: str = "") -> bytes:
    """Write one server-sent event."""
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + dump(data) + b"\n\n"


def text_of(content: Any) -> str:
    """Read content that is a text, or parts of which some are."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        return str(content.get("text", ""))
    return "".join(text_of(part) for part in content or ())


def last_user_text(messages: Iterable[Mapping[str, Any]]) -> str:
    """Give the user's last words."""
    texts = [text_of(message.get("content")) for message in messages if message.get("role") == "user"]
    return next((text for text in reversed(texts) if text), "")


def trailing_results(messages: list[Mapping[str, Any]]) -> tuple[str, ...]:
    """Give the contents of the messages of role "tool" at the end."""
    found: list[str] = []
    for message in reversed(messages):
        if message.get("role") != "tool":
            break
        found.insert(0, text_of(message.get("content")))
    return tuple(found)


def system_of(messages: Iterable[Mapping[str, Any]]) -> str:
    """Give the instructions that stand among the messages."""
    return "\n".join(
        text_of(message.get("content")) for message in messages if message.get("role") in ("system", "developer")
    )


def question_of(body: Mapping[str, Any], **more: Any) -> Question:
    """Read a question from `messages` with roles and `tools` of functions; `more` are the fields that differ."""
    messages = body["messages"]
    return Question(
        model=str(body.get("model", "")),
        system=system_of(messages),
        text=last_user_text(messages),
        results=trailing_results(messages),
        tools=function_tools(body.get("tools")),
        **more,
    )


def function_tools(tools: Any) -> dict[str, Any]:
    """Read tools written as `{"function": {...}}`, or as the function itself."""
    functions = [tool.get("function", tool) for tool in tools or ()]
    return {function["name"]: function.get("parameters", {}) for function in functions}
