"""The live examples of the documentation, run in a real Chromium that reaches nothing but this machine.

First those of all pages on one plain page, which needs no MkDocs; then the built documentation, where it is built:
`python3 build.py docs` builds it and runs this file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Locator, expect

from tooling.docs import FOLDER, MODEL, RUNTIME
from tooling.docs_blocks import Block, blocks_of
from tooling.server import serve
from tooling.site import add_file, add_tree

from .conftest import ANSWER_LIMIT_MS, ROOT, SITE, Tab

DOCS = ROOT / "docs"
BUILT = ROOT / FOLDER
LIVE = {path.stem: [block for block in blocks_of(path) if block.is_live] for path in sorted(DOCS.glob("*.md"))}
ANSWERS = {
    "ten minutes for the eggs": r"timer set for 10 minutes",
    "order ten leeks": r"ordered 10 x leek[\s\S]*It is on its way\.",
    "bake a bread": r"the bread is done[\s\S]*Enjoy\.",
    "how many primes are there below 20000?": r"count_primes[\s\S]* done → 2262[\s\S]*There are 2262\.",
    "who painted the Mona Lisa?": r"asked remote:large instead[\s\S]*Leonardo da Vinci\.",
    "a recipe for leek soup": r"Leek soup",
    "hello": r"Hello, whoever you are\.",
    "what is my card number?": r"It is ####\.",
}
"""What is to be seen after each prompt."""


@pytest.fixture
def tab(browser_without_network: Browser) -> Iterator[Tab]:
    context = browser_without_network.new_context()
    context.set_default_timeout(15_000)
    opened = Tab(context.new_page(), "")
    opened.listen()
    yield opened
    context.close()
    opened.check()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all live examples on one page, without MkDocs."""
    if not (SITE / "limpet.js").exists():
        pytest.fail("the site is not built: python3 build.py site")
    folder = tmp_path_factory.mktemp("docs")
    for name in ("assets", "pyodide", "python", "ort", f"models/{MODEL}"):
        add_tree(SITE / name, folder / RUNTIME / name)
    add_file(SITE / "limpet.js", folder / RUNTIME / "limpet.js")
    add_file(DOCS / "live.js", folder / "live.js")
    frames = "".join(map(frame, (block for found in LIVE.values() for block in found)))
    head = '<!doctype html><link rel="icon" href="data:,"><title>Examples</title>'
    page = f'{head}{frames}<script type="module" src="live.js"></script>'
    (folder / "index.html").write_text(page, "utf-8")
    return folder


def frame(block: Block) -> str:
    code = f"<pre><code>{escape(block.code)}</code></pre>"
    return f'<div class="limpet-live" data-prompt="{escape(block.prompt)}">{code}</div>'


def run_example(example: Locator) -> str:
    """Press Run, allow what is asked, wait for the end, and give what is to be seen."""
    prompt = example.locator(".live-prompt").input_value()
    example.locator(".live-run").click()
    if prompt == "order ten leeks":
        example.get_by_role("button", name="Allow").click(timeout=ANSWER_LIMIT_MS)
    expect(example).to_have_attribute("data-state", re.compile("done|failed"), timeout=ANSWER_LIMIT_MS)
    seen = example.locator(".live-output").inner_text()
    assert example.get_attribute("data-state") == "done", example.locator(".live-status").inner_text()
    assert re.search(ANSWERS[prompt], seen), seen
    return seen


def test_every_live_example_has_an_answer_to_look_for() -> None:
    assert {block.prompt for found in LIVE.values() for block in found} == set(ANSWERS)


def test_live_examples_answer(tab: Tab, plain: Path) -> None:
    with serve(plain, policy=None) as server:
        tab.page.goto(server.url)
        examples = tab.page.locator(".limpet-live")
        assert examples.count() == sum(map(len, LIVE.values()))

        for place in range(examples.count()):
            run_example(examples.nth(place))


def test_a_changed_example_runs_as_it_was_changed(tab: Tab, plain: Path) -> None:
    with serve(plain, policy=None) as server:
        tab.page.goto(server.url)
        example = tab.page.locator('[data-prompt="ten minutes for the eggs"]').first
        code = example.locator("code")
        original = code.inner_text()

        code.fill("agent = 3")
        code.press("Control+End")
        tab.page.keyboard.press("Enter")
        tab.page.keyboard.type("raise ValueError('oh')")
        example.locator(".live-run").click()
        expect(example).to_have_attribute("data-state", "failed", timeout=ANSWER_LIMIT_MS)
        expect(example.locator(".live-status")).to_have_text("example.py, line 2: ValueError: oh")

        code.fill(original.replace("Your eggs are done", "<img src=x onerror=alert(1)> done"))
        example.locator(".live-run").click()
        expect(example).to_have_attribute("data-state", "done", timeout=ANSWER_LIMIT_MS)
        expect(example.locator(".live-output")).to_contain_text("<img src=x onerror=alert(1)> done in ten minutes.")
        assert example.locator(".live-output img").count() == 0
        expect(example.locator(".live-events")).to_contain_text('"type":"run_end"')

        example.locator(".live-reset").click()
        assert code.inner_text() == original


built = pytest.mark.skipif(
    not (BUILT / "index.html").is_file(), reason="the documentation is not built: python3 build.py docs"
)


@built
def test_the_documentation_asks_no_other_server(tab: Tab) -> None:
    requests: list[str] = []
    tab.page.on("request", lambda request: requests.append(request.url))
    with serve(BUILT, policy=None) as server:
        for page in sorted(BUILT.glob("**/*.html")):
            # Idle: a page that is left while its search still loads complains of the request that it loses.
            tab.page.goto(server.url + page.relative_to(BUILT).as_posix(), wait_until="networkidle")
            expect(tab.page.locator("h1").first).to_be_visible()

        tab.page.goto(server.url)
        tab.page.locator("input.md-search__input").fill("approval")
        expect(tab.page.locator(".md-search-result__link").first).to_be_attached()

        assert [url for url in requests if not url.startswith((server.url, "data:", "blob:"))] == []
    assert len(requests) > 50


@built
@pytest.mark.parametrize("page", [name for name, found in LIVE.items() if found])
def test_the_examples_of_the_built_documentation_answer(tab: Tab, page: str) -> None:
    with serve(BUILT, policy=None) as server:
        tab.page.goto(f"{server.url}{page}.html")
        examples = tab.page.locator(".limpet-live")
        assert examples.count() == len(LIVE[page])

        for place in range(examples.count()):
            run_example(examples.nth(place))


@built
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_examples(tab: Tab, scheme: Literal["light", "dark"]) -> None:
    tab.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    with serve(BUILT, policy=None) as server:
        tab.page.goto(f"{server.url}fallback.html")
        run_example(tab.page.locator(".limpet-live").first)
        # Playwright's own evaluation is not bound by the page's policy.
        tab.page.evaluate((ROOT / "web/node_modules/axe-core/axe.min.js").read_text("utf-8"))
        found = tab.page.evaluate("async () => (await axe.run('.limpet-live')).violations")

    assert [(item["id"], [node["html"][:200] for node in item["nodes"]]) for item in found] == []


@built
def test_the_documentation_fits_a_phone(tab: Tab) -> None:
    tab.page.set_viewport_size({"width": 360, "height": 640})
    with serve(BUILT, policy=None) as server:
        for page in ("index", "embed", "models", "events"):
            tab.page.goto(f"{server.url}{page}.html")
            assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth") is True, page
