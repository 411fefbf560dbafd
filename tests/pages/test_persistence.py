"""A run goes on after a reload or a crash of its worker, from the last event that the page was told of."""

from __future__ import annotations

import os
import random

import pytest
from playwright.sync_api import Error, expect

from .conftest import ANSWER_LIMIT_MS, START_LIMIT_MS, Tab, Tabs

RELOADS = int(os.environ.get("LIMPET_RELOADS", "12"))
"""More of them are for the record (`tests/bench/README.md`)."""
STEPS = '''
import asyncio
from limpet import Agent, tool
from limpet.messages import TextPart
from limpet.providers.scripted import ScriptedModel, call_tool

COUNT = {count}

@tool
async def step(number: int) -> str:
    """Take a step."""
    await asyncio.sleep({pause})
    return f"step {{number}} taken"

def reply(request):
    taken = sum(1 for message in request.messages if message.role == "tool")
    if taken == COUNT:
        return "all steps were taken"
    return [TextPart(f"I take step {{taken}}"), call_tool("step", f"c{{taken}}", number=taken)]

agent = Agent(model=ScriptedModel([reply] * 5000, pause_seconds=0.005), tools=[step], max_turns=10_000)
'''


def _results(tab: Tab) -> list[str]:
    return [text.strip() for text in tab.page.locator("#entries .tool-result").all_inner_texts()]


def test_a_reload_in_the_middle_goes_on_where_it_was(tabs: Tabs) -> None:
    tab = tabs.new(STEPS.format(count=8, pause=0.05))
    tab.open()
    tab.say("go")
    expect(tab.page.locator("#entries .tool-result").nth(2)).to_have_text("step 2 taken", timeout=ANSWER_LIMIT_MS)

    tab.page.reload()
    expect(tab.page.locator("#entries .text .body").last).to_have_text("all steps were taken", timeout=ANSWER_LIMIT_MS)
    tab.wait_until_ready()

    assert _results(tab) == [f"step {number} taken" for number in range(8)]
    assert tab.entries("user") == ["go"]
    assert tab.entries("error") == []


def test_a_worker_that_breaks_down_is_replaced_and_the_run_goes_on(tabs: Tabs) -> None:
    tab = tabs.new(STEPS.format(count=8, pause=0.05))
    tab.open()
    tab.page.evaluate(
        """() => {
            const start = Worker.prototype.postMessage;
            window.workers = new Set();
            Worker.prototype.postMessage = function (...words) { workers.add(this); return start.apply(this, words); };
        }"""
    )
    tab.say("go")
    expect(tab.page.locator("#entries .tool-result").nth(2)).to_have_text("step 2 taken", timeout=ANSWER_LIMIT_MS)
    # What a worker's uncaught error looks like from here.
    tab.page.evaluate("() => { for (const worker of workers) worker.dispatchEvent(new ErrorEvent('error')); }")

    expect(tab.page.locator("#entries .text .body").last).to_have_text("all steps were taken", timeout=ANSWER_LIMIT_MS)
    assert _results(tab) == [f"step {number} taken" for number in range(8)]


@pytest.mark.timeout(120 + 10 * RELOADS)
def test_many_reloads_lose_nothing_that_was_told(tabs: Tabs, record_property: pytest.RecordProperty) -> None:
    # Steps enough, and slow enough, that the run still goes on at the last reload; then it is stopped.
    tab = tabs.new(STEPS.format(count=RELOADS * 40, pause=0.3))
    told: list[str] = []
    tab.page.expose_function("told", lambda text: told.append(text))
    tab.page.add_init_script(
        """document.addEventListener("limpet:tool_result", (event) => void told(event.detail.content));"""
    )
    tab.forgiven += ["NetworkError", "Failed to fetch", "aborted"]
    tab.open()
    tab.say("go")
    moments = random.Random(1)
    for _ in range(RELOADS):
        tab.page.wait_for_timeout(moments.uniform(0, 1500))
        before = list(told)
        tab.page.reload()
        tab.page.wait_for_function(
            "() => document.querySelector('limpet-chat')?.shadowRoot?.querySelector('#entries .user')",
            timeout=START_LIMIT_MS,
        )
        shown = _results(tab)
        assert [text for text in before if text not in shown] == []
    last = len(told)
    while len(told) == last:
        tab.page.wait_for_timeout(50)
    tab.page.click("#stop")
    tab.wait_until_ready()

    taken = [text for text in _results(tab) if text.startswith("step ")]
    record_property("reloads", RELOADS)
    print(f"{RELOADS} reloads in the middle of a run of {len(taken)} steps")
    assert taken == [f"step {number} taken" for number in range(len(taken))]
    assert set(told) <= set(taken)


def test_a_full_store_is_told(tabs: Tabs) -> None:
    tab = tabs.new(STEPS.format(count=1, pause=0.0))
    tab.open()
    session = tab.page.context.new_cdp_session(tab.page)
    try:
        session.send("Storage.overrideQuotaForOrigin", {"origin": tab.url.rstrip("/"), "quotaSize": 1})
    except Error:
        pytest.skip("this Chromium can't set a quota")
    tab.say("go")
    expect(tab.page.locator("#entries .error .body")).to_contain_text("free some space", timeout=ANSWER_LIMIT_MS)


def test_a_store_of_a_newer_version_is_left_alone_and_told(tabs: Tabs) -> None:
    tab = tabs.new(STEPS.format(count=1, pause=0.0))
    tab.open("style.css")
    tab.page.evaluate(
        """() => new Promise((resolve, reject) => {
            const request = indexedDB.open("limpet", 99);
            request.onupgradeneeded = () => request.result.createObjectStore("of another kind");
            request.onsuccess = () => { request.result.close(); resolve(); };
            request.onerror = () => reject(request.error);
        })"""
    )
    # A page of nothing but a style has no icon.
    tab.forgiven += ["VersionError", "404"]
    tab.page.goto(tab.url)

    expect(tab.page.locator("#problem")).to_contain_text("VersionError", timeout=START_LIMIT_MS)
