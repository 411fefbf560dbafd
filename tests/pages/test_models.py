"""Local models of a page: the device is measured, what does not fit is refused, what is kept is listed and deleted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.fake_server import FakeServer

from .conftest import SITE, Tab, Tabs

AGENT = '''
from limpet import Agent, tool

@tool
def set_timer(minutes: int) -> str:
    """Set a kitchen timer."""
    return f"timer set for {minutes} minutes"

agent = Agent(model=["local:tiny", "openai:gpt-5-mini"], tools=[set_timer], name="kitchen")
'''
NEEDLE = AGENT.replace("local:tiny", "local:needle")
MANY_TOOLS = """
from limpet import Agent, Tool, model

def lamp(on: bool) -> str:
    return "done"

tools = [Tool(lamp, name=f"lamp_{number}", description=f"Switch lamp {number}.") for number in range(9)]
agent = Agent(model=[model("local:tiny", tools_by="tiny-embedding"), "openai:gpt-5-mini"], tools=tools, name="lamps")
"""


def call(page: Page, expression: str) -> Any:
    """Ask the agent of the page."""
    return page.evaluate(f"() => document.querySelector('limpet-chat').agent.{expression}")


def stored_files(page: Page) -> list[str]:
    """The paths of all that the bridge keeps in the origin private file system."""
    paths: list[str] = page.evaluate(
        """async () => {
            const walk = async (directory, prefix) => {
                const paths = [];
                for await (const [name, entry] of directory.entries()) {
                    if (entry.kind === "file") paths.push(prefix + name);
                    else paths.push(...await walk(entry, `${prefix}${name}/`));
                }
                return paths;
            };
            return walk(await navigator.storage.getDirectory(), "");
        }"""
    )
    return sorted(paths)


def reload(tab: Tab) -> None:
    tab.page.reload()
    tab.wait_until_ready()


@pytest.mark.parametrize("is_isolated", [True, False], ids=["isolated", "plain"])
def test_the_device_is_measured_once_and_its_profile_kept(
    tabs: Tabs, is_isolated: bool, record_property: pytest.RecordProperty
) -> None:
    tab = tabs.new(AGENT, is_isolated=is_isolated)
    tab.open()
    device = call(tab.page, "device()")
    kept = [path for path in stored_files(tab.page) if "/device/" in path]
    profile = read_profile(tab.page)
    reload(tab)
    again = call(tab.page, "device()")

    assert kept == ["onnxruntime-web-bridge/device/profile.json"]
    assert again == device
    assert read_profile(tab.page) == profile
    assert (device["is_isolated"], device["has_simd"], device["gpu"]) == (is_isolated, True, None)
    assert device["execution_provider"] == "wasm"
    assert device["threads"] in {speed["threads"] for speed in profile["speeds"]}
    assert device["memory_bytes"] >= 128 * 2**20
    assert device["probe_tokens_per_second"] > 1
    most = min(4, device["cores"]) if is_isolated else 1
    assert [speed["threads"] for speed in profile["speeds"]] == [count for count in (1, 2, 4) if count <= most]
    record_property("profile", profile)
    print(json.dumps(profile))


def read_profile(page: Page) -> dict[str, Any]:
    text: str = page.evaluate(
        """async () => {
            let place = await navigator.storage.getDirectory();
            for (const name of ["onnxruntime-web-bridge", "device"]) place = await place.getDirectoryHandle(name);
            return (await (await place.getFileHandle("profile.json")).getFile()).text();
        }"""
    )
    profile: dict[str, Any] = json.loads(text)
    return profile


def test_what_is_kept_is_shown_and_deleted(tabs: Tabs) -> None:
    tab = tabs.new(AGENT)
    tab.open()
    row, room = tab.page.locator(".model"), tab.page.locator(".model-room")
    expect(room).to_be_hidden()
    expect(row.locator(".model-delete")).to_have_count(0)
    size = call(tab.page, "ready")["models"][0]["size_bytes"]

    tab.download()
    expect(room).to_contain_text("of local models are kept here")
    kept = call(tab.page, "models()")
    [model] = kept["models"]
    assert model["used_at"] > 1.7e9
    assert {**model, "used_at": 0} == {
        "model_id": "tiny",
        "size_bytes": size,
        "stored_bytes": size,
        "is_complete": True,
        "used_at": 0,
    }
    assert kept["storage"]["store"] == "origin private file system"
    assert kept["storage"]["quota_bytes"] > kept["storage"]["usage_bytes"] >= size

    tab.ask("ten minutes for the eggs")
    row.locator(".model-delete").click()
    expect(row).to_have_attribute("data-availability", "downloadable")
    expect(room).to_be_hidden()
    assert call(tab.page, "models()")["models"] == []
    assert [path for path in stored_files(tab.page) if "/device/" not in path] == []

    reload(tab)
    expect(row.locator(".primary")).to_contain_text("Download")
    tab.download()


def test_the_model_that_chooses_among_many_tools_has_a_button_too(tabs: Tabs) -> None:
    tab = tabs.new(MANY_TOOLS)
    tab.open()
    rows = tab.page.locator(".model")
    expect(rows.locator("strong")).to_have_text(["tiny", "tiny-embedding"])

    chooser = rows.filter(has_text="tiny-embedding")
    chooser.locator(".primary").click()

    expect(chooser).to_have_attribute("data-availability", "available")
    assert [model["model_id"] for model in call(tab.page, "models()")["models"]] == ["tiny-embedding"]


def test_a_second_turn_computes_only_what_is_new(tabs: Tabs) -> None:
    tab = tabs.new('from limpet import Agent\nagent = Agent(model="local:tiny-chat", max_output_tokens=6, name="chat")')
    tab.open()
    tab.download()

    first, second = usage_of(tab.page, "Is there any bread?"), usage_of(tab.page, "And butter?")

    assert (first["cached_tokens"], first["output_tokens"] > 0) == (0, True)
    assert second["cached_tokens"] >= first["input_tokens"]
    assert 0 < second["input_tokens"] - second["cached_tokens"] < second["input_tokens"] / 2


def usage_of(page: Page, text: str) -> dict[str, int]:
    usage: dict[str, int] = page.evaluate(
        """async (text) => {
            const run = document.querySelector("limpet-chat").agent.sendMessage(text);
            let last;
            for await (const event of run) last = event;
            return last.usage;
        }""",
        text,
    )
    return usage


def test_half_a_download_can_be_gone_on_with_or_deleted(tabs: Tabs, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("[]")
    tab = tabs.new(AGENT, overrides={"/models/tiny/tokenizer.json": other})
    tab.open()
    row = tab.page.locator(".model")

    row.locator(".primary").click()
    expect(row.locator(".model-problem")).to_contain_text("the server of this page sent something else in its place")
    expect(row.locator(".primary")).to_have_text(re.compile(r"Go on \(\d+ kB of \d+ kB\)"))
    reload(tab)
    expect(row.locator(".primary")).to_have_text(re.compile(r"Go on \(\d+ kB of \d+ kB\)"))

    row.locator(".model-delete").click()
    expect(row.locator(".primary")).to_have_text(re.compile(r"Download \(\d+ kB\)"))
    assert call(tab.page, "models()")["models"] == []

    other.write_bytes((SITE / "models" / "tiny" / "tokenizer.json").read_bytes())
    tab.download()


def test_a_model_that_does_not_fit_is_refused_before_the_download_and_the_remote_one_answers(
    tabs: Tabs, tmp_path: Path
) -> None:
    described = json.loads((SITE / "models" / "tiny" / "model.json").read_text("utf-8"))
    (tmp_path / "model.json").write_text(json.dumps({**described, "memory_bytes": 9_000_000_000}))
    with FakeServer("text:The sea is wide and blue.") as server:
        tab = tabs.new(AGENT, overrides={"/models/tiny/model.json": tmp_path / "model.json"})
        seen: list[str] = []
        tab.page.context.on("request", lambda request: seen.append(request.url.rsplit("/", 1)[-1]))
        tab.open()
        tab.page.click(".model .primary")
        problem = tab.page.locator(".model-problem")
        expect(problem).to_contain_text("tiny needs 9000 MB of memory, this device gives")
        budget = call(tab.page, "device()")["memory_bytes"]
        expect(problem).to_contain_text(f"this device gives {round(budget / 1e6)} MB")
        tab.set_remote("openai:gpt-5-mini", server.base_url, "sk-test-0123456789")

        tab.ask("write a poem about the sea")

        assert tab.entries("text") == ["The sea is wide and blue."]
        [notice] = tab.entries("notice")
        assert "9000 MB" in notice
        assert "asked openai:gpt-5-mini instead" in notice
    assert {"weights.bin", "model.onnx"} & set(seen) == set()
    kind = tab.page.evaluate(
        "() => document.querySelector('limpet-chat').agent.download('tiny').catch((error) => error.kind)"
    )
    assert kind == "ModelTooBigError"


@pytest.mark.parametrize("is_isolated", [True, False], ids=["isolated", "plain"])
def test_the_page_survives_a_refused_allocation_and_the_remote_one_answers(
    tabs: Tabs, tmp_path: Path, is_isolated: bool
) -> None:
    if not (SITE / "models" / "needle" / "model.json").exists():
        pytest.skip("the site has no large model")
    # The probe has memory enough, as on a device whose other tabs fill it a moment later; the module has 100 MB.
    module = (SITE / "ort" / "ort-wasm-simd-threaded.mjs").read_text("utf-8")
    small, count = re.subn(r"maximum:65536", "maximum:1600", module)
    assert count == 1
    (tmp_path / "small.mjs").write_text(small, "utf-8")
    with FakeServer("text:The sea is wide and blue.") as server:
        tab = tabs.new(
            NEEDLE, is_isolated=is_isolated, overrides={"/ort/ort-wasm-simd-threaded.mjs": tmp_path / "small.mjs"}
        )
        tab.forgiven.append(r"Aborted|OOM|out of memory|bad_alloc")
        tab.open()
        tab.download()
        tab.set_remote("openai:gpt-5-mini", server.base_url, "sk-test-0123456789")

        for place in (1, 2):
            tab.ask("ten minutes for the eggs")

            assert tab.entries("text") == ["The sea is wide and blue."] * place
            notice = tab.entries("notice")[-1]
            assert "there is not enough memory for it" in notice
            assert "asked openai:gpt-5-mini instead" in notice
