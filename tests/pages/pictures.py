"""Take the pictures of the element in `docs/`, in both themes and at a phone's width.

PYTHONPATH=runtime:web python -m tests.pages.pictures
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import expect, sync_playwright

from tooling.browser import find
from tooling.server import serve

from .conftest import ROOT, SITE, Tab

AGENT = """
from limpet import Agent, tool
from limpet.providers.scripted import ScriptedModel, call_tool

@tool
def set_timer(minutes: int, label: str) -> str:
    '''Set a kitchen timer.'''
    return f"timer set for {minutes} minutes"

@tool(requires_approval=True)
def order(item: str, count: int) -> str:
    '''Order something.'''
    return f"{count} {item} ordered"

SAID = '''The timer runs. For **soft** eggs, take them out earlier:

| eggs | minutes |
|---|---|
| soft | 5 |
| hard | 10 |'''
replies = [call_tool("set_timer", minutes=10, label="eggs"), SAID, call_tool("order", item="eggs", count=6)]
agent = Agent(model=ScriptedModel(replies), tools=[set_timer, order], name="kitchen")
"""
PICTURES: dict[str, tuple[Literal["light", "dark"], int, int]] = {
    "element-light": ("light", 760, 620),
    "element-dark": ("dark", 760, 620),
    "element-phone": ("light", 360, 640),
}
LIMIT_BYTES = 150_000


def main() -> None:
    """Take them. Raises `SystemExit` for one that is too large for a repository."""
    program = find(ROOT)
    if program is None:
        raise SystemExit("no Chromium on this machine")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        agent = Path(folder, "agent.py")
        agent.write_text(AGENT, "utf-8")
        browser = playwright.chromium.launch(executable_path=str(program), args=["--no-sandbox"])
        with serve(SITE, overrides={"/agent.py": agent}) as server:
            for name, (scheme, width, height) in PICTURES.items():
                context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
                tab = Tab(context.new_page(), server.url)
                tab.open()
                tab.ask("ten minutes for the eggs")
                tab.say("and six more, please")
                waiting = tab.page.locator("#entries .tool").last
                expect(waiting).to_have_attribute("data-status", "waiting", timeout=30_000)
                path = ROOT / "docs" / f"{name}.png"
                tab.page.screenshot(path=path, animations="disabled", caret="hide")
                context.close()
                size = path.stat().st_size
                print(f"{path.relative_to(ROOT)}: {size / 1000:.1f} kB")
                if size > LIMIT_BYTES:
                    raise SystemExit(f"{path}: more than {LIMIT_BYTES / 1000:.0f} kB")
        browser.close()


if __name__ == "__main__":
    main()
