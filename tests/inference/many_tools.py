"""Two hundred tools and a question for each, from `fixtures/many_tools.txt`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from limpet.model import ToolSpec

_FILE = Path(__file__).parent / "fixtures" / "many_tools.txt"


def read_many_tools() -> list[tuple[ToolSpec, str]]:
    """Give each tool with the question that is about it. All parameters are optional texts."""
    rows = [line for line in _FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [_read(row) for row in rows]


def one_required(tool: ToolSpec) -> ToolSpec:
    """Give the tool with its first parameter required, as most have one that is."""
    properties = tool.parameters["properties"]
    assert isinstance(properties, dict)
    return ToolSpec(tool.name, tool.description, {**tool.parameters, "required": list(properties)[:1]})


def hit_rate(found: Sequence[Sequence[ToolSpec]], wanted: Sequence[ToolSpec]) -> float:
    """Give the share of questions whose tool is among those found."""
    return sum(tool in tools for tools, tool in zip(found, wanted, strict=True)) / len(wanted)


def _read(row: str) -> tuple[ToolSpec, str]:
    name, description, parameters, question = (part.strip() for part in row.split("|"))
    properties = {word.strip(): {"type": "string"} for word in parameters.split(",") if word.strip()}
    return ToolSpec(name, description, {"type": "object", "properties": properties}), question


def read_plain_questions() -> list[tuple[str, str]]:
    """Give names of tools, each with a question that says plainly what is wanted."""
    text = (_FILE.parent / "plain_questions.txt").read_text(encoding="utf-8")
    rows = [line.split("|") for line in text.splitlines() if not line.startswith("#")]
    return [(name.strip(), question.strip()) for name, question in rows]
