"""A thousand runs over real sockets, each struck by a fault: every one ends once, rightly, and leaves nothing behind.

Where the faults strike and how the connection ends is drawn with a seed; `promises.ENDS` says how each should end.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import stat
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from limpet import Agent, tool
from limpet.errors import ModelError, ModelUnavailableError, RateLimitError, WireFormatError
from limpet.events import Event, ModelStart, Retry, RunEnd, RunError, TextDelta, TurnStart
from limpet.host import Host
from limpet.hosts.cpython import create_host
from limpet.model import ModelReference
from limpet.sse import MAX_EVENT_BYTES
from limpet.stores.memory import MemoryStorage
from tests.fake_provider import FAULTS, Answer, Call, FakeProvider, Fault, Reasoning, SeenRequest, random_fault
from tests.fake_provider.promises import ENDS, PROVIDERS, SECRETS, end_of, provider_of

SEED = 20261122
STREAMS = 1000
AT_ONCE = 40
SILENCE_SECONDS = 4.0
PATIENCE_SECONDS = 20.0
"""The silence allowed where none is meant, so that a busy machine is not taken for a silent one."""
LIMIT_SECONDS = 40.0
WORDS = "ten minutes, then cold water: Grüße 🐚"


class QuickClock:
    """The real time, with all pauses cut short."""

    def now(self) -> float:
        return 1_000_000.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.001))


@dataclass
class Case:
    """One run: what the server means to say, the fault, and which of the two questions it strikes."""

    number: int
    provider: str
    fault: Fault
    turn: int
    has_retries: bool
    arguments: str
    events: list[Event]
    ran: list[dict[str, Any]]
    raised: BaseException | None = None
    left: list[str] = field(default_factory=list)
    """The tasks that were still there when the run had just ended."""

    @property
    def scope(self) -> str:
        return f"stream{self.number}"

    def __str__(self) -> str:
        tried = "with" if self.has_retries else "without"
        return f"#{self.number} {self.provider}, turn {self.turn}, {tried} retries, {self.fault}"


def make_cases(count: int = STREAMS) -> Iterator[Case]:
    for number in range(count):
        chance = random.Random(f"{SEED}/{number}")
        arguments = {
            "label": "".join(chance.choices('eggs "\\\n}{é🐚', k=chance.randint(1, 12))),
            "minutes": chance.randint(1, 9999),
            "steps": [chance.choice(("boil", "cool}", "peel")) for _ in range(chance.randint(0, 4))],
        }
        # Every kind of fault in every format, and the rest as it falls.
        kinds = list(FAULTS)
        fault = random_fault(chance)
        fault = replace(fault, kind=kinds[number // len(PROVIDERS) % len(kinds)])
        yield Case(
            number,
            list(PROVIDERS)[number % len(PROVIDERS)],
            fault,
            chance.choice((1, 2)),
            chance.random() < 0.5,
            json.dumps(arguments, ensure_ascii=chance.random() < 0.5),
            [],
            [],
        )


def prepare(server: FakeProvider, case: Case) -> None:
    scope = server.scope(case.scope)
    scope.replies.append(Answer.of(Reasoning("Let me think."), "One moment.", Call("set_timer", case.arguments)))
    scope.replies.append(Answer.of(WORDS))
    scope.faults.extend([None] * (case.turn - 1))
    scope.faults.append(case.fault)


def make_agent(server: FakeProvider, case: Case) -> Agent:
    @tool
    def set_timer(label: str, minutes: int, steps: list[str]) -> str:
        """Set a kitchen timer."""
        case.ran.append({"label": label, "minutes": minutes, "steps": steps})
        return "done"

    provider = provider_of(case.provider)
    options = {
        "timeout_seconds": SILENCE_SECONDS if case.fault.kind.startswith("silent") else PATIENCE_SECONDS,
        "max_attempts": 3 if case.has_retries else 1,
        **PROVIDERS[case.provider],
    }
    base_url = server.base_url(provider, case.scope)
    return Agent(model=ModelReference(provider, "fake", base_url=base_url, options=options), tools=[set_timer])


def make_host() -> Host:
    host = create_host(storage=MemoryStorage(), secrets=SECRETS)
    return replace(host, clock=QuickClock(), random=lambda: 0.5)


async def run_case(server: FakeProvider, case: Case, host: Host) -> None:
    prepare(server, case)
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            async for event in make_agent(server, case).run("eggs, please", host=host):
                case.events.append(event)
    except Exception as error:
        case.raised = error


class Tasks:
    """A task factory that knows which run each task was made for."""

    def __init__(self) -> None:
        self.number: ContextVar[int | None] = ContextVar("number", default=None)
        self._made: dict[int | None, list[asyncio.Task[Any]]] = {}

    def __call__(self, loop: asyncio.AbstractEventLoop, work: Any, **more: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **more)
        if self.number.get() is not None:
            self._made.setdefault(self.number.get(), []).append(task)
        return task

    def left(self) -> list[str]:
        """Give the tasks of the current run that are not done."""
        return [repr(task) for task in self._made.pop(self.number.get(), ()) if not task.done()]


async def run_all(server: FakeProvider, cases: Sequence[Case]) -> None:
    """Run the cases, so many at once; note of each what it leaves behind."""
    host, places, tasks = make_host(), asyncio.Semaphore(AT_ONCE), Tasks()

    async def run(case: Case) -> None:
        async with places:
            tasks.number.set(case.number)
            await run_case(server, case, host)
            case.left = tasks.left()

    loop = asyncio.get_running_loop()
    loop.set_task_factory(tasks)
    try:
        await asyncio.gather(*map(run, cases))
    finally:
        loop.set_task_factory(None)


def is_retried(case: Case, expected: type[ModelError]) -> bool:
    """Whether the model is to be asked again: it may be, the fault is of that kind, and nothing was said yet."""
    after = case.fault.retry_after if case.fault.kind == "status" and case.fault.status == 429 else None
    return case.has_retries and expected.is_retryable and not has_started(case) and (after or 0) < 20


def has_started(case: Case) -> bool:
    """Whether the answer had begun in the attempt that the fault struck: then it is never asked for again."""
    turn = 0
    for event in case.events:
        if isinstance(event, TurnStart):
            turn = event.turn
        elif isinstance(event, Retry):
            return False
        elif isinstance(event, ModelStart) and turn == case.turn:
            return True
    return False


def expected_ends(case: Case) -> set[str]:
    """The ends that are right, as `outcome` writes them."""
    end = end_of(case.fault)
    if case.fault.kind == "invalid_utf8" and is_damage_legible(case):
        end = None
    if end is None:
        return {"answered"}
    ends = {end}
    if case.fault.kind in ("reset_in_body", "reset_in_frame") and not has_started(case):
        ends.add(ModelUnavailableError)  # a reset takes away what wasn't read yet: here it took the head, too
    return {"answered after a retry" if is_retried(case, end) else end.__name__ for end in ends}


def is_damage_legible(case: Case) -> bool:
    """Whether damaged words are handed on with a mark in their place: where the format is text, and no call is hurt."""
    return case.turn == 2 and case.provider not in ("ollama", "bedrock")


def outcome(case: Case) -> str:
    """Say how a run ended, by its events alone."""
    ends = [event for event in case.events if isinstance(event, (RunEnd, RunError))]
    if len(ends) != 1 or case.events[-1] is not ends[0]:
        return f"{len(ends)} ends"
    retries = sum(isinstance(event, Retry) for event in case.events)
    if isinstance(ends[0], RunError):
        return ends[0].name
    return "answered" if retries == 0 else "answered after a retry" if retries == 1 else f"{retries} retries"


def problems_of(case: Case, requests: Sequence[SeenRequest]) -> Iterator[str]:
    ended, meant = outcome(case), json.loads(case.arguments)
    if isinstance(case.raised, TimeoutError):
        yield "hung"
    if case.left:
        yield f"left {case.left}"
    if ended not in expected_ends(case):
        yield f"ended with {ended}, not {' or '.join(sorted(expected_ends(case)))}: {case.raised!r}"
    if (case.raised is None) != ended.startswith("answered") or (case.raised and type(case.raised).__name__ != ended):
        yield f"raised {case.raised!r} after {ended}"
    asked = case.fault.retry_after if case.fault.kind == "status" and case.fault.status == 429 else None
    waited = [event.delay_seconds for event in case.events if isinstance(event, Retry)]
    told = case.raised.retry_after_seconds if isinstance(case.raised, RateLimitError) else asked
    if told != asked or any(seconds < (asked or 0) for seconds in waited):
        yield f"the server asked for {asked} s; waited {waited}, told {told}"
    if any(arguments != meant for arguments in case.ran):
        yield f"a tool ran with {case.ran}, and {meant} was meant"
    is_called = ended.startswith("answered") or case.turn == 2
    if len(case.ran) != is_called:
        yield f"the tool ran {len(case.ran)} times"
    words = "".join(event.text for event in case.events if isinstance(event, TextDelta))
    if ended.startswith("answered") and WORDS not in words.replace("\ufffd", ""):
        yield f"the words are {words[-80:]!r}"
    attempts = sum(request.method == "POST" for request in requests)
    wanted = (2 if is_called else 1) + (ended == "answered after a retry")
    if attempts != wanted:
        yield f"the server was asked {attempts} times, not {wanted}"


@contextmanager
def dropped_generators() -> Iterator[list[str]]:
    """Collect the names of generators that are dropped half-way: the loop closes them in tasks nobody waits for."""
    dropped: list[str] = []
    first, last = sys.get_asyncgen_hooks()

    def note(generator: AsyncGenerator[object, None]) -> None:
        dropped.append(generator.__qualname__)
        last(generator)

    sys.set_asyncgen_hooks(first, note)
    try:
        yield dropped
        gc.collect()
    finally:
        sys.set_asyncgen_hooks(first, last)


def open_sockets() -> int:
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += stat.S_ISSOCK(os.stat(f"/proc/self/fd/{name}").st_mode)
        except OSError:  # it was the listing's own
            continue
    return count


pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts sockets as Linux lists them")


def test_every_fault_has_its_end() -> None:
    assert set(ENDS) == set(FAULTS)


async def test_a_thousand_faults() -> None:
    cases = list(make_cases())
    with FakeProvider() as server, dropped_generators() as dropped:
        before = open_sockets()
        await run_all(server, cases)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        still_open = server.wait_until_quiet()
        after = open_sockets()
        problems = [
            f"{case}: {text}" for case in cases for text in problems_of(case, server.scope(case.scope).requests)
        ]

    assert not problems, "\n".join(problems)
    assert (tasks, still_open, after, Counter(dropped)) == (set(), 0, before, Counter())
    assert len(cases) == STREAMS
    # Were all of them one kind of end, the table would not have been tried.
    ends = Counter(outcome(case) for case in cases)
    assert set(ends) == {
        "answered",
        "answered after a retry",
        "ModelUnavailableError",
        "RateLimitError",
        "WireFormatError",
    }


@pytest.mark.parametrize("name", ["openai", "openai_responses", "anthropic", "gemini", "cohere", "workers_ai"])
async def test_an_event_beyond_the_limit_is_refused(name: str) -> None:
    case = Case(0, name, Fault("huge_event", megabytes=MAX_EVENT_BYTES / 1e6), 2, False, "{}", [], [])
    with FakeProvider() as server:
        server.scope(case.scope).replies.append(Answer.of("small"))
        server.scope(case.scope).faults.append(case.fault)
        with pytest.raises(WireFormatError, match="an event of more than"):
            await make_agent(server, case).run("eggs, please", host=make_host())


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_stop_closes_the_socket(name: str) -> None:
    case = Case(0, name, Fault("silent_body", at=0.9), 2, False, "{}", [], [])
    with FakeProvider() as server:
        server.scope(case.scope).replies.append(Answer.of(WORDS))
        server.scope(case.scope).faults.append(case.fault)
        run = make_agent(server, case).run("eggs, please", host=make_host())
        async for event in run:
            case.events.append(event)
            if isinstance(event, TextDelta):
                run.cancel()
        seen = await asyncio.to_thread(server.wait_for_close, case.scope)

    assert (outcome(case), seen.closed_by, seen.is_complete) == ("answered", "client", False)
    assert isinstance(case.events[-1], RunEnd)
    assert case.events[-1].finish_reason == "cancelled"
