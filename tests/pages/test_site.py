"""The folder that `site` makes: a page around an agent which works without a network after one load."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from tooling.server import serve
from tooling.site_command import main, table
from tooling.site_folder import SiteError, write_site

from .conftest import SITE, START_LIMIT_MS, Tab

EXAMPLE = Path(__file__).parents[2] / "examples" / "embed" / "agent.py"
SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 360, "height": 640}}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.mark.parametrize(("size", "start"), [("desktop", "snapshot"), ("phone", "files")])
def test_a_page_of_ten_lines_answers_offline_after_one_load(
    browser_without_network: Browser, tmp_path: Path, stack: ExitStack, size: str, start: Literal["snapshot", "files"]
) -> None:
    out, page = tmp_path / "site", EXAMPLE.with_name("index.html")
    assert len(page.read_text("utf-8").splitlines()) == 10
    # One of our own making, and one that somebody wrote.
    write_site(SITE, EXAMPLE, out, start=start, page=page if size == "phone" else None)
    context = stack.enter_context(browser_without_network.new_context(viewport=SIZES[size]))
    with serve(out) as server:
        tab = Tab(context.new_page(), server.url)
        tab.listen()
        tab.open()
        tab.download()
        tab.page.evaluate("() => navigator.serviceWorker.ready.then(() => null)")
        tab.page.wait_for_function("() => navigator.serviceWorker.controller !== null", timeout=START_LIMIT_MS)

    # The server is gone, not only the network.
    tab.page.reload()
    tab.wait_until_ready()
    tab.ask("ten minutes for the eggs")

    assert tab.entries("text") == ["timer set for 10 minutes"]
    assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth") is True
    tab.check()


def test_a_changed_agent_is_taken_at_the_next_load(
    browser_without_network: Browser, tmp_path: Path, stack: ExitStack
) -> None:
    agent = tmp_path / "agent.py"
    agent.write_text("from limpet import Agent\nagent = Agent(model='openai:gpt-5-mini', name='first')\n")
    out = tmp_path / "site"
    write_site(SITE, agent, out)
    context = stack.enter_context(browser_without_network.new_context())
    with serve(out) as server:
        tab = Tab(context.new_page(), server.url)
        tab.open()
        tab.page.wait_for_function("() => navigator.serviceWorker.controller !== null", timeout=START_LIMIT_MS)
        expect(tab.page.locator("#name")).to_have_text("first")

        agent.write_text("from limpet import Agent\nagent = Agent(model='openai:gpt-5-mini', name='second')\n")
        write_site(SITE, agent, out)
        tab.page.evaluate(
            """async () => {
                const taken = new Promise((resolve) => {
                    navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true });
                });
                await (await navigator.serviceWorker.getRegistration()).update();
                await taken;
            }"""
        )
        tab.open()

        expect(tab.page.locator("#name")).to_have_text("second")


def test_names_are_those_of_the_content_and_addresses_are_relative(tmp_path: Path) -> None:
    write_site(SITE, EXAMPLE, tmp_path / "a", models="download")
    write_site(SITE, EXAMPLE, tmp_path / "b", models="download")

    page = (tmp_path / "a" / "index.html").read_text("utf-8")
    kept = json.loads((tmp_path / "a" / "sw-files.json").read_text("utf-8"))
    assert page == (tmp_path / "b" / "index.html").read_text("utf-8")
    assert re.findall(r'(?:src|href)="(?:/|https?:)', page) == []
    assert re.search(r'src="files-[0-9a-f]{12}/limpet\.js" integrity="sha256-', page)
    assert not (tmp_path / "a" / "models").exists()
    assert all(value.startswith("sha256-") for value in kept["files"].values())
    assert {"index.html", "agent.py", "manifest.webmanifest"} <= set(kept["files"])


def test_an_agent_without_local_models_needs_no_runtime_for_them(tmp_path: Path) -> None:
    agent = tmp_path / "agent.py"
    agent.write_text("from limpet import Agent\nagent = Agent(model='openai:gpt-5-mini')\n")

    files = write_site(SITE, agent, tmp_path / "out")

    assert {file.path.split("/")[0] for file in files} & {"ort", "models"} == set()
    assert {file.when for file in files} == {"start", "snapshot", "files", "later"}


def test_compressed_forms_lie_beside_and_are_not_kept_for_offline_use(tmp_path: Path) -> None:
    agent = tmp_path / "agent.py"
    agent.write_text("from limpet import Agent\nagent = Agent(model='openai:gpt-5-mini')\n")
    brotli = tmp_path / "compressed" / "limpet.js.br"
    brotli.parent.mkdir()
    brotli.write_bytes(b"as brotli has it")

    files = {file.path: file for file in write_site(SITE, agent, tmp_path / "out", compressed=brotli.parent)}

    (script,) = (tmp_path / "out").glob("files-*/limpet.js")
    assert gzip.decompress(Path(f"{script}.gz").read_bytes()) == script.read_bytes()
    assert Path(f"{script}.br").read_bytes() == brotli.read_bytes()
    wasm = files["pyodide/pyodide.asm.wasm"]
    assert wasm.wire_bytes == wasm.gzip_bytes < wasm.size_bytes
    kept = json.loads((tmp_path / "out" / "sw-files.json").read_text("utf-8"))
    assert [path for path in kept["files"] if path.endswith((".br", ".gz"))] == []
    lines = list(table(list(files.values())))
    assert lines[0].split() == ["kB", "raw", "gzip", "brotli"]
    assert any(line.strip().startswith("until it is ready") for line in lines)


def test_other_peoples_files_are_not_removed(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")

    with pytest.raises(SiteError, match="no site"):
        write_site(SITE, EXAMPLE, tmp_path)

    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_what_is_wrong_is_said_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["site", str(tmp_path / "none.py"), "--out", str(tmp_path / "out")], SITE, "limpet") == 2
    assert "none.py" in capsys.readouterr().err


def test_saving_the_agent_restarts_it_and_keeps_the_conversation(
    browser_without_network: Browser, tmp_path: Path, stack: ExitStack, record_property: pytest.RecordProperty
) -> None:
    agent = tmp_path / "agent.py"
    text = "from limpet import Agent\nfrom limpet.providers.scripted import ScriptedModel\n"
    agent.write_text(text + "agent = Agent(model=ScriptedModel(['one', 'two']), name='first')\n")
    page = tmp_path / "page.html"
    page.write_text(
        '<!doctype html><script type="module" src="limpet.js"></script><limpet-chat src="agent.py" watch></limpet-chat>'
    )
    context = stack.enter_context(browser_without_network.new_context())
    with serve(SITE, overrides={"/agent.py": agent, "/": page}) as server:
        tab = Tab(context.new_page(), server.url)
        tab.open()
        tab.ask("hello")
        tab.page.wait_for_timeout(600)

        agent.write_text(text + "agent = Agent(model=ScriptedModel(['three']), name='second')\n")
        took = tab.page.evaluate(
            """async () => {
                const began = performance.now();
                const name = document.querySelector("limpet-chat").shadowRoot.querySelector("#name");
                while (name.textContent !== "second") await new Promise((resolve) => setTimeout(resolve, 5));
                return performance.now() - began;
            }"""
        )
        record_property("restart_milliseconds", took)
        print(f"restarted {took:.0f} ms after the file was saved")

        assert tab.entries("text") == ["one"]
        tab.ask("again")
        assert tab.entries("text") == ["one", "three"]
