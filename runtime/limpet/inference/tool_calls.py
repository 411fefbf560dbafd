"""The calls in a model's answer, read and written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from ..model import ToolSpec
from ..wire import JsonObject


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model wants made."""

    tool: ToolSpec
    arguments: JsonObject

    @property
    def arguments_text(self) -> str:
        """The arguments as compact JSON."""
        return json.dumps(self.arguments, ensure_ascii=False, separators=(",", ":"))


def parse_calls(text: str, tools: Sequence[ToolSpec]) -> list[ToolCall] | None:
    """Read `[{"name":...,"arguments":{...}},...]`; None when it is not that or names a tool that doesn't exist.

    A call that says what an earlier one said is left out: a small model repeats itself.
    """
    known = {tool.name: tool for tool in tools}
    try:
        entries = json.loads(text or "[]")
    except ValueError:
        return None
    calls: list[ToolCall] = []
    for entry in entries if isinstance(entries, list) else [None]:
        tool = known.get(str(entry.get("name"))) if isinstance(entry, dict) else None
        arguments = entry.get("arguments") if isinstance(entry, dict) else None
        if tool is None or not isinstance(arguments, dict):
            return None
        call = ToolCall(tool, arguments)
        if call not in calls:
            calls.append(call)
    return calls
