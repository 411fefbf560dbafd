"""How long after a stop the server sees the socket closed: on CPython, in Pyodide under Node, and in Chromium.

    PYTHONPATH=runtime:web python -m tests.bench.bench_abort [--rounds 200] [--rounds-elsewhere 30]

CPython is measured against the fake provider as a program of its own, so that neither slows down the other; a run of
an `Agent` is cancelled at its first word, in each wire format in turn. For the other two it does what their tests do
(`tests/hosts`, `tests/pages`), which need `build.py site`. All clocks are the machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from limpet import Agent
from limpet.events import TextDelta
from limpet.host import HttpRequest
from limpet.hosts.cpython import create_host
from limpet.hosts.http1 import Http1Fetch
from limpet.model import ModelReference
from limpet.stores.memory import MemoryStorage
from tests.fake_provider import PREFIXES, FakeProvider
from tests.fake_provider.elsewhere import CASES, abort_milliseconds, prepare
from tests.fake_provider.promises import PROVIDERS, SECRETS, provider_of
from tests.pages.fake_provider_page import bundle, run_cases
from tooling import node
from tooling.browser import find

ROOT = Path(__file__).resolve().parents[2]
GOAL_MILLISECONDS = 50
LIMIT_SECONDS = 60.0


async def ask(address: str, path: str, script: Mapping[str, Any] | None = None) -> Any:
    """Speak to the fake provider's own interface."""
    body = None if script is None else json.dumps(script).encode()
    response = await Http1Fetch()(HttpRequest("GET" if body is None else "POST", f"{address}/-/{path}", {}, body))
    return json.loads(b"".join([chunk async for chunk in response.chunks()]))


async def measure_once(address: str, name: str, number: int) -> float:
    """Cancel one run at its first word; give the milliseconds until the server saw the close."""
    scope, provider = f"abort{number}", provider_of(name)
    await ask(address, "script", {"scope": scope, "faults": [{"kind": "silent_body", "at": 0.9}]})
    base_url = f"{address}/~{scope}{PREFIXES.get(provider, f'/{provider}/v1')}"
    model = ModelReference(provider, "fake", base_url=base_url, options=PROVIDERS[name])
    run = Agent(model=model).run("one two three", host=create_host(storage=MemoryStorage(), secrets=SECRETS))
    cancelled_at = 0.0
    async for event in run:
        if isinstance(event, TextDelta) and not cancelled_at:
            cancelled_at = time.time()
            run.cancel()
    while True:
        [seen] = (await ask(address, f"seen/{scope}"))["connections"]
        if seen["closed_by"] != "open":
            assert seen["closed_by"] == "client"
            return float(seen["closed_at"] - cancelled_at) * 1000
        await asyncio.sleep(0.01)


async def measure_cpython(rounds: int) -> list[float]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fake_provider", "--seconds", "600"), cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        address = (await process.stdout.readline()).decode().strip()
        names = list(PROVIDERS)
        return [await measure_once(address, names[number % len(names)], number) for number in range(rounds)]
    finally:
        process.terminate()
        await process.wait()


def cancels(server: FakeProvider) -> list[dict[str, Any]]:
    return [case for case in prepare(server) if CASES[case["name"]].does == "cancel"]


def measure_elsewhere(rounds: int, run: Callable[[list[dict[str, Any]]], list[Any]]) -> list[float]:
    """Measure with a Python elsewhere: `run` does what it is told in a fresh one, and gives the results."""
    found: list[float] = []
    while len(found) < rounds:
        with FakeProvider() as server:
            # The first run of a process imports its model's code meanwhile.
            found += [abort_milliseconds(result, server) for result in run(cancels(server))[1:]]
    return found


def run_in_node(told: list[dict[str, Any]]) -> list[Any]:
    program = ROOT / "tests" / "hosts" / "run_fake_provider.mjs"
    settings = {"root": str(ROOT), "stdlib": str(ROOT / "build" / "python" / "python_stdlib.zip")}
    done = subprocess.run(
        [str(node.node()), str(program), json.dumps(settings)],
        input=json.dumps(told),
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_SECONDS,
        env=node.environment(),
    )
    results: list[Any] = json.loads(done.stdout)
    return results


def measure_chromium(rounds: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        script = bundle(Path(folder))
        browser = playwright.chromium.launch(executable_path=str(find(ROOT)), args=["--no-sandbox"])
        try:
            return measure_elsewhere(rounds, lambda told: run_cases(browser, script, told))
        finally:
            browser.close()


def show(name: str, found: list[float]) -> None:
    ranked = sorted(found)
    p99 = ranked[min(len(ranked) - 1, int(len(ranked) * 0.99))]
    print(
        f"{name:24} {len(found):5} stops: median {statistics.median(found):6.2f} ms, p99 {p99:6.2f} ms, "
        f"most {ranked[-1]:6.2f} ms (goal: under {GOAL_MILLISECONDS} ms)"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rounds", type=int, default=200)
    options.add_argument("--rounds-elsewhere", type=int, default=30)
    chosen = options.parse_args()
    show("CPython", asyncio.run(measure_cpython(chosen.rounds)))
    if chosen.rounds_elsewhere:
        show("Pyodide in Node", measure_elsewhere(chosen.rounds_elsewhere, run_in_node))
        show("Pyodide in Chromium", measure_chromium(chosen.rounds_elsewhere))


if __name__ == "__main__":
    main()
