"""One warm call of the local model: Chromium beside native `onnxruntime`, and where the time goes.

    python3 build.py bench --local-call [--rounds 5] [--threads 1 2]

The same prompts through three ways, the first and the last in turns: the whole runtime in Chromium (page, worker,
Python, bridge), the bridge alone in Chromium (the same forwards, no Python), and `LocalModel` on CPython. The prefix
with the tools is cached in all three. Prints medians; judges nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.async_api import async_playwright

from limpet.entrypoints.agent_file import load_agent
from limpet.hosts.cpython import create_host
from limpet.hosts.onnx_session import OnnxBackend, OnnxSession
from limpet.messages import Message
from limpet.model import ModelRequest
from limpet.providers.local import LocalModel
from limpet.stores.memory import MemoryStorage
from tooling import browser, node
from tooling.server import serve

ROOT = Path(__file__).resolve().parents[2]
AGENT = ROOT / "examples" / "kitchen.py"
FIXTURE = ROOT / "tests" / "inference" / "fixtures" / "tokens.json"
PROMPTS = ("ten minutes for the eggs", "convert 3 cups to litres", "put 4 lemons on the shopping list")
LIMIT_SECONDS = 900.0


class Native:
    """`LocalModel` on CPython, with the time that its forwards take."""

    def __init__(self, threads: int) -> None:
        self._backend = OnnxBackend(ROOT / "build" / "models", cache_dir=None, threads=threads)
        self._host = create_host(storage=MemoryStorage(), inference=self._backend)
        self._agent = load_agent(AGENT.read_text("utf-8"), AGENT.name)
        self._model = LocalModel("needle", self._host)
        self._forward_seconds = 0.0
        self.feeds: list[list[int]] = []

    async def start(self) -> None:
        """Load the model and listen to its forwards."""
        session: Any = await self._backend.load("needle", lambda *_: None)
        forward = OnnxSession.forward

        async def timed(ids: Any, **options: Any) -> Any:
            begin = time.perf_counter()
            candidates = await forward(session, ids, **options)
            self._forward_seconds += time.perf_counter() - begin
            self.feeds.append(list(ids))
            return candidates

        session.forward = timed

    async def run(self, prompt: str) -> tuple[float, float, int]:
        """Give the milliseconds of the whole answer and of its forwards, and how many tokens it has."""
        messages = (Message.system(self._agent.instructions), Message.user(prompt))
        request = ModelRequest(messages, tuple(tool.spec for tool in self._agent.tools))
        self.feeds = []
        self._forward_seconds = 0.0
        begin = time.perf_counter()
        answer = await self._model.answer(request, lambda _: None)
        return (time.perf_counter() - begin) * 1000, self._forward_seconds * 1000, answer.usage.output_tokens


def bundle(folder: Path) -> Path:
    """Bundle the browser's half."""
    script = (
        "import { build } from 'esbuild'; await build({ entryPoints: [process.argv[1]], outfile: process.argv[2], "
        "bundle: true, format: 'esm', conditions: ['source'], nodePaths: ['node_modules'], logLevel: 'warning' });"
    )
    target = folder / "local_call.js"
    source = ROOT / "tests" / "bench" / "local_call.ts"
    words = [str(node.node()), "--input-type=module", "-e", script, str(source), str(target)]
    subprocess.run(words, cwd=ROOT / "web", check=True, timeout=60)
    return target


async def measure(threads: int, rounds: int) -> list[dict[str, Any]]:
    """Measure all prompts at one number of threads."""
    prefix = json.loads(FIXTURE.read_text("utf-8"))["prefixes"]["kitchen"]
    with tempfile.TemporaryDirectory() as folder:
        overrides = {"/agent.py": AGENT, "/assets/local_call.js": bundle(Path(folder))}
        with serve(ROOT / "build" / "site", is_isolated=True, overrides=overrides) as server:
            async with async_playwright() as playwright:
                chromium = await playwright.chromium.launch(executable_path=str(browser.ensure(ROOT)))
                try:
                    return await asyncio.wait_for(_rounds(chromium, server.url, prefix, threads, rounds), LIMIT_SECONDS)
                finally:
                    await chromium.close()


async def _open(chromium: Any, url: str, threads: int, *, alone: bool) -> Any:
    """Open a page with the agent, or with a session of the bridge alone."""
    page = await chromium.new_page()
    page.set_default_timeout(LIMIT_SECONDS * 1000)
    await page.goto(f"{url}ask.html")
    await page.add_script_tag(url="/assets/local_call.js", type="module")
    await page.wait_for_function("() => globalThis.limpetBench !== undefined")
    await page.evaluate(f"(threads) => limpetBench.{'startAlone' if alone else 'start'}(threads)", threads)
    return page


async def _rounds(chromium: Any, url: str, prefix: list[int], threads: int, rounds: int) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, list[float]]] = {
        prompt: {"page": [], "bridge": [], "native": [], "native_forward": [], "runs": []} for prompt in PROMPTS
    }
    tokens: dict[str, int] = {}
    feeds: dict[str, list[list[int]]] = {}
    native = Native(threads)
    await native.start()
    page = await _open(chromium, url, threads, alone=False)
    for number in range(rounds + 1):
        for prompt, row in rows.items():
            whole = await page.evaluate("(prompt) => limpetBench.run(prompt)", prompt)
            native_ms, native_forward_ms, tokens[prompt] = await native.run(prompt)
            if number:  # the first round fills the caches
                feeds[prompt] = native.feeds
                row["page"].append(whole["milliseconds"])
                row["native"].append(native_ms)
                row["native_forward"].append(native_forward_ms)
                row["runs"].append(len(native.feeds))
    # Not beside the others: the threads of a second session would take the cores from the first, which spins on them.
    await page.close()
    page = await _open(chromium, url, threads, alone=True)
    for number in range(rounds + 1):
        for prompt, row in rows.items():
            alone = await page.evaluate("(words) => limpetBench.replay('kitchen', ...words)", [prefix, feeds[prompt]])
            if number:
                row["bridge"].append(alone)
    return [
        {
            "threads": threads,
            "prompt": prompt,
            "tokens": tokens[prompt],
            **{name: round(statistics.median(values), 1) for name, values in row.items()},
            "page_best": round(min(row["page"]), 1),
            "bridge_best": round(min(row["bridge"]), 1),
            "native_best": round(min(row["native"]), 1),
        }
        for prompt, row in rows.items()
    ]


def main(words: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="build.py bench --local-call", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(words)
    rows = [row for threads in options.threads for row in asyncio.run(measure(threads, options.rounds))]
    if options.json:
        print(json.dumps({"machine": platform.machine(), "rounds": options.rounds, "rows": rows}))
        return 0
    print(f"medians (and best) of {options.rounds} rounds, milliseconds; prefix cached")
    print(
        "threads  tokens  forwards  page           bridge         native         native forwards  page/native  prompt"
    )
    for row in rows:
        print(
            f"{row['threads']:>7}  {row['tokens']:>6}  {row['runs']:>8.0f}"
            f"  {row['page']:>5.0f} ({row['page_best']:>5.0f})  {row['bridge']:>5.0f} ({row['bridge_best']:>5.0f})"
            f"  {row['native']:>5.0f} ({row['native_best']:>5.0f})  {row['native_forward']:>15.0f}"
            f"  {row['page'] / row['native']:>11.2f}  {row['prompt']}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
