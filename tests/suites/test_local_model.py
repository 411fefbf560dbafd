"""The model suite over `LocalModel`: a session that ranks as a scenario says, and Needle itself where it is built.

The local model only calls tools. What it says in words are its tools' results, so the scenarios of plain text ask it
to tell these.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from limpet.errors import ModelUnavailableError
from limpet.events import ReasoningDelta, ReasoningEnd, ReasoningStart
from limpet.host import LoadProgress
from limpet.messages import Message, TextPart, ToolCallPart, ToolResultPart
from limpet.model import Delta, ModelRequest
from limpet.providers.local import LocalModel
from tests.fakes.host import make_host
from tests.fakes.session import FakeBackend, FakeSession
from tests.inference.small import TOKENIZER, tokenizer_json
from tests.suites.model_suite import ERRAND, QUESTION, SCENARIOS, Prepared, Scenario, run_scenario, scenario_id

ROOT = Path(__file__).resolve().parents[2]
NO_TEXT = "it says nothing in words but its tools' results"
NO_WIRE = "no bytes of a server are read"
OBJECTS_ONLY = "the grammar lets it write nothing but an object"
SKIPS = {
    "arguments_missing": OBJECTS_ONLY,
    "arguments_empty": OBJECTS_ONLY,
    "arguments_null": OBJECTS_ONLY,
    "reasoning_before_text": NO_TEXT,
    "refusal": NO_TEXT,
    "stopped_by_length": NO_TEXT,
    "broken_frame": NO_WIRE,
    "stream_cut_off": NO_WIRE,
    "stream_cut_off_in_a_call": NO_WIRE,
    "status_401": "no server wants a key",
    "status_429": "no server is asked, so nothing is tried again",
    "status_429_retry_after": "no server is asked, so nothing is tried again",
    "cancelled_half_way": "its answer is whole before the first word; tests/inference cancels it while it thinks",
}
CALLS = {
    "two_tool_calls": '[{"name":"stop_timers","arguments":{}},'
    '{"name":"set_timer","arguments":{"minutes":10,"label":"eggs"}}]',
    "arguments_in_many_deltas": '[{"name":"set_timer","arguments":{"minutes":10,"label":"eggs"}}]',
    "arguments_empty_object": '[{"name":"stop_timers","arguments":{}}]',
}
BY_NEEDLE = [scenario for scenario in SCENARIOS if scenario.name in CALLS]


class BrokenBackend(FakeBackend):
    """Has a model that can't be loaded."""

    async def load(self, model_id: str, progress: LoadProgress) -> FakeSession:
        raise ModelUnavailableError("there is none", provider="local", model=model_id)


def session_that_calls(calls: str) -> FakeSession:
    """Give a session that writes these calls, without a thought."""
    target = TOKENIZER.encode_template(f"\n</think>\n<tool_call>{calls}</tool_call><|im_end|>")
    think, end = TOKENIZER.markers["<think>"], TOKENIZER.markers["<|im_end|>"]

    def rank(sequence: list[int]) -> list[int]:
        if think not in sequence:
            return [0]
        place = len(sequence) - sequence.index(think) - 1
        return target[place : place + 1] or [end]

    return FakeSession(rank, files={"tokenizer.json": tokenizer_json()})


def as_asked(scenario: Scenario) -> Scenario:
    """Have a plain text told as the result of a tool."""
    if scenario.request is not QUESTION or scenario.error is not None:
        return scenario
    text = next((part.text for part in scenario.parts if isinstance(part, TextPart)), "")
    call = Message("assistant", (ToolCallPart("1", "look_up", "{}"),), model="local:fake")
    result = Message("tool", (ToolResultPart("1", "look_up", text),))
    return replace(scenario, request=ModelRequest((*QUESTION.messages, call, result)))


async def prepare(scenario: Scenario) -> Prepared:
    session = session_that_calls(CALLS.get(scenario.name, "[]"))
    backend = BrokenBackend(session) if scenario.name == "status_500" else FakeBackend(session)
    model = LocalModel("fake", make_host(inference=backend))
    return Prepared(model, lambda: not session.lock.locked())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=scenario_id)
async def test_model_suite(scenario: Scenario) -> None:
    if scenario.name == "status_500":  # nothing is loaded for a question without tools
        scenario = replace(scenario, request=ERRAND)
    await run_scenario(as_asked(scenario), prepare, skips=SKIPS)


class Silent:
    """A model whose thoughts, which no scenario can know, are left out."""

    def __init__(self, model: LocalModel) -> None:
        self._model = model
        self.info = model.info

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
        async with aclosing(self._model.stream(request)) as stream:  # type: ignore[type-var]
            async for delta in stream:
                if not isinstance(delta, (ReasoningStart, ReasoningDelta, ReasoningEnd)):
                    yield delta


@pytest.mark.timeout(300)
async def test_model_suite_needle() -> None:
    if find_spec("onnxruntime") is None:
        pytest.skip("onnxruntime is not installed")
    models_dir = Path(os.environ.get("LIMPET_BUILD") or ROOT / "build") / "models"
    if not models_dir.joinpath("needle", "model.json").is_file():
        pytest.skip("the needle model is not built: python3 build.py models")
    backend = import_module("limpet.hosts.onnx_session").OnnxBackend(models_dir)
    model = LocalModel("needle", make_host(inference=backend))

    async def prepare_needle(_: Scenario) -> Prepared:
        return Prepared(Silent(model))

    for scenario in BY_NEEDLE:
        await run_scenario(scenario, prepare_needle)
    await (await backend.load("needle", lambda *_: None)).close()
