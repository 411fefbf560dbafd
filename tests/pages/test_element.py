"""`<limpet-chat>` in a page: what can be reached, what can't get in, and what is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .conftest import ANSWER_LIMIT_MS, ROOT, Tabs, stored_texts

AXE = (ROOT / "web/node_modules/axe-core/axe.min.js").read_text("utf-8")
HOSTILE = [
    "<script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 2'>",
    "![x](javascript:window.hit=3)",
    "[click](javascript:window.hit=4)",
    "[click](  JaVaScRiPt&#58;window.hit=5)",
    "<javascript:window.hit=6>",
    "[x](data:text/html,<script>parent.hit=7</script>)",
    "<svg><animate onbegin=window.hit=8 attributeName=x dur=1s></svg>",
    "<iframe srcdoc='<script>parent.hit=9</script>'></iframe>",
    "<a href='x' style='position:fixed;inset:0' onclick='window.hit=10'>x</a>",
    '[x](https://example.org "\\" onmouseover=window.hit=11 x=\\"")',
    '![a" onerror="window.hit=12](https://example.org/?q=secret)',
    '```"><img src=x onerror=window.hit=13>\ncode\n```',
    "```html onload=window.hit=14\n<script>window.hit=14</script>\n```",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.hit=15>",
    "<noscript><p title='</noscript><img src=x onerror=window.hit=16>'>",
    "<form action='javascript:window.hit=17'><button>x</button></form>",
    "<base href='https://evil.example/'>",
    "<link rel=stylesheet href='https://evil.example/x.css'>",
    "<meta http-equiv=refresh content='0;url=javascript:window.hit=18'>",
    "| <img src=x onerror=window.hit=19> | b |\n|---|---|\n| <script>window.hit=19</script> | d |",
    "- [ ] <input autofocus onfocus=window.hit=20>",
    "<details open ontoggle=window.hit=21>x</details>",
    "[a]: javascript:window.hit=22\n\n[a]",
    "<xss is='limpet-chat' src='https://evil.example/a.py'>",
    "<limpet-chat src='https://evil.example/a.py'></limpet-chat>",
    "&lt;script&gt;window.hit=23&lt;/script&gt;",
    "<template><script>window.hit=24</script></template>",
    "<!--><img src=x onerror=window.hit=25>-->",
    "\u202e<b>txt.exe</b>",
    "<a id=defaultView name=body>clobbered</a><a id=attributes>x</a>",
    "[x](vbscript:window.hit=26) [y](file:///etc/passwd) [z](blob:https://x/1)",
]
AGENT = '''
from limpet import Agent, tool
from limpet.providers.scripted import ScriptedModel, call_tool

@tool
def show(text: str) -> str:
    """Show a text."""
    return text

@tool(requires_approval=True)
def order(item: str) -> str:
    """Order something."""
    return item + " ordered"

agent = Agent(model=ScriptedModel(REPLIES), tools=[show, order], name="scripted")
'''


def _agent(*replies: str) -> str:
    return AGENT.replace("REPLIES", f"[{', '.join(replies)}]")


def _says(*texts: str) -> str:
    return _agent(*(json.dumps(text) for text in texts))


# --- what can't get in ---


def test_nothing_hostile_becomes_part_of_the_page(tabs: Tabs) -> None:
    texts = [*HOSTILE, "\n\n".join(HOSTILE)]
    replies = [json.dumps(text) for text in texts]
    replies += [f"call_tool('show', text={json.dumps(text)}), 'seen'" for text in HOSTILE]
    tab = tabs.new(_agent(*replies))
    requests: list[str] = []
    tab.page.on("request", lambda request: requests.append(request.url))
    tab.open()

    for _ in range(len(texts) + len(HOSTILE)):
        tab.ask("be evil")

    assert tab.page.evaluate("window.hit ?? null") is None
    found: list[str] = tab.page.evaluate(
        """() => {
            const root = document.querySelector("limpet-chat").shadowRoot.querySelector("#entries");
            const allowed = /^(https?|mailto|tel):/i;
            const bad = [];
            for (const element of root.querySelectorAll("*")) {
                if (/^(script|img|svg|iframe|math|style|link|meta|base|object|embed|input|form|template)$/
                        .test(element.localName) || element.localName.includes("-")) bad.push(element.localName);
                for (const { name, value } of element.attributes) {
                    if (name.startsWith("on") || name === "style" || name === "srcdoc") bad.push(name);
                    if (["href", "src", "action"].includes(name) && !allowed.test(value)) bad.push(value);
                }
                if (element.localName === "a" && element.hasAttribute("href")
                        && !element.rel.includes("noopener")) bad.push("rel");
            }
            return bad;
        }"""
    )
    assert found == []
    assert [url for url in requests if not url.startswith(tab.url)] == []


def test_a_hostile_title_and_file_name_are_text(tabs: Tabs, tmp_path: Path) -> None:
    tab = tabs.new(_says("fine"))
    tab.open()
    tab.ask(HOSTILE[1])
    tab.page.click("#open-conversations")
    expect(tab.page.locator(".conversation-title")).to_have_text(HOSTILE[1])
    file = tmp_path / "<img src=x onerror=window.hit=1>.json"
    message = {"role": "user", "parts": [{"type": "text", "text": HOSTILE[1]}]}
    content = {"format": "limpet.conversation", "version": 1, "title": HOSTILE[0], "messages": [message]}
    file.write_text(json.dumps(content), "utf-8")
    tab.page.locator("#conversations input[type=file]").set_input_files(file)

    expect(tab.page.locator("#entries .user .body")).to_have_text(HOSTILE[1])
    assert tab.page.evaluate("window.hit ?? null") is None


# --- who can use it ---


def _violations(page: Page) -> list[str]:
    # Playwright's own evaluation is not bound by the page's policy.
    page.evaluate(AXE)
    found: list[Any] = page.evaluate("async () => (await axe.run()).violations")
    return [f"{item['id']}: {[node['html'][:120] for node in item['nodes']]}" for item in found]


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> Iterator[Any]:
    return request.param


MARKDOWN = "# Tea\n\nBoil **water**:\n\n```python\nboil(1.5)\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n> [slowly](https://a.example)"


def test_axe_finds_nothing(tabs: Tabs, scheme: Any) -> None:
    tab = tabs.new(_agent(json.dumps(MARKDOWN), "call_tool('order', item='eggs')", "'done'"))
    tab.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    tab.open()
    tab.page.evaluate("() => document.querySelector('main').insertAdjacentHTML('afterbegin', '<h1>x</h1>')")
    found = {"empty": _violations(tab.page)}
    tab.ask("tea")
    tab.say("eggs")
    expect(tab.page.locator("#entries .tool")).to_have_attribute("data-status", "waiting", timeout=ANSWER_LIMIT_MS)
    found["asking"] = _violations(tab.page)
    tab.page.get_by_role("button", name="Allow", exact=True).click()
    tab.wait_until_ready()
    tab.page.click("#open-trace")
    found["trace"] = _violations(tab.page)
    for button, dialog in (("#open-settings", "#settings"), ("#open-conversations", "#conversations")):
        tab.page.click(button)
        expect(tab.page.locator(dialog)).to_be_visible()
        found[dialog] = _violations(tab.page)
        tab.page.keyboard.press("Escape")

    assert {where: problems for where, problems in found.items() if problems} == {}


def test_an_answer_is_announced_once_and_not_word_by_word(tabs: Tabs) -> None:
    tab = tabs.new(_says(" ".join(["word"] * 100)))
    tab.open()
    tab.page.evaluate(
        """() => {
            window.announced = [];
            const place = document.querySelector("limpet-chat").shadowRoot.querySelector("#announcer");
            new MutationObserver(() => announced.push(place.textContent)).observe(place, { childList: true });
        }"""
    )

    tab.ask("many words")

    assert tab.page.evaluate("announced") == [" ".join(["word"] * 100)]


def test_from_right_to_left(tabs: Tabs) -> None:
    tab = tabs.new(_says("שלום לך"))
    tab.open()
    tab.page.evaluate("document.documentElement.dir = 'rtl'")

    tab.ask("שלום")

    user, answer = tab.page.locator("#entries .user").bounding_box(), tab.page.locator("#entries .text").bounding_box()
    assert user is not None
    assert answer is not None
    assert user["x"] < answer["x"] + answer["width"] - user["width"]
    assert tab.page.locator("#entries .text .body").evaluate("(body) => getComputedStyle(body).direction") == "rtl"


def test_the_theme_can_be_set(tabs: Tabs) -> None:
    tab = tabs.new(_says("x"))
    tab.open()
    colours = []
    for theme in ("light", "dark"):
        tab.page.evaluate("(theme) => document.querySelector('limpet-chat').setAttribute('theme', theme)", theme)
        colours.append(tab.page.locator(".chat").evaluate("(chat) => getComputedStyle(chat).backgroundColor"))

    assert colours == ["rgb(246, 247, 245)", "rgb(18, 23, 22)"]


# --- conversations ---


def test_code_can_be_copied(tabs: Tabs) -> None:
    tab = tabs.new(_says(MARKDOWN))
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.open()
    tab.ask("tea")
    tab.page.get_by_role("button", name="Copy the python code").click()

    expect(tab.page.locator(".copy")).to_have_text("Copied")
    assert tab.page.evaluate("navigator.clipboard.readText()") == "boil(1.5)"


def test_a_message_is_edited_answered_again_and_branched_from(tabs: Tabs) -> None:
    tab = tabs.new(_says("one", "two", "three", "four"))
    tab.open()
    tab.ask("first")
    tab.ask("second")
    tab.page.locator("#entries .user").last.get_by_role("button", name="Edit").click()
    tab.page.locator(".edit textarea").fill("other")
    tab.page.get_by_role("button", name="Ask this").click()
    expect(tab.page.locator("#entries .text .body").last).to_have_text("three", timeout=ANSWER_LIMIT_MS)
    tab.wait_until_ready()
    assert (tab.entries("user"), tab.entries("text")) == (["first", "other"], ["one", "three"])

    tab.page.get_by_role("button", name="Answer again").last.click()
    expect(tab.page.locator("#entries .text .body").last).to_have_text("four", timeout=ANSWER_LIMIT_MS)
    tab.wait_until_ready()
    assert (tab.entries("user"), tab.entries("text")) == (["first", "other"], ["one", "four"])

    tab.page.locator("#entries .user").last.get_by_role("button", name="Branch").click()
    expect(tab.page.locator("#entries .user")).to_have_count(1)
    tab.page.click("#open-conversations")
    expect(tab.page.locator(".conversation")).to_have_count(2)


def test_a_conversation_is_renamed_exported_erased_and_brought_back(tabs: Tabs, tmp_path: Path) -> None:
    tab = tabs.new(_says("the secret word is heron"))
    tab.open()
    tab.ask("what is the word?")
    tab.page.click("#open-conversations")
    tab.page.get_by_role("button", name="Rename").click()
    tab.page.locator(".rename input").fill("Birds")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator(".conversation-title")).to_have_text("Birds")
    with tab.page.expect_download() as caught:
        tab.page.get_by_role("button", name="Export").click()
    file = tmp_path / "export.json"
    caught.value.save_as(file)
    assert caught.value.suggested_filename == "Birds.json"
    assert "heron" in stored_texts(tab.page)

    erase = tab.page.locator(".conversation .danger")
    erase.click()
    erase.click()
    expect(tab.page.locator(".conversation")).to_have_count(0)
    tab.page.locator("#conversations .close").click()
    assert tab.entries("text") == []
    tab.page.reload()
    tab.wait_until_ready()
    assert "heron" not in stored_texts(tab.page)
    assert "Birds" not in stored_texts(tab.page)

    tab.page.click("#open-conversations")
    tab.page.locator("#conversations input[type=file]").set_input_files(file)
    expect(tab.page.locator("#entries .text .body")).to_have_text("the secret word is heron")


# --- the page's functions ---


def test_functions_of_the_page_are_called_with_consent(tabs: Tabs) -> None:
    tab = tabs.new(_agent("call_tool('set_colour', colour='teal')", "'done'"))
    tab.open()
    tab.page.evaluate(
        """() => {
            document.querySelector("limpet-chat").tools = [{
                name: "set_colour", description: "Colour the page.",
                parameters: { type: "object", properties: { colour: { type: "string" } }, required: ["colour"] },
                execute: ({ colour }) => { document.body.style.setProperty("--seen", colour); return { colour }; },
            }];
        }"""
    )
    tab.say("teal, please")
    card = tab.page.locator("#entries .tool")
    expect(card).to_have_attribute("data-status", "waiting", timeout=ANSWER_LIMIT_MS)
    assert tab.page.evaluate("document.body.style.getPropertyValue('--seen')") == ""
    card.get_by_role("button", name="Allow", exact=True).click()
    tab.wait_until_ready()

    assert tab.page.evaluate("document.body.style.getPropertyValue('--seen')") == "teal"
    assert card.locator(".tool-result").inner_text() == '{\n "colour": "teal"\n}'


def test_every_event_is_a_custom_event(tabs: Tabs) -> None:
    tab = tabs.new(_says("hello"))
    tab.open()
    tab.page.evaluate(
        """() => {
            window.heard = [];
            document.addEventListener("limpet:event", (event) => heard.push(event.detail.type));
            document.addEventListener("limpet:run_end", (event) => heard.push(event.detail.finish_reason));
        }"""
    )

    tab.ask("hi")

    heard: list[str] = tab.page.evaluate("heard")
    assert heard[0] == "run_start"
    assert heard[-2:] == ["run_end", "stop"]
    assert {"turn_start", "model_start", "text_start", "text_delta", "text_end", "turn_end"} <= set(heard)
