"""What MkDocs calls while it builds the documentation; named in `mkdocs.yml`, run in an environment of its own.

Marks are taken out of the blocks, live examples get their frame, other files of the repository are taken in, and each
page gets a content policy: its scripts are its own, and nothing is asked of another server.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from pathlib import Path
from typing import Any

from tooling.docs_blocks import Block, replace_blocks

ROOT = Path(__file__).resolve().parents[2]
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' {scripts}; worker-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self' blob: https: http://127.0.0.1:* http://localhost:*; base-uri 'self'; form-action 'none'"
)
"""Live examples are read from `blob:`, and may ask the remote model that a reader writes into one."""
_INCLUDE = re.compile(r"^<!-- include: (\S+) -->\n", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)\s]+\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Take in what is included, and draw the blocks."""
    markdown = _INCLUDE.sub(lambda found: included(found[1]), markdown)
    return replace_blocks(markdown, draw)


def included(name: str) -> str:
    """Give another Markdown file of the repository without its title; its links lead nowhere, so their words stay."""
    _, _, body = (ROOT / name).read_text("utf-8").partition("\n")
    pieces = re.split(r"(^```.*?^```$)", body, flags=re.DOTALL | re.MULTILINE)
    pieces[::2] = [_LINK.sub(r"\1", piece) for piece in pieces[::2]]
    return "".join(pieces)


def draw(block: Block) -> str:
    """Give a block as MkDocs wants it; a live one in the frame that `docs/live.js` looks for."""
    fence = f"```{block.language}\n{block.code}```"
    if not block.is_live:
        return fence
    return f'<div class="limpet-live" data-prompt="{escape(block.prompt)}" markdown="1">\n\n{fence}\n\n</div>'


def on_post_page(output: str, **_: Any) -> str:
    """Write the page's content policy into its head, with the hash of each script that stands in the page itself."""
    scripts = re.findall(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>(.*?)</script>", output, re.DOTALL)
    hashes = sorted({base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts})
    policy = POLICY.format(scripts=" ".join(f"'sha256-{text}'" for text in hashes))
    return output.replace("<head>", f'<head><meta http-equiv="Content-Security-Policy" content="{policy}">', 1)
