"""The tables in `docs/` that are made from the runtime, so that they can't disagree with it.

`build.py generate` writes them between `<!-- generated: name -->` and `<!-- end -->`; a test compares.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import limpet
from limpet import errors
from limpet.errors import AgentError, ModelError
from limpet.events import EVENTS
from limpet.providers import PROVIDERS
from limpet.providers.service import Service

_PLACE = re.compile(r"(<!-- generated: ([a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_PAGE = {"open": "yes", "option": "with an option", "server": "a setting of the server", "proxy": "through a proxy"}


def providers() -> str:
    """Give the table of all providers."""
    rows = []
    for name in PROVIDERS:
        if name == "local":
            continue
        service = import_module(f"limpet.providers.{name}").SERVICE
        rows.append([f"`{name}`", _key(service), *_abilities(service), _PAGE[service.browser_access]])
    head = ["provider", "key", "chat", "tools", "JSON Schema", "pictures", "reasoning", "embeddings", "in a page"]
    return _table(head, rows)


def _key(service: Service) -> str:
    names = [service.key_name, *service.secrets] if service.key_name else list(service.secrets)
    text = ", ".join(f"`{name}`" for name in names) or "none"
    return text if service.needs_key or not names else f"{text} (optional)"


def _abilities(service: Service) -> list[str]:
    chats = service.protocol is not None
    abilities = [service.has_tools, service.has_json_schema, service.has_images, service.has_reasoning]
    return [_yes(chats), *(_yes(chats and ability) for ability in abilities), _yes(service.embeddings is not None)]


def events() -> str:
    """Give the table of all events."""
    rows = []
    for name, event in EVENTS.items():
        names = ", ".join(f"`{field.name}`" for field in fields(event))
        rows.append([f"`{name}`", f"`{event.__name__}`", names, _first_line(event)])
    return _table(["`type`", "class", "fields", "when"], rows)


def error_tree() -> str:
    """Give the tree of all errors, as the module draws it."""
    found = re.search(r"```\n.*?```", errors.__doc__ or "", re.DOTALL)
    assert found is not None, "limpet.errors draws its tree"
    return found[0].replace("```\n", "```text\n", 1)


def error_table() -> str:
    """Give the table of all errors."""
    rows = []
    for cls in _classes():
        reason = cls.fallback_reason if issubclass(cls, ModelError) else None
        rows.append([f"`{cls.__name__}`", _yes(cls.is_retryable), f"`{reason}`" if reason else "", _first_line(cls)])
    return _table(["error", "retry", "`Fallback.reason`", "what it means"], rows)


def _classes() -> Iterator[type[AgentError]]:
    for name in limpet.__all__:
        value = getattr(limpet, name)
        if isinstance(value, type) and issubclass(value, AgentError):
            yield value


TABLES: Mapping[str, Callable[[], str]] = {
    "providers": providers,
    "events": events,
    "errortree": error_tree,
    "errors": error_table,
}


def fill(text: str) -> str:
    """Give a document with its tables made anew. Raises `KeyError` for one that nobody makes."""
    return _PLACE.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[3]}", text)


def write(root: Path) -> None:
    """Write the tables into the documents in which they differ."""
    for path in sorted((root / "docs").rglob("*.md")):
        text = path.read_text("utf-8")
        if (filled := fill(text)) != text:
            path.write_text(filled, "utf-8", newline="\n")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _first_line(cls: type) -> str:
    return (cls.__doc__ or "").strip().partition("\n")[0]


def _yes(value: bool) -> str:
    return "yes" if value else ""


if __name__ == "__main__":
    write(Path(sys.argv[1]))
