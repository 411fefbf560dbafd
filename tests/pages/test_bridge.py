"""The package `onnxruntime-web-bridge` in a real browser: stores, content policy, memory, the tokens of CPython."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import mul
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright

from limpet.hosts.onnx_session import OnnxBackend
from tooling import node
from tooling.browser import find
from tooling.server import serve

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
MODELS = ROOT / "build" / "models"
ORT = WEB / "node_modules" / "onnxruntime-web" / "dist"
RECORDED = ROOT / "tests" / "inference" / "fixtures" / "tokens.json"
PROMPT = [2, 40, 41, 99, 250, 17, 33, 120, 7, 64]
TOKENS = 12
CLOSE_LOGITS = 2e-2
"""Sums are made in another order on wasm; Needle's logits are around 50."""
MINILM = ROOT / "tests" / "models" / "minilm_reference.json"
SMOLLM2 = ROOT / "tests" / "models" / "smollm2_reference.json"
SURE_MARGIN = 1.0
"""SmolLM2's activations become bytes, where a sum in another order may end in the next one: some tenths in a logit."""
LIMIT_MS = 60_000
LEAK_BYTES = 100e6
"""A started module is 30 MB: one kept at each close would be 570 MB after twenty."""
SETTLE_SECONDS = 30


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    program = find(ROOT)
    if program is None:
        pytest.skip("no Chromium on this machine")
    # A container has no user namespaces for the sandbox; 127.0.0.1 is all that this browser is shown.
    browser = playwright.chromium.launch(
        executable_path=str(program),
        args=["--no-sandbox", "--enable-precise-memory-info", "--js-flags=--expose-gc"],
    )
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test page, bundled as an application would bundle it."""
    folder = tmp_path_factory.mktemp("bridge")
    source = WEB / "onnxruntime-web-bridge" / "test" / "browser"
    names = [str(source / name) for name in ("page.ts", "worker.ts")]
    command = [str(WEB / "node_modules" / ".bin" / "esbuild"), *names, "--bundle", "--format=esm", f"--outdir={folder}"]
    subprocess.run(command, cwd=WEB, env=node.environment(), check=True, timeout=60, capture_output=True)
    (folder / "index.html").write_bytes((source / "index.html").read_bytes())
    return folder


@dataclass
class Tab:
    """A page with the test functions. What the browser complains of is kept in `complaints`."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def call(self, name: str, *values: object) -> Any:
        return self.page.evaluate("([name, values]) => window.bridgeTest[name](...values)", [name, list(values)])

    def start(self, store: str = "opfs") -> None:
        self.call("start", store)


@contextmanager
def opened_site(site: Path, *, is_isolated: bool = True) -> Iterator[str]:
    outside = {f"/ort/{file.name}": file for file in ORT.glob("ort-wasm-simd-threaded.*")}
    outside |= {f"/models/{file.parent.name}/{file.name}": file for file in MODELS.glob("*/*")}
    with serve(site, is_isolated=is_isolated, overrides=outside) as server:
        yield server.url


def open_tab(context: BrowserContext, url: str) -> Tab:
    tab = Tab(context.new_page())
    tab.page.set_default_timeout(LIMIT_MS)
    tab.page.on("console", lambda message: tab.complaints.append(message.text) if message.type == "error" else None)
    tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.page.goto(url)
    tab.page.wait_for_function("window.bridgeTest !== undefined")
    return tab


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A fresh profile: nothing is stored in it."""
    fresh = chromium.new_context()
    yield fresh
    fresh.close()


def require(model: str) -> None:
    if not (MODELS / model / "model.json").exists():
        pytest.skip(f"build/models/{model} is not built")


async def greedy_on_cpython(model: str) -> tuple[list[int], float, float]:
    session = await OnnxBackend(MODELS, threads=1).load(model, lambda *_: None)
    await session.forward(PROMPT, top_k=1)
    candidates = await session.forward([], top_k=5)
    tokens: list[int] = []
    while len(tokens) < TOKENS:
        tokens.append(candidates.ids[0])
        candidates = await session.forward(tokens[-1:], top_k=5)
    await session.close()
    return tokens, candidates.logits[0], candidates.scalars.get("confidence", 0.0)


def in_thread(model: str) -> tuple[list[int], float, float]:
    # Playwright's loop runs in this thread already.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(greedy_on_cpython(model))).result(120)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("is_isolated", [True, False], ids=["isolated", "plain"])
@pytest.mark.parametrize("model", ["tiny", "tiny-chat", "needle"])
@pytest.mark.timeout(180)
def test_tokens_are_those_of_cpython(
    context: BrowserContext, site: Path, model: str, is_isolated: bool, threads: int
) -> None:
    require(model)
    if model == "needle" and not (is_isolated and threads == 2):
        pytest.skip("Needle takes ten seconds to load: once is enough")
    tokens, logit, confidence = in_thread(model)

    with opened_site(site, is_isolated=is_isolated) as url:
        tab = open_tab(context, url)
        assert tab.page.evaluate("crossOriginIsolated") is is_isolated
        tab.start()
        tab.call("load", model, True, threads)
        reply = tab.call("greedy", PROMPT, TOKENS)
        tab.call("stop")

    assert reply["tokens"] == tokens
    assert reply["logit"] == pytest.approx(logit, abs=CLOSE_LOGITS)
    assert reply["confidence"] == pytest.approx(confidence, abs=1e-4)
    assert tab.complaints == []


async def vectors_on_cpython(model: str, batch: Sequence[Sequence[int]]) -> list[list[float]]:
    session = await OnnxBackend(MODELS, threads=1).load(model, lambda *_: None)
    vectors = await session.embed(batch)
    await session.close()
    return vectors


@pytest.mark.parametrize("is_isolated", [True, False], ids=["isolated", "plain"])
@pytest.mark.parametrize("model", ["tiny-embedding", "minilm"])
@pytest.mark.timeout(180)
def test_vectors_are_those_of_cpython(context: BrowserContext, site: Path, model: str, is_isolated: bool) -> None:
    require(model)
    batch = [case["ids"] for case in json.loads(MINILM.read_text("utf-8"))["cases"]]
    if model == "tiny-embedding":
        batch = [[token_id % 80 for token_id in ids[:60]] for ids in batch]
    with ThreadPoolExecutor(1) as pool:
        expected = pool.submit(lambda: asyncio.run(vectors_on_cpython(model, batch))).result(60)

    with opened_site(site, is_isolated=is_isolated) as url:
        tab = open_tab(context, url)
        tab.start()
        tab.call("load", model, True, 2)
        flat = tab.call("embed", batch)
        alone = tab.call("embed", batch[1:2])
        nothing = tab.call("embed", [])
        tab.call("stop")

    width = len(expected[0])
    vectors = [flat[start : start + width] for start in range(0, len(flat), width)]
    assert len(vectors) == len(expected) > 10
    # The tiny model is too shallow for it, but in six layers a sum in another order may end in the next byte, which
    # moves a vector by a third of what 8 bits cost anyway: 0.00023 of a cosine at worst, for half of the texts nothing.
    close = 1 - 1e-6 if model == "tiny-embedding" else 0.9995
    assert min(sum(map(mul, one, other)) for one, other in zip(vectors, expected, strict=True)) > close
    assert alone == pytest.approx(vectors[1], abs=1e-6)
    assert nothing == []
    assert tab.complaints == []


@pytest.mark.timeout(240)
def test_needle_answers_prompts_with_the_tokens_of_cpython(context: BrowserContext, site: Path) -> None:
    require("needle")
    # What `LocalModel` fed and got natively; tests/inference/test_tokens.py holds CPython to the same file.
    recorded = json.loads(RECORDED.read_text("utf-8"))
    prompts = [entry for entry in recorded["prompts"] if entry["toolset"] == "kitchen"]

    with opened_site(site) as url:
        tab = open_tab(context, url)
        tab.start()
        tab.call("load", "needle", True, 2)
        tab.call("best", recorded["prefixes"]["kitchen"])
        tab.call("snapshot", "tools")
        best = {}
        for entry in prompts:
            assert tab.call("restore", "tools")
            best[entry["prompt"]] = [tab.call("best", feed)[0] for feed in entry["feeds"]]
        tab.call("stop")

    assert best == {entry["prompt"]: entry["best"] for entry in prompts}
    assert len(best) >= 3


async def sure_steps(cases: Sequence[dict[str, Any]]) -> list[tuple[list[int], int, float]]:
    """On CPython: what was fed, the best token after it, and how far it is ahead of the next."""
    session = await OnnxBackend(MODELS, threads=1).load("smollm2", lambda *_: None)
    steps: list[tuple[list[int], int, float]] = []
    for case in cases:
        await session.rewind(0)
        for feed in [case["prompt_ids"], *([token_id] for token_id in case["answer_ids"])]:
            candidates = await session.forward(feed, top_k=2)
            steps.append((feed, candidates.ids[0], candidates.logits[0] - candidates.logits[1]))
    await session.close()
    return steps


@pytest.mark.timeout(240)
def test_smollm2_says_what_it_says_on_cpython_where_it_is_sure(context: BrowserContext, site: Path) -> None:
    require("smollm2")
    cases = json.loads(SMOLLM2.read_text("utf-8"))["cases"][:3]
    with ThreadPoolExecutor(1) as pool:
        steps = pool.submit(lambda: asyncio.run(sure_steps(cases))).result(120)
    sure = [margin > SURE_MARGIN for _, _, margin in steps]
    assert sum(sure) > 20

    with opened_site(site) as url:
        tab = open_tab(context, url)
        tab.start()
        tab.call("load", "smollm2", True, 2)
        found = []
        for feed, _, _ in steps:
            if len(feed) > 1:
                assert tab.call("rewind", 0)
            found.append(tab.call("best", feed)[0])
        prompt = steps[0][0]
        assert tab.call("rewind", 0)
        tab.call("best", prompt[:-1])
        last = tab.call("best", prompt[-1:])
        tab.call("best", [500, 600, 700])
        assert tab.call("rewind", len(prompt) - 1)
        again = tab.call("best", prompt[-1:])
        tab.call("stop")

    assert [best for best, is_sure in zip(found, sure, strict=True) if is_sure] == [
        best for (_, best, margin) in steps if margin > SURE_MARGIN
    ]
    assert again == last
    assert tab.complaints == []


@pytest.mark.parametrize("store", ["opfs", "cache", "browser"])
def test_model_and_prefix_survive_a_reload(context: BrowserContext, site: Path, store: str) -> None:
    require("tiny")
    with opened_site(site) as url:
        tab = open_tab(context, url)
        tab.start(store)
        assert tab.call("availability", "tiny") == "downloadable"
        steps = tab.call("load", "tiny", True, 1)
        first = tab.call("best", PROMPT)
        tab.call("snapshot", "prefix")
        expected = tab.call("best", [77])
        tab.call("stop")
        tab.page.reload()
        tab.page.wait_for_function("window.bridgeTest !== undefined")

        tab.start(store)
        assert tab.call("availability", "tiny") == "available"
        again = tab.call("load", "tiny", False, 1)
        assert tab.call("restore", "prefix") is True
        assert tab.call("length") == len(PROMPT)
        assert tab.call("best", []) == first
        assert tab.call("best", [77]) == expected
        tab.call("stop")

    assert [step for step in steps if step.startswith("download")] != []
    assert [step for step in again if step.startswith("download")] == []
    assert tab.complaints == []


def test_two_tabs_download_once(context: BrowserContext, site: Path) -> None:
    require("tiny")
    requests: list[str] = []
    context.on("request", lambda request: requests.append(request.url.rsplit("/", 1)[-1]))
    with opened_site(site) as url:
        tabs = [open_tab(context, url) for _ in range(2)]
        for tab in tabs:
            tab.start()
            tab.page.evaluate("void (window.loading = window.bridgeTest.load('tiny', true, 1))")
        for tab in tabs:
            tab.page.evaluate("window.loading")
            tab.call("stop")

    assert requests.count("weights.bin") == 1
    assert [tab.complaints for tab in tabs] == [[], []]


@pytest.mark.parametrize("threads", [1, 2])
def test_twenty_loads_leave_no_memory_behind(
    chromium: Browser, context: BrowserContext, site: Path, threads: int
) -> None:
    require("tiny")
    with opened_site(site) as url:
        tab = open_tab(context, url)
        tab.start()
        sizes = []
        for _ in range(20):
            tab.call("load", "tiny", True, threads)
            tab.call("best", PROMPT)
            tab.call("close")
            sizes.append(renderer_bytes(chromium, tab.page))
        settle(chromium, tab.page, sizes)
        tab.call("stop")
    assert sizes[-1] < sizes[0] + LEAK_BYTES, megabytes(sizes)
    assert tab.complaints == []


def test_ended_workers_leave_no_memory_behind(chromium: Browser, context: BrowserContext, site: Path) -> None:
    require("tiny")
    with opened_site(site) as url:
        tab = open_tab(context, url)
        sizes = []
        for _ in range(20):
            tab.start()
            tab.call("load", "tiny", True, 2)
            tab.call("best", PROMPT)
            tab.call("stop")
            sizes.append(renderer_bytes(chromium, tab.page))
        settle(chromium, tab.page, sizes)
    assert sizes[-1] < sizes[0] + LEAK_BYTES, megabytes(sizes)
    assert tab.complaints == []


def renderer_bytes(chromium: Browser, page: Page) -> int:
    """Resident memory of all renderers, after the page's garbage was collected."""
    page.evaluate("gc()")
    session = chromium.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    pids = [process["id"] for process in processes if process["type"] == "renderer"]
    return sum(resident_bytes(pid) for pid in pids)


def resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
    except FileNotFoundError:
        return 0


def settle(chromium: Browser, page: Page, sizes: list[int]) -> None:
    """Read on, once a second, until what is held is near the first reading, or `SETTLE_SECONDS` are over.

    Chromium takes a second or two to end a worker and give its memory back, longer on a busy machine: what it holds
    right after a close says nothing.
    """
    for _ in range(SETTLE_SECONDS):
        if sizes[-1] < sizes[0] + LEAK_BYTES:
            return
        page.wait_for_timeout(1000)
        sizes.append(renderer_bytes(chromium, page))


def megabytes(sizes: Sequence[int]) -> str:
    return " ".join(f"{size / 1e6:.0f}" for size in sizes)
