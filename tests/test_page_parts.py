"""What the page's worker is made of, as far as it needs no JavaScript: sending, journal, library, the page's tools."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from limpet import Agent, tool
from limpet.conversation import load_conversation
from limpet.entrypoints.event_sender import EventSender
from limpet.entrypoints.library import Library
from limpet.entrypoints.page_tools import PageCalls, PageTool, page_tools
from limpet.entrypoints.run_journal import RunJournal, journal_key, messages_so_far, open_run
from limpet.errors import StorageError, ToolArgumentsError, ToolError, WireError
from limpet.events import Event, RunEnd, TextDelta, ToolCallEnd, ToolResult, TurnEnd, TurnReset, Usage
from limpet.messages import Message, message_to_wire
from limpet.providers.scripted import ScriptedModel, call_tool
from limpet.run import Run
from limpet.stores.memory import MemoryStorage
from limpet.wire import PageToolWire
from tests.fakes.clock import FakeClock
from tests.fakes.host import make_host

COLOUR: PageToolWire = {
    "name": "set_colour",
    "description": "Colour the page.",
    "parameters": {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]},
    "requires_approval": False,
    "is_idempotent": True,
}


# --- sending ---


async def test_a_turn_says_its_cost_where_the_model_has_a_price() -> None:
    reports: list[Any] = []
    sender = EventSender(reports.append, "r")
    for number, model in enumerate(("local:needle", "openai:gpt-5-mini", "openai:unheard-of")):
        sender.add(TurnEnd(number, model, "stop", Usage(input_tokens=1_000_000, output_tokens=1_000_000)), number)
    sender.add(RunEnd("stop", 3, Usage()), 3)

    assert [event.get("cost") for event in reports[0]["events"]] == [0.0, 2.25, None, None]


async def test_events_that_come_together_travel_together() -> None:
    reports: list[Any] = []
    sender = EventSender(reports.append, "r")

    for place in range(3):
        sender.add(TextDelta("0", str(place)), place)
    sender.add(RunEnd("stop", 1, Usage()), 3)

    [report] = reports
    assert [event["id"] for event in report["events"]] == [0, 1, 2, 3]
    assert sender.is_over


async def test_a_run_waits_when_the_page_has_not_asked_for_more() -> None:
    reports: list[Any] = []
    sender = EventSender(reports.append, "r", credits=2)
    sent: list[int] = []

    async def run() -> None:
        for place in range(6):
            sender.add(TextDelta("0", "x"), place)
            sent.append(place)
            await sender.room()

    running = asyncio.create_task(run())
    await _turns()
    assert sent == [0, 1]
    sender.grant(3)
    await _turns()
    assert sent == [0, 1, 2, 3, 4]
    sender.open()
    await asyncio.wait_for(running, 5)

    assert sent == [0, 1, 2, 3, 4, 5]


# --- journal ---


@tool
def look() -> str:
    return "seen"


@tool(is_idempotent=False)
async def pay() -> str:
    await asyncio.Event().wait()
    return "never"


def _journal(run: Run, storage: MemoryStorage, complaints: list[StorageError] | None = None) -> RunJournal:
    def spawn(work: Any) -> None:
        _TASKS.append(asyncio.create_task(work))

    heard = complaints if complaints is not None else []
    return RunJournal(storage, run, "c", spawn=spawn, complain=heard.append)


_TASKS: list[asyncio.Task[None]] = []


async def _turns(count: int = 40) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def _agent(model: ScriptedModel) -> Agent:
    return Agent(model=model, tools=[look, pay])


@pytest.mark.parametrize("events_read", range(1, 12))
async def test_a_run_that_is_broken_off_at_any_event_is_gone_on_with(events_read: int) -> None:
    storage = MemoryStorage()
    host = make_host(storage=storage)
    run = _agent(ScriptedModel([call_tool("look"), "I saw it"])).run("look", host=host, conversation_id="c")
    journal = _journal(run, storage)
    seen: list[Event] = []
    async for event in run:
        await journal.follow(event)
        seen.append(event)
        if len(seen) == events_read:
            break
    await run.close()

    state = await open_run(storage, "c")
    assert state is not None
    kept = messages_so_far(state)
    assert kept[0] == Message.user("look")
    for event in seen:
        if isinstance(event, ToolResult):
            assert [result.content for message in kept for result in message.tool_results] == ["seen"]
    script = ScriptedModel(["I saw it"] if _is_looked(state) else [call_tool("look"), "I saw it"])
    rest = _agent(script).resume(state, host=host)
    result = await rest

    assert result.text == "I saw it"
    assert [message.text for message in await load_conversation(storage, "c")][-1] == "I saw it"


def _is_looked(state: Any) -> bool:
    """Whether the model's first answer, the call, is in the state."""
    return any(part["type"] == "tool_call" for message in state["messages"] for part in message["parts"])


async def test_a_tool_that_must_not_run_twice_is_known_to_have_begun() -> None:
    storage = MemoryStorage()
    host = make_host(storage=storage)
    run = _agent(ScriptedModel([call_tool("pay")])).run("pay", host=host, conversation_id="c")
    journal = _journal(run, storage)
    called = asyncio.Event()

    async def read() -> None:
        async for event in run:
            await journal.follow(event)
            if isinstance(event, ToolCallEnd):
                called.set()

    reading = asyncio.create_task(read())
    await asyncio.wait_for(called.wait(), 5)
    await _turns()
    reading.cancel()
    await asyncio.wait({reading})

    state = await open_run(storage, "c")
    assert state is not None
    rest = _agent(ScriptedModel(["hm"])).resume(state, host=host)
    events = [event async for event in rest]
    [result] = [event for event in events if isinstance(event, ToolResult)]
    assert result.is_error
    assert "not known whether it took effect" in str(result.content)


async def test_a_half_said_answer_is_taken_back_and_said_again() -> None:
    storage = MemoryStorage()
    host = make_host(storage=storage)
    run = _agent(ScriptedModel(["once more"])).run("say", host=host, conversation_id="c")
    journal = _journal(run, storage)
    async for event in run:
        await journal.follow(event)
        if isinstance(event, TextDelta):
            break
    await run.close()

    state = await open_run(storage, "c")
    assert state is not None
    events = [event async for event in _agent(ScriptedModel(["once more"])).resume(state, host=host)]

    assert isinstance(events[0], TurnReset)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "once more"


async def test_a_run_that_is_over_leaves_nothing_behind() -> None:
    storage = MemoryStorage()
    run = _agent(ScriptedModel(["hi"])).run("hi", host=make_host(storage=storage), conversation_id="c")
    journal = _journal(run, storage)
    async for event in run:
        if isinstance(event, RunEnd):
            await journal.end()
        else:
            await journal.follow(event)

    assert await open_run(storage, "c") is None
    assert await storage.keys("runs/") == []


class _FullStorage(MemoryStorage):
    async def put(self, key: str, value: bytes) -> None:
        if key.startswith("runs/"):
            raise StorageError("the store is full", key=key)
        await super().put(key, value)


async def test_a_full_store_is_told_once_and_ends_no_run() -> None:
    storage = _FullStorage()
    run = _agent(ScriptedModel([call_tool("look"), "done"])).run(
        "look", host=make_host(storage=storage), conversation_id="c"
    )
    complaints: list[StorageError] = []
    journal = _journal(run, storage, complaints)
    last = None
    async for event in run:
        await journal.follow(event)
        last = event

    assert isinstance(last, RunEnd)
    assert [error.message for error in complaints] == ["the store is full"]


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{}", b"\xff", b'{"format": 999}'])
async def test_a_journal_that_cannot_be_read_is_none(data: bytes) -> None:
    storage = MemoryStorage()
    await storage.put(journal_key("c"), data)

    assert await open_run(storage, "c") is None


# --- library ---


def _library() -> tuple[Library, MemoryStorage, FakeClock]:
    storage, clock = MemoryStorage(), FakeClock()
    return Library(storage, clock), storage, clock


async def test_conversations_are_listed_by_when_they_were_used() -> None:
    library, _, clock = _library()
    await library.touch("a", "How do I boil an egg?")
    clock.advance(10)
    await library.touch("b", "  And\ntea? ")
    clock.advance(10)
    await library.touch("a", "Something else")

    assert [(entry["conversation_id"], entry["title"]) for entry in await library.list()] == [
        ("a", "How do I boil an egg?"),
        ("b", "And tea?"),
    ]


async def test_a_title_is_short_and_can_be_changed() -> None:
    library, _, _ = _library()
    await library.touch("a", "x" * 100)
    [entry] = await library.list()
    assert len(entry["title"]) == 60

    await library.rename("a", "Eggs")

    assert [entry["title"] for entry in await library.list()] == ["Eggs"]


async def test_what_was_exported_can_be_brought_in() -> None:
    library, storage, _ = _library()
    messages = [Message.user("hello"), Message.assistant("hi")]

    await library.bring_in("a", "Greetings", [message_to_wire(message) for message in messages])

    assert await load_conversation(storage, "a") == messages
    assert [entry["title"] for entry in await library.list()] == ["Greetings"]


@pytest.mark.parametrize("messages", [None, "x", [{"role": "nobody", "parts": []}], [7]])
async def test_what_is_no_conversation_is_refused(messages: Any) -> None:
    library, storage, _ = _library()
    with pytest.raises(WireError):
        await library.bring_in("a", "x", messages)

    assert await storage.keys() == []


async def test_a_branch_has_the_first_messages_and_leaves_the_other_alone() -> None:
    library, storage, _ = _library()
    messages = [Message.user("1"), Message.assistant("2"), Message.user("3"), Message.assistant("4")]
    await library.bring_in("a", "x", [message_to_wire(message) for message in messages])

    await library.cut("b", "a", 2)

    assert await load_conversation(storage, "b") == messages[:2]
    assert await load_conversation(storage, "a") == messages


async def test_erasing_leaves_nothing_of_a_conversation() -> None:
    library, storage, _ = _library()
    for name in ("a", "b"):
        await library.bring_in(name, "x", [message_to_wire(Message.user("secret"))])
        await storage.put(journal_key(name), b"{}")

    await library.erase("a")
    assert [key for key in await storage.keys() if key.endswith("/a")] == []
    assert len(await storage.keys()) == 3
    await library.erase(None)

    assert await storage.keys() == []


# --- the page's tools ---


def _calls() -> tuple[PageCalls, list[Any]]:
    posted: list[Any] = []
    ids = iter(range(100))
    return PageCalls(posted.append, lambda: f"q{next(ids)}"), posted


async def test_a_function_of_the_page_is_called_like_any_tool() -> None:
    calls, posted = _calls()
    model = ScriptedModel([call_tool("set_colour", colour="red"), "done"])
    agent = Agent(model=model, tools=page_tools([], [COLOUR], "a", calls))
    run = agent.run("red, please", host=make_host())
    results: list[Event] = []
    async for event in run:
        if isinstance(event, ToolCallEnd):
            asyncio.get_running_loop().call_soon(_answer, calls, posted)
        if isinstance(event, ToolResult):
            results.append(event)

    request = posted[0]
    assert (request["type"], request["name"], request["arguments"]) == ("tool_request", "set_colour", {"colour": "red"})
    assert [(result.content, result.is_error) for result in results] == [({"was": "blue"}, False)]  # type: ignore[attr-defined]


def _answer(calls: PageCalls, posted: list[Any]) -> None:
    if not posted:
        asyncio.get_running_loop().call_soon(_answer, calls, posted)
        return
    calls.take(
        {
            "type": "tool_output",
            "request_id": posted[0]["request_id"],
            "content": {"was": "blue"},
            "is_error": False,
        }
    )


async def test_what_the_page_refuses_is_an_answer_for_the_model() -> None:
    calls, posted = _calls()
    asked = asyncio.create_task(calls.ask("a", "set_colour", {}))
    await _turns(2)
    calls.take({"type": "tool_output", "request_id": posted[0]["request_id"], "content": "no", "is_error": True})

    with pytest.raises(ToolError, match="no"):
        await asked


async def test_a_call_that_nobody_waits_for_is_taken_back() -> None:
    calls, posted = _calls()
    asked = asyncio.create_task(calls.ask("a", "set_colour", {}))
    await _turns(2)
    asked.cancel()
    await asyncio.wait({asked})
    calls.take({"type": "tool_output", "request_id": posted[0]["request_id"], "content": "late", "is_error": False})

    assert [report["type"] for report in posted] == ["tool_request", "tool_cancel"]


def test_arguments_that_the_schema_requires_must_be_there() -> None:
    calls, _ = _calls()
    page_tool = PageTool(COLOUR, "a", calls)

    assert page_tool.parse('{"colour": "red", "more": 1}') == {"colour": "red", "more": 1}
    with pytest.raises(ToolArgumentsError, match="colour"):
        page_tool.parse("{}")
    assert json.dumps(page_tool.spec.parameters) == json.dumps(COLOUR["parameters"])
