"""A page of the built site over one agent, in Chromium, for measuring: `page.ts` runs the agent there."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright

from tooling import browser, node
from tooling.server import serve

ROOT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 300.0
BUNDLE = (
    "import { build } from 'esbuild'; await build({ entryPoints: [process.argv[1]], outfile: process.argv[2], "
    "bundle: true, format: 'esm', conditions: ['source'], nodePaths: ['node_modules'], logLevel: 'warning' });"
)


class BenchPage:
    """The page; `version` is Chromium's."""

    def __init__(self, page: Page, version: str) -> None:
        self._page = page
        self.version = version

    async def run(self, prompt: str, stop_after_ms: float | None = None) -> Any:
        """Run the agent once; gives what `Seen` of `page.ts` says."""
        call = "([prompt, stopAfter]) => limpetBench.run(prompt, stopAfter ?? undefined)"
        return await self._page.evaluate(call, [prompt, stop_after_ms])


@asynccontextmanager
async def open_page(agent: str, remote: dict[str, str] | None = None) -> AsyncIterator[BenchPage]:
    """Open the page and wait until its agent, given as the text of its file, is ready."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "agent.py").write_text(agent, "utf-8")
        script = folder / "bench.js"
        words = [str(node.node()), "--input-type=module", "-e", BUNDLE, str(Path(__file__).with_suffix(".ts"))]
        await asyncio.to_thread(subprocess.run, [*words, str(script)], cwd=ROOT / "web", check=True, timeout=60)
        overrides = {"/agent.py": folder / "agent.py", "/assets/bench.js": script}
        with serve(ROOT / "build" / "site", is_isolated=True, overrides=overrides) as server:
            async with async_playwright() as playwright:
                chromium = await playwright.chromium.launch(
                    executable_path=str(browser.ensure(ROOT)), args=["--no-sandbox"]
                )
                try:
                    page = await chromium.new_page()
                    page.set_default_timeout(LIMIT_SECONDS * 1000)
                    await page.goto(f"{server.url}ask.html")
                    await page.add_script_tag(url="/assets/bench.js", type="module")
                    await page.wait_for_function("() => globalThis.limpetBench !== undefined")
                    await page.evaluate("(remote) => limpetBench.start(remote)", remote)
                    yield BenchPage(page, chromium.version)
                finally:
                    await chromium.close()
