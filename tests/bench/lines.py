"""Processes of a benchmark: each answers a line of JSON with another one, so that they can be asked in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tooling import node

ROOT = Path(__file__).resolve().parents[2]
INSTALL_LIMIT_SECONDS = 600.0
RUN_LIMIT_SECONDS = 900.0
PYODIDE = ("--experimental-wasm-jspi",)
"""What Node is told so that Pyodide can wait for promises."""


class Lines:
    """One process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, question: object) -> Any:
        """Ask and wait for the answer. Leaves when the process has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a process ended (code {self._process.wait(10)}) when it was asked {question}")
        return json.loads(line)


@contextmanager
def start(words: Sequence[str | Path]) -> Iterator[Lines]:
    """Start a process, and end it afterwards or after a quarter of an hour."""
    paths = os.pathsep.join([str(ROOT / "runtime"), str(ROOT)])
    environment = node.environment({"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore"})
    process = subprocess.Popen(
        words, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    limit = threading.Timer(RUN_LIMIT_SECONDS, process.kill)
    limit.start()
    try:
        yield Lines(process)
    finally:
        limit.cancel()
        process.kill()
        process.wait(10)


def make_peers(folder: Path, pins: Sequence[str]) -> Path:
    """Make a virtual environment with these packages if it isn't there; give its Python."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / "pins.txt"
    if not stamp.is_file() or stamp.read_text("utf-8") != "\n".join(pins):
        print(f"installing {', '.join(pins)} into {folder.relative_to(ROOT)}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        words = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins]
        subprocess.run(words, check=True, timeout=INSTALL_LIMIT_SECONDS)
        stamp.write_text("\n".join(pins), "utf-8")
    return python


def load() -> str:
    """Say how busy the machine is."""
    return "load " + ", ".join(f"{value:.1f}" for value in os.getloadavg())
