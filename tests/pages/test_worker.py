"""The agent's worker by itself: commands in, reports out, as `wire.Command` and `wire.Report` say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.fake_server import FakeServer

from .conftest import Tab, Tabs

REMOTE = """
from limpet import Agent
agent = Agent(model="openai:gpt-5-mini", name="plain")
"""
LIMIT_MS = 60_000


class Worker:
    """A worker of the site, started on a page that does nothing else."""

    def __init__(self, tab: Tab) -> None:
        self._tab = tab
        tab.open("ask.html")
        tab.page.evaluate(
            """() => {
                window.reports = [];
                window.agentWorker = new Worker("assets/worker.js", { type: "module" });
                agentWorker.onmessage = (message) => reports.push(message.data);
            }"""
        )

    def send(self, **command: Any) -> None:
        self._tab.page.evaluate("(text) => agentWorker.postMessage(text)", json.dumps(command))

    def start(self, remote: dict[str, str] | None = None) -> None:
        url = self._tab.url
        urls = {"agent_url": f"{url}agent.py", "site_url": url}
        self.send(type="start", **urls, threads=None, allow_download=False, remote=remote)

    def run(self, run_id: str, text: str = "hello", conversation_id: str = "c") -> None:
        parts = [{"type": "text", "text": text}]
        self.send(type="run", run_id=run_id, conversation_id=conversation_id, parts=parts)

    def wait_for(self, is_there: Callable[[list[Any]], bool]) -> list[Any]:
        """Wait until the reports say what is wanted, and give them all."""
        for _ in range(LIMIT_MS // 20):
            reports = [json.loads(text) for text in self._tab.page.evaluate("reports")]
            if is_there(reports):
                return reports
            self._tab.page.wait_for_timeout(20)
        raise TimeoutError(f"only {[report['type'] for report in reports]} arrived")

    def wait_for_runs(self, *run_ids: str) -> dict[str, list[Any]]:
        """Wait for the ends of runs and give the events of each."""

        def events(reports: list[Any], run_id: str) -> list[Any]:
            batches = [report["events"] for report in reports if report.get("run_id") == run_id]
            return [event for batch in batches for event in batch]

        def is_over(reports: list[Any]) -> bool:
            ends = [events(reports, run_id)[-1:] for run_id in run_ids]
            return all(end and end[0]["type"] in ("run_end", "run_error") for end in ends)

        reports = self.wait_for(is_over)
        return {run_id: events(reports, run_id) for run_id in run_ids}


def _remote(server: FakeServer) -> dict[str, str]:
    return {"model": "openai:gpt-5-mini", "base_url": server.base_url, "api_key": "k"}


def _text(events: list[Any]) -> str:
    return "".join(event["text"] for event in events if event["type"] == "text_delta")


def test_ready_says_what_the_agent_is_and_how_long_its_start_took(tabs: Tabs) -> None:
    worker = Worker(tabs.new(REMOTE))
    worker.start()

    [ready] = worker.wait_for(lambda reports: bool(reports))

    assert (ready["type"], ready["name"], ready["tools"], ready["models"]) == ("ready", "plain", [], [])
    assert ready["remote_models"] == ["openai:gpt-5-mini"]
    assert set(ready["milliseconds"]) == {"fetch", "restore", "import", "agent"}


def test_commands_sent_before_the_start_is_over_are_kept(tabs: Tabs) -> None:
    with FakeServer("text:Hello.") as server:
        worker = Worker(tabs.new(REMOTE))
        worker.start(_remote(server))
        worker.run("cancelled")
        worker.send(type="cancel", run_id="cancelled")
        worker.run("answered", conversation_id="d")

        runs = worker.wait_for_runs("cancelled", "answered")

        assert runs["cancelled"][-1]["finish_reason"] == "cancelled"
        assert _text(runs["answered"]) == "Hello."


def test_several_runs_go_on_at_once_and_events_are_numbered_without_gaps(tabs: Tabs) -> None:
    with FakeServer("slow:one two three four", pause_seconds=0.1) as server:
        worker = Worker(tabs.new(REMOTE))
        worker.start(_remote(server))
        for run_id in ("a", "b", "c"):
            worker.run(run_id, conversation_id=run_id)

        runs = worker.wait_for_runs("a", "b", "c")

        for events in runs.values():
            assert _text(events) == "one two three four"
            assert [event["id"] for event in events] == list(range(len(events)))
            assert [event["type"] for event in events].count("run_end") == 1


def test_a_new_remote_counts_from_the_next_run_on(tabs: Tabs) -> None:
    with FakeServer("text:first") as first, FakeServer("text:second") as second:
        worker = Worker(tabs.new(REMOTE))
        worker.start(_remote(first))
        worker.run("a")
        before = worker.wait_for_runs("a")["a"]
        worker.send(type="configure", remote=_remote(second))
        worker.run("b")
        after = worker.wait_for_runs("b")["b"]

        assert (_text(before), _text(after)) == ("first", "second")


def test_history_is_what_was_said_until_it_is_forgotten(tabs: Tabs) -> None:
    with FakeServer("text:Hello.") as server:
        worker = Worker(tabs.new(REMOTE))
        worker.start(_remote(server))
        worker.run("a")
        worker.wait_for_runs("a")
        worker.send(type="history", conversation_id="c")
        worker.send(type="forget", conversation_id="c")
        worker.send(type="history", conversation_id="c")

        reports = worker.wait_for(lambda reports: [report["type"] for report in reports].count("history") == 2)

        kept, forgotten = [report["messages"] for report in reports if report["type"] == "history"]
        assert [message["role"] for message in kept] == ["user", "assistant"]
        assert forgotten == []


def test_a_run_whose_parts_are_wrong_ends_with_an_error(tabs: Tabs) -> None:
    worker = Worker(tabs.new(REMOTE))
    worker.start()
    worker.send(type="run", run_id="a", conversation_id="c", parts=[{"type": "smell"}])

    [error] = worker.wait_for_runs("a")["a"]

    assert (error["type"], error["name"], error["id"]) == ("run_error", "WireError", 0)


def test_without_a_key_the_run_says_what_is_missing(tabs: Tabs) -> None:
    worker = Worker(tabs.new(REMOTE))
    worker.start()
    worker.run("a")

    error = worker.wait_for_runs("a")["a"][-1]

    assert error["type"] == "run_error"
    assert "key" in error["message"]
