"""Linters, types and tests: the same list for `build.py check`, `build.py test` and continuous integration."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import browser, node
from .progress import BuildError, say

CHECK_LIMIT_SECONDS = 600.0
TEST_LIMIT_SECONDS = 3600.0


@dataclass(frozen=True)
class Check:
    """One program that must end with 0. `words` begin with `python` or `node`."""

    name: str
    words: Sequence[str]
    folder: str = "."
    time_limit_seconds: float = CHECK_LIMIT_SECONDS


CHECKS = (
    Check("ruff", ("python", "-m", "ruff", "check")),
    Check("ruff format", ("python", "-m", "ruff", "format", "--check")),
    Check("mypy", ("python", "-m", "mypy")),
    Check("tsc", ("node", "node_modules/typescript/bin/tsc", "--noEmit"), "web"),
    Check("biome", ("node", "node_modules/@biomejs/biome/bin/biome", "check"), "web"),
    Check("generated files", ("python", "-m", "pytest", "-q", "tests/test_generated.py")),
)
TYPESCRIPT = Check(
    "node tests",
    # "source": the bridge is a package of this workspace, and its source is what is to be tested.
    (
        "node",
        "--conditions=source",
        "--import",
        "tsx",
        "--test",
        "src/**/*.test.ts",
        "onnxruntime-web-bridge/**/*.test.ts",
        "edge/onnx/**/*.test.ts",
    ),
    "web",
)


def run(root: Path, checks: Sequence[Check]) -> int:
    """Run all of them, also after one failed, and print how each went. Gives 0 when all are good, else 1."""
    results: list[tuple[str, bool, float]] = []
    for check in checks:
        say(f"{check.name} ...")
        started = time.monotonic()
        is_good = _run(root, check)
        results.append((check.name, is_good, time.monotonic() - started))
    print("\nsummary")
    for name, is_good, seconds in results:
        print(f"  {'ok    ' if is_good else 'FAILED'} {name:<28} {seconds:6.1f} s")
    failed = [name for name, is_good, _ in results if not is_good]
    print(
        f"{len(results) - len(failed)} of {len(results)} passed" + (f"; failed: {', '.join(failed)}" if failed else "")
    )
    sys.stdout.flush()
    return 1 if failed else 0


def test(root: Path, pytest_words: Sequence[str]) -> int:
    """Run everything; with words for pytest, only pytest with these words."""
    os.environ.setdefault(browser.VARIABLE, str(browser.ensure(root)))
    if pytest_words:
        return run(root, [_pytest("pytest", pytest_words)])
    groups = (
        _pytest("core and tools on CPython", ("tests", "--ignore=tests/hosts", "--ignore=tests/pages")),
        _pytest("core in Pyodide under Node", ("tests/hosts",)),
        _pytest("page in Chromium", ("tests/pages",)),
    )
    return run(root, [*CHECKS, TYPESCRIPT, *groups])


def _pytest(name: str, words: Sequence[str]) -> Check:
    return Check(name, ("python", "-m", "pytest", "-q", "-rs", *words), time_limit_seconds=TEST_LIMIT_SECONDS)


def _run(root: Path, check: Check) -> bool:
    program, *words = check.words
    command = [sys.executable if program == "python" else str(node.node()), *words]
    process = subprocess.Popen(command, cwd=root / check.folder, env=node.environment(), stdin=subprocess.DEVNULL)
    try:
        return process.wait(check.time_limit_seconds) == 0
    except subprocess.TimeoutExpired:
        say(f"{check.name} took longer than {check.time_limit_seconds:.0f} s and was ended")
        return False
    except OSError as error:
        raise BuildError(f"{check.name} does not start: {error}") from error
    finally:
        process.kill()
        process.wait()
