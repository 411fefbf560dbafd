"""How a chat model is asked: messages as tokens, and what it is told of tools and schemas.

`chatml` is `<|im_start|>role\\ncontent<|im_end|>\\n` for each message, and after them `<|im_start|>assistant\\n`. What
the user typed can hold no marker (see `bpe`). A small model was trained on three roles, so what tools returned is told
in the user's name, and a call in its own is shown as the JSON that it is made to write.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from ..errors import ModelUnavailableError, UnsupportedError
from ..json_schema import as_items, as_schema
from ..messages import ImagePart, Message, ToolCallPart
from ..model import ToolSpec
from ..wire import Json, JsonObject
from .tokenizer import AnyTokenizer

_START, _END = "<|im_start|>", "<|im_end|>"

Spell = Callable[[str], Sequence[int] | None]
"""Gives the tokens in which a model wrote an answer, where that is known: they need not be those of `encode`."""


class ChatTemplate:
    """Turns messages into the tokens of a prompt.

    Raises `ModelUnavailableError` for a template that isn't known, or a tokenizer without its markers.
    """

    def __init__(self, tokenizer: AnyTokenizer, name: str, default_system: str = "") -> None:
        missing = [marker for marker in (_START, _END) if marker not in tokenizer.markers]
        if name != "chatml" or missing:
            raise ModelUnavailableError(
                f"the local model's template is {name!r}, and its tokenizer lacks {missing}; known is 'chatml'"
            )
        self._tokenizer = tokenizer
        self._default_system = default_system
        self._start, self._end = tokenizer.markers[_START], tokenizer.markers[_END]

    def prompt(self, system: str, messages: Sequence[Message], spell: Spell = lambda _: None) -> list[int]:
        """Give the tokens of a conversation and of the beginning of the answer. Raises `UnsupportedError`.

        Without a `system` text the model's own is written, as it was trained.
        """
        encode = self._tokenizer.encode
        line_end = encode("\n")
        ids = self.opening(system)
        for message in messages:
            if message.role == "system":
                continue
            ids.append(self._start)
            text = content_of(message)
            if message.role == "assistant":
                ids += encode("assistant\n")
                ids += spell(text) or encode(text)
            else:
                ids += encode(f"user\n{text}")
            ids += [self._end, *line_end]
        return [*ids, self._start, *encode("assistant\n")]

    def opening(self, system: str) -> list[int]:
        """Give the tokens of the system message, with which each prompt begins."""
        text = system or self._default_system
        if not text:
            return []
        return [self._start, *self._tokenizer.encode(f"system\n{text}"), self._end, *self._tokenizer.encode("\n")]


def content_of(message: Message) -> str:
    """Give a message as the text that a small model is shown. Raises `UnsupportedError` for pictures."""
    if any(isinstance(part, ImagePart) for part in message.parts):
        raise UnsupportedError("a local chat model sees no pictures; ask a model that does, or leave them out")
    if message.role == "tool":
        return "\n".join(
            f"{result.name} {'failed' if result.is_error else 'returned'}: {_as_text(result.content)}"
            for result in message.tool_results
        )
    texts = [message.text] if message.text else []
    return "\n".join([*texts, *(render_call(call) for call in message.tool_calls)])


def render_call(call: ToolCallPart) -> str:
    """Give a call as the JSON that the grammar of calls admits."""
    return f'{{"name": {json.dumps(call.name, ensure_ascii=False)}, "arguments": {call.arguments or "{}"}}}'


def tool_examples(tools: Sequence[ToolSpec]) -> list[Message]:
    """Give a conversation in which each tool's description is a request, answered with its name.

    A small model follows examples better than a list: with one, half as many of its choices are right.
    """
    messages: list[Message] = []
    for tool in tools:
        name = json.dumps(tool.name, ensure_ascii=False)
        messages += [Message.user(tool.description or tool.name), Message.assistant(f'{{"name": {name}}}')]
    return messages


def describe_schema(schema: JsonObject) -> str:
    """Give a schema as an example of what fits it, with types in place of values.

    >>> describe_schema({"type": "object", "properties": {"city": {"type": "string"}, "unit": {"enum": ["c", "f"]}}})
    '{"city": string, "unit": "c" | "f"}'
    """
    return _describe(schema, as_schema(schema.get("$defs")), 0)


def _with_words(schema: JsonObject, definitions: JsonObject, depth: int) -> str:
    words = schema.get("description")
    return _describe(schema, definitions, depth) + (f" ({words})" if words else "")


def _describe(schema: JsonObject, definitions: JsonObject, depth: int) -> str:
    reference = schema.get("$ref")
    if isinstance(reference, str):
        schema = as_schema(definitions.get(reference.removeprefix("#/$defs/")))
    if depth > 4:
        return "..."
    if "const" in schema:
        return _json(schema["const"])
    if "enum" in schema:
        return " | ".join(map(_json, as_items(schema["enum"])))
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            return " | ".join(_describe(as_schema(one), definitions, depth + 1) for one in as_items(schema[word]))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_describe({**schema, "type": one}, definitions, depth) for one in kind)
    if kind == "array":
        places = as_items(schema.get("prefixItems"))
        inner = places or [schema.get("items", {})]
        texts = [_describe(as_schema(one), definitions, depth + 1) for one in inner]
        return f"[{', '.join(texts)}{'' if places else ', ...'}]"
    if kind == "object":
        properties = as_schema(schema.get("properties"))
        pairs = [
            f"{_json(name)}: {_with_words(as_schema(one), definitions, depth + 1)}" for name, one in properties.items()
        ]
        return f"{{{', '.join(pairs) or '...'}}}"
    return str(kind or "any value")


def _as_text(content: Json) -> str:
    return content if isinstance(content, str) else _json(content)


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
