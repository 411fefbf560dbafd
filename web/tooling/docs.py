"""`build.py docs`: the documentation as a folder that any web server can serve, with examples that run in the tab.

MkDocs has a virtual environment of its own, made when the documentation is first asked for: nothing else needs it.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import tomllib
import venv
from collections.abc import Sequence
from pathlib import Path

from .progress import BuildError, run_logged, say
from .server import serve
from .site import add_file, add_tree

FOLDER = "build/docs"
ENVIRONMENT = "build/docs-venv"
INSTALL_LIMIT_SECONDS = 900.0
BUILD_LIMIT_SECONDS = 300.0
RUNTIME = "limpet"
"""The folder of the page's runtime in the documentation; `docs/live.js` knows it."""
MODEL = "needle"
"""The local model of the live examples."""


def pins(root: Path) -> Sequence[str]:
    """Give the packages that the documentation is made with: the extra `docs`."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    found: list[str] = project["optional-dependencies"]["docs"]
    return found


def install(root: Path) -> None:
    """Make the environment anew. Raises `BuildError`."""
    shutil.rmtree(root / ENVIRONMENT, ignore_errors=True)
    # Our own pip fills it: not every machine's Python can put one there.
    venv.create(root / ENVIRONMENT, with_pip=False)
    run_logged(
        [sys.executable, "-m", "pip", "--python", _python(root), "install", "--quiet", "--no-input", *pins(root)],
        log=root / "build" / "log" / "docs-venv.log",
        cwd=root,
        time_limit_seconds=INSTALL_LIMIT_SECONDS,
    )
    _list_file(root).write_text("\n".join(pins(root)), "utf-8")


def is_installed(root: Path) -> bool:
    """Whether the environment holds the packages as they are pinned now."""
    try:
        return _list_file(root).read_text("utf-8") == "\n".join(pins(root))
    except OSError:
        return False


def build(root: Path) -> None:
    """Make the documentation beside the old one and swap the two. Raises `BuildError`, also for a warning of MkDocs."""
    fresh, stale = root / "build" / "docs.new", root / "build" / "docs.old"
    for folder in (fresh, stale):
        shutil.rmtree(folder, ignore_errors=True)
    run_logged(
        [_python(root), "-m", "mkdocs", "build", "--strict", "--clean", "--site-dir", fresh],
        log=root / "build" / "log" / "docs.log",
        cwd=root,
        # The second keeps Material from printing advice about MkDocs' future.
        env={**os.environ, "PYTHONPATH": str(root / "web"), "NO_MKDOCS_2_WARNING": "1"},
        time_limit_seconds=BUILD_LIMIT_SECONDS,
    )
    site = root / "build" / "site"
    for name in ("assets", "pyodide", "python", "ort", f"models/{MODEL}"):
        add_tree(site / name, fresh / RUNTIME / name)
    add_file(site / "limpet.js", fresh / RUNTIME / "limpet.js")
    docs = root / FOLDER
    if docs.exists():
        docs.rename(stale)
    fresh.rename(docs)
    shutil.rmtree(stale, ignore_errors=True)


def serve_docs(root: Path, port: int) -> int:
    """Serve the documentation on 127.0.0.1 until Ctrl-C. Raises `BuildError` when the port is taken."""
    try:
        # Each page has its own policy in its head.
        with serve(root / FOLDER, port=port, policy=None) as server:
            say("Ctrl-C ends it")
            print(f"the documentation is at {server.url}", flush=True)
            while True:
                time.sleep(3600)
    except OSError as error:
        raise BuildError(f"cannot serve at port {port}: {error.strerror}. Name another with --port") from error


def _python(root: Path) -> Path:
    return root / ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _list_file(root: Path) -> Path:
    return root / ENVIRONMENT / "pins.txt"
