"""The model suite over `LocalAssistant`. It says nothing of its own, so texts are asked for as results of a tool."""

from __future__ import annotations

from dataclasses import replace

import pytest

from limpet.model import Model
from limpet.providers import create_model
from tests.fakes.host import make_host
from tests.inference.small_assistant import Assistant, calling, writing
from tests.suites.model_suite import ERRAND, SCENARIOS, Prepared, Scenario, run_scenario, scenario_id
from tests.suites.test_local_model import CALLS, SKIPS, BrokenBackend, as_asked

SKIPPED = {**SKIPS, "usage_missing": "the words that were not said are counted"}


async def prepare(scenario: Scenario) -> Prepared:
    calls, words = calling(CALLS.get(scenario.name, "[]"), thought=""), writing("Nothing that was returned.")
    model: Model = Assistant(calls, words).model
    if scenario.name == "status_500":
        model = create_model("local:assistant", make_host(inference=BrokenBackend(calls)))
    return Prepared(model, lambda: not calls.lock.locked() and not words.lock.locked())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=scenario_id)
async def test_model_suite(scenario: Scenario) -> None:
    if scenario.name == "status_500":  # nothing is loaded for a question without tools
        scenario = replace(scenario, request=ERRAND)
    await run_scenario(as_asked(scenario), prepare, skips=SKIPPED)
