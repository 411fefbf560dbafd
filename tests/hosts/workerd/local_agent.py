"""The agent of the tests of local models: the model is of random numbers, a grammar and a hook hold it to a call."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import limpet
from limpet import Agent, tool
from limpet.hooks import Hook, RunContext
from limpet.model import ModelRequest


@tool
def light(room: Literal["kitchen", "hall"]) -> str:
    """Switch a light on."""
    return f"light in the {room}"


class Demand(Hook):
    """Has a call made, where the tiny model would make none."""

    async def before_model(self, context: RunContext, request: ModelRequest) -> ModelRequest:
        """Ask for a call."""
        return replace(request, tool_choice="required")


local = limpet.model("local:tiny", act_at=0.0, think=False, grounding=False, max_answer_tokens=512)
agent = Agent(name="worker", model=[local, "openai_compatible:fake"], tools=[light], hooks=[Demand()])
