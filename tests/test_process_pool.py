"""The pool of CPython: processes that really run, and really end."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from limpet import Agent, ToolProgress, ToolResult
from limpet.entrypoints.agent_file import load_agent
from limpet.errors import ConfigurationError
from limpet.hosts.cpython import create_host
from limpet.hosts.process_pool import ProcessPool
from limpet.providers.scripted import ScriptedModel, call_tool
from limpet.run import Run
from limpet.tools import Tool, tool

FILE = '''
import os
import time
from pathlib import Path
from limpet import Agent, tool

@tool(pool=True)
def meet(folder: str, name: str, others: list[str]) -> int:
    """Say that we are here, and compute until all others are here too."""
    Path(folder, name).touch()
    until = time.monotonic() + 30
    while not all(Path(folder, other).exists() for other in others):
        if time.monotonic() > until:
            raise TimeoutError("the others did not come")
    print("what is printed is no answer")
    return os.getpid()

@tool(pool=True)
def spin(file: str) -> None:
    """Compute for ever."""
    Path(file).write_text(str(os.getpid()))
    while True:
        pass

@tool(pool=True)
async def count(to: int):
    for number in range(to):
        yield number

@tool(pool=True)
def die() -> None:
    os._exit(3)

@tool(pool=True)
def length(text: str) -> int:
    return len(text)

agent = Agent(model="openai:gpt-5-mini", tools=[meet, spin, count, die, length])
'''


@pytest.fixture
def pool() -> Iterator[ProcessPool]:
    made = ProcessPool(2)
    yield made
    made.close()


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    file = tmp_path / "agent.py"
    file.write_text(FILE, "utf-8")
    return load_agent(FILE, str(file))


def start(agent: Agent, pool: ProcessPool, *calls: Any) -> Run:
    agent = replace(agent, model=ScriptedModel([list(calls), "done"]))
    return agent.run("go", host=replace(create_host(), pool=pool))


async def results(run: Run) -> list[Any]:
    return [event.content async for event in run if isinstance(event, ToolResult)]


async def test_two_tools_compute_at_once_in_two_processes(agent: Agent, pool: ProcessPool, tmp_path: Path) -> None:
    calls = [
        call_tool("meet", name, folder=str(tmp_path), name=name, others=[other])
        for name, other in (("a", "b"), ("b", "a"))
    ]

    pids = await results(start(agent, pool, *calls))

    assert len({*pids, os.getpid()}) == 3
    # They are used again.
    assert await results(start(agent, pool, call_tool("meet", folder=str(tmp_path), name="c", others=[]))) in (
        pids[:1],
        pids[1:],
    )


async def test_more_calls_than_processes_wait_for_their_turn(agent: Agent, pool: ProcessPool, tmp_path: Path) -> None:
    names = ["a", "b", "c", "d"]
    calls = [call_tool("meet", name, folder=str(tmp_path), name=name, others=[]) for name in names]

    pids = await results(start(agent, pool, *calls))

    assert len(pids) == 4
    assert len(set(pids)) <= 2


async def test_a_stop_ends_the_process_and_the_next_call_works(agent: Agent, pool: ProcessPool, tmp_path: Path) -> None:
    file = tmp_path / "spinning"
    run = start(agent, pool, call_tool("spin", file=str(file)))
    stopped = asyncio.create_task(results(run))
    for _ in range(3000):
        if file.exists() and file.read_text():
            break
        await asyncio.sleep(0.01)
    run.cancel()

    assert await asyncio.wait_for(stopped, 30) == []
    await _until_gone(int(file.read_text()))
    assert await results(start(agent, pool, call_tool("length", text="four"))) == [4]


async def test_running_out_of_time_ends_the_process(agent: Agent, pool: ProcessPool, tmp_path: Path) -> None:
    limited = replace(agent, tools=[agent.tools[0], Tool(agent.tools[1].function, pool=True, timeout_seconds=0.2)])
    [pid] = await results(start(agent, pool, call_tool("meet", folder=str(tmp_path), name="a", others=[])))

    told = await results(start(limited, pool, call_tool("spin", file=str(tmp_path / "spinning"))))

    assert told == ["spin did not finish within 0.2 seconds"]
    await _until_gone(pid)


async def test_a_process_that_dies_is_told_and_replaced(agent: Agent, pool: ProcessPool) -> None:
    told = await results(start(agent, pool, call_tool("die")))

    assert told == ["die was broken off: its process ended"]
    assert await results(start(agent, pool, call_tool("length", text="x" * 500_000))) == [500_000]


async def test_progress_comes_through(agent: Agent, pool: ProcessPool) -> None:
    run = start(agent, pool, call_tool("count", to=3))

    told = [event.content async for event in run if isinstance(event, (ToolProgress, ToolResult))]

    assert told == [0, 1, 2]


async def test_a_closed_pool_starts_anew(agent: Agent, pool: ProcessPool) -> None:
    assert await results(start(agent, pool, call_tool("length", text="a"))) == [1]
    pool.close()

    assert await results(start(agent, pool, call_tool("length", text="ab"))) == [2]


def test_one_pool_serves_one_loop_after_the_other(agent: Agent, pool: ProcessPool) -> None:
    told = [asyncio.run(results(start(agent, pool, call_tool("length", text="a")))) for _ in range(2)]

    assert told == [[1], [1]]


async def test_a_tool_that_is_in_no_file_is_refused(pool: ProcessPool) -> None:
    names: dict[str, Any] = {"tool": tool}
    exec("@tool(pool=True)\ndef typed(a: int) -> int:\n    return a\n", names)

    with pytest.raises(ConfigurationError, match="is in no file"):
        await names["typed"].call({"a": 1}, lambda _: None, pool)


async def _until_gone(pid: int) -> None:
    """Wait until a process is over. Raises `TimeoutError`."""
    if sys.platform == "win32":
        return
    for _ in range(1000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        await asyncio.sleep(0.01)
    raise TimeoutError(f"the process {pid} goes on")
