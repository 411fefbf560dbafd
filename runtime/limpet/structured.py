"""Answers of a type: what a model is asked for, how that is asked of each model, and what comes back.

An `Output` is the type with its schema. A `StructuredModel` asks one model for it: natively, where the provider makes
the text fit the schema; by a tool whose arguments are the answer; or by words. However it is asked, the answer comes as
text that is JSON, so that a conversation may go on with any model. What is asked is a help to the model; what holds is
`Output.parse`.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Literal

from .errors import ConfigurationError, OutputError
from .events import TextDelta, TextEnd, TextStart, ToolCallDelta, ToolCallEnd, ToolCallStart
from .fallback import close_stream
from .json_schema import as_schema, is_closable, without_absent
from .loose_json import loads, read_loose
from .messages import Message, TextPart
from .model import Delta, Finish, Model, ModelInfo, ModelRequest, ToolSpec
from .partial_json import PartialReader, parse_partial
from .schema import list_problems, render, shape_of
from .shapes import Reader, Record, RecordField, Shape
from .wire import Json, JsonObject

OutputMode = Literal["auto", "native", "tool", "prompted"]
"""How a model is asked for a type: by its provider's own means, by a tool, by words, or the best of these it has."""
MODES: tuple[OutputMode, ...] = ("auto", "native", "tool", "prompted")

_FENCED = re.compile(r"(?s)```[^\n`]*\n(.*?)```")
_VALUE = "value"
_ENOUGH = 1000
"""So many characters show whether a bracket begins an object."""


@dataclass(frozen=True, slots=True)
class Output:
    """A type that an answer is to have. Made by `Output.of`; two are equal when their schemas, names and modes are.

    `schema` is None for `str`, which is any text. It is always an object with properties, as providers want it: a type
    that is none stands under `value` in it, and is taken out again.
    """

    schema: JsonObject | None
    name: str = "answer"
    mode: OutputMode = "auto"
    is_wrapped: bool = False
    _shape: Shape | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, output_type: object, *, mode: OutputMode = "auto", name: str = "answer") -> Output:
        """Make the output of a type. Raises `ConfigurationError` when it can't be expressed in JSON Schema."""
        if mode not in MODES:
            raise ConfigurationError(f"the mode of an output must be one of {', '.join(MODES)}, not {mode!r}")
        if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name) is None:
            raise ConfigurationError(f"the name of an output must be of letters, digits, '_' and '-', not {name!r}")
        if output_type is str:
            return cls(None, name, mode)
        if output_type is None:
            raise ConfigurationError("output_type None would be an answer that says nothing; leave it out for any text")
        shape = shape_of(output_type, where="output_type: ")
        schema = render(shape)
        is_wrapped = not (schema.get("type") == "object" and schema.get("properties"))
        if is_wrapped:
            schema = render(Record(dict, [RecordField(_VALUE, shape)]))
        return cls(schema, name, mode, is_wrapped, shape)

    @property
    def is_closed(self) -> bool:
        """Whether the schema names all there may be, which many providers want of one they make an answer fit."""
        return self.schema is not None and is_closable(self.schema)

    def parse(self, text: str) -> object:
        """Read an answer: the JSON in it, which prose or a fence may surround, as a value of the type.

        Raises `OutputError` whose text tells the model what to repair.
        """
        if self._shape is None or self.schema is None:
            return text
        value = self._read(text)
        path = ""
        schema = self.schema
        if self.is_wrapped:
            inner = as_schema(as_schema(schema["properties"])[_VALUE])
            if isinstance(value, dict) and set(value) == {_VALUE}:
                value, path = value[_VALUE], _VALUE
            # Without the object around it is as clear what was meant.
            schema = {**inner, "$defs": schema["$defs"]} if "$defs" in schema else inner
        reader = Reader()
        result = self._shape.read(without_absent(value, schema), path, reader)
        if reader.problems:
            heading = "the answer doesn't fit what was asked for"
            raise OutputError(list_problems(heading, reader.problems) + "\nAnswer again, with all of it corrected.")
        return result

    def _read(self, text: str) -> Json:
        reason = "there is no JSON in it"
        for candidate in _candidates(text):
            if self.is_wrapped:
                with suppress(ValueError):
                    return loads(candidate)
            try:
                value = read_loose(candidate)
            except ValueError as error:
                reason = str(error)
                continue
            if value is not None:
                return value
        if self.is_wrapped and "enum" in as_schema(as_schema(as_schema(self.schema)["properties"])[_VALUE]):
            return text.strip()  # one of a few words, which need no quotes
        raise OutputError(
            f"the answer is not one whole JSON object: {reason}. Answer again, with the JSON object and nothing else."
        )

    def written(self, text: str) -> object:
        """Give the JSON that `parse` reads, as it was written. Raises `OutputError` when there is none."""
        if self.schema is None:
            return text
        value = self._read(text)
        if self.is_wrapped and not (isinstance(value, dict) and set(value) == {_VALUE}):
            return value
        shown = without_absent(value, self.schema)
        return as_schema(shown)[_VALUE] if self.is_wrapped else shown

    def partial(self, text: str) -> object | None:
        """Give what the beginning of an answer says for certain, as JSON; None as long as that is nothing.

        Each is a prefix of the next: see `partial_json`. It isn't checked against the schema.
        """
        if self.schema is None:
            return text
        start = _start_of(text)
        value, is_whole = parse_partial(text[start:]) if start >= 0 else (None, False)
        if not value and not is_whole:
            return None  # the bracket may yet turn out to be one of the prose
        shown = without_absent(value, self.schema)
        return as_schema(shown).get(_VALUE) if self.is_wrapped else shown


def _candidates(text: str) -> Iterator[str]:
    """Give what may be the answer in a text, the likeliest first."""
    yield text.strip()
    for block in reversed(_FENCED.findall(text)):
        yield block.strip()
    for start in (text.rfind("\n{"), _start_of(text)):
        if start > 0:
            yield text[start:].strip()


def _start_of(text: str) -> int:
    """Give where the first JSON object begins that may be the answer, -1 when none does."""
    start = text.find("{")
    while start >= 0:
        reader = PartialReader()
        reader.feed(text[start : start + _ENOUGH])
        if reader.value or not reader.is_broken:
            break
        start = text.find("{", start + 1)  # it was a bracket in the prose before
    return start


class StructuredModel:
    """Asks a model for an output. Its stream has the answer as text, whatever the mode.

    "auto" is native where the provider has it, for this schema and beside these tools; else by a tool where the model
    calls tools; else by words. In mode "tool" what the model does first in an answer counts: once it called the tool
    of the answer, nothing that follows is told or run; and that call is left out behind one of another tool, whose
    result it didn't know. So an answer is said once, and a conversation has no call without a result.
    """

    def __init__(self, model: Model, output: Output) -> None:
        self._model = model
        self._output = output

    @property
    def info(self) -> ModelInfo:
        """What is known of the model that is asked."""
        return self._model.info

    def mode_for(self, request: ModelRequest) -> OutputMode:
        """Give the mode in which a request is asked, never "auto"."""
        if self._output.mode != "auto":
            return self._output.mode
        info = self._model.info
        is_beside_tools = bool(request.tools) and request.tool_choice != "none"
        if info.has_json_schema and self._output.is_closed and (info.has_schema_with_tools or not is_beside_tools):
            return "native"
        return "tool" if info.has_tools else "prompted"

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        """Answer as a stream of deltas. Raises `ModelError`."""
        if self._output.schema is None:
            stream = self._model.stream(request)
        else:
            match self.mode_for(request):
                case "native":
                    stream = self._model.stream(replace(request, output_schema=self._output.schema))
                case "tool":
                    stream = self._stream_tool(request, self._output.schema)
                case _:
                    rule = "Write the answer as one JSON object that fits this JSON Schema, and nothing around it: "
                    text = rule + json.dumps(self._output.schema, ensure_ascii=False)
                    stream = self._model.stream(replace(request, messages=_instructed(request.messages, text)))
        try:
            async for delta in stream:
                yield delta
        finally:
            await close_stream(stream)

    async def _stream_tool(self, request: ModelRequest, schema: JsonObject) -> AsyncIterator[Delta]:
        tools = request.tools if request.tool_choice != "none" else ()
        name = f"final_{self._output.name}"
        while any(tool.name == name for tool in tools):
            name += "_"
        tool = ToolSpec(name, "Give the final answer, by this call alone.", schema)
        is_required = self._model.info.has_required_tools
        messages = request.messages
        if not is_required:
            messages = _instructed(messages, f"Give the final answer by calling {name}, not as text.")
        asked = replace(
            request, messages=messages, tools=(*tools, tool), tool_choice="required" if is_required else "auto"
        )
        answer = _CalledAnswer(name)
        stream = self._model.stream(asked)
        try:
            async for delta in stream:
                for told in answer.read(delta):
                    yield told
        finally:
            await close_stream(stream)


class _CalledAnswer:
    """Turns the call of one tool into text; lives for one answer."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._call_id: str | None = None
        self._dropped: set[str] = set()
        self._has_text = False
        self._has_pieces = False
        self._has_calls = False
        self._is_open = False

    def read(self, delta: Delta) -> Iterator[Delta]:
        """Give what stands for a delta, which may be nothing."""
        match delta:
            case Finish():
                if self._is_open:  # it was cut off
                    yield TextEnd(self._call_id or "")
                is_told = self._call_id is not None and delta.finish_reason == "tool_calls"
                yield replace(delta, finish_reason="stop") if is_told else delta
            case ToolCallStart() if delta.name == self._name and self._call_id is None:
                if self._has_calls:
                    self._dropped.add(delta.call_id)
                else:
                    yield from self._begin(delta.call_id)
            case ToolCallDelta() | ToolCallEnd() if delta.call_id == self._call_id:
                yield from self._tell(delta)
            case ToolCallDelta() | ToolCallEnd() if delta.call_id in self._dropped:
                pass
            case _ if self._call_id is None:
                self._has_text = self._has_text or isinstance(delta, TextDelta)
                self._has_calls = self._has_calls or isinstance(delta, ToolCallStart)
                yield delta

    def _begin(self, call_id: str) -> Iterator[Delta]:
        self._call_id = call_id
        self._is_open = True
        yield TextStart(call_id)
        if self._has_text:
            yield TextDelta(call_id, "\n\n")  # the texts of an answer are read as one

    def _tell(self, delta: ToolCallDelta | ToolCallEnd) -> Iterator[Delta]:
        # What the provider wants back with a call makes no sense with a text.
        if isinstance(delta, ToolCallDelta):
            self._has_pieces = True
            yield TextDelta(delta.call_id, delta.arguments)
            return
        if not self._has_pieces:
            yield TextDelta(delta.call_id, delta.arguments or "{}")
        self._is_open = False
        yield TextEnd(delta.call_id)


def _instructed(messages: tuple[Message, ...], text: str) -> tuple[Message, ...]:
    """Add a text to the system message, since some servers take one only."""
    count = next((index for index, message in enumerate(messages) if message.role != "system"), len(messages))
    if count == 0:
        return (Message.system(text), *messages)
    last = messages[count - 1]
    last = replace(last, parts=(*last.parts, TextPart(f"\n\n{text}")))
    return (*messages[: count - 1], last, *messages[count:])
