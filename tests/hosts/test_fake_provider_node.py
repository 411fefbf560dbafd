"""Limpet in Pyodide under Node, with Node's fetch, against the fake provider: every format, fault and abort."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_provider import FakeProvider
from tests.fake_provider.elsewhere import CASES, Case, check, prepare
from tooling import node, recipe, steps

ROOT = Path(__file__).resolve().parents[2]
RUN_LIMIT_SECONDS = 100.0


@pytest.fixture(scope="module")
def server() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


@pytest.fixture(scope="module")
def results(server: FakeProvider) -> dict[str, Any]:
    """Run all cases in one process."""
    steps.ensure(ROOT, recipe.STEPS, ["stdlib"])
    settings = {"root": str(ROOT), "stdlib": str(ROOT / "build" / "python" / "python_stdlib.zip")}
    done = subprocess.run(
        [str(node.node()), str(Path(__file__).with_name("run_fake_provider.mjs")), json.dumps(settings)],
        cwd=ROOT,
        input=json.dumps(prepare(server)),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=RUN_LIMIT_SECONDS,
        env=node.environment(),
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return {result["name"]: result for result in json.loads(done.stdout)}


@pytest.mark.timeout(RUN_LIMIT_SECONDS + 20)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_in_node(case: Case, results: dict[str, Any], server: FakeProvider) -> None:
    check(case, results[case.name], server, is_page=False)


def test_nothing_is_left_open(results: dict[str, Any], server: FakeProvider) -> None:
    assert len(results) == len(CASES)
    assert server.wait_until_quiet() == 0
