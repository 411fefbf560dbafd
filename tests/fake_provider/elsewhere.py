"""The same questions for a Python elsewhere, in Node or in a page: what it is told to do, and what should come of it.

`tests/hosts/fake_provider_runs.py` does it there, all cases in one process; each is a test here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .answers import Answer, Call, Reasoning
from .faults import FAULTS, Fault
from .promises import PROVIDERS, SECRETS, end_of, provider_of
from .server import FakeProvider

WORDS = "ten minutes, then cold water: Grüße 🐚"
ARGUMENTS = {"label": 'é"🐚', "minutes": 3}
SILENCE_SECONDS = 1.0
PATIENCE_SECONDS = 15.0
BEFORE_HEAD = ("reset_before_head", "close_before_head", "no_http")


@dataclass(frozen=True)
class Case:
    """One run. `does` is "answer", "call" (a tool, then answer) or "cancel" (at the first word)."""

    name: str
    provider: str
    does: str
    fault: Fault | None = None


def make_cases() -> dict[str, Case]:
    """Every format answers and calls; every fault strikes in one format, in turn; every format is cancelled."""
    providers = list(PROVIDERS)
    cases = [Case(f"{provider}-{does}", provider, does) for provider in providers for does in ("answer", "call")]
    for number, kind in enumerate(FAULTS):
        # Damage in a call, where it must not be read over; all else in a text.
        does = "call" if kind == "invalid_utf8" else "answer"
        cases.append(
            Case(f"fault-{kind}", providers[number % len(providers)], does, Fault(kind, at=0.6, framing="close"))
        )
    limited = Fault("status", status=429, retry_after=1.0)
    cases.append(Case("fault-too-many-requests", "anthropic", "answer", limited))
    silent = Fault("silent_body", at=0.9)
    cases += [Case(f"{provider}-cancel", provider, "cancel", silent) for provider in providers]
    return {case.name: case for case in cases}


CASES = make_cases()


def prepare(server: FakeProvider) -> list[dict[str, Any]]:
    """Set the server up for all cases; give what the Python elsewhere is told, as JSON."""
    told = []
    for case in CASES.values():
        scope = server.scope(case.name)
        if case.does == "call":
            call = Call("set_timer", json.dumps(ARGUMENTS, ensure_ascii=False))
            scope.replies.append(Answer.of(Reasoning("Let me think."), call))
        scope.replies.append(Answer.of(WORDS))
        if case.fault is not None:
            scope.faults.append(case.fault)
        provider = provider_of(case.provider)
        # A busy machine must not be taken for a silent one, and a cancelled run must not end by itself.
        is_silent = case.fault is not None and case.fault.kind.startswith("silent") and case.does != "cancel"
        silence = SILENCE_SECONDS if is_silent else PATIENCE_SECONDS
        told.append(
            {
                "name": case.name,
                "provider": provider,
                "does": case.does,
                "base_url": server.base_url(provider, case.name),
                "options": {"timeout_seconds": silence, "max_attempts": 1, **PROVIDERS[case.provider]},
                "secrets": SECRETS,
            }
        )
    return told


def expected_ends(case: Case, *, is_page: bool) -> set[str]:
    """Give the ends that are right."""
    if case.does == "cancel":
        return {"cancelled"}
    kind, error = ("", None) if case.fault is None else (case.fault.kind, end_of(case.fault))
    if is_page and kind in BEFORE_HEAD:
        return {"CorsError"}  # a page isn't told how a request failed; it only finds that the server is there
    ends = {error.__name__ if error else "answered"}
    if is_page and kind == "length_too_long":
        ends.add("WireFormatError")  # what a page has not read yet is thrown away when the connection breaks its word
    return ends


def check(case: Case, result: Mapping[str, Any], server: FakeProvider, *, is_page: bool) -> None:
    """Fail unless what came back, and what the server saw, is right."""
    assert result["end"] in expected_ends(case, is_page=is_page), result
    assert (result["ends"], result["tasks"]) == (1, 0), result
    assert result["ran"] == ([ARGUMENTS] if case.does == "call" and result["end"] == "answered" else []), result
    if result["end"] == "answered":
        assert result["text"] == WORDS
    if case.does == "cancel":
        seen = server.wait_for_close(case.name)
        assert (seen.closed_by, seen.is_complete) == ("client", False)


def abort_milliseconds(result: Mapping[str, Any], server: FakeProvider) -> float:
    """Say how long after `cancel` the server saw the connection closed; clocks of both sides are the machine's."""
    return (server.wait_for_close(str(result["name"])).closed_at - float(result["cancelled_at"])) * 1000
