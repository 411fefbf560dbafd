"""The model suite over `ScriptedModel`: it says what a scenario wants, so this tests the suite as much as the model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limpet.errors import ModelError
from limpet.events import TextDelta, TextStart, Usage
from limpet.messages import Part, ToolCallPart
from limpet.model import Finish
from limpet.providers.scripted import Pause, ScriptedModel, Step
from tests.suites.model_suite import SCENARIOS, Prepared, Scenario, run_scenario, scenario_id

SKIPS = {
    "status_429": "a script asks no server, so nothing is tried again",
    "status_429_retry_after": "a script asks no server, so nothing is tried again",
}


async def prepare(scenario: Scenario) -> Prepared:
    steps: list[Part | Step] = [
        replace(part, id=f"call-{number}") if isinstance(part, ToolCallPart) else part
        for number, part in enumerate(scenario.parts)
    ]
    if scenario.leaves is not None:
        steps = [TextStart("0"), TextDelta("0", "Eggs "), Pause(3600)]
    elif scenario.error is not None:
        error: ModelError = scenario.error("as the script says", provider="scripted", model="model")
        if not scenario.has_started:
            return Prepared(ScriptedModel([error]))
        steps = [TextStart("0"), TextDelta("0", "Eggs "), error]
    else:
        steps.append(Finish(scenario.finish_reason, scenario.usage or Usage()))
    return Prepared(ScriptedModel([steps]))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=scenario_id)
async def test_model_suite(scenario: Scenario) -> None:
    await run_scenario(scenario, prepare, skips=SKIPS)
