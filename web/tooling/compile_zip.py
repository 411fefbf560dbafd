"""Run inside Pyodide by `compile.mjs`: turn the `.py` files of a zip file or a wheel into `.pyc` files without source.

Compiling the standard library costs Pyodide three seconds of processor time at every start, reading byte code a
fraction of it. A `.pyc` in the place of the `.py` is imported by `SourcelessFileLoader` and `zipimport` alike, and the
zip gets smaller. What is lost are the lines of source in a traceback; names and line numbers stay.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import marshal
import zipfile

FIXED_TIME = (2020, 1, 1, 0, 0, 0)  # so that the same source gives the same bytes


def compile_zip(input_path: str, output_path: str, prefix: str) -> int:
    """Compile every module of a zip; other files are kept. Gives how many modules there were.

    `prefix` is the folder that tracebacks name. The RECORD of a wheel is written anew (PyPA, "Binary distribution
    format"), since the files in it are others now.
    """
    modules = 0
    record: list[str] = []
    record_name = ""
    with zipfile.ZipFile(input_path) as source, zipfile.ZipFile(output_path, "w", zipfile.ZIP_DEFLATED, True, 9) as out:
        for info in sorted(source.infolist(), key=lambda item: item.filename):
            name, data = info.filename, source.read(info)
            if name.endswith(".dist-info/RECORD"):
                record_name = name
                continue
            if name.endswith(".py"):
                name, data = f"{name}c", _byte_code(data, f"{prefix}/{name}")
                modules += 1
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(data)}")
            out.writestr(_entry(name), data)
        if record_name:
            out.writestr(_entry(record_name), "\n".join([*record, f"{record_name},,", ""]))
    return modules


def _byte_code(source: bytes, filename: str) -> bytes:
    """A `.pyc` as PEP 552 draws it: magic, flags, hash of the source, marshalled code; "unchecked" by its hash."""
    code = compile(source, filename, "exec", dont_inherit=True, optimize=0)
    flags = (1).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + flags + importlib.util.source_hash(source) + marshal.dumps(code)


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, FIXED_TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    return info
