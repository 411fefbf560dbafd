"""Stops an agent in a page again and again, and counts what is left in its worker; also for `bench --stops`."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page

from tests.fake_server import FakeServer

REMOTE = "from limpet import Agent\nagent = Agent(model='openai:gpt-5-mini', name='remote')\n"
LOCAL = "from limpet import Agent\nagent = Agent(model='local:{model}', max_output_tokens={tokens}, name='local')\n"
CENSUS = '''
import asyncio, gc
from limpet import Agent, tool
from limpet.providers.scripted import ScriptedModel, call_tool

@tool
async def census() -> dict:
    """Count the tasks and the functions that are lent to JavaScript, after what ends by itself has ended."""
    import pyodide_js
    module = pyodide_js._module
    if not hasattr(census, "is_begun"):
        census.is_begun = True
        module.enable_pyproxy_allocation_tracing()
    await asyncio.sleep(0.5)
    gc.collect()
    return {"tasks": len(asyncio.all_tasks()), "proxies": module.pyproxy_alloc_map.size}

agent = Agent(model=ScriptedModel([call_tool("census"), "counted"] * 9), tools=[census], name="census")
'''
WORDS = " ".join(["word"] * 2000)
PAUSE_SECONDS = 0.005
SET_UP = """async ({ remote }) => {
    const { createAgent } = await import(new URL("limpet.js", location.href).href);
    // Both in one worker, so that one can count for the other.
    window.subject = createAgent({ src: "agent.py", remote, allowDownload: true });
    window.census = createAgent({ src: "census.py" , allowDownload: true });
    await Promise.all([subject.ready, census.ready]);
}"""
STOP = """async (delay) => {
    await subject.open();
    const run = subject.sendMessage("tell me of tea");
    await new Promise((resolve) => setTimeout(resolve, delay));
    const isMeanwhileOver = subject.status === "ready" || subject.status === "error";
    const began = performance.now();
    await subject.stop();
    const took = performance.now() - began;
    let late = 0;
    const leave = subject.subscribe((state, event) => { if (event) late += 1; });
    await new Promise((resolve) => setTimeout(resolve, 20));
    leave();
    return { took, late, isMeanwhileOver, status: subject.status, error: subject.error?.message ?? null };
}"""
COUNT = """async () => {
    let counted = null;
    for await (const event of census.sendMessage("count")) if (event.type === "tool_result") counted = event.content;
    return counted;
}"""


@dataclass(frozen=True)
class Stops:
    """What stopping came to. `before` and `after` are what the census counted."""

    milliseconds: list[float]
    late_events: int
    meanwhile_over: int
    errors: list[str]
    before: Any
    after: Any


def stop_often(page: Page, remote: dict[str, str] | None, count: int, longest_ms: float, seed: int = 1) -> Stops:
    """Ask and stop `count` times, each after a moment drawn from 0 to `longest_ms`."""
    page.evaluate(SET_UP, {"remote": remote})
    # The first of all imports and loads; only then is there a state to come back to.
    page.evaluate(STOP, longest_ms)
    page.evaluate(COUNT)
    before = page.evaluate(COUNT)
    moments = random.Random(seed)
    told = [page.evaluate(STOP, moments.uniform(0, longest_ms)) for _ in range(count)]
    return Stops(
        milliseconds=[stop["took"] for stop in told if not stop["isMeanwhileOver"]],
        late_events=sum(stop["late"] for stop in told),
        meanwhile_over=sum(stop["isMeanwhileOver"] for stop in told),
        errors=[stop["error"] for stop in told if stop["error"] is not None],
        before=before,
        after=page.evaluate(COUNT),
    )


def server() -> FakeServer:
    """A provider whose answers last for longer than anybody listens."""
    return FakeServer(f"slow:{WORDS}", pause_seconds=PAUSE_SECONDS, lifetime_seconds=3600)
