"""The built site in a real Chromium. What the browser complains of (errors, refused content) fails the test."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright, expect

from tooling.browser import find
from tooling.server import serve

ROOT = Path(__file__).parents[2]
SITE = Path(os.environ.get("LIMPET_SITE", ROOT / "build" / "site"))
START_LIMIT_MS = 60_000
ANSWER_LIMIT_MS = 90_000


@pytest.fixture(scope="session")
def browser_without_network(playwright: Playwright) -> Iterator[Browser]:
    """A Chromium that can reach this machine only."""
    program = find(ROOT)
    if program is None:
        pytest.skip("no Chromium on this machine")
    browser = playwright.chromium.launch(
        executable_path=str(program),
        # A container has no user namespaces for the sandbox; 127.0.0.1 is all that this browser is shown.
        args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"],
    )
    yield browser
    browser.close()


@dataclass
class Tab:
    """One page of the site. `forgiven` are patterns of console errors that a test means to cause."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    forgiven: list[str] = field(default_factory=list)

    def open(self, name: str = "") -> None:
        """Go to the page and wait until Python is ready."""
        self.page.goto(self.url + name)
        if name == "":
            self.wait_until_ready()

    def wait_until_ready(self, limit_ms: float = START_LIMIT_MS) -> None:
        """Wait until nothing is at work."""
        expect(self.page.locator("#status")).to_have_attribute("data-state", "ready", timeout=limit_ms)

    def set_remote(self, model: str, base_url: str = "", key: str = "") -> None:
        """Fill in the settings of the remote model."""
        self.page.click("#open-settings")
        self.page.fill("#remote-model", model)
        self.page.fill("#remote-base-url", base_url)
        self.page.fill("#remote-key", key)
        self.page.click("#settings button[type=submit]")

    def download(self) -> None:
        """Press the button of the local model and wait until it is there."""
        self.page.click(".model button")
        expect(self.page.locator(".model")).to_have_attribute("data-availability", "available", timeout=ANSWER_LIMIT_MS)

    def say(self, text: str) -> None:
        """Send a message."""
        self.page.fill("#prompt", text)
        self.page.press("#prompt", "Enter")

    def ask(self, text: str) -> None:
        """Send a message and wait for the end of its run."""
        self.say(text)
        expect(self.page.locator("#entries .user .body").last).to_have_text(text)
        self.wait_until_ready(ANSWER_LIMIT_MS)

    def entries(self, kind: str) -> list[str]:
        """The texts of one kind of entry: user, text, tool, notice, error."""
        return [text.strip() for text in self.page.locator(f"#entries .{kind} .body").all_inner_texts()]

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def listen(self) -> None:
        """Collect what the page, its workers and the content policy complain of."""
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(error.message))
        self.page.on("crash", lambda _: self.complaints.append("the page crashed"))

    def check(self) -> None:
        """Fail for what was complained of and not forgiven."""
        left = [text for text in self.complaints if not any(re.search(pattern, text) for pattern in self.forgiven)]
        assert left == []


class Tabs:
    """Opens pages over agent files given as text; closes and checks them at the end of the test."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self._browser, self._folder = browser, folder
        self._opened: list[Tab] = []
        self._stack = ExitStack()

    def new(self, agent: str, *, is_isolated: bool = True, overrides: Mapping[str, Path] | None = None) -> Tab:
        """A fresh browser profile with the site over this agent; nothing is loaded yet.

        `overrides` are other files of the site, by their path.
        """
        file = self._folder / f"agent{len(self._opened)}.py"
        file.write_text(textwrap.dedent(agent), encoding="utf-8")
        server = self._stack.enter_context(
            serve(SITE, is_isolated=is_isolated, overrides={"/agent.py": file, **(overrides or {})})
        )
        context = self._stack.enter_context(_profile(self._browser))
        tab = Tab(context.new_page(), server.url)
        tab.listen()
        self._opened.append(tab)
        return tab

    def close(self) -> None:
        self._stack.close()
        for tab in self._opened:
            tab.check()


@contextmanager
def _profile(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    context.set_default_timeout(15_000)
    try:
        yield context
    finally:
        context.close()


@pytest.fixture
def tabs(browser_without_network: Browser, tmp_path: Path) -> Iterator[Tabs]:
    """Pages of the built site."""
    if not (SITE / "index.html").exists():
        pytest.fail("the site is not built: python3 build.py site")
    opened = Tabs(browser_without_network, tmp_path)
    try:
        yield opened
    finally:
        opened.close()


def stored_texts(page: Page) -> str:
    """All that the page's origin keeps where scripts can write, as one text."""
    dump: dict[str, Any] = page.evaluate(
        """async () => {
            const values = [];
            for (const { name } of await indexedDB.databases()) {
                const database = await new Promise((resolve) => {
                    const request = indexedDB.open(name);
                    request.onsuccess = () => resolve(request.result);
                });
                for (const store of database.objectStoreNames) {
                    const all = await new Promise((resolve) => {
                        const request = database.transaction(store).objectStore(store).getAll();
                        request.onsuccess = () => resolve(request.result);
                    });
                    for (const value of all) {
                        values.push(value instanceof Uint8Array ? new TextDecoder().decode(value) : String(value));
                    }
                }
                database.close();
            }
            return {
                values, local: { ...localStorage }, session: { ...sessionStorage }, cookie: document.cookie,
                caches: await caches.keys(), url: location.href, html: document.documentElement.outerHTML,
            };
        }"""
    )
    return repr(dump)
