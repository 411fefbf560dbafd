"""Whatever models say, whatever tools do and whenever a run is cancelled: it ends once, and its history is valid."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from hypothesis import given, settings
from hypothesis import strategies as st

from limpet import (
    Agent,
    Event,
    RunEnd,
    RunError,
    ToolCallEnd,
    ToolError,
    ToolResult,
    event_from_wire,
    event_to_wire,
    tool,
)
from limpet.conversation import load_conversation, mend
from limpet.errors import InvalidRequestError, LowConfidenceError, OfflineError, WireFormatError
from limpet.events import RunStart, ToolCallDelta, ToolCallStart, TurnEnd, TurnStart
from limpet.messages import ReasoningPart, TextPart, ToolCallPart
from limpet.model import Finish
from limpet.providers.scripted import Pause, Reply, ScriptedModel
from tests.fakes.host import make_host
from tests.fakes.recorded_run import read


@tool
async def work(steps: int) -> AsyncIterator[int]:
    """Take a few steps."""
    for step in range(min(steps, 3)):
        await asyncio.sleep(0)
        yield step


@tool
def fail(kind: str) -> None:
    """Fail."""
    raise ToolError("failed") if kind == "told" else ValueError("not told")


@tool(requires_approval=True)
def order() -> str:
    """Order something."""
    return "ordered"


ERRORS = [
    OfflineError("no network"),
    WireFormatError("cut off"),
    InvalidRequestError("refused"),
    LowConfidenceError("unsure", confidence=0.1, honest_answer="no tool fits"),
    RuntimeError("a mistake"),
]
call_parts = st.builds(
    ToolCallPart,
    st.uuids().map(str),
    st.sampled_from(["work", "fail", "order", "unknown"]),
    st.sampled_from(["{}", '{"steps": 2}', '{"kind": "told"}', '{"kind": "other"}', "{", "", "null", "[]"]),
)
parts = st.one_of(st.builds(TextPart, st.text(max_size=9)), st.builds(ReasoningPart, st.text(max_size=9)), call_parts)
cut_off = st.builds(
    lambda id: [ToolCallStart(id, "work"), ToolCallDelta(id, '{"steps": 1'), Finish("length")], st.uuids().map(str)
)
finishes = st.sampled_from(["stop", "length", "tool_calls", "content_filter"]).map(lambda reason: [Finish(reason)])  # type: ignore[arg-type]
pieces = st.lists(st.one_of(parts, st.just(Pause(1))), max_size=4)
replies: st.SearchStrategy[Reply] = st.one_of(
    st.sampled_from(ERRORS),
    pieces,
    st.builds(lambda start, end: [*start, *end], pieces, st.one_of(cut_off, finishes)),
    st.builds(lambda start, error: [*start, error], pieces, st.sampled_from(ERRORS)),
)


@settings(max_examples=200, deadline=None)
@given(
    first=st.lists(replies, max_size=4),
    second=st.lists(replies, max_size=4),
    cancel_after=st.none() | st.integers(0, 30),
    approves=st.booleans(),
    moves=st.booleans(),
)
async def test_a_run_ends_once_and_leaves_a_valid_history(
    first: list[Reply], second: list[Reply], cancel_after: int | None, approves: bool, moves: bool
) -> None:
    before = asyncio.all_tasks()
    host = make_host()
    models = [
        ScriptedModel(first, name="a:first", clock=host.clock),
        ScriptedModel(second, name="b:second", clock=host.clock),
    ]
    agent = Agent(model=models, tools=[work, fail, order], max_turns=3, max_parallel_tools=2)

    async def approve(approval: object) -> bool:
        await asyncio.sleep(0)
        return approves

    run = agent.run("go", host=host, conversation_id="c", approve=approve)
    events: list[Event] = []
    for _ in range(30 if cancel_after is None else cancel_after):
        if events and isinstance(events[-1], (RunEnd, RunError)):
            break
        events.append(await anext(run))
    if moves:
        state = json.loads(json.dumps(run.dump()))
        await run.close()
        run = agent.resume(state, host=host, approve=approve)
        assert run.next_event_id == len(events)
    if cancel_after is not None:
        run.cancel()
    is_over = bool(events) and isinstance(events[-1], (RunEnd, RunError))
    if not is_over:
        await read(run, events)

    assert isinstance(events[0], RunStart)
    assert [isinstance(event, (RunEnd, RunError)) for event in events] == [False] * (len(events) - 1) + [True]
    assert sum(isinstance(event, RunStart) for event in events) == 1
    turns = [event.turn for event in events if isinstance(event, TurnStart)]
    assert turns == list(range(1, len(turns) + 1))
    assert len([event for event in events if isinstance(event, TurnEnd)]) <= len(turns) <= 3
    whole = {event.call_id for event in events if isinstance(event, ToolCallEnd)}
    assert {event.call_id for event in events if isinstance(event, ToolResult)} <= whole
    stored = await load_conversation(host.storage, "c")
    assert mend(stored) == stored
    assert all(
        event_from_wire(json.loads(json.dumps(event_to_wire(event, id=0, run_id="r")))) == event for event in events
    )
    assert asyncio.all_tasks() == before
