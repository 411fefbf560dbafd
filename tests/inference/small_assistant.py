"""An assistant without models: a session that calls, one that writes, and a back end that has both."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from limpet.host import Host
from limpet.model import ModelReference
from limpet.providers import create_model
from limpet.providers.local_assistant import LocalAssistant
from tests.fakes.host import make_host
from tests.fakes.session import FakeSession
from tests.inference.small import TOKENIZER, tokenizer_json
from tests.inference.small_chat import answering, chat_session
from tests.inference.small_embedding import Models

CALL = '[{"name":"set_timer","arguments":{"minutes":10,"label":"eggs"}}]'


def calling(calls: str = CALL, *, confidence: float = 1.0, thought: str = "\neggs, ten") -> FakeSession:
    """Give a session that makes these calls, after a thought."""
    target = TOKENIZER.encode_template(f"{thought}\n</think>\n<tool_call>{calls}</tool_call><|im_end|>")
    think, end = TOKENIZER.markers["<think>"], TOKENIZER.markers["<|im_end|>"]

    def rank(sequence: list[int]) -> list[int]:
        if think not in sequence:
            return [0]
        place = len(sequence) - sequence.index(think) - 1
        return target[place : place + 1] or [end]

    return FakeSession(rank, files={"tokenizer.json": tokenizer_json()}, scalars={"confidence": confidence})


def writing(*answers: str) -> FakeSession:
    """Give a session that writes an answer, its tokens 90 % sure each."""
    return chat_session(answering(*answers), context_length=4096)


class Assistant:
    """An assistant and what it is made of; without `chat` the chat model isn't there."""

    def __init__(self, caller: FakeSession, chat: FakeSession | None = None, **options: object) -> None:
        self.models = Models({"needle": caller} | ({"smollm2": chat} if chat is not None else {}))
        numbers = count()
        self.host: Host = replace(make_host(inference=self.models), new_id=lambda: f"call-{next(numbers)}")
        model = create_model(ModelReference("local", "assistant", options=options), self.host)
        assert isinstance(model, LocalAssistant)
        self.model = model
