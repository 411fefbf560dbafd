"""The AI SDK's `useChat` over our transport: the packages from npm, in a real browser."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tooling import node
from tooling.server import serve

from .conftest import ANSWER_LIMIT_MS, ROOT, SITE, START_LIMIT_MS

PAGE = """<!doctype html><div id="root"></div><script type="module" src="use-chat.js"></script>"""
AGENT = '''
from limpet import Agent, tool
from limpet.providers.scripted import ScriptedModel, call_tool

@tool(requires_approval=True)
def order(item: str) -> str:
    """Order something."""
    return item + " ordered"

agent = Agent(model=ScriptedModel(REPLIES, pause_seconds=PAUSE), tools=[order])
'''


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's script, bundled with React and the AI SDK."""
    target = tmp_path_factory.mktemp("bundle") / "use-chat.js"
    build = (
        "import { build } from 'esbuild'; await build({ entryPoints: [process.argv[1]], outfile: process.argv[2], "
        "bundle: true, format: 'esm', target: 'es2022', define: { 'process.env.NODE_ENV': '\"production\"' }, "
        "nodePaths: ['node_modules'], logLevel: 'error' })"
    )
    source = Path(__file__).parent / "use_chat" / "page.js"
    words = [str(node.node()), "--input-type=module", "-e", build, str(source), str(target)]
    subprocess.run(words, cwd=ROOT / "web", env=node.environment(), check=True, timeout=60)
    return target


class Chat:
    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        page.goto(url)
        expect(page.locator("body")).to_have_attribute("data-ready", "true", timeout=START_LIMIT_MS)

    def send(self, text: str) -> None:
        self.page.evaluate("(text) => void chat.sendMessage({ text })", text)

    def wait(self, status: str) -> None:
        expect(self.page.locator("#chat-status")).to_have_text(status, timeout=ANSWER_LIMIT_MS)

    def said(self, role: str) -> list[str]:
        return self.page.locator(f"#messages .{role} .said").all_inner_texts()


@pytest.fixture
def chats(browser_without_network: Browser, bundle: Path, tmp_path: Path) -> Iterator[object]:
    context = browser_without_network.new_context()
    page_file = tmp_path / "page.html"
    page_file.write_text(PAGE)
    agent_file = tmp_path / "agent.py"
    overrides = {"/": page_file, "/use-chat.js": bundle, "/agent.py": agent_file}
    with serve(SITE, overrides=overrides) as server:

        def start(*replies: str, pause: float = 0.0) -> Chat:
            text = AGENT.replace("REPLIES", f"[{', '.join(replies)}]").replace("PAUSE", str(pause))
            agent_file.write_text(text)
            return Chat(context.new_page(), server.url)

        yield start
    context.close()


def test_messages_stream_and_are_remembered(chats: object) -> None:
    chat = chats("'Hello, Ada.'", "'You are Ada.'", "'Ada, as I said.'")  # type: ignore[operator]
    chat.send("I am Ada")
    expect(chat.page.locator("#messages .assistant .said")).to_have_text("Hello, Ada.", timeout=ANSWER_LIMIT_MS)
    chat.wait("ready")
    chat.send("who am I?")
    expect(chat.page.locator("#messages .assistant .said").last).to_have_text("You are Ada.", timeout=ANSWER_LIMIT_MS)
    chat.wait("ready")

    chat.page.evaluate("() => void chat.regenerate()")
    expect(chat.page.locator("#messages .assistant .said").last).to_have_text("Ada, as I said.")
    chat.wait("ready")
    assert chat.said("user") == ["I am Ada", "who am I?"]
    assert chat.said("assistant") == ["Hello, Ada.", "Ada, as I said."]


@pytest.mark.parametrize("approved", [True, False])
def test_a_tool_waits_for_an_approval(chats: object, approved: bool) -> None:
    chat = chats("call_tool('order', item='eggs')", "'as you wish'")  # type: ignore[operator]
    chat.send("eggs")
    expect(chat.page.locator(".call")).to_contain_text("approval-requested", timeout=ANSWER_LIMIT_MS)
    chat.page.evaluate(
        """(approved) => {
            const part = chat.messages.at(-1).parts.find((part) => part.type === "dynamic-tool");
            void chat.addToolApprovalResponse({ id: part.approval.id, approved });
        }""",
        approved,
    )
    expect(chat.page.locator("#messages .assistant .said")).to_have_text("as you wish", timeout=ANSWER_LIMIT_MS)
    chat.wait("ready")

    assert chat.page.locator("#messages .assistant").count() == 1
    state = "output-available" if approved else "output-error"
    expect(chat.page.locator(".call")).to_contain_text(f"order {state}")


def test_stop_ends_it_and_the_next_message_is_answered(chats: object) -> None:
    chat = chats(json.dumps(" ".join(["word"] * 500)), "'next'", pause=0.05)  # type: ignore[operator]
    chat.send("many words")
    chat.wait("streaming")
    chat.page.evaluate("() => chat.stop()")
    chat.wait("ready")
    chat.send("and now?")

    expect(chat.page.locator("#messages .assistant .said").last).to_have_text("next", timeout=ANSWER_LIMIT_MS)


def test_a_failure_is_an_error(chats: object) -> None:
    chat = chats("ValueError('broken')")  # type: ignore[operator]
    chat.send("fail")
    chat.wait("error")

    assert chat.page.locator("#chat-error").inner_text() != ""
