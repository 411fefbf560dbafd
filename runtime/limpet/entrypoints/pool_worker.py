"""An interpreter of a pool: it runs the file that a tool is in and calls the tool.

Calls and answers are JSON texts (`hosts/pool_wire.py`). In a page they are messages of a worker; in a process, which
`main` serves, they are lines, with progress behind a "+".
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from queue import Empty, SimpleQueue
from threading import Thread

from ..agent import Agent
from ..calls import AnyTool
from ..errors import ConfigurationError, ToolError
from ..tools import Tool, target_of
from .agent_file import run_file

_loaded: dict[str, Mapping[str, object]] = {}
"""The names of each file and module, which is run once."""


async def answer(text: str, report: Callable[[str], None]) -> str:
    """Make one call and give its answer; `report` is given its progress as JSON."""
    # Interpreters that were restored from one snapshot would all draw the same numbers.
    random.seed()
    try:
        call = json.loads(text)
        tool = _find(call)
        arguments = tool.parse(json.dumps(call["arguments"]))
        content = await tool.call_here(arguments, lambda progress: report(json.dumps(progress)))
        return json.dumps({"content": content})
    except ToolError as error:
        return json.dumps({"kind": None, "error": error.message})
    except (Exception, SystemExit) as error:  # whatever a tool raises is told to whoever called it
        return json.dumps({"kind": type(error).__name__, "error": traceback.format_exc()})


def _find(call: Mapping[str, str]) -> AnyTool:
    key = call.get("source") or call["module"]
    if key not in _loaded:
        _loaded[key] = run_file(key, call["file"]) if "source" in call else vars(import_module(key))
    for value in _loaded[key].values():
        for tool in value.tools if isinstance(value, Agent) else (value,):
            # Two tools may share a name; the function says which one it is.
            if (
                isinstance(tool, Tool)
                and tool.name == call["tool"]
                and target_of(tool.function).__qualname__ == call["qualname"]
            ):
                return tool
    where = call.get("file") or call.get("module")
    raise ConfigurationError(f"{where}: the tool {call['tool']} is neither a global there nor a global agent's tool")


def main(idle_seconds: float) -> None:
    """Serve a process: answer calls until the input ends, or until nobody called for so long."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever calls says when to stop
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out, asyncio.Runner() as runner:
        os.dup2(2, 1)  # what a tool prints is no answer

        def write(line: str) -> None:
            out.write(line + "\n")
            out.flush()

        calls: SimpleQueue[str] = SimpleQueue()
        Thread(target=_read, args=(calls.put,), daemon=True).start()
        while True:
            try:
                call = calls.get(timeout=idle_seconds)
            except Empty:
                return
            write(runner.run(answer(call, lambda progress: write("+" + progress))))


def _read(put: Callable[[str], object]) -> None:
    for line in sys.stdin:
        put(line)
    # The other process has ended, in whatever way; what a tool still computes is for nobody.
    os._exit(0)
