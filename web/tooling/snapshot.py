"""The memory snapshot from which a page starts, and the library for one that starts without it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from . import node
from .packages import PAGE_WHEELS
from .progress import say, size

SNAPSHOT = "build/python/snapshot.bin"
LIBRARY = "build/python/stdlib-without-docstrings.zip"
"""Only what is made from it is shipped: docstrings and asserts of the standard library are a quarter of a snapshot."""
IN_SNAPSHOT = ("limpet-", "limpet_local-")
"""The wheels whose modules are in it; the others are fetched by the agents that need them."""
PART = "build/python/stdlib.zip"
"""The modules that a start without a snapshot needs."""
EMPTY = "build/python/empty.zip"
"""What Pyodide unpacks as its library where the snapshot has everything; a policy may forbid `data:` addresses."""
LIMIT_SECONDS = 300.0


def make(root: Path) -> None:
    """Compile the library, take the part of it that is needed, and make the snapshot, inside Pyodide in Node."""
    pyodide = root / "web/node_modules/pyodide"
    library: dict[str, Any] = {
        "input": str(pyodide / "python_stdlib.zip"),
        "output": str(root / LIBRARY),
        "prefix": "/lib/python314.zip",
        "optimize": 2,
    }
    node.run(root, root / "web/tooling/compile.mjs", pyodide, json.dumps([library]), log="snapshot-library")
    job: dict[str, Any] = {
        "pyodide": str(pyodide),
        "stdlib": str(root / LIBRARY),
        "lock": str(root / "build/python/pyodide-lock.json"),
        "wheels": [str(root / "build/python" / name) for name in PAGE_WHEELS if name.startswith(IN_SNAPSHOT)],
        "output": str(root / SNAPSHOT),
    }
    script = root / "web/tooling/snapshot.mjs"
    node.run(root, script, json.dumps(job), log="snapshot", time_limit_seconds=LIMIT_SECONDS)
    part = {name: job[name] for name in ("pyodide", "stdlib", "lock")} | {"output": str(root / PART)}
    node.run(root, root / "web/tooling/library.mjs", json.dumps(part), log="library")
    with zipfile.ZipFile(root / EMPTY, "w"):
        pass
    for name in (SNAPSHOT, PART):
        say(f"  {name}: {size((root / name).stat().st_size)}")
