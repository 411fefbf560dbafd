"""Whatever hooks do and whenever a run is cancelled, moved or out of time: it ends once, and its history is valid."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from limpet import (
    Agent,
    Event,
    Hook,
    HookError,
    Host,
    Message,
    ModelRequest,
    Redo,
    RunContext,
    RunEnd,
    RunError,
    Skip,
    Stop,
    TextPart,
    ToolCallEnd,
    ToolCallPart,
    ToolError,
    ToolResult,
    ToolResultPart,
    tool,
)
from limpet.conversation import load_conversation, mend
from limpet.errors import AgentError, TimeLimitError
from limpet.events import HookAction, OutputUpdate, RunStart, TextDelta, ToolCallDelta, TurnEnd, TurnStart
from limpet.hooks import POINTS
from limpet.messages import ReasoningPart
from limpet.model import Finish
from limpet.providers.scripted import Pause, Reply, ScriptedModel
from limpet.run import Run
from tests.fakes.clock import FakeClock
from tests.fakes.host import make_host
from tests.fakes.reading import read_into
from tests.fakes.recorded_run import SlowStorage

FAILS = ("raise", "refuse", "cancelled", "wrong", "spoil")
"""What a hook may not do, and what then ends the run with its name."""
ACTS: Mapping[str, Skip | Redo | Stop] = {"skip": Skip("skipped"), "redo": Redo("again"), "stop": Stop("stopped")}


@dataclass
class Answer:
    word: str
    size: int = 0


@dataclass(frozen=True)
class Does:
    """What a hook does once; `pauses` is how often it lets others go on, None for a plain function."""

    verb: str
    pauses: int | None = None


class Chaos(Hook):
    """Does one thing after another at each point, and lets all pass when nothing is left to do.

    Its script is outside of the run, as the world is: who goes on with the run elsewhere goes on with it.
    """

    def __init__(self, world: World, name: str, script: Mapping[str, Sequence[Does]]) -> None:
        self._world = world
        self._name = name
        for point, does in {"on_turn_end": (), **script}.items():
            setattr(self, point, self._at(point, list(does)))

    @property
    def name(self) -> str:
        return self._name

    def _at(self, point: str, left: list[Does]) -> Callable[..., Any]:
        def ask(context: RunContext, *values: Any) -> Any:
            if self._world.failed:
                self._world.complaints.append(f"{self._name} was asked after one had failed")
            does = left.pop(0) if left else Does("pass")
            return self._do(point, does, values) if does.pauses is None else self._later(point, does, values)

        return ask

    async def _later(self, point: str, does: Does, values: Sequence[Any]) -> Any:
        for _ in range(does.pauses or 0):
            await asyncio.sleep(0)
        given = self._do(point, does, values)
        return await given if inspect.isawaitable(given) else given

    def _do(self, point: str, does: Does, values: Sequence[Any]) -> Any:
        verb, value = does.verb, values[-1]
        if verb == "spoil" and (point in ("before_model", "on_turn_end") or spoilt(value) is None):
            return None
        if verb in FAILS:
            self._world.failed.append(self._name)
        match verb:
            case "skip" | "redo" | "stop":
                if point == "on_delta" and verb == "skip" and isinstance(value, ToolCallDelta):
                    self._world.failed.append(self._name)
                self._world.acted.append((self._name, point, verb))
                return ACTS[verb]
            case "rewrite":
                return None if point == "on_turn_end" else rewritten(value)
            case "spoil":
                return spoilt(value)
            case "wrong":
                return "yes"
            case "raise":
                raise ValueError("the key is sk-1")
            case "refuse":
                raise ToolError("I can't")
            case "cancelled":
                raise asyncio.CancelledError
            case "leave":
                self._world.run.cancel()
            case "hang":
                return self._world.clock.sleep(5)
        return None


def rewritten(value: Any) -> Any:
    match value:
        case ModelRequest():
            return replace(value, temperature=0.5)
        case Message():
            return replace(value, parts=(TextPart('{"word": "new"}'), *value.tool_calls[1:]))
        case ToolCallPart():
            return replace(value, id="another", arguments='{"steps": 1}')
        case ToolResultPart():
            return replace(value, id="another", name="another", content={"was": value.content})
        case TextDelta():
            return replace(value, part_id="another", text=value.text.upper())
    return None


def spoilt(value: Any) -> Any:
    """Give something of the right type that a history can't hold, None where there is no such thing."""
    match value:
        case Message():
            return replace(value, role="user")
        case ToolResultPart():
            return replace(value, content={1, 2})
        case ToolCallDelta():
            return replace(value, arguments="{}")
    return None


class World:
    """An agent, its host and what was done there."""

    def __init__(
        self, replies: Sequence[Reply], scripts: Sequence[Mapping[str, Sequence[Does]]], settings: Mapping[str, Any]
    ) -> None:
        self.clock = FakeClock()
        self.host: Host = make_host(clock=self.clock, storage=SlowStorage())
        self.failed: list[str] = []
        self.acted: list[tuple[str, str, str]] = []
        self.worked: list[int] = []
        self.complaints: list[object] = []
        left = list(replies)

        @tool
        async def work(steps: int = 0) -> int:
            """Take a few steps."""
            self.worked.append(steps)
            for _ in range(min(steps, 3)):
                await asyncio.sleep(0)
            return steps

        @tool(requires_approval=True)
        def order() -> str:
            """Order something."""
            raise ToolError("sold out")

        def answer(request: ModelRequest) -> Reply:
            assert mend(request.messages) == list(request.messages)
            return left.pop(0) if left else '{"word": "end"}'

        self.model = ScriptedModel([answer] * 99, clock=self.clock)
        hooks = [Chaos(self, f"hook {number}", script) for number, script in enumerate(scripts)]
        self.agent = Agent(self.model, [work, order], hooks=hooks, max_parallel_tools=2, **settings)
        self.run: Run = self.agent.run("go", host=self.host, conversation_id="c", approve=self.approve)

    async def approve(self, approval: object) -> bool:
        await asyncio.sleep(0)
        return len(self.worked) % 2 == 0

    def move(self) -> int:
        """Go on with the run as another process would; gives the number of its next event."""
        state = json.loads(json.dumps(self.run.dump()))
        self.run = self.agent.resume(state, host=self.host, approve=self.approve)
        return self.run.next_event_id


ids = st.uuids().map(str)
call_parts = st.builds(
    ToolCallPart,
    ids,
    st.sampled_from(["work", "work", "order", "unknown"]),
    st.sampled_from(["{}", '{"steps": 2}', "{"]),
)
texts = st.sampled_from(["", "hello you there", '{"word": "a", "size": 1}', 'So {"word": "a"} it is', '{"word": 1}'])
parts = st.one_of(st.builds(TextPart, texts), st.builds(ReasoningPart, texts), call_parts, call_parts)
replies: st.SearchStrategy[Reply] = st.one_of(
    st.lists(st.one_of(parts, st.just(Pause(1))), max_size=4),
    st.builds(lambda start: [*start, Finish("length")], st.lists(parts, max_size=2)),
    st.builds(lambda start: [*start, RuntimeError("a mistake")], st.lists(parts, max_size=2)),
)
verbs = st.sampled_from(["pass", "pass", "rewrite", "rewrite", "skip", "redo", "redo", "stop", "leave", "hang", *FAILS])
does = st.builds(Does, verbs, st.sampled_from([None, None, 0, 1, 3]))
scripts = st.fixed_dictionaries({}, optional={point: st.lists(does, max_size=3) for point in POINTS})
agent_settings = st.fixed_dictionaries(
    {"max_turns": st.integers(1, 4), "max_reasks": st.integers(0, 2), "output_type": st.sampled_from([str, Answer])},
    optional={"output_mode": st.sampled_from(["tool", "prompted"]), "max_seconds": st.integers(1, 4)},
)


@settings(max_examples=400, deadline=None)
@given(
    replies=st.lists(replies, max_size=3),
    scripts=st.lists(scripts, min_size=1, max_size=2),
    settings=agent_settings,
    ticks=st.integers(0, 60),
    then=st.sampled_from(["nothing", "cancel", "move"]),
)
async def test_a_run_with_hooks_ends_once_with_a_history_that_is_whole(
    replies: list[Reply], scripts: list[dict[str, list[Does]]], settings: dict[str, Any], ticks: int, then: str
) -> None:
    before = asyncio.all_tasks()
    world = World(replies, scripts, settings)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: world.complaints.append(context))
    events: list[Event] = []

    async with asyncio.timeout(10):
        error = await play(world, events, ticks, then)

    check_events(world, events)
    if error is not None:
        assert isinstance(events[-1], RunError)
    if world.failed and then == "nothing" and not isinstance(error, TimeLimitError):
        assert isinstance(error, HookError), error
        assert error.hook == world.failed[0]
        assert error.hook in error.message
        assert "sk-1" not in error.message
    assert isinstance(error, (AgentError, RuntimeError, type(None))), error
    stored = await load_conversation(world.host.storage, "c")
    assert mend(stored) == stored
    assert asyncio.all_tasks() == before
    assert world.complaints == []


async def play(world: World, events: list[Event], ticks: int, then: str) -> Exception | None:
    """Read the run to its end, with what happens to it after some ticks."""
    first = world.run
    reading = asyncio.ensure_future(read_into(first, events))
    for _ in range(ticks):
        if not reading.done():
            await asyncio.sleep(0)
    if then == "cancel":
        first.cancel()
    if then != "move" or reading.done():
        return await reading
    heard = len(events)
    assert world.move() == heard
    await first.close()
    await reading
    del events[heard:]  # it was dumped before
    world.failed.clear()
    return await read_into(world.run, events)


def check_events(world: World, events: list[Event]) -> None:
    """Fail unless all is told once, and in order."""
    assert [isinstance(event, RunStart) for event in events] == [True] + [False] * (len(events) - 1)
    assert [isinstance(event, (RunEnd, RunError)) for event in events] == [False] * (len(events) - 1) + [True]
    turns = [event.turn for event in events if isinstance(event, TurnStart)]
    assert turns == list(range(1, len(turns) + 1))
    ended = [event.turn for event in events if isinstance(event, TurnEnd)]
    assert ended == sorted(set(ended))
    assert set(ended) <= set(turns)
    results = [event.call_id for event in events if isinstance(event, ToolResult)]
    assert len(results) == len(set(results))
    assert set(results) <= {event.call_id for event in events if isinstance(event, ToolCallEnd)}
    assert len([event for event in events if isinstance(event, OutputUpdate) and event.is_whole]) <= len(turns)
    told = [
        (event.hook, event.point, event.action)
        for event in events
        if isinstance(event, HookAction) and event.action != "rewrite"
    ]
    for action in set(told):
        assert told.count(action) <= world.acted.count(action), f"{action} was told too often"
