"""The worker's entry point, as far as it needs no JavaScript: what is no command is reported and not raised."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib import import_module
from typing import Any

import pytest


@pytest.mark.skipif(sys.platform != "emscripten", reason="the worker's entry point runs in Pyodide only")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "no json",
        "null",
        "[]",
        "7",
        '"start"',
        "{}",
        '{"type": null}',
        '{"type": "dance"}',
        '{"type": "cancel"}',
        '{"type": "approve", "run_id": 1}',
        '{"type": "configure"}',
        '{"type": "start"}',
        '{"type": "start", "agent_url": 1, "site_url": [], "threads": "x", "allow_download": 0, "remote": 5}',
    ],
)
async def test_what_is_no_command_is_reported(text: str) -> None:
    worker_module = import_module("limpet.entrypoints.web_worker")
    before = asyncio.all_tasks()
    reports: list[dict[str, Any]] = []
    worker = worker_module.WebWorker(object(), lambda report: reports.append(json.loads(report)), {})

    worker.receive(text)
    for _ in range(20):
        await asyncio.sleep(0)

    assert [report["type"] for report in reports] == ["error"]
    assert reports[0]["error"].keys() == {"name", "message", "is_retryable"}
    assert asyncio.all_tasks() <= before


_AGENT = """
from limpet import Agent, tool
from limpet.providers.scripted import ScriptedModel, call_tool

@tool(requires_approval=True)
def open_door() -> str:
    return "open"

agent = Agent(model=ScriptedModel([call_tool("open_door"), "as you wish"]), tools=[open_door])
"""


class _Job:
    """A job of JavaScript's that is done already."""

    def __init__(self, value: object) -> None:
        self.promise = asyncio.get_running_loop().create_future()
        self.promise.set_result(value)

    def abort(self) -> None:
        pass


class _Head:
    status = 200
    headers = "{}"


class _Platform:
    """What a page hands over, as far as a run with a scripted model needs it."""

    inference = None

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    @property
    def fetch(self) -> _Platform:
        return self

    @property
    def storage(self) -> _Platform:
        return self

    def send(self, *arguments: Any) -> _Job:
        # Only Pyodide has it.
        to_js = import_module("pyodide.ffi").to_js
        on_chunk = arguments[-1]
        on_chunk(to_js(_AGENT.encode()), None)
        on_chunk(None, None)
        return _Job(_Head)

    def get(self, key: str) -> asyncio.Future[object]:
        return _Job(self.values.get(key)).promise

    def put(self, key: str, value: object) -> asyncio.Future[object]:
        self.values[key] = value
        return _Job(None).promise

    def delete(self, key: str) -> asyncio.Future[object]:
        self.values.pop(key, None)
        return _Job(None).promise

    def keys(self, prefix: str) -> asyncio.Future[object]:
        return _Job(json.dumps([key for key in self.values if key.startswith(prefix)])).promise


@pytest.mark.skipif(sys.platform != "emscripten", reason="the worker's entry point runs in Pyodide only")
@pytest.mark.parametrize("approved", [True, False])
async def test_an_answer_that_is_there_before_the_run_asks_is_heard(approved: bool) -> None:
    worker_module = import_module("limpet.entrypoints.web_worker")
    events: list[dict[str, Any]] = []
    is_over = asyncio.Event()

    def post(text: str) -> None:
        for event in json.loads(text).get("events", ()):
            events.append(event)
            if event["type"] == "approval":
                answer = {"type": "approve", "run_id": "r", "call_id": event["call_id"], "approved": approved}
                worker.receive(json.dumps(answer))
            elif event["type"] in ("run_end", "run_error"):
                is_over.set()

    worker = worker_module.WebWorker(_Platform(), post, {})

    start = {"agent_url": "http://127.0.0.1/a.py", "site_url": "http://127.0.0.1/", "threads": None}
    worker.receive(json.dumps({"type": "start", **start, "allow_download": False, "remote": None}))
    worker.receive(json.dumps({"type": "run", "run_id": "r", "conversation_id": "c", "parts": []}))
    await asyncio.wait_for(is_over.wait(), 20)

    assert events[-1]["type"] == "run_end"
    [result] = [event for event in events if event["type"] == "tool_result"]
    assert result["is_error"] is not approved
