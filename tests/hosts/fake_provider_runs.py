"""Runs against the fake provider inside Pyodide, in Node and in a page. Imports nothing but Limpet."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from limpet.agent import Agent
from limpet.events import RunEnd, RunError, TextDelta
from limpet.hosts.browser import create_host
from limpet.model import ModelReference
from limpet.stores.memory import MemoryStorage
from limpet.tools import tool

LIMIT_SECONDS = 20.0


async def run_cases(fetch: Any, text: str) -> str:
    """Run all cases, one after the other; what `elsewhere.prepare` tells in, a list of results out, both JSON."""
    return json.dumps([await run_case(fetch, case) for case in json.loads(text)])


async def run_case(fetch: Any, case: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {"name": case["name"], "ran": [], "ends": 0, "end": "none", "text": ""}

    @tool
    def set_timer(label: str, minutes: int) -> str:
        """Set a kitchen timer."""
        result["ran"].append({"label": label, "minutes": minutes})
        return "done"

    host = create_host(fetch=fetch, storage=MemoryStorage(), inference=None, secret=case["secrets"].get)
    model = ModelReference(case["provider"], "fake", base_url=case["base_url"], options=case["options"])
    tools = [set_timer] if case["does"] == "call" else []
    run = Agent(model=model, tools=tools).run("eggs, please", host=host)
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            async for event in run:
                if isinstance(event, TextDelta):
                    result["text"] += event.text
                    if case["does"] == "cancel" and "cancelled_at" not in result:
                        result["cancelled_at"] = time.time()
                        run.cancel()
                elif isinstance(event, RunEnd):
                    result["ends"] += 1
                    result["end"] = "cancelled" if event.finish_reason == "cancelled" else "answered"
                elif isinstance(event, RunError):
                    result["ends"] += 1
                    result["end"], result["message"] = event.name, event.message
    except Exception as error:
        result["raised"] = repr(error)
    if len(result["text"]) > 1000:
        result["text"] = result["text"].lstrip("x")
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    result["tasks"] = sum(not task.done() for task in tasks)
    return result
