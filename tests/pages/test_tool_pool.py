"""Tools with `pool=True` in the page: they compute in workers of their own, and a Stop ends them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .conftest import Tabs
from .test_worker import Worker

# `meet` asks a server which answers only when two are there: each of them holds up its interpreter meanwhile.
AGENT = """
import random
from limpet import Agent, ToolError, tool
from limpet.providers.scripted import ScriptedModel, call_tool
import js

@tool(pool=True)
def meet(url: str) -> list[object]:
    request = js.XMLHttpRequest.new()
    request.open("GET", url, False)
    request.send()
    return [js.self.name, str(request.responseText), random.random()]

@tool(pool=True)
def spin(url: str) -> None:
    request = js.XMLHttpRequest.new()
    request.open("GET", url, False)
    request.send()
    while True:
        pass

@tool(pool=True, timeout_seconds=0.3)
def spin_briefly() -> None:
    while True:
        pass

@tool(pool=True)
def refuse() -> None:
    raise ToolError("not today")

@tool(pool=True)
def fail() -> None:
    import sqlite3  # of the part of the library that a snapshot does not hold
    raise KeyError("secret")

@tool(pool=True)
async def count(to: int):
    for number in range(to):
        yield number

def here() -> str:
    return js.self.name

class Replies(ScriptedModel):
    '''Calls what the user's message says, as JSON.'''

    def __init__(self):
        super().__init__([])

    async def stream(self, request):
        last = request.messages[-1]
        calls = eval(last.text) if last.role == "user" else None
        parts = [call_tool(name, str(place), **given) for place, (name, given) in enumerate(calls)] if calls else "done"
        async for delta in ScriptedModel([parts]).stream(request):
            yield delta

agent = Agent(model=Replies(), tools=[meet, spin, spin_briefly, refuse, fail, count, tool(here)])
"""


class Meeting(ThreadingHTTPServer):
    """Answers `/two` when two have asked for it, and anything else at once."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.both = threading.Barrier(2)
        self.was_asked = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Meeting

    def do_GET(self) -> None:
        self.server.was_asked.set()
        if self.path == "/two":
            self.server.both.wait(60)
        body = b"met"
        self.send_response(200)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def meeting() -> Iterator[Meeting]:
    with Meeting() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


def start(tabs: Tabs, **options: bool) -> Worker:
    tab = tabs.new(AGENT, **options)
    worker = Worker(tab)
    worker.start()
    return worker


def run(worker: Worker, run_id: str, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
    worker.run(run_id, json.dumps(calls), run_id)
    return worker.wait_for_runs(run_id)[run_id]


def results(events: list[Any]) -> list[Any]:
    return [event["content"] for event in events if event["type"] == "tool_result"]


def test_two_tools_are_inside_at_once_in_two_workers(tabs: Tabs) -> None:
    worker = start(tabs)
    with meeting() as server:
        first, second = results(run(worker, "a", *[("meet", {"url": f"{server.url}/two"})] * 2))
        [again] = results(run(worker, "b", ("meet", {"url": f"{server.url}/one"})))

    assert {first[0], second[0]} == {"limpet-tool-1", "limpet-tool-2"}
    assert [first[1], second[1], again[1]] == ["met", "met", "met"]
    assert again[0] in (first[0], second[0])  # it is used again
    assert len({first[2], second[2], again[2]}) == 3  # though they began with the same memory


def test_a_stop_ends_the_worker_and_the_next_call_works(tabs: Tabs) -> None:
    worker = start(tabs)
    with meeting() as server:
        worker.run("a", json.dumps([("spin", {"url": f"{server.url}/spin"})]), "a")
        assert server.was_asked.wait(60)
        worker.send(type="cancel", run_id="a")
        stopped = worker.wait_for_runs("a")["a"]
        [after] = results(run(worker, "b", ("meet", {"url": f"{server.url}/one"})))

    assert (stopped[-1]["type"], stopped[-1]["finish_reason"]) == ("run_end", "cancelled")
    assert after[:2] == ["limpet-tool-2", "met"]


def test_a_time_limit_an_error_and_progress_are_told(tabs: Tabs) -> None:
    worker = start(tabs, is_isolated=False)
    calls = [("spin_briefly", {}), ("refuse", {}), ("fail", {}), ("here", {})]
    events = run(worker, "a", *calls)
    counted = run(worker, "b", ("count", {"to": 3}))

    assert results(events) == [
        "spin_briefly did not finish within 0.3 seconds",
        "not today",
        "the tool failed: KeyError",
        "",
    ]
    assert [event["content"] for event in counted if event["type"] == "tool_progress"] == [0, 1]
    assert results(counted) == [2]
