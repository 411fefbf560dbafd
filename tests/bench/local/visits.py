"""One visit is one engine in one fresh page: it is loaded, asked, looked at and closed again.

So no engine has the threads, the memory or the cache of another beside it. All visits of a run share one Chromium.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page

from .prompts import CALLS, Prompts, documents

STEP_LIMIT_SECONDS = 240.0
AFTER_CLOSE_SECONDS = 8.0
"""A wasm module that nobody uses is given up after five."""


@dataclass(frozen=True)
class Amounts:
    """How much is asked for."""

    prompt_tokens: int = 256
    warm_up_tokens: int = 64
    written: int = 33
    history_tokens: int = 1000
    turns: int = 50
    documents: int = 48


QUICK = Amounts(prompt_tokens=96, written=9, history_tokens=200, turns=4, documents=12)
Measured = dict[str, float]


class Tab:
    """An engine in a page."""

    def __init__(self, page: Page, renderers: Collection[int]) -> None:
        self._page = page
        self._renderers = renderers

    async def ask(self, method: str, *words: object) -> Any:
        """Call a method of the engine. Raises `TimeoutError`, and `Error` of Playwright with what went wrong."""
        call = self._page.evaluate("([method, words]) => limpetBench.ask(method, words)", [method, list(words)])
        return await asyncio.wait_for(call, STEP_LIMIT_SECONDS)

    def resident_bytes(self) -> float:
        """How much memory the page's process has; not a number where that can't be told."""
        # Of those that came with the page one may wait for the next page; ours is at work.
        return max(map(resident_bytes, self._renderers), default=math.nan)


def resident_bytes(process: int | str = "self") -> float:
    """Give how much memory a process has; not a number where that can't be told."""
    try:
        lines = Path(f"/proc/{process}/status").read_text("utf-8").splitlines()
    except OSError:
        return math.nan
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), math.nan)


@asynccontextmanager
async def new_visitor(chromium: Browser) -> AsyncIterator[BrowserContext]:
    """Give what has cached and stored nothing."""
    context = await chromium.new_context()
    context.set_default_timeout(STEP_LIMIT_SECONDS * 1000)
    try:
        yield context
    finally:
        await context.close()


@asynccontextmanager
async def open_tab(context: BrowserContext, url: str, engine: str) -> AsyncIterator[Tab]:
    """Open a page with an engine."""
    assert context.browser is not None
    before = await _renderers(context.browser)
    page = await context.new_page()
    try:
        await page.goto(url)
        await page.wait_for_function("() => globalThis.limpetBench !== undefined")
        started = await page.evaluate("(name) => limpetBench.start(name)", engine)
        if not started["isIsolated"]:
            raise RuntimeError("the page is not isolated: there are no threads")
        yield Tab(page, (await _renderers(context.browser)) - before)
    finally:
        await page.close()


async def _renderers(chromium: Browser) -> set[int]:
    session = await chromium.new_browser_cdp_session()
    try:
        told = await session.send("SystemInfo.getProcessInfo")
    finally:
        await session.detach()
    return {process["id"] for process in told["processInfo"] if process["type"] == "renderer"}


class Visits:
    """What is done in each kind of visit. Prompts differ by `number`, so that none finds another's in a cache."""

    def __init__(self, chromium: Browser, url: str, prompts: Prompts, amounts: Amounts, number: int = 0) -> None:
        self._chromium = chromium
        self._url = url
        self._prompts = prompts
        self.amounts = amounts
        self._number = number

    async def chat(self, engine: str, threads: int) -> tuple[Measured, dict[str, Any]]:
        """Load, answer, call a tool, go on with a conversation. Gives numbers, and what was said."""
        made, said = Measured(), dict[str, Any]()
        if engine == "transformers":
            async with new_visitor(self._chromium) as visitor, open_tab(visitor, self._url, engine) as tab:
                made["load_unkept_ms"] = await tab.ask("load", threads, False)
        async with new_visitor(self._chromium) as visitor:
            async with open_tab(visitor, self._url, engine) as tab:
                made["boot_ms"] = await tab.ask("boot")
                made["load_ms"] = await tab.ask("load", threads, True)
                if engine in ("ours", "bridge"):
                    said["load"] = await tab.ask("phases")
            async with open_tab(visitor, self._url, engine) as tab:
                await tab.ask("boot")
                made["load_again_ms"] = await tab.ask("load", threads, True)
                made["loaded_bytes"] = tab.resident_bytes()
                made |= _heaps(await tab.ask("memory"))
                await self._ask_all(engine, tab, made, said)
        return made, said

    async def _ask_all(self, engine: str, tab: Tab, made: Measured, said: dict[str, Any]) -> None:
        amounts = self.amounts
        await tab.ask("chat", self._prompt(amounts.warm_up_tokens), 9)
        answer = await tab.ask("chat", self._prompt(amounts.prompt_tokens), amounts.written)
        if answer["steps"] != amounts.written - 1:
            raise RuntimeError(f"{engine} wrote {answer['steps'] + 1} tokens instead of {amounts.written}")
        said["answer"] = answer["text"]
        made["prefill_per_s"] = 1000 * answer["prefilled"] / answer["first"]
        made["decode_per_s"] = 1000 * answer["steps"] / answer["decode"]
        if "python" in answer:
            made["python_share"] = answer["python"]
        if engine in ("ours", "wllama-q8"):
            # To choose among tools wllama has its grammar only, which is another task.
            for name in CALLS if engine == "ours" else ("call", "note"):
                await tab.ask("call", self._question(name))
                call = await tab.ask("call", self._question(name))
                said[name] = call["text"]
                made[f"{name}_ms"] = call["whole"]
                made |= {f"{name}_{key}": call[key] for key in ("tokens", "prefilled", "runs") if key in call}
        if engine == "ours":
            made |= await self._reuse(tab)

    async def _reuse(self, tab: Tab) -> Measured:
        messages = self._prompts.conversation(self.amounts.history_tokens)
        await tab.ask("reuse", messages[:-1], False)
        kept = await tab.ask("reuse", messages, True)
        fresh = await tab.ask("reuse", messages, False)
        if fresh["cached"]:
            raise RuntimeError(f"{fresh['cached']} tokens were found where nothing should have been kept")
        return {
            "reuse_ms": kept["first"],
            "reuse_cached": kept["cached"],
            "no_reuse_ms": fresh["first"],
            "reuse_prompt": kept["prompt"],
        }

    async def embed(self, engine: str, threads: int) -> tuple[Measured, dict[str, Any]]:
        """Give vectors of texts of one to twelve sentences."""
        texts = documents(self.amounts.documents)
        async with new_visitor(self._chromium) as visitor, open_tab(visitor, self._url, engine) as tab:
            await tab.ask("boot")
            made = {"load_ms": await tab.ask("loadEmbeddings", threads)}
            await tab.ask("embed", texts[:8])
            told = await tab.ask("embed", texts)
            made["documents_per_s"] = 1000 * len(texts) / told["milliseconds"]
        return made, {"vectors": told["vectors"]}

    async def memory(self, engine: str, threads: int) -> Measured:
        """Look at the memory after load, after many turns and after closing."""
        async with new_visitor(self._chromium) as visitor, open_tab(visitor, self._url, engine) as tab:
            await tab.ask("boot")
            made = {"booted": tab.resident_bytes()}
            await tab.ask("load", threads, True)
            made["loaded"] = tab.resident_bytes()
            made |= {f"loaded_{key}": value for key, value in _heaps(await tab.ask("memory")).items()}
            if engine == "ours":
                made["tokens"] = await tab.ask("turns", self.amounts.turns)
            else:
                await tab.ask("chat", self._prompt(self.amounts.prompt_tokens), self.amounts.written)
            made["used"] = tab.resident_bytes()
            made |= {f"used_{key}": value for key, value in _heaps(await tab.ask("memory")).items()}
            await tab.ask("close")
            await asyncio.sleep(AFTER_CLOSE_SECONDS)
            made["closed"] = tab.resident_bytes()
        return made

    def _prompt(self, tokens: int) -> Mapping[str, Any]:
        self._number += 1
        return self._prompts.long(self._number, tokens)

    def _question(self, kind: str) -> Mapping[str, Any]:
        self._number += 1
        return self._prompts.question(kind, self._number)


def _heaps(memory: Mapping[str, float | None]) -> Measured:
    return {f"{name}_heap": value for name, value in memory.items() if value is not None}
