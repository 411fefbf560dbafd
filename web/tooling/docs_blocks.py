"""The fenced blocks of a Markdown file: what the documentation's build and its tests both read.

A block may be marked by a comment on the line before it, `<!-- mark: words -->`. What is drawn as live in the
documentation says so behind its language: `python live prompt="..."`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(
    r"^(?:<!-- (?P<mark>(?!generated)[a-z ]+)(?:: (?P<reason>[^\n]*?))? -->\n)?"
    r"```(?P<language>[\w-]*)(?P<words>[^\n`]*)\n(?P<code>.*?)^```[ ]*$",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `line` is the number of its first line of code, `reason` what its mark says."""

    language: str
    code: str
    line: int
    words: str = ""
    mark: str = ""
    reason: str = ""

    @property
    def is_live(self) -> bool:
        """Whether it is an example that readers run in their tab."""
        return "live" in self.words.split()

    @property
    def prompt(self) -> str:
        """What a live example is asked."""
        found = re.search(r'prompt="([^"]*)"', self.words)
        return found[1] if found else ""


def blocks(text: str) -> Iterator[Block]:
    """Give the fenced blocks of a Markdown text.

    >>> [(block.language, block.prompt) for block in blocks('```python live prompt="hello"\\nx\\n```\\n')]
    [('python', 'hello')]
    """
    for found in _FENCE.finditer(text):
        yield _block(found, text)


def replace_blocks(text: str, render: Callable[[Block], str]) -> str:
    """Give the text with what `render` makes of each block, and of its mark, in the place of both."""
    return _FENCE.sub(lambda found: render(_block(found, text)), text)


def blocks_of(path: Path) -> list[Block]:
    """Give the fenced blocks of a Markdown file."""
    return list(blocks(path.read_text("utf-8")))


def _block(found: re.Match[str], text: str) -> Block:
    return Block(
        found["language"],
        found["code"],
        text.count("\n", 0, found.start("code")) + 1,
        found["words"].strip(),
        found["mark"] or "",
        found["reason"] or "",
    )
