"""The core's tests again, inside Pyodide under Node; each inner test is reported as one of ours.

The list of tests comes from CPython, by collecting the same files there; one run in Pyodide answers for all of them.
So a test that only one of the two hosts knows is a failure. Parameters are matched by their order: Python 3.14 writes
some types, and with them the names of such tests, in another way than 3.11. What cannot run there is in `LEFT_OUT`,
with the reason, and is skipped by name.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tooling import node, pyodide_wheels, recipe, steps

ROOT = Path(__file__).resolve().parents[2]
RUN_LIMIT_SECONDS = 900.0
COLLECT_LIMIT_SECONDS = 120.0

SOCKETS = "needs sockets: Pyodide has none"
PROGRAMS = "starts other programs: Pyodide cannot"
ONNX = "needs onnxruntime for CPython; the page's tests ask onnxruntime-web"

LEFT_OUT: dict[str, str] = {
    "tests/hosts": "these start Pyodide",
    "tests/pages": "these start a browser",
    "tests/models": "needs onnx and onnxruntime to make models",
    "tests/bench": "measures, does not test",
    "tests/test_build.py": PROGRAMS,
    "tests/test_build_models.py": SOCKETS,
    "tests/test_cpython_host.py": SOCKETS,
    "tests/test_faults.py": SOCKETS,
    "tests/test_process_pool.py": PROGRAMS,
    "tests/test_site_wheel.py": PROGRAMS,
    "tests/test_npm_package.py": PROGRAMS,
    "tests/fake_provider": SOCKETS,
    "tests/test_cli.py": "the terminal is CPython's: a loop of its own, signals, sockets",
    "tests/test_examples.py": PROGRAMS,
    "tests/test_docs.py": "the documents are the same on every host",
    "tests/test_architecture.py": "reads our sources, which are the same on every host",
}


@dataclass(frozen=True)
class Report:
    """What Pyodide said: the tests it found, in their order, and what became of each."""

    collected: list[str]
    outcomes: dict[str, tuple[str, str]]

    def of(self, test: str) -> tuple[str, str]:
        """Outcome and text for a test by the name that CPython gives it."""
        name, position = _function(test), _positions(inner_tests())[test]
        for inner, inner_position in _positions(self.collected).items():
            if (_function(inner), inner_position) == (name, position):
                return self.outcomes[inner]
        broken = self.outcomes.get(test.split("::")[0])
        return broken or ("failed", "Pyodide does not know this test")


def _function(test: str) -> str:
    """The name of a test without its parameters."""
    return test.split("[")[0]


@cache
def _numbered(tests: tuple[str, ...]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    numbers: dict[str, int] = {}
    for test in tests:
        numbers[test] = counts[_function(test)]
        counts[_function(test)] += 1
    return numbers


def _positions(tests: list[str]) -> dict[str, int]:
    """Each test's place among those of its function."""
    return _numbered(tuple(tests))


def _why_left_out(test: str) -> str | None:
    for name, reason in LEFT_OUT.items():
        if test == name or test.startswith((f"{name}/", f"{name}::", f"{name}[")):
            return reason
    return None


@cache
def inner_tests() -> list[str]:
    """The tests that CPython collects, by the name that pytest gives them."""
    ignored = [f"--ignore={ROOT / name}" for name in LEFT_OUT if "::" not in name]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *ignored, "tests"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=COLLECT_LIMIT_SECONDS,
    )
    if done.returncode != 0:
        raise RuntimeError(f"CPython cannot collect the core's tests:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.fixture(scope="session")
def report() -> Report:
    """Run them all in Pyodide, once."""
    steps.ensure(ROOT, recipe.STEPS, ["stdlib", "pyodide-wheels"])
    settings = {
        "root": str(ROOT),
        "stdlib": str(ROOT / "build" / "python" / "python_stdlib.zip"),
        "wheels": [str(path) for path in sorted((ROOT / pyodide_wheels.FOLDER).glob("*.whl"))],
        "words": [
            # A file that doesn't import fails by itself, not with all others.
            *("-q", "-p", "no:cacheprovider", "--tb=short", "--continue-on-collection-errors", "tests"),
            *(f"--ignore={name}" for name in LEFT_OUT if "::" not in name),
            *(word for name in LEFT_OUT if "::" in name for word in ("--deselect", name)),
        ],
    }
    script = Path(__file__).with_name("run_pyodide.mjs")
    done = subprocess.run(
        [str(node.node()), "--experimental-wasm-jspi", str(script), json.dumps(settings)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
        timeout=RUN_LIMIT_SECONDS,
        env=node.environment(),
    )
    lines = [json.loads(line[1:]) for line in done.stdout.splitlines() if line.startswith("@")]
    collected = next((line["collected"] for line in lines if "collected" in line), None)
    if not collected:
        raise RuntimeError(f"pytest did not run in Pyodide:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return Report(collected, {line["id"]: (line["outcome"], line["text"]) for line in lines if "id" in line})


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "inner_test" in metafunc.fixturenames:
        metafunc.parametrize("inner_test", inner_tests(), ids=ascii)


@pytest.mark.timeout(RUN_LIMIT_SECONDS + 60)
def test_in_pyodide(inner_test: str, report: Report) -> None:
    if reason := _why_left_out(inner_test):
        pytest.skip(reason)
    outcome, text = report.of(inner_test)
    if outcome == "skipped":
        pytest.skip(f"in Pyodide: {text}")
    if outcome != "passed":
        pytest.fail(text, pytrace=False)


@pytest.mark.timeout(RUN_LIMIT_SECONDS + 60)
def test_pyodide_has_the_same_tests(report: Report) -> None:
    skipped = {name for name, (outcome, _) in report.outcomes.items() if outcome == "skipped" and "::" not in name}
    tests = [test for test in inner_tests() if test.split("::")[0] not in skipped and not _why_left_out(test)]
    here = Counter(_function(test) for test in tests)
    there = Counter(_function(test) for test in report.collected)

    assert there == here


@pytest.mark.parametrize("name", [name for name in LEFT_OUT if "::" not in name])
def test_left_out_of_pyodide(name: str) -> None:
    assert (ROOT / name).exists(), f"{name} is gone: take it out of LEFT_OUT"

    pytest.skip(LEFT_OUT[name])
