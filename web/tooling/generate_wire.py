"""TypeScript from `runtime/limpet/wire.py`: one type for each `TypedDict` and each alias, in the same order.

The file is read with `ast` and never imported, so docstrings become JSDoc and the order stays the author's. A form
that has no TypeScript here is an error that names the line: nothing is skipped in silence.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

HEADER = """\
// Generated from runtime/limpet/wire.py by `python3 build.py generate`. Do not edit: change wire.py instead.
"""
SIMPLE = {"str": "string", "int": "number", "float": "number", "bool": "boolean", "object": "unknown"}
LINE_LENGTH = 120


class UnknownFormError(Exception):
    """`wire.py` holds a type which this generator cannot write in TypeScript."""

    def __init__(self, node: ast.AST, what: str) -> None:
        super().__init__(f"wire.py, line {getattr(node, 'lineno', '?')}: {what} has no TypeScript form")


def generate(wire_source: str, errors_source: str) -> str:
    """Give the text of `wire.ts`. `errors_source` is the module from which `wire.py` takes its closed sets of names.

    Raises `UnknownFormError` for a type that cannot be expressed, and for a name that nothing defines.
    """
    tree = ast.parse(wire_source)
    imported = {
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module == "errors"
        for alias in node.names
    }
    outside = [node for node in _declarations(ast.parse(errors_source)) if _name(node[0]) in imported]
    declarations = outside + list(_declarations(tree))
    names = {_name(node) for node, _ in declarations}
    return "\n".join([HEADER, *(_declare(node, doc, names) for node, doc in declarations)])


def generate_from(root: Path) -> str:
    """Give the text of `wire.ts` for the repository at `root`."""
    package = root / "runtime" / "limpet"
    return generate((package / "wire.py").read_text("utf-8"), (package / "errors.py").read_text("utf-8"))


def target(root: Path) -> Path:
    """Where the repository at `root` keeps the generated file."""
    return root / "web" / "src" / "generated" / "wire.ts"


def _declarations(tree: ast.Module) -> Iterator[tuple[ast.ClassDef | ast.Assign, str | None]]:
    """Each `TypedDict` and each type alias, with the docstring that belongs to it."""
    for node, after in zip_longest(tree.body, tree.body[1:]):
        if isinstance(node, ast.ClassDef) and any(_is_name(base, "TypedDict") for base in node.bases):
            yield node, ast.get_docstring(node)
        elif isinstance(node, ast.Assign) and _is_alias(node.value):
            yield node, _string(after) if isinstance(after, ast.Expr) else None


def _is_alias(value: ast.expr) -> bool:
    """Whether an assignment names a type of data: a union, a closed set of names, a list or a dict of such."""
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr):
        return True
    return isinstance(value, ast.Subscript) and any(_is_name(value.value, name) for name in ("Literal", "list", "dict"))


def _declare(node: ast.ClassDef | ast.Assign, doc: str | None, names: set[str]) -> str:
    comment = _comment(doc, "")
    if isinstance(node, ast.Assign):
        return f"{comment}{_alias(_name(node), _members(node.value, names))}"
    return f"{comment}export type {node.name} = {{\n{''.join(_fields(node, names))}}};\n"


def _alias(name: str, members: list[str]) -> str:
    line = f"export type {name} = {' | '.join(members)};\n"
    if len(line) <= LINE_LENGTH:
        return line
    return f"export type {name} =\n" + "\n".join(f"  | {member}" for member in members) + ";\n"


def _fields(node: ast.ClassDef, names: set[str]) -> Iterator[str]:
    for field, after in zip_longest(node.body, node.body[1:]):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            if isinstance(field, ast.Expr) and _string(field) is not None:
                continue
            raise UnknownFormError(field, f"this line of {node.name}")
        annotation, mark = field.annotation, ""
        if isinstance(annotation, ast.Subscript) and _is_name(annotation.value, "NotRequired"):
            annotation, mark = annotation.slice, "?"
        comment = _comment(_string(after) if isinstance(after, ast.Expr) else None, "  ")
        yield f"{comment}  {field.target.id}{mark}: {_type(annotation, names)};\n"


def _members(node: ast.expr, names: set[str]) -> list[str]:
    """The members of a union, each once; of any other type the type itself."""
    match node:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return list(dict.fromkeys([*_members(left, names), *_members(right, names)]))
        case ast.Subscript(value=ast.Name(id="Literal"), slice=values):
            elements = values.elts if isinstance(values, ast.Tuple) else [values]
            return [json.dumps(ast.literal_eval(element)) for element in elements]
    return [_type(node, names)]


def _type(node: ast.expr, names: set[str]) -> str:
    """Write one annotation in TypeScript."""
    match node:
        case ast.BinOp(op=ast.BitOr()) | ast.Subscript(value=ast.Name(id="Literal")):
            return " | ".join(_members(node, names))
        case ast.Constant(value=None):
            return "null"
        case ast.Constant(value=str(text)):  # a forward reference
            return _type(ast.parse(text, mode="eval").body, names)
        case ast.Name(id=name) if name in SIMPLE:
            return SIMPLE[name]
        case ast.Name(id=name) if name in names:
            return name
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            text = _type(item, names)
            return f"({text})[]" if " | " in text else f"{text}[]"
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[ast.Name(id="str"), item])):
            return f"{{ [key: string]: {_type(item, names)} }}"
    raise UnknownFormError(node, ast.unparse(node))


def _comment(text: str | None, indent: str) -> str:
    if text is None:
        return ""
    lines = text.replace("*/", "*\\/").splitlines()
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    return f"{indent}/**\n" + "".join(f"{indent} * {line}".rstrip() + "\n" for line in lines) + f"{indent} */\n"


def _name(node: ast.ClassDef | ast.Assign) -> str:
    if isinstance(node, ast.ClassDef):
        return node.name
    match node.targets:
        case [ast.Name(id=name)]:
            return name
    raise UnknownFormError(node, "an alias with more than one name")


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _string(node: ast.stmt) -> str | None:
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return text
    return None
