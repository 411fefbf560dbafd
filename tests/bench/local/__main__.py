"""Local models in one Chromium: ours beside transformers.js on the same weights, and wllama on the same model.

    python3 build.py bench --local [--rounds 5] [--threads 1 2] [--quick] [--json]

The first run installs the peers and makes their models (under `build/bench/local`, 0.9 GB). Each round visits every
engine once, in another order. Prints medians beside the goals; judges nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any

from playwright.async_api import async_playwright

from limpet.inference.bpe import BpeTokenizer
from tooling import browser
from tooling.progress import exit_with, say
from tooling.server import ISOLATION, serve

from . import files, native, report
from .prompts import Prompts
from .visits import QUICK, Amounts, Visits

CHAT = ("ours", "bridge", "transformers", "wllama-q8", "wllama-q4")
EMBED = ("ours", "transformers")
MEMORY = ("ours", "transformers", "wllama-q8")
PARTS = ("chat", "embed", "memory")
LIMIT_SECONDS = 3600.0


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure all that was asked for, in one browser."""
    site = files.prepare()
    prompts = Prompts(BpeTokenizer.parse((site / "models" / "smollm2" / "tokenizer.json").read_bytes()))
    amounts = QUICK if options.quick else Amounts()
    with serve(site) as server:
        # wllama makes its worker of a blob, which the page's own policy would not let it.
        server.headers_for_all = dict(ISOLATION)
        async with async_playwright() as playwright:
            chromium = await playwright.chromium.launch(executable_path=str(browser.ensure(files.ROOT)))
            try:
                visits = Visits(chromium, server.url, prompts, amounts)
                rows = [
                    await asyncio.wait_for(_rounds(visits, count, options), LIMIT_SECONDS) for count in options.threads
                ]
                version = chromium.version
            finally:
                await chromium.close()
    return {"versions": {"Chromium": version, **_ours(), **files.versions()}, "rows": rows}


def _ours() -> dict[str, str]:
    modules = files.ROOT / "web" / "node_modules"
    names = {"our onnxruntime-web": "onnxruntime-web", "Pyodide": "pyodide"}
    return {
        name: json.loads((modules / folder / "package.json").read_text("utf-8"))["version"]
        for name, folder in names.items()
    }


async def _rounds(visits: Visits, threads: int, options: argparse.Namespace) -> dict[str, Any]:
    numbers: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    said: dict[str, Any] = {}
    for number in range(options.rounds):
        for part, engines in (("chat", CHAT), ("embed", EMBED)):
            chosen = [engine for engine in engines if part in options.parts and engine in options.engines]
            turn = number % len(chosen) if chosen else 0
            for engine in chosen[turn:] + chosen[:turn]:
                name = engine if part == "chat" else f"{engine} {part}"
                made, texts = await getattr(visits, part)(engine, threads)
                for key, value in made.items():
                    numbers[name][key].append(value)
                said[name] = texts
                shown = "  ".join(f"{key} {value:.3g}" for key, value in made.items() if not key.endswith("bytes"))
                say(f"{threads} threads, round {number + 1}, {name}: {shown}")
    memory = {}
    if "memory" in options.parts:
        for engine in (engine for engine in MEMORY if engine in options.engines):
            memory[engine] = await visits.memory(engine, threads)
            say(f"{threads} threads, memory, {engine}")
        if "ours" in options.engines:
            memory["native"] = await native.in_a_process(visits.amounts.turns, threads)
            say(f"{threads} threads, memory, CPython")
    return {
        "threads": threads,
        "medians": {name: {key: median(values) for key, values in row.items()} for name, row in numbers.items()},
        "rounds": numbers,
        "memory": memory,
        "said": said,
    }


def main(words: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="build.py bench --local", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=None, help="default 5")
    parser.add_argument("--threads", type=int, nargs="+", default=None, help="default 1 2")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--engines", nargs="+", choices=CHAT, default=CHAT)
    parser.add_argument("--quick", action="store_true", help="one round of little: does it work?")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(words)
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.threads = options.threads or ([2] if options.quick else [1, 2])
    began, load = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), os.getloadavg()[0]
    result = asyncio.run(measure(options))
    result = {
        "when": began,
        "load": {"before": load, "after": os.getloadavg()[0]},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "rounds": options.rounds,
        "is_quick": options.quick,
        **result,
    }
    for row in result["rows"]:
        report.compare(row)
    print(json.dumps(result, default=dict) if options.json else report.render(result))
    return 0


if __name__ == "__main__":
    exit_with(lambda: main(sys.argv[1:]))
