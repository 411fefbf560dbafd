"""What the bridge's probe measures in Chromium, each time in a fresh profile.

    PYTHONPATH=runtime:web python -m tests.bench.device [--rounds 5] [--gpu]

Needs the built site. Isolated pages and plain ones take turns; with `--gpu` Chromium plays a graphics processor.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from tooling.browser import find
from tooling.server import serve

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "build" / "site"
LIMIT_MS = 60_000
GPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")

READ = """async () => {
    await document.querySelector("limpet-chat").agent.ready;
    const began = performance.now();
    await document.querySelector("limpet-chat").agent.device();
    const waited = performance.now() - began;
    let place = await navigator.storage.getDirectory();
    for (const name of ["onnxruntime-web-bridge", "device"]) place = await place.getDirectoryHandle(name);
    const text = await (await (await place.getFileHandle("profile.json")).getFile()).text();
    return { ...JSON.parse(text), waited };
}"""


def measure(browser: Browser, *, is_isolated: bool) -> dict[str, Any]:
    """Measure in a profile in which nothing is stored."""
    with serve(SITE, is_isolated=is_isolated) as server:
        context = browser.new_context()
        try:
            context.set_default_timeout(LIMIT_MS)
            page = context.new_page()
            page.goto(server.url)
            page.wait_for_function("document.querySelector('limpet-chat')?.agent !== undefined")
            profile: dict[str, Any] = page.evaluate(READ)
            return profile
        finally:
            context.close()


def main() -> None:
    """Print a line for each round, then the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gpu", action="store_true", help="let Chromium show a graphics processor that it plays")
    options = parser.parse_args()
    program = find(ROOT)
    if program is None:
        sys.exit("no Chromium on this machine")
    speeds: dict[tuple[bool, int], list[tuple[float, float]]] = {}
    took: list[float] = []
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", *(GPU if options.gpu else ())]
        browser = playwright.chromium.launch(executable_path=str(program), args=arguments)
        print("Chromium", browser.version)
        for _ in range(options.rounds):
            for is_isolated in (True, False):
                profile = measure(browser, is_isolated=is_isolated)
                took.append(profile["waited"])
                for speed in profile["speeds"]:
                    pair = (speed["tokens_per_second"], speed["prefill_tokens_per_second"])
                    speeds.setdefault((is_isolated, speed["threads"]), []).append(pair)
                print(
                    json.dumps(
                        {
                            name: profile[name]
                            for name in ("is_isolated", "threads", "is_noisy", "took_ms", "gpu", "memory")
                        }
                    )
                )
        browser.close()
    print(f"waited {median(took):.0f} ms")
    for (is_isolated, threads), pairs in sorted(speeds.items(), reverse=True):
        decode, prefill = (median(values) for values in zip(*pairs, strict=True))
        kind = "isolated" if is_isolated else "plain"
        print(f"{kind:<9} {threads} threads: {decode:7.1f} and {prefill:7.1f} tokens a second")


if __name__ == "__main__":
    main()
