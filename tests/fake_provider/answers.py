"""What a model says, in a few words for every format; and what it says when no test told it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .fitting import fit

Finish = Literal["stop", "length", "content_filter"]
"""Why an answer ended; that it called a tool shows by itself."""


@dataclass(frozen=True, slots=True)
class Text:
    """Words for the user, streamed word by word."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Thoughts, streamed word by word; signed where the format signs them."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool. `arguments` is JSON text, streamed in pieces where the format can."""

    name: str
    arguments: str = "{}"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a model."""

    parts: tuple[Text | Reasoning | Call, ...]
    finish: Finish = "stop"
    input_tokens: int = 11
    output_tokens: int = 7

    @classmethod
    def of(cls, *parts: Text | Reasoning | Call | str) -> Answer:
        """Make one; a string is a text."""
        return cls(tuple(Text(part) if isinstance(part, str) else part for part in parts))

    def __post_init__(self) -> None:
        # Each call an object of its own, so that two that are alike can be told apart.
        copies = tuple(replace(part) if isinstance(part, Call) else part for part in self.parts)
        object.__setattr__(self, "parts", copies)

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls among the parts."""
        return tuple(part for part in self.parts if isinstance(part, Call))

    def number(self, call: Call) -> int:
        """Say which of the calls one is, from 0."""
        return next(number for number, other in enumerate(self.calls) if other is call)


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, in whatever format: enough to answer it.

    `results` are the texts of the tool results at the end, `tools` the parameters' schemas by name.
    """

    model: str = ""
    system: str = ""
    text: str = ""
    results: tuple[str, ...] = ()
    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    may_call: bool = True
    must_call: bool = False
    output_schema: Mapping[str, Any] | None = None
    is_streamed: bool = True


def reply_to(question: Question) -> Answer:
    """Answer from what was asked.

    A schema gets JSON that fits it; tools that have not answered yet get a call of the first; the results of tools are
    repeated; any other question is, too.
    """
    tools = question.tools if question.may_call else {}
    if tools and (question.must_call or not (question.results or question.output_schema)):
        # Who must call again, with results at hand, is to give its last word by the last tool.
        name = list(tools)[-1 if question.results else 0]
        return Answer.of(Call(name, json.dumps(fit(tools[name]), ensure_ascii=False)))
    schema = question.output_schema or (None if tools else schema_in(question.system))
    if schema is not None:
        return Answer.of(json.dumps(fit(schema), ensure_ascii=False))
    if question.results:
        return Answer.of(f"The tool says: {' '.join(question.results)}")
    return Answer.of(f"You said: {question.text}")


def schema_in(text: str) -> Mapping[str, Any] | None:
    """Find the JSON Schema that a prompt asks to keep to, if any."""
    start = text.find("{")
    while start >= 0:
        try:
            found, _ = json.JSONDecoder().raw_decode(text, start)
        except ValueError:
            found = None
        if isinstance(found, dict) and any(word in found for word in ("type", "properties", "anyOf", "enum", "$ref")):
            return found
        start = text.find("{", start + 1)
    return None


def words(text: str) -> Iterator[str]:
    """Cut a text before its spaces."""
    start = 0
    while start < len(text):
        end = text.find(" ", start + 1)
        yield text[start : end if end > 0 else len(text)]
        start = end if end > 0 else len(text)


def pieces(text: str, length: int = 7) -> Iterator[str]:
    """Cut a text into pieces of one length."""
    for start in range(0, len(text), length):
        yield text[start : start + length]


def answer_from_json(data: Mapping[str, Any]) -> Answer:
    """Read an answer from another process: `{"parts": [{"text"}, {"reasoning"}, {"call", "arguments"}], ...}`."""
    parts: list[Text | Reasoning | Call] = []
    for part in data["parts"]:
        if "call" in part:
            arguments = part.get("arguments", {})
            parts.append(Call(part["call"], arguments if isinstance(arguments, str) else json.dumps(arguments)))
        else:
            parts.append(Text(part["text"]) if "text" in part else Reasoning(part["reasoning"]))
    rest = {name: data[name] for name in ("finish", "input_tokens", "output_tokens") if name in data}
    return Answer(tuple(parts), **rest)
