"""A provider that speaks every wire format on 127.0.0.1 over real sockets, with faults on demand; no key is needed.

    with FakeProvider() as server:
        server.replies.append(Answer.of(Reasoning("Hm."), Call("set_timer", '{"minutes": 3}')))
        server.faults.append(Fault("reset_in_body"))
        model("anthropic:claude", base_url=server.base_url("anthropic"))

Without a script it answers from what was asked: a plain question with text, tools with a call of the first whose
arguments fit, the results of tools with a text, a schema with JSON that fits. `python -m tests.fake_provider` is the
same as a program.
"""

from __future__ import annotations

from .answers import Answer, Call, Question, Reasoning, Text
from .faults import FAULTS, Fault, random_fault
from .record import Scope, SeenConnection, SeenRequest
from .server import PREFIXES, FakeProvider

__all__ = [
    "FAULTS",
    "PREFIXES",
    "Answer",
    "Call",
    "FakeProvider",
    "Fault",
    "Question",
    "Reasoning",
    "Scope",
    "SeenConnection",
    "SeenRequest",
    "Text",
    "random_fault",
]
