"""The model suite over `LocalChatModel`, on a session that writes what the scenario says."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Literal

import pytest

from limpet.errors import ModelUnavailableError
from limpet.host import LoadProgress
from limpet.messages import TextPart
from limpet.providers.local_chat import LocalChatModel
from tests.fakes.host import make_host
from tests.fakes.session import FakeBackend, FakeSession
from tests.inference.small_chat import CHAT_TOKENIZER, answering, chat_session
from tests.suites.model_suite import SCENARIOS, Prepared, Scenario, run_scenario, scenario_id

ONE_CALL = "it makes one call in an answer"
NO_WIRE = "no bytes of a server are read"
SKIPS = {
    "two_tool_calls": ONE_CALL,
    "arguments_missing": "the grammar lets it write nothing but an object",
    "arguments_empty": "the grammar lets it write nothing but an object",
    "arguments_null": "the grammar lets it write nothing but an object",
    "reasoning_before_text": "it does not think aloud",
    "refusal": "it has no policy of its own",
    "broken_frame": NO_WIRE,
    "stream_cut_off": NO_WIRE,
    "stream_cut_off_in_a_call": NO_WIRE,
    "status_401": "no server wants a key",
    "status_429": "no server is asked, so nothing is tried again",
    "status_429_retry_after": "no server is asked, so nothing is tried again",
    "usage_missing": "it counts for itself",
}
HEAD = '{"name": "set_timer", "arguments": '
CALLS = {
    "arguments_in_many_deltas": '{"minutes": 10, "label": "eggs"}',
    "arguments_empty_object": "{}",
}


class Turns(asyncio.Event):
    """A gate at which others get their turn, and which is always open."""

    async def wait(self) -> Literal[True]:
        await asyncio.sleep(0)
        return True


class BrokenBackend(FakeBackend):
    """Has a model that can't be loaded."""

    async def load(self, model_id: str, progress: LoadProgress) -> FakeSession:
        raise ModelUnavailableError("there is none", provider="local", model=model_id)


def as_asked(scenario: Scenario) -> Scenario:
    """Have a call that must be made, of the tool that is meant; and an end where there is one."""
    request = scenario.request
    if scenario.name in CALLS:
        tools = tuple(tool for tool in request.tools if tool.name == getattr(scenario.parts[0], "name", ""))
        request = replace(request, tools=tools, tool_choice="required")
    if scenario.name == "stopped_by_length":
        request = replace(request, max_output_tokens=len(CHAT_TOKENIZER.encode("Eggs take")))
    return replace(scenario, request=request)


async def prepare(scenario: Scenario) -> Prepared:
    if scenario.error is not None and scenario.name != "status_500":
        raise ValueError("it can't fail in this way")
    text = next((part.text for part in scenario.parts if isinstance(part, TextPart)), "")
    if scenario.name == "stopped_by_length":
        text += " ten minutes."
    session = chat_session(answering(HEAD + CALLS[scenario.name] if scenario.name in CALLS else text))
    session.gate = Turns()
    backend = BrokenBackend(session) if scenario.name == "status_500" else FakeBackend(session)
    return Prepared(LocalChatModel("fake", make_host(inference=backend)), lambda: not session.lock.locked())


@pytest.mark.parametrize("scenario", SCENARIOS, ids=scenario_id)
async def test_model_suite(scenario: Scenario) -> None:
    await run_scenario(as_asked(scenario), prepare, skips=SKIPS)
