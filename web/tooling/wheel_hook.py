"""Slim what goes into the wheels, of which that of `limpet` is to stay under 150 kB, and say which module goes where.

Left out are comments; docstrings and annotations of modules that users don't import; and all but the first line of the
other docstrings. Lines keep their numbers, so a traceback points to the same place as in the source, and `help()` still
names what each public thing is for. The wheels are described in `runtime/wheels/README.md`.
Runs inside hatchling, so it needs only the standard library beside it.
"""

from __future__ import annotations

import ast
import io
import tempfile
import tokenize
from collections.abc import Iterator, Set
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# The modules whose names `limpet` gives to users; `help()` of these is documentation.
PUBLIC = frozenset(
    {"agent", "conversation", "errors", "events", "host", "messages", "model", "run", "schema", "scripted", "tools"}
)
CORE_PROVIDERS = frozenset(
    {"__init__", "scripted", "remote", "service", "openai", "openai_compatible", "ollama", "openrouter"}
)
"""The modules of `providers/` that the wheel of `limpet` holds."""
PARTS = {
    "edge": ("serving/*", "hosts/cloudflare*", "stores/durable_object", "stores/kv", "entrypoints/cloudflare*"),
    "local": ("inference/*", "providers/local*", "hosts/onnx_*"),
    "providers": ("providers/*", "protocols/*", "hosts/workers_ai_binding"),
}
"""What the other wheels hold of what the wheel of `limpet` does not need; the first that fits has a module."""

Suite = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class SlimHook(BuildHookInterface):  # type: ignore[type-arg]  # its parameter is hatchling's own affair
    """Puts a slimmed copy of the package into the wheel instead of the package."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Slim the package into a folder of its own, which lives as long as the build."""
        if self.target_name != "wheel" or version == "editable":
            return
        self._folder = tempfile.TemporaryDirectory(prefix="limpet-wheel-")
        package = Path(__file__).resolve().parents[2] / "runtime" / "limpet"
        for path in modules_of(package, self.config.get("part", "core")):
            name = path.relative_to(package)
            target = Path(self._folder.name, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = slim(path.read_text("utf-8"), is_public=path.stem in PUBLIC)
            target.write_text(text, "utf-8", newline="\n")
            build_data["force_include"][str(target)] = f"limpet/{name.as_posix()}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the folder."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()


def modules_of(package: Path, part: str) -> list[Path]:
    """Give the modules of one wheel: "core", or one of `PARTS`."""
    core = core_modules(package)
    return [
        path
        for path in sorted(package.rglob("*.py"))
        if part == ("core" if path in core else part_of(path.relative_to(package).with_suffix("").as_posix()))
    ]


def part_of(module: str) -> str:
    """Give the part of `PARTS` that has a module, "core" when none has."""
    return next((part for part, patterns in PARTS.items() if any(fnmatchcase(module, it) for it in patterns)), "core")


def core_modules(package: Path) -> set[Path]:
    """Give the modules of `limpet`'s own wheel: what no other part has, and whatever that imports.

    Of `protocols/` that is what the core's providers import; the rest goes with the providers that need it.
    """
    modules = {path.relative_to(package).with_suffix("").parts: path for path in sorted(package.rglob("*.py"))}
    waiting = [
        name
        for name in modules
        if part_of("/".join(name)) == "core" or (name[0] == "providers" and name[1] in CORE_PROVIDERS)
    ]
    found: set[tuple[str, ...]] = {("protocols", "__init__")}  # the package of what is found below
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += imported(modules[name], name, modules.keys())
    return {modules[name] for name in found}


def imported(path: Path, name: tuple[str, ...], known: Set[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Give the modules of the package that one module imports, by relative imports as all of ours are."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*name[: len(name) - node.level], *(node.module or "").split("."))
            base = tuple(part for part in base if part)
            for item in (base, (*base, "__init__"), *((*base, alias.name) for alias in node.names)):
                if item in known:
                    yield item


def slim(source: str, *, is_public: bool) -> str:
    """Blank out comments, and docstrings as the module's head says; the lines keep their numbers.

    >>> slim('def f(a: int) -> int:\\n    "Say one."\\n    return 1  # why\\n', is_public=False)
    'def f(a):\\n\\n    return 1\\n'
    """
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip() + "\n"
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, Suite):
            _blank_texts(lines, node, keeps_first_line=is_public and not getattr(node, "name", "").startswith("_"))
    if not is_public:
        _blank_annotations(lines, tree)
    slimmed = "".join(lines)
    compile(slimmed, "<slimmed>", "exec", dont_inherit=True)
    return slimmed


def _blank_texts(lines: list[str], node: Suite, *, keeps_first_line: bool) -> None:
    if len(node.body) == 1:  # a body of nothing but its docstring needs it
        return
    for item in node.body:
        if not (
            isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant) and isinstance(item.value.value, str)
        ):
            continue
        first, last = item.lineno - 1, item.end_lineno or item.lineno
        if keeps_first_line:
            if last > first + 1:
                lines[first] = lines[first].rstrip() + '"""\n'
            first += 1
        lines[first:last] = ["\n"] * (last - first)


def _blank_annotations(lines: list[str], tree: ast.Module) -> None:
    """Take away the annotations of parameters, results and local variables; nothing reads those of inner modules."""
    fields = {item for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for item in node.body}
    cuts: set[tuple[int, int, int]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = node.args
            for item in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                cuts |= _cut(item.annotation, item.col_offset + len(item.arg.encode()))
            for star in (arguments.vararg, arguments.kwarg):
                cuts |= set() if star is None else _cut(star.annotation, star.col_offset + len(star.arg.encode()))
            if node.returns is not None:
                before = lines[node.returns.lineno - 1].encode()[: node.returns.col_offset]
                cuts |= _cut(node.returns, before.rindex(b" ->"))
            for part in ast.walk(node):
                if isinstance(part, ast.AnnAssign) and part.value is not None and part not in fields:
                    cuts |= _cut(part.annotation, part.target.end_col_offset or 0)
    for row, start, end in sorted(cuts, reverse=True):
        line = lines[row - 1].encode()  # columns count bytes
        lines[row - 1] = (line[:start] + line[end:]).decode()


def _cut(annotation: ast.expr | None, start: int) -> set[tuple[int, int, int]]:
    """Give line, start and end of what is taken away with an annotation; nothing when it goes over several lines."""
    if annotation is None or annotation.end_lineno != annotation.lineno:
        return set()
    return {(annotation.lineno, start, annotation.end_col_offset or 0)}
