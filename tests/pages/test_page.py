"""One test for each promise of the page."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.fake_server import FakeServer

from .conftest import ANSWER_LIMIT_MS, Tab, Tabs, stored_texts

KITCHEN = '''
from limpet import Agent, tool

@tool
def set_timer(minutes: int, label: str = "") -> str:
    """Set a kitchen timer.

    Args:
        minutes: How long, in minutes.
        label: What it is for.
    """
    return f"timer set for {minutes} minutes"

agent = Agent(model=["local:needle", "openai:gpt-5-mini"], tools=[set_timer], name="kitchen")
'''
UNSURE = KITCHEN.replace("local:needle", "local:tiny")
REMOTE = KITCHEN.replace('["local:needle", "openai:gpt-5-mini"]', '"openai:gpt-5-mini"')
KEY = "sk-test-0123456789-secret"
STOP_LIMIT_MS = 3_000
"""Not the goal, which is 100 ms and is printed beside what was measured: machines are too noisy to judge it here. An
answer that isn't stopped runs for longer."""
FAILED_REQUEST = "Failed to load resource"


def test_a_question_is_answered_locally_with_the_network_unplugged(tabs: Tabs) -> None:
    tab = tabs.new(KITCHEN)
    tab.open()
    expect(tab.page.locator(".model button")).to_contain_text("MB")
    tab.download()

    tab.page.context.set_offline(True)
    tab.ask("ten minutes for the eggs")

    card = tab.page.locator("#entries .tool")
    expect(card).to_have_attribute("data-status", "done")
    assert card.locator(".tool-name").inner_text() == "set_timer"
    assert card.locator("dd").first.inner_text() == "10"
    assert card.locator(".tool-result").inner_text() == "timer set for 10 minutes"
    assert tab.entries("text") == ["timer set for 10 minutes"]
    assert tab.page.evaluate("crossOriginIsolated") is True


def test_nothing_is_downloaded_before_a_click(tabs: Tabs) -> None:
    tab = tabs.new(KITCHEN)
    seen: list[str] = []
    tab.page.on("request", lambda request: seen.append(request.url))
    tab.page.context.on("request", lambda request: seen.append(request.url))
    tab.open()

    tab.ask("ten minutes for the eggs")

    assert [url for url in seen if "/models/" in url and not url.endswith("model.json")] == []
    [error] = tab.entries("error")
    assert "download" in error.lower()


def test_an_unsure_local_model_gives_way_to_the_remote_one(tabs: Tabs) -> None:
    with FakeServer("text:The sea is wide and blue.") as server:
        tab = tabs.new(UNSURE)
        tab.open()
        tab.download()
        tab.set_remote("openai:gpt-5-mini", server.base_url, KEY)

        tab.ask("write a poem about the sea")

        assert tab.entries("text") == ["The sea is wide and blue."]
        [notice] = tab.entries("notice")
        assert "local:tiny" in notice
        assert "asked openai:gpt-5-mini instead" in notice
        assert len(server.requests) == 1


def test_without_a_remote_model_an_unsure_one_says_so(tabs: Tabs) -> None:
    tab = tabs.new(UNSURE)
    tab.open()
    tab.download()

    tab.ask("write a poem about the sea")

    [text] = tab.entries("text")
    assert "tool" in text
    assert tab.entries("error") == []


def test_it_works_without_cross_origin_isolation(tabs: Tabs) -> None:
    with FakeServer("text:Hello.") as server:
        tab = tabs.new(UNSURE, is_isolated=False)
        tab.open()
        tab.download()
        tab.set_remote("some-model", server.base_url)

        tab.ask("hello")

        assert tab.entries("text") == ["Hello."]
        assert tab.page.evaluate("crossOriginIsolated") is False


def test_a_remote_model_calls_a_tool_and_goes_on(tabs: Tabs) -> None:
    with FakeServer('tool:set_timer:{"minutes": 3}') as server:
        tab = tabs.new(REMOTE)
        tab.open()
        tab.set_remote("", server.base_url, KEY)

        tab.ask("three minutes for the tea")

        card = tab.page.locator("#entries .tool")
        expect(card).to_have_attribute("data-status", "done")
        assert card.locator(".tool-result").inner_text() == "timer set for 3 minutes"
        assert "timer set for 3 minutes" in " ".join(tab.entries("text"))


def test_a_remote_model_that_is_down_is_told_in_words(tabs: Tabs) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tab = tabs.new(REMOTE)
    tab.forgiven.append(FAILED_REQUEST)
    tab.open()
    tab.set_remote("", f"http://127.0.0.1:{port}/v1", KEY)

    tab.ask("hello")

    [error] = tab.entries("error")
    assert f"nobody answers at http://127.0.0.1:{port}" in error
    assert KEY not in error


@pytest.mark.parametrize("is_isolated", [True, False], ids=["isolated", "plain"])
def test_a_cors_refusal_is_told_apart_and_says_what_to_set(tabs: Tabs, is_isolated: bool) -> None:
    with FakeServer("text:Hello.", cors=False) as server:
        tab = tabs.new(REMOTE, is_isolated=is_isolated)
        tab.forgiven += [FAILED_REQUEST, "CORS policy"]
        tab.open()
        tab.set_remote("ollama:some-model", server.base_url)

        tab.ask("hello")

        [error] = tab.entries("error")
        assert "CORS" in error
        assert "OLLAMA_ORIGINS" in error


def test_being_offline_is_told_in_words(tabs: Tabs) -> None:
    tab = tabs.new(REMOTE)
    tab.forgiven.append(FAILED_REQUEST)
    tab.open()
    tab.set_remote("", "", KEY)
    tab.page.context.set_offline(True)

    tab.ask("hello")

    [error] = tab.entries("error")
    assert "no network" in error
    expect(tab.page.locator("#status")).to_contain_text("offline")


def stop(tab: Tab) -> float:
    """Press the button and give the milliseconds until the page is ready again."""
    milliseconds: float = tab.page.evaluate(
        """async () => {
            const inside = document.querySelector("limpet-chat").shadowRoot;
            const began = performance.now();
            inside.querySelector("#stop").click();
            while (inside.querySelector("#status").dataset.state !== "ready") {
                await new Promise((resolve) => setTimeout(resolve, 1));
            }
            return performance.now() - began;
        }"""
    )
    return milliseconds


def test_stop_ends_the_run_and_closes_the_request(tabs: Tabs, record_property: pytest.RecordProperty) -> None:
    words = " ".join(["word"] * 200)
    with FakeServer(f"slow:{words}", pause_seconds=0.02) as server:
        tab = tabs.new(REMOTE)
        tab.open()
        tab.set_remote("", server.base_url, KEY)
        tab.say("say many words")
        expect(tab.page.locator("#entries .text .body")).to_contain_text("word word", timeout=ANSWER_LIMIT_MS)

        started = time.monotonic()
        milliseconds = stop(tab)
        closed = server.wait_for_close() - started

        record_property("stop_milliseconds", round(milliseconds, 1))
        record_property("server_saw_close_milliseconds", round(closed * 1000, 1))
        print(f"stop: silent after {milliseconds:.0f} ms, server saw the close after {closed * 1000:.0f} ms")
        assert milliseconds < STOP_LIMIT_MS
        assert tab.entries("notice") == ["Stopped."]
        assert tab.entries("text")[0].startswith("word word")

        tab.page.reload()
        tab.wait_until_ready()
        assert tab.entries("text")[0].startswith("word word")


def test_stop_is_heard_while_the_local_model_computes(tabs: Tabs, record_property: pytest.RecordProperty) -> None:
    tab = tabs.new(KITCHEN)
    tab.open()
    tab.download()
    measured = []
    # The first question loads the model, the next reads the tools, the last are stopped while it thinks.
    for seconds in (0.1, 0.8, 0.05, 0.3):
        tab.say("ten minutes for the eggs")
        expect(tab.page.locator("#status")).to_have_attribute("data-state", "working")
        tab.page.wait_for_timeout(seconds * 1000)
        measured.append(stop(tab))

    record_property("stop_milliseconds", [round(milliseconds, 1) for milliseconds in measured])
    print("stop of the local model:", ", ".join(f"{milliseconds:.0f} ms" for milliseconds in measured))
    assert max(measured) < STOP_LIMIT_MS
    assert set(tab.entries("notice")) == {"Stopped."}

    tab.ask("ten minutes for the eggs")
    assert tab.entries("text")[-1] == "timer set for 10 minutes"


def test_escape_stops_too_and_the_next_question_is_answered(tabs: Tabs) -> None:
    with FakeServer("hang", "text:Here I am.") as server:
        tab = tabs.new(REMOTE)
        tab.open()
        tab.set_remote("", server.base_url, KEY)
        tab.say("are you there?")
        server.wait_for_requests(1)
        tab.page.keyboard.press("Escape")
        tab.wait_until_ready()

        tab.ask("are you there now?")

        assert tab.entries("text") == ["Here I am."]


def test_a_reload_keeps_the_conversation_and_new_conversation_begins_another(tabs: Tabs) -> None:
    with FakeServer("text:Hello, Ada.", "text:You are Ada.") as server:
        tab = tabs.new(REMOTE)
        tab.open()
        tab.set_remote("", server.base_url, KEY)
        tab.ask("I am Ada")

        tab.page.reload()
        tab.wait_until_ready()

        assert (tab.entries("user"), tab.entries("text")) == (["I am Ada"], ["Hello, Ada."])

        tab.set_remote("", server.base_url, KEY)
        tab.ask("who am I?")
        sent = [message["content"] for message in server.requests[-1].json["messages"]]
        assert sent[-3:] == ["I am Ada", "Hello, Ada.", "who am I?"]

        tab.page.click("#new")
        expect(tab.page.locator("#entries .user")).to_have_count(0)
        tab.page.reload()
        tab.wait_until_ready()
        assert tab.entries("user") == []


def test_the_key_is_sent_to_the_provider_and_kept_nowhere(tabs: Tabs) -> None:
    with FakeServer("text:Hello.", key=KEY) as server:
        tab = tabs.new(REMOTE)
        tab.open()
        tab.set_remote("", server.base_url, KEY)

        tab.ask("hello")

        assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
        assert KEY not in stored_texts(tab.page)
        assert "hello" in stored_texts(tab.page)

        faceless = tabs.new(REMOTE)
        reports: list[str] = []
        faceless.page.expose_function("limpetReport", lambda report: reports.append(report))
        faceless.open("ask.html")
        faceless.page.wait_for_function("() => 'limpetAsk' in window")
        remote = {"model": "openai:gpt-5-mini", "base_url": server.base_url, "api_key": KEY}
        request = {"prompt": "hello", "agent_url": "agent.py", "allow_download": True, "remote": remote}
        faceless.page.evaluate("(request) => limpetAsk(request)", json.dumps(request))
        assert '"type":"run_end"' in reports[-1]
        assert KEY not in "".join(reports) + stored_texts(faceless.page)


def test_a_wrong_key_is_told_without_showing_it(tabs: Tabs) -> None:
    with FakeServer("text:Hello.", key="another") as server:
        tab = tabs.new(REMOTE)
        tab.forgiven.append(FAILED_REQUEST)
        tab.open()
        tab.set_remote("", server.base_url, KEY)

        tab.ask("hello")

        [error] = tab.entries("error")
        assert "key" in error
        assert KEY not in error


def test_what_a_model_says_is_text_and_never_html(tabs: Tabs) -> None:
    with FakeServer("text:<img src=x onerror=alert(1)> <b>bold</b>") as server:
        tab = tabs.new(REMOTE)
        tab.open()
        tab.set_remote("", server.base_url, KEY)

        tab.ask("be evil")

        assert tab.entries("text") == ["<img src=x onerror=alert(1)> <b>bold</b>"]
        assert tab.page.locator("#entries img, #entries b").count() == 0


APPROVAL = '''
from limpet import Agent, tool

@tool(requires_approval=True)
async def order(item: str):
    """Order something.

    Args:
        item: What to order.
    """
    yield f"looking for {item}"
    yield f"{item} ordered"

agent = Agent(model="openai:gpt-5-mini", tools=[order], name="shop")
'''


@pytest.mark.parametrize(("button", "status"), [("Allow", "done"), ("Don't allow", "failed")], ids=["yes", "no"])
def test_a_tool_that_needs_approval_waits_for_a_person(tabs: Tabs, button: str, status: str) -> None:
    with FakeServer('tool:order:{"item": "eggs"}') as server:
        tab = tabs.new(APPROVAL)
        tab.open()
        tab.set_remote("", server.base_url, KEY)
        tab.say("we need eggs")
        card = tab.page.locator("#entries .tool")
        expect(card).to_have_attribute("data-status", "waiting", timeout=ANSWER_LIMIT_MS)

        card.get_by_role("button", name=button, exact=True).click()
        tab.wait_until_ready()

        expect(card).to_have_attribute("data-status", status)
        assert len(server.requests) == 2


def test_a_broken_agent_file_is_told_with_its_line(tabs: Tabs) -> None:
    tab = tabs.new("from limpet import Agent\nagent = Agent(model=)\n")
    tab.page.goto(tab.url)

    expect(tab.page.locator("#problem")).to_contain_text("line 2", timeout=ANSWER_LIMIT_MS)
    expect(tab.page.locator("#status")).to_have_attribute("data-state", "failed")


def test_the_keyboard_and_a_narrow_window_are_enough(tabs: Tabs) -> None:
    with FakeServer("echo") as server:
        tab = tabs.new(REMOTE)
        tab.page.set_viewport_size({"width": 360, "height": 640})
        tab.open()
        tab.set_remote("", server.base_url, KEY)
        tab.page.focus("#prompt")
        tab.page.keyboard.type("two")
        tab.page.keyboard.press("Shift+Enter")
        tab.page.keyboard.type("lines")
        tab.page.keyboard.press("Enter")
        expect(tab.page.locator("#entries .text .body")).to_contain_text("lines", timeout=ANSWER_LIMIT_MS)
        tab.wait_until_ready()

        assert tab.entries("user") == ["two\nlines"]
        assert tab.page.evaluate("document.documentElement.scrollWidth <= innerWidth") is True


def test_a_start_with_few_bytes_fetches_the_rest_when_it_is_imported(tabs: Tabs, tmp_path: Path) -> None:
    none = tmp_path / "snapshot.bin"
    none.write_bytes(b"")
    agent = """
        import uuid
        from limpet import Agent, tool
        from limpet.providers.scripted import ScriptedModel, call_tool

        @tool
        def middle() -> float:
            '''Give a median.'''
            import statistics
            return statistics.median([1, 2, 10])

        model = ScriptedModel([call_tool("middle"), "done"])
        agent = Agent(model=model, tools=[middle], name=str(len(str(uuid.uuid4()))))
    """
    tab = tabs.new(agent, overrides={"/python/snapshot.bin": none})
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url.removeprefix(tab.url)))
    tab.open()
    expect(tab.page.locator("#name")).to_have_text("36")
    at_start = [name for name in asked if name.startswith(("python/", "pyodide/"))]

    tab.ask("the middle")

    assert tab.entries("text") == ["done"]
    assert tab.page.locator("#entries .tool-result").inner_text() == "2"
    assert "python/stdlib.zip" in at_start
    assert "pyodide/python_stdlib.zip" not in at_start
    assert asked.count("pyodide/python_stdlib.zip") == 1
