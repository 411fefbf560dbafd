"""`build.py ask` as a whole on each of its hosts: what it prints, how it ends. A browser is used by one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fake_server import FakeServer
from tooling.browser import find

ROOT = Path(__file__).resolve().parents[2]
HOSTS = ("browser", "node", "cpython")
KEY = "sk-test-0123456789-secret"
LIMIT_SECONDS = 90
AGENT = '''
from limpet import Agent, tool

@tool(requires_approval=True)
def set_timer(minutes: int) -> str:
    """Set a kitchen timer."""
    return f"timer set for {minutes} minutes"

agent = Agent(model=["local:tiny", "openai:gpt-5-mini"], tools=[set_timer])
'''

pytestmark = pytest.mark.timeout(3 * LIMIT_SECONDS)


def ask(host: str, *words: str) -> tuple[int, list[Any], str]:
    """Give the exit code, the events and all that was printed."""
    if host == "browser" and find(ROOT) is None:
        pytest.skip("no Chromium on this machine")
    done = subprocess.run(
        [sys.executable, "-m", "tooling.ask", "ask", "--json", "--host", host, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'web'}{os.pathsep}{ROOT / 'runtime'}", "A_KEY": KEY},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["id"] for event in events] == list(range(len(events)))
    return done.returncode, events, done.stdout + done.stderr


@pytest.mark.parametrize("host", HOSTS)
def test_the_demo_sets_the_timer_with_no_remote(host: str) -> None:
    code, events, _ = ask(host, "ten minutes for the eggs")

    [call] = [event for event in events if event["type"] == "tool_call_end"]
    assert (call["name"], json.loads(call["arguments"])["minutes"]) == ("set_timer", 10)
    assert (code, events[-1]["type"]) == (0, "run_end")


@pytest.mark.parametrize("host", HOSTS)
def test_an_unsure_model_gives_way_and_nobody_is_there_to_approve(host: str, tmp_path: Path) -> None:
    agent = tmp_path / "agent.py"
    agent.write_text(AGENT, encoding="utf-8")
    with FakeServer('tool:set_timer:{"minutes": 3}') as server:
        remote = ("--base-url", server.base_url, "--model", "some-model", "--api-key-env", "A_KEY")
        code, events, printed = ask(host, "--agent", str(agent), *remote, "write a poem about the sea")

    [fallback] = [event for event in events if event["type"] == "fallback"]
    assert (fallback["reason"], fallback["to_model"]) == ("low_confidence", "openai_compatible:some-model")
    [result] = [event for event in events if event["type"] == "tool_result"]
    assert result["is_error"]
    assert "text_delta" in {event["type"] for event in events}
    assert (code, events[-1]["type"]) == (0, "run_end")
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in printed


@pytest.mark.parametrize("host", HOSTS)
def test_a_failed_run_ends_with_one_and_a_wrong_file_with_two(host: str, tmp_path: Path) -> None:
    agent = tmp_path / "agent.py"
    agent.write_text("from limpet import Agent\nagent = Agent(model='openai:gpt-5-mini')\n", encoding="utf-8")
    with FakeServer("401") as server:
        failed, events, _ = ask(host, "--agent", str(agent), "--base-url", server.base_url, "--model", "m", "hello")
    agent.write_text("from limpet import Agent\n", encoding="utf-8")
    refused, nothing, printed = ask(host, "--agent", str(agent), "hello")

    assert (failed, events[-1]["type"]) == (1, "run_error")
    assert (refused, nothing) == (2, [])
    assert "makes no agent" in printed


@pytest.mark.parametrize("host", HOSTS)
def test_a_provider_that_the_first_wheel_lacks_answers_too(host: str, tmp_path: Path) -> None:
    agent = tmp_path / "agent.py"
    agent.write_text("from limpet import Agent\nagent = Agent(model='local:tiny')\n", encoding="utf-8")
    with FakeServer("text:good evening") as server:
        remote = ("--model", "groq:some-model", "--base-url", server.base_url, "--api-key-env", "A_KEY")
        code, events, printed = ask(host, "--agent", str(agent), *remote, "hello")

    assert (code, events[-1]["type"]) == (0, "run_end")
    assert "".join(event["text"] for event in events if event["type"] == "text_delta") == "good evening"
    assert [event["model"] for event in events if event["type"] == "turn_end"] == ["groq:some-model"]
    assert KEY not in printed
