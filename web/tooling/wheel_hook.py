"""Slim what goes into the wheel: comments, and docstrings of modules that users don't import, stay in the repository.

A wheel is downloaded by every page, and a third of its bytes were words that nobody reads there. Lines keep their
numbers, so a traceback points to the same place as in the source. What `help()` shows of the public names is kept.
Runs inside hatchling, so it needs only the standard library beside it.
"""

from __future__ import annotations

import ast
import io
import tempfile
import tokenize
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# The modules whose names `limpet` gives to users; `help()` of these is documentation.
PUBLIC = frozenset(
    {"agent", "conversation", "errors", "events", "host", "messages", "model", "run", "schema", "scripted", "tools"}
)


class SlimHook(BuildHookInterface):  # type: ignore[type-arg]  # its parameter is hatchling's own affair
    """Puts a slimmed copy of the package into the wheel instead of the package."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Slim the package into a folder of its own, which lives as long as the build."""
        if self.target_name != "wheel" or version == "editable":
            return
        self._folder = tempfile.TemporaryDirectory(prefix="limpet-wheel-")
        package = Path(self.root, "runtime", "limpet")
        for path in sorted(package.rglob("*.py")):
            name = path.relative_to(package)
            target = Path(self._folder.name, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = slim(path.read_text("utf-8"), keep_public=path.stem in PUBLIC)
            target.write_text(text, "utf-8", newline="\n")
            build_data["force_include"][str(target)] = f"limpet/{name.as_posix()}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the folder."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()


def slim(source: str, *, keep_public: bool) -> str:
    """Blank out comments and docstrings; with `keep_public` only docstrings of names with a leading underscore.

    >>> slim('def f():\\n    "Say one."\\n    return 1  # why\\n', keep_public=False)
    'def f():\\n\\n    return 1\\n'
    """
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip() + "\n"
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        is_private = getattr(node, "name", "").startswith("_")
        # A body of nothing but its docstring needs it.
        if (keep_public and not is_private) or len(node.body) == 1:
            continue
        for item in node.body:
            if (
                isinstance(item, ast.Expr)
                and isinstance(item.value, ast.Constant)
                and isinstance(item.value.value, str)
            ):
                last = item.end_lineno or item.lineno
                lines[item.lineno - 1 : last] = ["\n"] * (last - item.lineno + 1)
    slimmed = "".join(lines)
    compile(slimmed, "<slimmed>", "exec", dont_inherit=True)
    return slimmed
