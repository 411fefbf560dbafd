"""Official clients for the tests of the edge, in a virtual environment of their own: they need what we don't."""

from __future__ import annotations

import os
import shutil
import sys
import venv
from pathlib import Path

from .progress import run_logged

FOLDER = "build/edge-clients"
PINS = ("openai==3.57.0", "schemathesis==4.32.5")
INSTALL_LIMIT_SECONDS = 600.0


def python(root: Path) -> Path:
    """Give the interpreter of that environment."""
    return root / FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install(root: Path) -> None:
    """Make the environment anew. Raises `BuildError`."""
    shutil.rmtree(root / FOLDER, ignore_errors=True)
    # Our own pip fills it: not every machine's Python can put one there.
    venv.create(root / FOLDER, with_pip=False)
    run_logged(
        [sys.executable, "-m", "pip", "--python", python(root), "install", "--quiet", "--no-input", *PINS],
        log=root / "build" / "log" / "edge-clients.log",
        cwd=root,
        time_limit_seconds=INSTALL_LIMIT_SECONDS,
    )
