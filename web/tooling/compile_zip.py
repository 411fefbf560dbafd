"""Run inside Pyodide by `compile.mjs`: turn the `.py` files of a zip file or a wheel into `.pyc` files without source.

Compiling the standard library costs Pyodide three seconds of processor time at every start, reading byte code a
fraction of it. A `.pyc` in the place of the `.py` is imported by `SourcelessFileLoader` and `zipimport` alike, and the
zip gets smaller. What is lost are the lines of source in a traceback; names and line numbers stay.
"""

from __future__ import annotations

import ast
import base64
import builtins
import dataclasses
import hashlib
import importlib
import importlib.util
import marshal
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from types import CodeType

FIXED_TIME = (2020, 1, 1, 0, 0, 0)  # so that the same source gives the same bytes

PREPARED = "_prepared"
PREPARED_SOURCE = '''
"""Made by the build for Pyodide: the methods of this package's dataclasses, compiled ahead.

`dataclasses` writes the source of each class's methods and compiles it at every start; that is most of what importing
this package costs there. The name `exec` in that module is ours: what it knows is not compiled again.
"""

import dataclasses
from builtins import exec as _exec

_codes = dict("CODES")


def _exec_prepared(source, /, *spaces):
    _exec(_codes.get(source, source), *spaces)


dataclasses.exec = _exec_prepared
'''


def compile_zip(
    input_path: str,
    output_path: str,
    prefix: str,
    package: str = "",
    imports: Sequence[str] = (),
    beside: Sequence[str] = (),
    optimize: int = 0,
    is_stored: bool = False,
) -> int:
    """Compile every module of a zip; other files are kept. Gives how many modules there were.

    `prefix` is the folder that tracebacks name. The RECORD of a wheel is written anew (PyPA, "Binary distribution
    format"), since the files in it are others now. With `package`, that package gets a module with the methods of the
    dataclasses that importing `imports` makes, and imports it first; `beside` are the zips with more of that package.
    `optimize` is what `compile` takes: 2 leaves docstrings and asserts out. What `is_stored` is not compressed, since
    a server that compresses the whole does it better.
    """
    added: dict[str, CodeType] = {}
    if package:
        added[f"{package}/{PREPARED}.py"] = _prepared([input_path, *beside], imports, f"{prefix}/{package}")
    modules = 0
    record: list[str] = []
    record_name = ""
    with zipfile.ZipFile(input_path) as source, zipfile.ZipFile(output_path, "w", zipfile.ZIP_DEFLATED, True, 9) as out:
        method = zipfile.ZIP_STORED if is_stored else zipfile.ZIP_DEFLATED
        for info in sorted(source.infolist(), key=lambda item: item.filename):
            name, data = info.filename, source.read(info)
            if name.endswith(".dist-info/RECORD"):
                record_name = name
                continue
            if name == f"{package}/__init__.py":
                data = _import_first(data, PREPARED)
            if name.endswith(".py"):
                name, data = f"{name}c", _pyc(_compile(data, f"{prefix}/{name}", optimize), data)
                modules += 1
            record.append(_record(name, data))
            out.writestr(_entry(name), data, method)
        for name, code in added.items():
            data = _pyc(code, b"")
            record.append(_record(f"{name}c", data))
            out.writestr(_entry(f"{name}c"), data, method)
        if record_name:
            out.writestr(_entry(record_name), "\n".join([*record, f"{record_name},,", ""]), method)
    return modules


def _compile(source: bytes | str, filename: str, optimize: int = 0) -> CodeType:
    code: CodeType = compile(source, filename, "exec", dont_inherit=True, optimize=optimize)
    return code


def _pyc(code: CodeType, source: bytes) -> bytes:
    """A `.pyc` as PEP 552 draws it: magic, flags, hash of the source, marshalled code; "unchecked" by its hash."""
    flags = (1).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source) + marshal.dumps(code)


def _prepared(archives: Sequence[str], imports: Sequence[str], folder: str) -> CodeType:
    """Import modules from zips while writing down what `dataclasses` compiles; gives the module that knows it."""
    codes: dict[str, CodeType] = {}

    def record(source: str, *spaces: dict[str, object]) -> None:
        codes[source] = _compile(source, "<string>")
        builtins.exec(codes[source], *spaces)

    # Unpacked, since a package is not looked for in two zips.
    place = tempfile.mkdtemp()
    for archive in archives:
        with zipfile.ZipFile(archive) as source_zip:
            source_zip.extractall(place)
    sys.path.insert(0, place)
    vars(dataclasses)["exec"] = record
    try:
        for name in imports:
            importlib.import_module(name)
    finally:
        del vars(dataclasses)["exec"]
        sys.path.remove(place)
    code = _compile(PREPARED_SOURCE, f"{folder}/{PREPARED}.py")
    pairs = tuple(codes.items())
    return code.replace(co_consts=tuple(pairs if value == "CODES" else value for value in code.co_consts))


def _import_first(source: bytes, name: str) -> bytes:
    """Put an import of a sibling module behind the docstring and the `__future__` imports of a package."""
    tree = ast.parse(source)
    place = next(
        index
        for index, node in enumerate(tree.body)
        if not (isinstance(node, ast.Expr) or (isinstance(node, ast.ImportFrom) and node.module == "__future__"))
    )
    tree.body.insert(place, ast.ImportFrom(module=None, names=[ast.alias(name=name)], level=1))
    return ast.unparse(ast.fix_missing_locations(tree)).encode()


def _record(name: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}"


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, FIXED_TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info
