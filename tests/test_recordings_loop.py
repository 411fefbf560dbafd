"""Recordings through a whole run: of an answer that breaks off anywhere, no call is run; of a whole one, every call."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limpet import Agent, Host, tool
from limpet.errors import ModelError, WireFormatError
from limpet.events import RunEnd, RunError
from tests.fakes.fetch import FakeFetch
from tests.fakes.host import make_host
from tests.recordings import Recording
from tests.test_recordings import FORMATS, MODELS, SECRETS

NAMES = ("two_tool_calls", "arguments_in_many_deltas", "complete_answer")
WHOLE = 1_000_000


Call = tuple[str, dict[str, object]]


async def run_it(folder: str, name: str, length: int) -> tuple[list[Call], ModelError | None, list[object]]:
    """Run an agent on the first `length` bytes of an answer. Gives the calls that ran, the error, the last events."""
    ran: list[Call] = []

    @tool
    def set_timer(minutes: int, label: str = "") -> str:
        """Set a kitchen timer."""
        ran.append(("set_timer", {"minutes": minutes, "label": label}))
        return "set"

    @tool
    def stop_timers() -> str:
        """Stop all timers."""
        ran.append(("stop_timers", {}))
        return "stopped"

    first = Recording(folder, name).responses("whole", lambda body: body[:length])
    second = Recording(folder, "plain_text").responses("whole")
    host: Host = make_host(fetch=FakeFetch(*first, *second), secrets=SECRETS)
    reference = MODELS[folder]
    model = replace(reference, options={**reference.options, "max_attempts": 1})
    events: list[object] = []
    error = None
    async with asyncio.timeout(20):
        try:
            async for event in Agent(model=model, tools=[set_timer, stop_timers]).run("Ten minutes.", host=host):
                events.append(event)  # noqa: PERF401  # what came before an error counts, too
        except ModelError as failure:
            error = failure
    return ran, error, [event for event in events if isinstance(event, RunEnd | RunError)]


@cache
def size_of(folder: str, name: str) -> int:
    return sum(len(piece) for piece in Recording(folder, name).responses("whole")[0].pieces if isinstance(piece, bytes))


def calls_of(folder: str, name: str) -> list[Call]:
    """Give the calls of an answer as its recording says they are."""
    ends = [delta for delta in Recording(folder, name).expected if delta["type"] == "tool_call_end"]
    return [(end["name"], json.loads(end["arguments"])) for end in ends]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("folder", FORMATS)
async def test_each_call_of_a_whole_answer_runs_once(folder: str, name: str) -> None:
    if name in FORMATS[folder]:
        pytest.skip(FORMATS[folder][name])

    ran, error, ends = await run_it(folder, name, WHOLE)

    assert (ran, error) == (calls_of(folder, name), None)
    assert [type(end) for end in ends] == [RunEnd]


@pytest.mark.parametrize("folder", FORMATS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
async def test_no_call_of_an_answer_that_breaks_off_runs(folder: str, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name in NAMES if name not in FORMATS[folder]]))
    length = data.draw(st.integers(0, size_of(folder, name) - 1))

    ran, error, ends = await run_it(folder, name, length)

    if error is None:  # only numbers and end marks were cut off
        assert ran == calls_of(folder, name)
        assert [type(end) for end in ends] == [RunEnd]
    else:
        assert isinstance(error, WireFormatError)
        assert ran == []
        assert [type(end) for end in ends] == [RunError]
