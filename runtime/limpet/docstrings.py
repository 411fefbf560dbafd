"""What a docstring says: the description, and a text for each parameter.

Reads Google (`Args:`), NumPy (underlined `Parameters`) and Sphinx (`:param name:`) style, told apart by what is found.
"""

from __future__ import annotations

import inspect
import re

_PARAMETERS = {
    *("args", "arguments", "parameters", "params", "keyword args", "keyword arguments", "other parameters"),
    *("attributes", "fields"),
}
_OTHERS = {
    *("returns", "return", "yields", "yield", "raises", "raise", "warns", "example", "examples", "usage"),
    *("see also", "references", "receives", "methods", "todo"),
}


def parse_docstring(text: str | None) -> tuple[str, dict[str, str]]:
    r"""Split a docstring into the description above its first section and the texts of its parameters.

    >>> parse_docstring("Set a timer.\n\nArgs:\n    minutes (int): How long,\n        in minutes.\n")
    ('Set a timer.', {'minutes': 'How long, in minutes.'})
    """
    if not text:
        return "", {}
    lines = inspect.cleandoc(text).splitlines()
    if len(lines) > 1 and _section(lines, 0)[0] and lines[1][:1].strip("-= "):
        # Nothing but this section, so its indent was taken for the docstring's.
        lines[1:] = [f"    {line}" for line in lines[1:]]
    description: list[str] = []
    parameters: dict[str, str] = {}
    at = 0
    is_description = True
    while at < len(lines):
        line = lines[at]
        section, body_at, is_numpy = _section(lines, at)
        if section:
            is_description = False
            end = _section_end(lines, body_at, is_numpy)
            if section in _PARAMETERS:
                parameters |= _entries(lines[body_at:end], is_numpy)
            at = end
        elif line.startswith(":") and (field := re.match(r":(\w+)\s*([^:]*):(.*)", line)):
            is_description = False
            end = at + 1
            while end < len(lines) and (lines[end].startswith(" ") or not lines[end].strip()):
                end += 1
            if field[1] in ("param", "parameter", "arg", "argument", "key", "keyword") and field[2].split():
                parameters[field[2].split()[-1].lstrip("*")] = _joined([field[3], *lines[at + 1 : end]])
            at = end
        else:
            if is_description:
                description.append(line)
            at += 1
    return "\n".join(description).strip(), parameters


def _section(lines: list[str], at: int) -> tuple[str, int, bool]:
    """Name the section whose heading is at a line (empty: none), where its body begins, and whether it is NumPy's."""
    title = lines[at].rstrip()
    if not title or title[0].isspace():
        return "", at, False
    following = lines[at + 1].strip() if at + 1 < len(lines) else ""
    if len(following) >= 3 and not following.strip("-="):
        return title.lower(), at + 2, True
    name = title[:-1].lower()
    if title.endswith(":") and (name in _PARAMETERS or name in _OTHERS):
        return name, at + 1, False
    return "", at, False


def _section_end(lines: list[str], at: int, is_numpy: bool) -> int:
    while at < len(lines):
        line = lines[at]
        if line.strip() and not line[0].isspace() and (not is_numpy or _section(lines, at)[0]):
            return at
        at += 1
    return at


def _entries(lines: list[str], is_numpy: bool) -> dict[str, str]:
    indents = [len(line) - len(line.lstrip()) for line in lines if line.strip()]
    outer = min(indents, default=0)
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        if line.strip() and len(line) - len(line.lstrip()) == outer:
            current = []
            if is_numpy:
                names, first = line.partition(":")[0], ""
            else:
                head = re.match(r"\s*(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?:\(.*?\))?\s*:(.*)", line)
                names, first = (head[1], head[2]) if head else ("", line)
            current.append(first)
            for name in names.split(","):
                if name.strip():
                    found[name.strip().lstrip("*")] = current
        else:
            current.append(line)
    return {name: text for name, texts in found.items() if (text := _joined(texts))}


def _joined(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())
