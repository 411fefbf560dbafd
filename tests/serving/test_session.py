"""A conversation in its place: turns, followers, approvals, and what a crash at any moment leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from limpet import Agent, TextPart, tool
from limpet.events import Usage
from limpet.messages import ToolResultPart
from limpet.model import ModelRequest, ToolSpec
from limpet.providers.scripted import Pause, Reply, ScriptedModel, call_tool
from limpet.serving.http import HttpError
from limpet.serving.journal import Entry, Journal
from limpet.serving.session import MOST_STARTS, MOST_WAITING, Ports, Session
from limpet.stores.memory import MemoryStorage
from tests.fakes.host import make_host

launched: list[str] = []


@tool(requires_approval=True)
def wipe(what: str) -> str:
    """Wipe something."""
    return f"wiped {what}"


@tool(is_idempotent=False)
async def launch(name: str) -> str:
    """Launch a rocket."""
    launched.append(name)
    await asyncio.Event().wait()
    return "launched"


class Disk(MemoryStorage):
    """A store of which a crash leaves what was there at the last `sync`."""

    def __init__(self, data: Mapping[str, bytes] | None = None) -> None:
        super().__init__(data)
        self.synced: dict[str, bytes] = dict(data or {})
        self.syncs = 0

    async def sync(self) -> None:
        self.syncs += 1
        self.synced = dict(self._data)


def open_session(
    *replies: Reply | Callable[[ModelRequest], Reply], disk: Disk | None = None
) -> tuple[Session, Disk, list[tuple[str, Usage]]]:
    disk = disk or Disk()
    spent: list[tuple[str, Usage]] = []
    logged: list[BaseException] = []

    async def wake(_: float | None) -> None:
        pass

    async def meter(model: str, usage: Usage) -> None:
        spent.append((model, usage))

    agent = Agent(model=ScriptedModel(list(replies)), tools=[wipe, launch])
    session = Session(agent, make_host(storage=disk), "c", Ports(disk.sync, wake, meter, logged.append))
    return session, disk, spent


async def follow(session: Session, after: int, run_id: str | None = None) -> list[Entry]:
    return [entry async for batch in session.follow(after, run_id=run_id) for entry in batch]


async def say(session: Session, text: str, **more: Any) -> list[Entry]:
    await session.open()
    run_id, before = await session.start([TextPart(text)], **more)
    return await follow(session, before, run_id)


def types(entries: list[Entry]) -> list[str]:
    return [entry.event["type"] for entry in entries]


async def test_a_run_is_told_and_kept() -> None:
    session, disk, spent = open_session("Hello there.")
    entries = await say(session, "hi")
    await session.wait_until_idle()

    assert [entry.id for entry in entries] == list(range(1, len(entries) + 1))
    assert types(entries) == [
        *("run_start", "turn_start", "model_start", "text_start", "text_delta", "text_delta", "text_end"),
        *("turn_end", "run_end"),
    ]
    assert [message.text for message in await session.messages()] == ["hi", "Hello there."]
    assert spent == [("scripted:model", Usage(8, 4))]
    assert await Journal(disk).open_run() is None
    assert await follow(session, 3) == entries[3:]


async def test_runs_take_turns_and_not_too_many_wait() -> None:
    session, _, _ = open_session(*["Yes."] * (MOST_WAITING + 1))
    await session.open()
    first = await session.start([TextPart("0")])
    waiting = [asyncio.create_task(session.start([TextPart(str(number))])) for number in range(1, MOST_WAITING + 1)]
    await asyncio.sleep(0)
    with pytest.raises(HttpError) as caught:
        await session.start([TextPart("one too many")])
    starts = [first, *await asyncio.gather(*waiting)]
    await session.wait_until_idle()

    assert caught.value.status == 429
    assert [before for _, before in starts] == sorted(before for _, before in starts)
    texts = [message.text for message in await session.messages()]
    assert texts == [text for number in range(MOST_WAITING + 1) for text in (str(number), "Yes.")]


async def test_nothing_is_told_that_is_not_on_disk() -> None:
    session, disk, _ = open_session("One two three.")
    await session.open()
    run_id, before = await session.start([TextPart("hi")])
    async for batch in session.follow(before, run_id=run_id):
        on_disk = Journal(MemoryStorage(disk.synced))
        await on_disk.open()
        assert on_disk.last_id >= batch[-1].id


async def test_a_run_whose_client_leaves_is_cancelled_unless_it_is_a_background_run() -> None:
    for is_background, reason in ((False, "cancelled"), (True, "stop")):
        session, _, _ = open_session([TextPart("One"), Pause(1), TextPart("two.")])
        await session.open()
        run_id, before = await session.start([TextPart("hi")], is_background=is_background)
        session.leave(run_id)
        entries = await follow(session, before, run_id)
        assert entries[-1].event["finish_reason"] == reason  # type: ignore[typeddict-item]  # the last is a run_end


async def test_an_approval_counts_once() -> None:
    session, _, _ = open_session([call_tool("wipe", what="disk")], "Done.")
    await session.open()
    run_id, before = await session.start([TextPart("go")])
    async for batch in session.follow(before, run_id=run_id):
        if batch[-1].event["type"] == "approval":
            assert (await session.describe())["approvals"] == ["wipe-1"]
            await session.approve("wipe-1", True)
            await session.approve("wipe-1", True)
            with pytest.raises(HttpError) as caught:
                await session.approve("wipe-1", False)
            assert caught.value.status == 409
    await session.wait_until_idle()
    assert [result.content for message in await session.messages() for result in message.tool_results] == ["wiped disk"]
    with pytest.raises(HttpError):
        await session.approve("wipe-1", True)


def wipe_then_tell(request: ModelRequest) -> Reply:
    return "All is done now." if request.messages[-1].role == "tool" else [call_tool("wipe", what="disk")]


async def allow_all(session: Session) -> None:
    """Allow whatever is asked for, as soon as it is."""
    for _ in range(100_000):
        for call_id in session.waiting_approvals:
            await session.approve(call_id, True)
        await asyncio.sleep(0)


async def test_a_crash_at_any_moment_loses_nothing_that_was_told() -> None:
    moments: list[tuple[list[Entry], dict[str, bytes]]] = []
    session, disk, _ = open_session(*[wipe_then_tell] * 2)
    await session.open()
    allowing = asyncio.create_task(allow_all(session))
    run_id, before = await session.start([TextPart("go")])
    told: list[Entry] = []
    async for batch in session.follow(before, run_id=run_id):
        told += batch
        moments.append((list(told), dict(disk.synced)))
    allowing.cancel()

    assert len(moments) > 4
    for told, data in moments:
        again, _, _ = open_session(*[wipe_then_tell] * 3, disk=Disk(data))
        await again.open()
        allowing = asyncio.create_task(allow_all(again))
        entries = [*told, *await follow(again, told[-1].id)]
        allowing.cancel()
        assert [entry.id for entry in entries] == list(range(1, len(entries) + 1))
        assert [entry.event["id"] for entry in entries] == list(range(len(entries)))
        assert types(entries).count("run_end") == 1
        messages = await again.messages()
        assert [message.role for message in messages] == ["user", "assistant", "tool", "assistant"]
        assert messages[-1].text == "All is done now."


async def test_a_tool_that_may_have_had_effect_is_not_called_again() -> None:
    launched.clear()
    session, disk, _ = open_session([call_tool("launch", name="a")], "Done.")
    await session.open()
    _, before = await session.start([TextPart("go")])
    async for batch in session.follow(before):
        if launched or batch[-1].event["type"] == "tool_call_end":
            break
    for _ in range(100):  # the tool is begun once its run's state is on disk
        await asyncio.sleep(0)
    again, _, _ = open_session("Who knows.", disk=Disk(disk.synced))
    await again.open()
    await follow(again, 0)

    assert launched == ["a"]
    results = [result for message in await again.messages() for result in message.tool_results]
    assert [(result.is_error, str(result.content)[:30]) for result in results] == [
        (True, "this call was running when the")
    ]
    await session.cancel()


async def test_a_run_that_kills_its_process_is_not_begun_for_ever() -> None:
    disk = Disk()
    starts = 0
    for _ in range(MOST_STARTS + 2):
        session, disk, _ = open_session([TextPart("One"), Pause(1e9)], disk=Disk(disk.synced))
        await session.open()
        if starts == 0:
            await session.start([TextPart("go")])
        if session.active_run_id is None:
            break
        starts += 1
        for _ in range(40):
            await asyncio.sleep(0)
    entries = await follow(session, 0)

    assert starts == MOST_STARTS
    assert entries[-1].event["type"] == "run_error"
    assert [entry.event["id"] for entry in entries] == list(range(len(entries)))


async def test_what_is_forgotten_is_gone() -> None:
    session, disk, _ = open_session("Hello.", "Again.")
    await say(session, "hi")
    await session.forget()

    assert await disk.keys() == []
    entries = await say(session, "hi")
    assert entries[0].id == 1


PAINT = ToolSpec("paint", "Paint the page.", {"type": "object", "properties": {"colour": {"type": "string"}}})


async def test_a_call_of_a_clients_tool_ends_the_run_and_its_result_begins_the_next() -> None:
    session, _, _ = open_session([call_tool("paint", colour="red")], "It is red.")
    first = await say(session, "red, please", tools=[PAINT])
    _, before = await session.start([], tools=[PAINT], results=[ToolResultPart("paint-1", "", "painted")])
    second = await follow(session, before)

    assert first[-1].event["finish_reason"] == "stopped"  # type: ignore[typeddict-item]
    assert "tool_result" not in types(first)
    assert second[-1].event["finish_reason"] == "stop"  # type: ignore[typeddict-item]
    messages = await session.messages()
    assert [message.role for message in messages] == ["user", "assistant", "tool", "assistant"]
    assert messages[2].parts == (ToolResultPart("paint-1", "paint", "painted"),)


async def test_a_run_that_was_broken_off_still_has_its_clients_tools() -> None:
    session, disk, _ = open_session([TextPart("One"), Pause(60), TextPart("two.")])
    await session.open()
    run_id, before = await session.start([TextPart("red, please")], is_background=True, tools=[PAINT])
    async for batch in session.follow(before, run_id=run_id):
        if "text_delta" in types(batch):
            break
    again, _, _ = open_session([call_tool("paint", colour="red")], disk=Disk(disk.synced))
    await again.open()
    entries = await follow(again, before, run_id)
    await session.cancel()

    assert entries[-1].event["finish_reason"] == "stopped"  # type: ignore[typeddict-item]
    assert "tool_call_end" in types(entries)


async def test_a_result_that_nothing_waits_for_is_refused_and_a_taken_name_too() -> None:
    session, _, _ = open_session("Hello.")
    await say(session, "hi")
    with pytest.raises(HttpError) as nothing:
        await session.start([], results=[ToolResultPart("paint-1", "", "painted")])
    with pytest.raises(HttpError) as taken:
        await session.start([TextPart("hi")], tools=[ToolSpec("wipe", "", {"type": "object"})])

    assert (nothing.value.status, nothing.value.code) == (409, "no_such_call")
    assert taken.value.status == 400
