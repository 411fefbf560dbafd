"""One turn in a real Chromium, headless: `/ask.html` is the page's client without its face.

The page sets `limpetAsk(json)`; this side gives it `limpetReport(json)`, which it calls with every report of the agent
worker. Nothing is asked of the page by URL, so the remote's key is in no address and no log.
"""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from playwright.sync_api import Error, Page, Playwright, sync_playwright

from limpet.wire import RemoteSettingsWire, Report

from . import browser
from .progress import BuildError, say
from .server import serve
from .turn import Printer, Turn

START_LIMIT_SECONDS = 60.0
POLL_SECONDS = 0.02


def ask(turn: Turn, printer: Printer) -> None:
    """Run one turn; its events go to the printer. Raises `BuildError` when the browser or the page fails."""
    program = browser.ensure(turn.root)
    site = turn.root / "build" / "site"
    with (
        serve(site, is_isolated=turn.is_isolated, overrides={"/agent.py": turn.agent}) as server,
        sync_playwright() as playwright,
    ):
        _Tab(turn, printer, server.url).run(playwright, str(program))


def network_arguments(remote: RemoteSettingsWire | None) -> Sequence[str]:
    """Arguments that leave the browser no network but this machine, unless a remote model was asked for."""
    quiet = ("--disable-background-networking", "--disable-component-update", "--no-first-run")
    if remote is None:
        rules = "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
    elif base_url := remote.get("base_url"):
        rules = f"MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE {urlsplit(base_url).hostname}"
    else:
        return quiet
    return (*quiet, f"--host-resolver-rules={rules}")


class _Tab:
    """The one page of the turn, and what came out of it so far."""

    def __init__(self, turn: Turn, printer: Printer, url: str) -> None:
        self._turn, self._printer, self._url = turn, printer, url
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._problems: list[str] = []

    def run(self, playwright: Playwright, program: str) -> None:
        deadline = time.monotonic() + self._turn.time_limit_seconds
        try:
            chromium = playwright.chromium.launch(
                executable_path=program,
                headless=not self._turn.shows_browser,
                args=list(network_arguments(self._turn.remote)),
                timeout=START_LIMIT_SECONDS * 1000,
            )
        except Error as error:
            raise BuildError(f"the browser {program} does not start: {error.message.splitlines()[0]}") from error
        try:
            page = chromium.new_page()
            self._listen(page)
            self._start(page)
            self._follow(page, deadline)
        except Error as error:
            raise BuildError(f"the browser failed: {error.message.splitlines()[0]}{self._told()}") from error
        finally:
            chromium.close()

    def _listen(self, page: Page) -> None:
        page.expose_function("limpetReport", lambda text: self._reports.put(json.loads(text)))
        page.on("pageerror", lambda error: self._problems.append(error.message))
        page.on("crash", lambda _: self._problems.append("the page crashed"))
        page.on("console", lambda message: self._problems.append(message.text) if message.type == "error" else None)

    def _start(self, page: Page) -> None:
        answer = page.goto(f"{self._url}ask.html", timeout=START_LIMIT_SECONDS * 1000)
        if answer is None or not answer.ok:
            raise BuildError(f"{self._url}ask.html is not there: the site is not whole; try build.py clean")
        page.wait_for_function("() => typeof globalThis.limpetAsk === 'function'", timeout=START_LIMIT_SECONDS * 1000)
        request = {
            "prompt": self._turn.prompt,
            "agent_url": "/agent.py",
            "allow_download": True,
            "remote": self._turn.remote,
        }
        page.evaluate("(request) => { globalThis.limpetAsk(request); }", json.dumps(request))

    def _follow(self, page: Page, deadline: float) -> None:
        while self._printer.exit_code is None:
            if time.monotonic() > deadline:
                limit = self._turn.time_limit_seconds
                raise BuildError(f"no end after {limit:.0f} s (--time-limit){self._told()}")
            if "the page crashed" in self._problems:
                raise BuildError("the page crashed, perhaps for lack of memory")
            page.wait_for_timeout(POLL_SECONDS * 1000)  # lets Playwright hand over what the page reported
            while not self._reports.empty():
                self._take(self._reports.get())

    def _take(self, report: Report) -> None:
        match report["type"]:
            case "events":
                for event in report["events"]:
                    self._printer.event(event)
            case "error":
                self._printer.error(report["error"])
            case "download_progress":
                _show_download(report["status"], report["file"], report["loaded"], report["total"])

    def _told(self) -> str:
        """What the page complained of, for an error message."""
        return "".join(f"\n    the page: {text[:300]}" for text in self._problems[:5])


def _show_download(status: str, file: str, loaded: int, total: int) -> None:
    if loaded == total:
        say(f"  {status} {file}")
