"""Limpet's own packages in a real Chromium against the fake provider: every format, fault and abort."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.fake_provider import FakeProvider
from tests.fake_provider.elsewhere import CASES, Case, check, prepare
from tests.pages.fake_provider_page import SITE, bundle, run_cases

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def server() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


@pytest.fixture(scope="module")
def results(
    browser_without_network: Browser, server: FakeProvider, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Run all cases in one page."""
    if not (SITE / "index.html").exists():
        pytest.fail("the site is not built: python3 build.py site")
    script = bundle(tmp_path_factory.mktemp("page"))
    return {result["name"]: result for result in run_cases(browser_without_network, script, prepare(server))}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_in_a_page(case: Case, results: dict[str, Any], server: FakeProvider) -> None:
    check(case, results[case.name], server, is_page=True)


def test_nothing_is_left_open(results: dict[str, Any], server: FakeProvider) -> None:
    assert len(results) == len(CASES)
    assert server.wait_until_quiet() == 0
