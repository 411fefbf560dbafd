"""Draws the examples in docstrings as code: an extension of Griffe, which reads them for the documentation.

Ours are doctests without a heading, and Markdown would read `>>>` as quotations.
"""

from __future__ import annotations

import re
from typing import Any

import griffe  # type: ignore[import-not-found,unused-ignore]  # it is in the documentation's environment only

_EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)


class FencedExamples(griffe.Extension):  # type: ignore[misc,unused-ignore]
    """Puts a fence around each example."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Rewrite the docstring of a module, a class, a function or an attribute."""
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(lambda found: f"```pycon\n{found[0]}\n```", obj.docstring.value)
