"""Wheels of the test tools for Pyodide (PEP 783), from the package index, for the core's tests in that host.

pip fetches them for a platform that is not this one; micropip, which does it inside Pyodide, would need the network
there.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from .environment import requirements
from .progress import BuildError, run_logged

FOLDER = "build/cache/pyodide-wheels"
NEEDED = ("pytest", "hypothesis", "msgspec", "pydantic")
PLATFORM, PYTHON = "pyemscripten_2026_0_wasm32", "3.14"
DOWNLOAD_LIMIT_SECONDS = 300.0


def download(root: Path) -> None:
    """Fetch the wheels of the versions that `pyproject.toml` pins. Raises `BuildError`."""
    pins = [pin for pin in requirements(root) if pin.split("==")[0] in NEEDED]
    target = root / FOLDER
    fresh = target.with_name(f"{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    options = ["--quiet", "--only-binary=:all:", "--platform", PLATFORM, "--python-version", PYTHON]
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", *options]
    try:
        run_logged(
            [*command, "--dest", fresh, *pins],
            log=root / "build" / "log" / "pyodide-wheels.log",
            cwd=root,
            time_limit_seconds=DOWNLOAD_LIMIT_SECONDS,
        )
    except BuildError as error:
        raise BuildError(
            f"pip could not download {', '.join(pins)} for Pyodide. Check that this machine reaches the package "
            f"index, then run the same command again.\n{error}"
        ) from None
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)
