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
