"""Tools that are called in another interpreter: what a host's pool is asked, and what an interpreter of it answers."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from limpet import Agent, Tool, ToolResult, tool
from limpet.entrypoints.pool_worker import answer
from limpet.errors import ConfigurationError, ToolError
from limpet.hosts.pool_wire import call_text, content_of
from limpet.providers.scripted import ScriptedModel, call_tool
from limpet.wire import Json, JsonObject
from tests.fakes.host import make_host


@dataclass
class Point:
    x: int
    y: int = 0


@tool(pool=True)
def mirror(point: Point) -> Point:
    """Mirror a point."""
    return Point(-point.x, -point.y)


class FakePool:
    """Notes what it is asked and answers with what the test gave; a call that never ends notes that it was ended."""

    def __init__(self, content: Json | Exception = None, *, ends: bool = True) -> None:
        self._content = content
        self._ends = ends
        self.asked: list[tuple[str, JsonObject]] = []
        self.ended = 0

    async def call(
        self, function: Callable[..., Any], name: str, arguments: JsonObject, on_progress: Callable[[Json], None], /
    ) -> Json:
        self.asked.append((name, arguments))
        on_progress("half")
        try:
            if not self._ends:
                await asyncio.get_running_loop().create_future()
        finally:
            self.ended += 1
        if isinstance(self._content, Exception):
            raise self._content
        return self._content


async def results(*tools: Tool[..., Any], pool: FakePool | None, **arguments: Json) -> list[tuple[Json, bool]]:
    model = ScriptedModel([call_tool(tools[0].name, **arguments), "done"])
    run = Agent(model=model, tools=tools).run("go", host=replace(make_host(), pool=pool))
    return [(event.content, event.is_error) async for event in run if isinstance(event, ToolResult)]


async def test_a_pool_is_given_plain_arguments_and_its_answer_is_the_result() -> None:
    pool = FakePool({"x": -1, "y": 2})

    told = await results(mirror, pool=pool, point={"x": "1"})

    assert told == [({"x": -1, "y": 2}, False)]
    assert pool.asked == [("mirror", {"point": {"x": 1, "y": 0}})]


async def test_a_tool_that_wants_no_pool_is_called_here() -> None:
    pool = FakePool()
    here = Tool(mirror.function, name="here")

    told = await results(here, pool=pool, point={"x": 1})

    assert (told, pool.asked) == ([({"x": -1, "y": 0}, False)], [])


async def test_a_host_without_a_pool_warns_and_calls_the_tool_here() -> None:
    with pytest.warns(RuntimeWarning, match="no pool: mirror is called here"):
        told = await results(mirror, pool=None, point={"x": 1})

    assert told == [({"x": -1, "y": 0}, False)]


async def test_running_out_of_time_ends_the_call_in_the_pool() -> None:
    pool = FakePool(ends=False)
    limited = Tool(mirror.function, pool=True, timeout_seconds=0.01, retries=1)

    told = await results(limited, pool=pool, point={"x": 1})

    assert told == [("mirror did not finish within 0.01 seconds", True)]
    assert (len(pool.asked), pool.ended) == (2, 2)


async def test_a_stop_ends_the_call_in_the_pool() -> None:
    pool = FakePool(ends=False)
    model = ScriptedModel([call_tool("mirror", point={"x": 1}), "done"])
    run = Agent(model=model, tools=[mirror]).run("go", host=replace(make_host(), pool=pool))

    events = []
    async for event in run:
        events.append(event.type)
        if event.type == "tool_progress":
            run.cancel()

    assert events[-1] == "run_end"
    assert pool.ended == 1


async def test_the_model_is_told_a_tool_error_whole_and_of_others_the_name() -> None:
    assert await results(mirror, pool=FakePool(ToolError("too far")), point={"x": 1}) == [("too far", True)]
    assert await results(mirror, pool=FakePool(ValueError("x")), point={"x": 1}) == [
        ("the tool failed: ValueError", True)
    ]


def test_a_time_limit_needs_a_function_that_waits_or_a_pool() -> None:
    with pytest.raises(ConfigurationError, match="pool=True"):
        Tool(mirror.function, timeout_seconds=1)
    assert Tool(mirror.function, timeout_seconds=1, pool=True).timeout_seconds == 1


# --- an interpreter of a pool ---

FILE = """
import sys
from limpet import Agent, ToolError, tool

loads = sys.modules.setdefault("limpet_test_loads", [])
loads.append(__name__)

@tool(pool=True)
def add(a: int, b: int = 1) -> int:
    return a + b

@tool
async def count(to: int):
    for number in range(to):
        yield number

@tool
def refuse() -> None:
    raise ToolError("not today")

@tool
def fail() -> None:
    raise KeyError("secret")

@tool
def leave() -> None:
    raise SystemExit

def make():
    @tool
    def inner() -> str:
        return "inner"
    return inner

agent = Agent(model="openai:gpt-5-mini", tools=[make()])
"""


class _Named:
    """A function as far as a call needs it."""

    def __init__(self, qualname: str) -> None:
        self.__qualname__ = qualname

    def __call__(self) -> None: ...


async def ask(name: str, qualname: str = "", source: str = FILE, **arguments: Json) -> tuple[Json, list[Json]]:
    progress: list[Json] = []
    text = call_text(_Named(qualname or name), name, arguments, {"file": "agent.py", "source": source})
    reply = await answer(text, lambda content: progress.append(json.loads(content)))
    return content_of(reply), progress


async def test_the_file_is_run_once_and_its_tools_are_called_by_name() -> None:
    sys.modules.pop("limpet_test_loads", None)

    assert await ask("add", a=2) == (3, [])
    assert await ask("add", a=2, b=5) == (7, [])
    assert await ask("inner", "make.<locals>.inner") == ("inner", [])
    assert sys.modules.pop("limpet_test_loads") == ["limpet_agent_file"]


async def test_progress_is_reported() -> None:
    assert await ask("count", to=3) == (2, [0, 1])


async def test_what_a_tool_raises_is_raised_again() -> None:
    with pytest.raises(ToolError, match="not today"):
        await ask("refuse")
    with pytest.raises(Exception, match=r"KeyError: 'secret'") as raised:
        await ask("fail")
    with pytest.raises(Exception, match="SystemExit") as left:
        await ask("leave")

    assert [type(error.value).__name__ for error in (raised, left)] == ["KeyError", "SystemExit"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (FILE, "agent.py: the tool gone is neither a global there nor a global agent's tool"),
        ("1 +", "agent.py, line 1: invalid syntax"),
        ("raise OSError('disk')", "agent.py, line 1: OSError: disk"),
    ],
    ids=["no such tool", "no Python", "fails"],
)
async def test_a_tool_that_cannot_be_found_is_a_mistake_of_the_set_up(source: str, message: str) -> None:
    with pytest.raises(Exception, match="ConfigurationError") as raised:
        await ask("gone", source=source)

    assert type(raised.value).__name__ == "ConfigurationError"
    assert message in str(raised.value)


async def test_a_tool_of_a_module_is_imported() -> None:
    text = call_text(mirror.function, "mirror", {"point": {"x": 3}}, {"module": __name__})

    assert content_of(await answer(text, lambda _: None)) == {"x": -3, "y": 0}
