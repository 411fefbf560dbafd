"""What Cloudflare binds to a Worker, on real workerd: Workers AI, KV as a cache, alarms; and providers by health."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fake_server import FakeServer
from tooling import edge as tool
from tooling import edge_host

from .conftest import Serve
from .serving import KEYS, LIFETIME_SECONDS, ROOT, Edge, Project, chat

pytestmark = pytest.mark.timeout(180)
FAKE_AI = Path(__file__).with_name("fake_ai.mjs")
LIMIT_SECONDS = 60.0
POLL_SECONDS = 0.1


class EdgeWithAi(Edge):
    """A workerd with a second Worker in the place of Workers AI."""

    def start(self) -> None:
        port, packed = tool.free_port(), self.project.packed
        values = {**edge_host.variables(self.project.folder), **self.vars}
        text = edge_host.write_config(self.project.folder, packed, values.keys()).read_text()
        text = text.replace("services = [", 'services = [(name = "ai", worker = .ai), ', 1)
        text = text.replace("  bindings = [", '  bindings = [(name = "AI", service = "ai"), ', 1)
        date = text.split('compatibilityDate = "')[1].split('"')[0]
        module = f'(name = "ai.mjs", esModule = {json.dumps(FAKE_AI.read_text())})'
        text += f'const ai :Workerd.Worker = (compatibilityDate = "{date}", modules = [{module}]);\n'
        config = packed / "config-ai.capnp"
        config.write_text(text)
        log = packed / f"workerd-{port}.log"
        process = edge_host.start(ROOT, config, port=port, state=self.state, env=values, log=log)
        self.server = tool.Server(process, port, log)
        tool.wait_until_ready(self.server)


def said(edge: Edge, id: str) -> tuple[list[Any], str]:
    """The events of a conversation, and what was said in it."""
    events = [data for _, data in edge.ask("GET", f"/conversations/{id}/stream?after=0").events]
    return events, "".join(event["text"] for event in events if event["type"] == "text_delta")


def ask_ai(project: Project, state: Path, model: str, id: str) -> tuple[list[Any], str]:
    edge = EdgeWithAi(project, state, {"LIMPET_ACCESS": "open", "LIMPET_MODEL": model}, {})
    try:
        assert edge.ask("GET", "/ready").status == 200
        edge.chat(id, "two and three")
        return said(edge, id)
    finally:
        edge.server.close()


def test_workers_ai_answers_through_its_binding_with_a_tool(project: Project, tmp_path: Path) -> None:
    events, text = ask_ai(project, tmp_path, "workers_ai:@cf/meta/llama-4", "bound")

    assert [event["content"] for event in events if event["type"] == "tool_result"] == [5]
    assert text == "@cf/meta/llama-4 heard 5"
    assert events[-1]["finish_reason"] == "stop"
    assert events[-1]["usage"]["input_tokens"] == 14


def test_what_the_binding_refuses_is_told_as_its_kind(project: Project, tmp_path: Path) -> None:
    events, _ = ask_ai(project, tmp_path, "workers_ai:@cf/meta/full", "full")

    assert (events[-1]["type"], events[-1]["name"]) == ("run_error", "RateLimitError")


def test_the_gateways_cache_outlives_the_worker(serve: Serve) -> None:
    gateway = {"models": {"fast": ["openai_compatible:fake"]}, "cache_seconds": 600}
    edge, provider = serve("text:Once.", "text:Twice.", vars={"LIMPET_GATEWAY": json.dumps(gateway)}, env=KEYS)

    def complete(text: str, **more: object) -> str:
        body = {"model": "fast", "messages": [{"role": "user", "content": text}], **more}
        return str(edge.gateway("/v1/chat/completions", body).json["choices"][0]["message"]["content"])

    first, again = complete("hello"), complete("hello")
    edge.crash()
    after = complete("hello")
    other = complete("another question")

    assert [first, again, after, other] == ["Once.", "Once.", "Once.", "Twice."]
    assert len(provider.requests) == 2


def test_a_run_that_was_broken_off_goes_on_by_itself(serve: Serve) -> None:
    edge, provider = serve("slow:" + "word " * 20, vars={"LIMPET_RESUME_SECONDS": "2"})
    with edge.stream("POST", "/chat", chat("alone", "go on", background=True)) as stream:
        next(data for _, data in stream.events() if data["type"] == "text-delta")
    edge.crash()  # waits for /health, which wakes no conversation

    # Nobody asks for the conversation: the alarm alone begins it again.
    deadline = time.monotonic() + LIMIT_SECONDS
    while len(provider.requests) < 2 and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    events, text = said(edge, "alone")

    assert len(provider.requests) == 2
    assert [event["type"] for event in events].count("turn_reset") == 1
    assert events[-1]["finish_reason"] == "stop"
    history = edge.ask("GET", "/conversations/alone").json["messages"]
    assert history[-1]["parts"][0]["text"].split() == ["word"] * 20
    assert text.count("word") > 20  # what was told before the crash, and all of it again


def balanced(serve: Serve, first: FakeServer, cooldown_seconds: float) -> Callable[[], str]:
    """A gateway of two providers; gives what asks it and gives the answer."""
    models = [{"model": "openai_compatible:one", "base_url": first.base_url}, "openai_compatible:other"]
    gateway = {"models": {"both": models}, "cooldown_seconds": cooldown_seconds}
    edge, _ = serve("text:The other.", vars={"LIMPET_GATEWAY": json.dumps(gateway)}, env=KEYS)

    def complete() -> str:
        body = {"model": "both", "messages": [{"role": "user", "content": "hello"}]}
        return str(edge.gateway("/v1/chat/completions", body).json["choices"][0]["message"]["content"])

    return complete


def test_a_provider_that_fails_again_and_again_is_left_alone(serve: Serve) -> None:
    with FakeServer("500", lifetime_seconds=LIFETIME_SECONDS) as first:
        complete = balanced(serve, first, 600)
        answers = [complete() for _ in range(4)]
        asked = len(first.requests)
        answers += [complete() for _ in range(3)]

        assert answers == ["The other."] * 7
        assert len(first.requests) == asked > 0


def test_a_provider_that_is_well_again_is_asked_again(serve: Serve) -> None:
    # Each call asks three times before it turns to the other, so it is down for two times.
    with FakeServer(*["500"] * 12, "text:Well again.", lifetime_seconds=LIFETIME_SECONDS) as first:
        complete = balanced(serve, first, 0.5)
        answers = [complete()]
        deadline = time.monotonic() + LIMIT_SECONDS
        while answers[-1] != "Well again." and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            answers.append(complete())

    assert answers[-1] == "Well again."
    assert set(answers[:-1]) == {"The other."}
