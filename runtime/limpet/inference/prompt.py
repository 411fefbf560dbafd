"""How Needle 3 is asked: the tools once, in a prefix that never changes, then the user's turn.

On the wire, after Needle's own fine-tuning code (Cactus Compute, Apache-2.0):

```
<s>[<|im_start|>system\\n{facts}<|im_end|>\\n]<|im_start|>user\\n<tools>{compact JSON array}</tools>
\\n{query}<|im_end|>\\n<|im_start|>assistant\\n
```

and the model writes `<think>\\n...\\n</think>\\n<tool_call>[...]</tool_call><|im_end|>`, with `[]` when no tool fits.
The first line is the prefix, whose state is computed once and kept. What the user typed can hold no marker (see
`tokenizer`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import ModelUnavailableError
from ..model import ToolSpec
from ..wire import Json, JsonObject
from .tokenizer import AnyTokenizer

RULES = (
    "Map each explicit supported request to exactly one declared call; never duplicate an action. "
    "Do not guess missing values. Unsupported, invalid, ambiguous, and negated requests return no call."
)
"""What the model can be told about calling tools, in words that are near those it was trained with."""
_KEPT = (
    "description",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "format",
    "minItems",
    "maxItems",
)
"""Keywords that the model was trained to read. Others (`title`, `default`, ...) only make the prefix longer."""


@dataclass(frozen=True, slots=True)
class Markers:
    """The ids of the markers that the decoder looks for."""

    think: int
    end_think: int
    tool_call: int
    end_tool_call: int
    end_turn: int

    @classmethod
    def find(cls, tokenizer: AnyTokenizer) -> Markers:
        """Look the markers up. Raises `ModelUnavailableError` when the tokenizer isn't of this template."""
        names = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<|im_end|>")
        missing = [name for name in names if name not in tokenizer.markers]
        if missing:
            raise ModelUnavailableError(f"the local model's tokenizer has no {missing[0]!r}, so it can't call tools")
        return cls(*(tokenizer.markers[name] for name in names))


def prefix_ids(
    tokenizer: AnyTokenizer, tools: Sequence[ToolSpec], *, system: str = "", bos_token_id: int | None = None
) -> list[int]:
    """Give the tokens of all that stays the same from question to question."""
    ids = [] if bos_token_id is None else [bos_token_id]
    if system:
        ids += tokenizer.encode_template("<|im_start|>system\n")
        ids += tokenizer.encode(system)
        ids += tokenizer.encode_template("<|im_end|>\n")
    ids += tokenizer.encode_template("<|im_start|>user\n<tools>")
    ids += tokenizer.encode(render_tools(tools))
    ids += tokenizer.encode_template("</tools>")
    return ids


def turn_ids(tokenizer: AnyTokenizer, query: str, *, think: bool = True) -> list[int]:
    """Give the tokens of a question and of the first marker of its answer."""
    ids = tokenizer.encode("\n" + query.strip())
    opening = "<think>" if think else "<tool_call>"
    return ids + tokenizer.encode_template("<|im_end|>\n<|im_start|>assistant\n" + opening)


def render_tools(tools: Sequence[ToolSpec]) -> str:
    """Give the tools as the compact JSON that the model was trained to read."""
    rendered: list[JsonObject] = []
    for tool in tools:
        entry: JsonObject = {"name": tool.name}
        if tool.description:
            entry["description"] = tool.description
        entry["parameters"] = simplify_schema(tool.parameters, tool.parameters)
        rendered.append(entry)
    return json.dumps(rendered, ensure_ascii=False, separators=(",", ":"))


def simplify_schema(schema: Mapping[str, object], root: Mapping[str, object], depth: int = 0) -> JsonObject:
    """Give a schema without references, unions with null, and keywords that the model doesn't know."""
    schema = resolve_schema(schema, root)
    simple: JsonObject = {}
    kind = schema.get("type")
    if isinstance(kind, (list, tuple)):
        kind = next((name for name in kind if name != "null"), "string")
    if isinstance(kind, str):
        simple["type"] = kind
    elif isinstance(values := schema.get("enum"), (list, tuple)) and all(isinstance(value, str) for value in values):
        simple["type"] = "string"
    for keyword in _KEPT:
        if keyword in schema:
            simple[keyword] = _as_json(schema[keyword])
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        simple["properties"] = {
            str(name): simplify_schema(value, root, depth + 1)
            for name, value in properties.items()
            if isinstance(value, Mapping) and depth < 6
        }
        required = schema.get("required")
        if isinstance(required, (list, tuple)) and required:
            simple["required"] = [str(name) for name in required]
    items = schema.get("items")
    if isinstance(items, Mapping) and depth < 6:
        simple["items"] = simplify_schema(items, root, depth + 1)
    return simple


def resolve_schema(schema: Mapping[str, object], root: Mapping[str, object]) -> Mapping[str, object]:
    """Follow references, and take the first option of a union that isn't null."""
    for _ in range(8):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            target: object = root
            for name in reference.removeprefix("#").split("/")[1:]:
                target = target.get(name) if isinstance(target, Mapping) else None
            chosen = target
        else:
            options = next((schema[word] for word in ("anyOf", "oneOf", "allOf") if word in schema), None)
            if not isinstance(options, (list, tuple)):
                return schema
            chosen = next((o for o in options if isinstance(o, Mapping) and o.get("type") != "null"), None)
        if not isinstance(chosen, Mapping):
            return schema
        # What stands beside the reference or the union, such as its description, goes over what it leads to.
        beside = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf", "oneOf", "allOf")}
        schema = {**chosen, **beside}
    return schema


def _as_json(value: object) -> Json:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, (list, tuple)) else str(value)
