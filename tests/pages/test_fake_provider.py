"""Limpet's own packages in a real Chromium against the fake provider: every format, fault and abort."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.fake_provider import FakeProvider
from tests.fake_provider.elsewhere import CASES, Case, check, prepare
from tooling import node
from tooling.server import serve

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "build" / "site"
PAGES = ROOT / "tests" / "pages"
LIMIT_MS = 90_000

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's program, one file as the content policy wants it."""
    bundle = tmp_path_factory.mktemp("page") / "fake_provider.js"
    esbuild = ROOT / "web" / "node_modules" / "esbuild" / "bin" / "esbuild"
    words = [str(PAGES / "fake_provider.mjs"), "--bundle", "--format=esm", f"--outfile={bundle}", "--log-level=warning"]
    subprocess.run([str(node.node()), str(esbuild), *words], check=True, timeout=60, env=node.environment())
    return bundle


@pytest.fixture(scope="module")
def results(browser_without_network: Browser, server: FakeProvider, script: Path) -> dict[str, Any]:
    """Run all cases in one page."""
    if not (SITE / "index.html").exists():
        pytest.fail("the site is not built: python3 build.py site")
    overrides = {
        "/fake_provider.html": PAGES / "fake_provider.html",
        "/fake_provider.js": script,
        "/fake_provider_runs.py": ROOT / "tests" / "hosts" / "fake_provider_runs.py",
    }
    with serve(SITE, overrides=overrides) as site:
        context = browser_without_network.new_context()
        try:
            page = context.new_page()
            problems: list[str] = []
            page.on("pageerror", lambda error: problems.append(error.message))
            page.goto(f"{site.url}fake_provider.html")
            page.wait_for_function("() => 'runCases' in globalThis", timeout=LIMIT_MS)
            text = page.evaluate("(text) => runCases(text)", json.dumps(prepare(server)))
        finally:
            context.close()
    assert problems == []
    return {result["name"]: result for result in json.loads(text)}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_in_a_page(case: Case, results: dict[str, Any], server: FakeProvider) -> None:
    check(case, results[case.name], server, is_page=True)


def test_nothing_is_left_open(results: dict[str, Any], server: FakeProvider) -> None:
    assert len(results) == len(CASES)
    assert server.wait_until_quiet() == 0
