"""The authority on the layers: which module may import which, read from the source with `ast`.

Imports under `TYPE_CHECKING` and inside functions count too. A message names the row of the table that was broken.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import limpet

PACKAGE = Path(limpet.__file__).parent
ARCHITECTURE = PACKAGE.parent.parent / "ARCHITECTURE.md"

# Modules by their place in the package; `x/*` are those of a folder and the folder's own `__init__`.
LAYERS = {
    "values": ("errors", "wire", "messages", "events"),
    "seams": ("host", "model"),
    "pure logic": (
        *("schema", "shapes", "json_schema", "foreign", "docstrings", "loose_json", "sse", "retry", "accumulate"),
        *("estimates", "partial_json"),
        *("protocols/*", "inference/*"),
    ),
    "models": ("providers/*", "fallback", "structured", "layers/*"),
    "loop": ("tools", "calls", "jobs", "hooks", "output_watch", "run_state", "run", "agent", "conversation"),
    "serving": ("serving/*",),
    "edges": ("hosts/*", "stores/*"),
    "entry points": ("entrypoints/*", "__main__", "__init__"),
}
MAY_IMPORT = {
    "values": {"values"},
    "seams": {"values", "seams"},
    "pure logic": {"values", "seams", "pure logic"},
    "models": {"values", "seams", "pure logic", "models"},
    "loop": {"values", "seams", "pure logic", "models", "loop"},
    "serving": {"values", "seams", "pure logic", "models", "loop", "serving"},
    "edges": {"values", "seams", "edges"},
    "entry points": set(LAYERS),
}
VALUES_IN_ORDER = LAYERS["values"]
PLATFORM = {"js", "pyodide", "pyodide_js", "workers", "urllib", "http", "sqlite3", "onnxruntime", "numpy"}
PLATFORM_LAYERS = {"edges", "entry points"}
# What Pyodide has loaded when it has booted, or loads in less than a millisecond.
CHEAP = {
    *("__future__", "abc", "annotationlib", "array", "asyncio", "base64", "binascii", "bisect", "codecs"),
    *("collections", "contextlib", "copy", "dataclasses", "enum", "functools", "heapq", "importlib", "inspect", "io"),
    *("itertools", "json", "math", "operator", "re", "struct", "sys", "types", "typing", "unicodedata"),
    *("warnings", "weakref"),
}
MAY_ALSO_IMPORT = {
    "protocols/sigv4": {"hashlib", "hmac", "time"},
    "layers/cache": {"hashlib"},
    "serving/access": {"hashlib", "hmac"},
}
"""Dear ones, by the module that can't do without; loaded by those who ask for it only."""
LATE_IMPORTER = "providers"
"""The provider table: the one module that imports our modules inside a function."""


@dataclass(frozen=True)
class Import:
    """One import statement: who imports what, where, and whether inside a function."""

    importer: str
    target: str
    line: int
    is_late: bool


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "/".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def layer_of(module: str) -> str | None:
    for layer, patterns in LAYERS.items():
        for pattern in patterns:
            if fnmatchcase(module, pattern) or pattern == f"{module}/*":
                return layer
    return None


def imports_of(module: str) -> Iterator[Import]:
    """Yield the imports of a module; our own modules are named as in `MODULES`, others by their first name."""
    path = MODULES[module]
    package = module.split("/") if path.name == "__init__.py" else module.split("/")[:-1]
    if module == "__init__":
        package = []

    def visit(node: ast.AST, is_late: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            late = is_late or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(module, own(alias.name.split(".")), child.lineno, late)
            elif isinstance(child, ast.ImportFrom):
                start = package[: len(package) - child.level + 1] if child.level else []
                parts = [*start, *(child.module.split(".") if child.module else [])]
                for alias in child.names:
                    names = [*parts, alias.name]
                    if child.level or parts[0] == "limpet":
                        inner = names[1:] if not child.level else names
                        target = "/".join(inner)
                        yield Import(
                            module,
                            target if target in MODULES else "/".join(inner[:-1]) or "__init__",
                            child.lineno,
                            late,
                        )
                    else:
                        yield Import(module, parts[0], child.lineno, late)
            else:
                yield from visit(child, late)

    def own(names: list[str]) -> str:
        return "/".join(names[1:]) or "__init__" if names[0] == "limpet" else names[0]

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), False)


IMPORTS = [found for module in MODULES for found in imports_of(module)]
OWN = [found for found in IMPORTS if found.target in MODULES and found.target != found.importer]


def test_every_module_has_a_layer() -> None:
    homeless = [module for module in MODULES if layer_of(module) is None]

    assert homeless == [], "add the module to a row of LAYERS and of ARCHITECTURE.md, section 2"


def test_imports_point_one_way() -> None:
    broken = []
    for found in OWN:
        layer, target_layer = layer_of(found.importer), layer_of(found.target)
        if layer and target_layer not in MAY_IMPORT[layer]:
            broken.append(
                f"{found.importer}.py:{found.line} ({layer}) imports {found.target} ({target_layer}); "
                f"{layer} may import {', '.join(sorted(MAY_IMPORT[layer]))}"
            )

    assert broken == []


def test_values_are_imported_in_their_order() -> None:
    order = {module: place for place, module in enumerate(VALUES_IN_ORDER)}
    broken = [
        f"{found.importer}.py:{found.line} imports {found.target}, which comes later in: {', '.join(VALUES_IN_ORDER)}"
        for found in OWN
        if found.importer in order and order.get(found.target, -1) > order[found.importer]
    ]

    assert broken == []


def test_nothing_imports_in_a_circle() -> None:
    targets: dict[str, set[str]] = {module: set() for module in MODULES}
    for found in OWN:
        if not (found.importer == LATE_IMPORTER and found.is_late):
            targets[found.importer].add(found.target)
    done: set[str] = set()

    def circle(module: str, above: tuple[str, ...]) -> tuple[str, ...] | None:
        if module in above:
            return (*above[above.index(module) :], module)
        if module in done:
            return None
        done.add(module)
        return next((found for target in targets[module] if (found := circle(target, (*above, module)))), None)

    circles = [" -> ".join(found) for module in MODULES if (found := circle(module, ()))]

    assert circles == []


def test_only_the_provider_table_imports_our_modules_late() -> None:
    late = [f"{found.importer}.py:{found.line}" for found in OWN if found.is_late and found.importer != LATE_IMPORTER]
    by_name = [
        f"{found.importer}.py:{found.line}"
        for found in IMPORTS
        if found.target == "importlib" and layer_of(found.importer) not in PLATFORM_LAYERS
    ]

    assert late == [], "import at the top of the module"
    assert [place for place in by_name if not place.startswith(f"{LATE_IMPORTER}.py:")] == []


def test_platforms_stay_at_the_edge() -> None:
    broken = [
        f"{found.importer}.py:{found.line} ({layer_of(found.importer)}) imports {found.target}"
        for found in IMPORTS
        if found.target in PLATFORM and layer_of(found.importer) not in PLATFORM_LAYERS
    ]

    assert broken == [], "hosts/, stores/ and entrypoints/ only"


def test_the_core_needs_only_cheap_modules_of_the_standard_library() -> None:
    broken = [
        f"{found.importer}.py:{found.line} imports {found.target}"
        for found in IMPORTS
        if found.target not in MODULES
        and found.target
        not in (CHEAP if layer_of(found.importer) not in PLATFORM_LAYERS else sys.stdlib_module_names | PLATFORM)
        and found.target not in MAY_ALSO_IMPORT.get(found.importer, ())
    ]

    assert broken == []


def test_every_module_says_what_it_is_for_and_leaves_annotations_alone() -> None:
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))

        assert ast.get_docstring(tree), f"{module}.py has no docstring"
        assert len(tree.body) == 1 or any(
            isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body
        ), f"{module}.py lacks `from __future__ import annotations`"


def test_nobody_waits_in_the_pure_modules() -> None:
    broken = [
        f"{module}.py:{node.lineno}"
        for module, path in MODULES.items()
        if layer_of(module) in ("values", "pure logic") and not module.startswith("inference/")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith))
    ]

    assert broken == []


@pytest.mark.skipif(not ARCHITECTURE.exists(), reason="only the package is here, not its documents")
def test_the_table_in_the_documents_is_this_one() -> None:
    rows = {}
    for line in ARCHITECTURE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0] in LAYERS:
            rows[cells[0]] = sorted(cells[1].replace("`", "").split())

    assert rows == {layer: sorted(modules) for layer, modules in LAYERS.items()}
