"""Measure from Stop to silence in a page, at random moments, and see that nothing is left afterwards.

    python3 build.py bench --stops [-- COUNT [LOCAL_MODEL]]

`COUNT` stops of a remote stream (a word each 5 ms) and of a local model, each in a page of its own. Silence is the end
of the run: `stop()` settles, and no event comes after that. A run that was over before is not in the figures.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "web")]

from tests.pages.stops import CENSUS, LOCAL, REMOTE, Stops, server, stop_often  # noqa: E402  # the path is set above
from tooling.browser import find  # noqa: E402
from tooling.server import serve  # noqa: E402

LONGEST_MS = {"remote": 600.0, "local": 400.0}
LIMIT_MS = 120_000


def main(count: int, model: str) -> None:
    """Measure and print."""
    program = find(ROOT)
    if program is None:
        raise SystemExit("no Chromium on this machine")
    print(f"| what | stops | over before | p50 ms | p99 ms | most ms | late events | left: {CENSUS_HEAD} |")
    print("|---|---|---|---|---|---|---|---|")
    with sync_playwright() as playwright, server() as provider:
        browser = playwright.chromium.launch(executable_path=str(program), args=["--no-sandbox"])
        remote = {"model": "", "base_url": provider.base_url, "api_key": "k"}
        local = LOCAL.format(model=model, tokens=400)
        _print("remote", _on_page(browser, REMOTE, lambda page: stop_often(page, remote, count, LONGEST_MS["remote"])))
        provider.wait_for_close(len(provider.requests))
        _print(model, _on_page(browser, local, lambda page: stop_often(page, None, count, LONGEST_MS["local"])))
        browser.close()


CENSUS_HEAD = "tasks, proxies"


def _on_page(browser: Browser, agent: str, work: Callable[[Page], Stops]) -> Stops:
    with tempfile.TemporaryDirectory() as name:
        files = {"/agent.py": Path(name, "agent.py"), "/census.py": Path(name, "census.py")}
        files["/agent.py"].write_text(agent)
        files["/census.py"].write_text(CENSUS)
        with serve(ROOT / "build/site", overrides=files) as site:
            context = browser.new_context()
            page = context.new_page()
            page.set_default_timeout(LIMIT_MS)
            page.goto(f"{site.url}ask.html")
            stops = work(page)
            context.close()
    return stops


def _print(what: str, stops: Stops) -> None:
    taken = sorted(stops.milliseconds)
    nearly_all = taken[min(len(taken) - 1, round(0.99 * len(taken)))]
    left = ", ".join(f"{stops.after[name] - stops.before[name]:+}" for name in ("tasks", "proxies"))
    figures = f"{statistics.median(taken):.1f} | {nearly_all:.1f} | {taken[-1]:.1f}"
    print(f"| {what} | {len(taken)} | {stops.meanwhile_over} | {figures} | {stops.late_events} | {left} |", flush=True)
    for error in sorted(set(stops.errors)):
        print(f"error: {error}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200, sys.argv[2] if len(sys.argv) > 2 else "smollm2")
