"""The model suite over `LocalModel`, on a session whose best tokens are what the scenario's answer is made of."""

from __future__ import annotations

import json

import pytest

from limpet.messages import ToolCallPart
from limpet.providers.local import LocalModel
from tests.fakes.host import make_host
from tests.fakes.session import FakeBackend
from tests.inference.test_local import says, session_that_says
from tests.suites.model_suite import SCENARIOS, Prepared, Scenario, run_scenario, scenario_id

CALLS_ONLY = "it answers with calls of tools or not at all"
OBJECT = "the grammar makes it write an object, be it an empty one"
NO_WIRE = "it runs where the agent runs: no server, no stream that could break"
AT_ONCE = "its answer is whole before its first word; test_local.py closes and cancels it while it works"
SKIPS = {
    "plain_text": CALLS_ONLY,
    "empty_answer": CALLS_ONLY,
    "reasoning_before_text": CALLS_ONLY,
    "refusal": CALLS_ONLY,
    "stopped_by_length": CALLS_ONLY,
    "usage_missing": CALLS_ONLY,
    "unknown_event": CALLS_ONLY,
    "surrogate_pair_cut_in_two": CALLS_ONLY,
    "arguments_missing": OBJECT,
    "arguments_empty": OBJECT,
    "arguments_null": OBJECT,
    "broken_frame": NO_WIRE,
    "stream_cut_off": NO_WIRE,
    "stream_cut_off_in_a_call": NO_WIRE,
    "status_401": NO_WIRE,
    "status_429": NO_WIRE,
    "status_429_retry_after": NO_WIRE,
    "status_500": NO_WIRE,
    "closed_half_way": AT_ONCE,
    "cancelled_half_way": AT_ONCE,
}


async def prepare(scenario: Scenario) -> Prepared:
    if scenario.leaves is not None:
        raise ValueError("there is no half way, and waiting for it would take until the time limit")
    calls = [
        {"name": part.name, "arguments": json.loads(part.arguments or "{}")}
        for part in scenario.parts
        if isinstance(part, ToolCallPart)
    ]
    session = session_that_says(says(json.dumps(calls, separators=(",", ":")), thoughts=""), confidence=1.0)
    model = LocalModel("fake", make_host(inference=FakeBackend(session)))
    return Prepared(model, lambda: not session.lock.locked())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=scenario_id)
async def test_model_suite(scenario: Scenario) -> None:
    await run_scenario(scenario, prepare, skips=SKIPS)
