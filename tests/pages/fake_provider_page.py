"""The page of `fake_provider.mjs`: Limpet's own packages in a real browser, which do what `elsewhere.prepare` tells."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from tooling import node
from tooling.server import serve

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "build" / "site"
PAGES = ROOT / "tests" / "pages"
LIMIT_MS = 90_000


def bundle(folder: Path) -> Path:
    """Make the page's program, one file as the content policy wants it."""
    script = folder / "fake_provider.js"
    esbuild = ROOT / "web" / "node_modules" / "esbuild" / "bin" / "esbuild"
    words = [str(PAGES / "fake_provider.mjs"), "--bundle", "--format=esm", f"--outfile={script}", "--log-level=warning"]
    subprocess.run([str(node.node()), str(esbuild), *words], check=True, timeout=60, env=node.environment())
    return script


def run_cases(browser: Browser, script: Path, told: Sequence[dict[str, Any]]) -> list[Any]:
    """Run all cases in one fresh page. Raises `RuntimeError` for what the page complains of."""
    overrides = {
        "/fake_provider.html": PAGES / "fake_provider.html",
        "/fake_provider.js": script,
        "/fake_provider_runs.py": ROOT / "tests" / "hosts" / "fake_provider_runs.py",
    }
    problems: list[str] = []
    with serve(SITE, overrides=overrides) as site:
        context = browser.new_context()
        try:
            page = context.new_page()
            page.on("pageerror", lambda error: problems.append(error.message))
            page.goto(f"{site.url}fake_provider.html")
            page.wait_for_function("() => 'runCases' in globalThis", timeout=LIMIT_MS)
            text = page.evaluate("(text) => runCases(text)", json.dumps(told))
        finally:
            context.close()
    if problems:
        raise RuntimeError(f"the page complains: {problems}")
    results: list[Any] = json.loads(text)
    return results
