"""The Python that the page gets: our wheel, the wheel with byte code, the compiled standard library, the lock file."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from email.parser import HeaderParser
from pathlib import Path
from types import MappingProxyType
from typing import Any

from . import node
from .lock import write_atomically
from .progress import BuildError, run_logged, say, size

WHEEL = "limpet-0.1.0-py3-none-any.whl"
PROJECTS = {
    WHEEL: ".",
    "limpet_local-0.1.0-py3-none-any.whl": "runtime/wheels/local",
    "limpet_edge-0.1.0-py3-none-any.whl": "runtime/wheels/edge",
    "limpet_providers-0.1.0-py3-none-any.whl": "runtime/wheels/providers",
}
"""Our wheels and the folders of their projects; `runtime/wheels/README.md` says what each is for."""
WHEELS = tuple(PROJECTS)
SITE_WHEEL = "limpet_site-0.1.0-py3-none-any.whl"
"""Made of what the others are made into, so it comes last; `site_wheel_hook.py` says what is in it."""
PAGE_WHEELS = tuple(name for name in WHEELS if not name.startswith("limpet_edge-"))
"""Those that a page may need."""
WHEEL_LIMIT_BYTES = 150_000
SITE_PACKAGES = "/lib/python3.14/site-packages"
BUILD_LIMIT_SECONDS = 120.0
IMPORTED_BY_THE_PAGE = ("limpet.entrypoints.web_worker", "limpet.providers.local", "limpet.providers.openai_compatible")
EPOCH = "1577836800"  # 2020-01-01: the same source gives the same wheel


def build_wheels(root: Path) -> None:
    """Build the plain wheels into `build/wheel`."""
    for name, project in PROJECTS.items():
        _build_wheel(root, name, project, root / "build" / "wheel")


def build_site_wheel(root: Path, target: Path | None = None, compressed: Path | None = None) -> None:
    """Build the wheel with the files of `build/site` into a folder, `build/wheel` without one.

    `compressed` has the brotli forms of the files, if they are to be in it.
    """
    env = {} if compressed is None else {"LIMPET_COMPRESSED": str(compressed)}
    _build_wheel(root, SITE_WHEEL, "runtime/wheels/site", target or root / "build" / "wheel", env)


def _build_wheel(
    root: Path, name: str, project: str, target: Path, env: Mapping[str, str] = MappingProxyType({})
) -> None:
    with tempfile.TemporaryDirectory(dir=root / "build", prefix="wheel-") as folder:
        run_logged(
            [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
            log=root / "build" / "log" / "wheel.log",
            cwd=root / project,
            env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH, **env},
            time_limit_seconds=BUILD_LIMIT_SECONDS,
        )
        _replace(Path(folder, name), target / name)


def compile_stdlib(root: Path) -> None:
    """Compile Pyodide's standard library: 3 s of every start are spent on its source otherwise."""
    job: dict[str, Any] = {
        "input": str(root / "web/node_modules/pyodide/python_stdlib.zip"),
        "output": str(root / "build/python/python_stdlib.zip"),
        "prefix": "/lib/python314.zip",
    }
    _compile(root, job, "stdlib")


def compile_wheels(root: Path) -> None:
    """Compile our wheels for the page and write the lock file they are installed from."""
    plain_wheels = [root / "build" / "wheel" / name for name in PAGE_WHEELS]
    for plain in plain_wheels:
        compiled = root / "build" / "python" / plain.name
        job: dict[str, Any] = {"input": str(plain), "output": str(compiled), "prefix": SITE_PACKAGES, "stored": True}
        if plain.name == WHEEL:
            others = [str(path) for path in plain_wheels if path != plain]
            job |= {"package": "limpet", "imports": IMPORTED_BY_THE_PAGE, "beside": others}
        _compile(root, job, "page-wheel")
        sizes = size(plain.stat().st_size), size(compiled.stat().st_size)
        say(f"  {plain.name}: {sizes[0]}, with byte code for the page {sizes[1]}")
    compiled_wheels = [root / "build" / "python" / name for name in PAGE_WHEELS]
    lock = lock_file(root / "web/node_modules/pyodide/pyodide-lock.json", *compiled_wheels)
    write_atomically(root / "build/python/pyodide-lock.json", json.dumps(lock, indent=1).encode())


def lock_file(pyodide_lock: Path, *wheels: Path) -> dict[str, object]:
    """Make the lock file that `loadPackage("limpet")` reads: Pyodide's own `info`, our wheels, and nothing else.

    `pyodide-lock` would be the tool for it. Its 0.1.2, the newest for Python 3.11, refuses the lock file of Pyodide
    314 (`tool` and `abi_version` are unknown to it), and 0.2 needs a newer Python than we do.
    """
    entries = [_lock_entry(wheel) for wheel in wheels]
    ours = {entry["name"] for entry in entries}
    for entry in entries:
        if foreign := sorted(set(entry["depends"]) - ours):
            raise BuildError(f"the wheels must need no other package; {entry['name']} asks for {', '.join(foreign)}")
    info = json.loads(pyodide_lock.read_text("utf-8"))["info"]
    return {"info": info, "packages": {entry["name"]: entry for entry in entries}}


def _lock_entry(wheel: Path) -> dict[str, Any]:
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        fields = HeaderParser().parsestr(archive.read(metadata).decode())
        tops = {name.split("/")[0] for name in archive.namelist() if "/" in name}
    required = [text for text in fields.get_all("Requires-Dist", []) if "extra ==" not in text]
    return {
        "name": fields["Name"],
        "version": fields["Version"],
        "file_name": wheel.name,
        "install_dir": "site",
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        "package_type": "package",
        "imports": sorted(name for name in tops if not name.endswith(".dist-info")),
        "depends": [re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in required],
        "unvendored_tests": False,
    }


def publish(root: Path) -> None:
    """Put the plain wheels into `dist/`."""
    for name in (*WHEELS, SITE_WHEEL):
        target = root / "dist" / name
        write_atomically(target, (root / "build" / "wheel" / name).read_bytes())
        limit = f" (limit {size(WHEEL_LIMIT_BYTES)})" if name == WHEEL else ""
        say(f"{target}: {size(target.stat().st_size)}{limit}")


def _compile(root: Path, job: dict[str, Any], log: str) -> None:
    Path(job["output"]).parent.mkdir(parents=True, exist_ok=True)
    script = root / "web" / "tooling" / "compile.mjs"
    node.run(root, script, root / "web/node_modules/pyodide", json.dumps([job]), log=log)


def _replace(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, draft)
    draft.replace(target)
