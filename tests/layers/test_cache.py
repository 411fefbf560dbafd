"""What was answered before is answered again, from the store, and only if it was whole."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from limpet.errors import ConfigurationError, StorageError, WireFormatError
from limpet.events import (
    ModelStart,
    Progress,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from limpet.host import Host
from limpet.layers.cache import Cache, request_digest
from limpet.layers.layer import CACHED_USAGE
from limpet.messages import ImagePart, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from limpet.model import Delta, Finish, Model, ModelRequest, ToolSpec
from limpet.providers.scripted import Reply, ScriptedModel, call_tool
from limpet.stores.memory import MemoryStorage
from tests.fakes.clock import FakeClock
from tests.fakes.host import make_host
from tests.layers.asking import REQUEST, Watched, answer_of, ask, begin, failure_of
from tests.suites.stream_grammar import assert_stream, parts_of

USAGE = Usage(8, 4, 2, 1)


class World:
    """A model with a cache, its store, and what it is asked."""

    def __init__(self, *replies: Reply, cache: Cache | None = None, storage: MemoryStorage | None = None) -> None:
        self.storage = storage or MemoryStorage()
        self.clock = FakeClock()
        self.inner = Watched(ScriptedModel(replies, usage=USAGE))
        self.host: Host = make_host(storage=self.storage, clock=self.clock)
        self.model: Model = (cache or Cache()).wrap(self.inner, self.host)

    async def ask(self, request: ModelRequest = REQUEST) -> list[Delta]:
        deltas = await answer_of(self.model, request)
        assert_stream(deltas)
        return deltas

    @property
    def asked(self) -> int:
        return len(self.inner.requests)


async def test_the_second_answer_is_a_replay_that_cost_nothing() -> None:
    metadata = {"signature": "abc"}
    reply: Reply = [
        Progress("scripted:model", "load", "a.onnx", 1, 2),
        ModelStart("scripted:other", 0.75),
        ReasoningPart("Let me think.", metadata),  # type: ignore[arg-type]
        TextPart("Good morning."),
        TextPart(""),
        call_tool("boil", eggs=2),
        ToolCallPart("call-2", "clock", ""),
        Finish("tool_calls", USAGE, {"id": "answer-1"}),
    ]
    world = World(reply)
    first = await world.ask()

    second = await world.ask()

    usage = {"input_tokens": 8, "output_tokens": 4, "cached_tokens": 2, "reasoning_tokens": 1}
    assert second == [
        ModelStart("scripted:other", 0.75),
        ReasoningStart("0"),
        ReasoningDelta("0", "Let me think."),
        ReasoningEnd("0", metadata),  # type: ignore[arg-type]
        TextStart("1"),
        TextDelta("1", "Good morning."),
        TextEnd("1"),
        TextStart("2"),
        TextEnd("2"),
        ToolCallStart("boil-1", "boil"),
        ToolCallDelta("boil-1", '{"eggs": 2}'),
        ToolCallEnd("boil-1", "boil", '{"eggs": 2}'),
        ToolCallStart("call-2", "clock"),
        ToolCallEnd("call-2", "clock", ""),
        Finish("tool_calls", Usage(), {"id": "answer-1", CACHED_USAGE: usage}),  # type: ignore[dict-item]
    ]
    assert parts_of(second) == parts_of(first)
    assert world.asked == 1


async def test_another_question_is_asked() -> None:
    world = World("One.", "Two.")

    assert parts_of(await world.ask(ask("one"))) == [TextPart("One.")]
    assert parts_of(await world.ask(ask("two"))) == [TextPart("Two.")]
    assert parts_of(await world.ask(ask("one"))) == [TextPart("One.")]


@pytest.mark.parametrize(
    "reply",
    [
        [TextPart("Good mor"), Finish("length", USAGE)],
        [TextPart("Good mor"), Finish("content_filter", USAGE)],
        [Finish("stop", USAGE)],
    ],
    ids=["cut off", "filtered", "empty"],
)
async def test_what_is_not_whole_is_not_kept(reply: Reply) -> None:
    world = World(reply, "Good morning.")
    await world.ask()

    assert await world.storage.keys() == []
    assert parts_of(await world.ask()) == [TextPart("Good morning.")]
    assert world.asked == 2


async def test_a_failed_answer_is_not_kept() -> None:
    world = World([ModelStart("-"), WireFormatError("cut off")], "Good morning.")
    assert isinstance(await failure_of(world.model), WireFormatError)

    assert parts_of(await world.ask()) == [TextPart("Good morning.")]


async def test_an_answer_that_was_left_is_not_kept_and_the_model_is_closed() -> None:
    world = World("Good morning.", "Good morning.")

    await begin(world.model, deltas=3)

    assert (world.inner.open, world.inner.ends, await world.storage.keys()) == (0, ["closed"], [])


async def test_a_reader_may_leave_after_the_end() -> None:
    world = World("Hello.")

    await begin(world.model, deltas=5)

    assert len(await world.storage.keys("cache/")) == 1


async def test_what_is_too_old_is_asked_anew() -> None:
    world = World("Old.", "New.", cache=Cache(max_age_seconds=60))
    await world.ask()
    await world.clock.sleep(60)
    assert parts_of(await world.ask()) == [TextPart("Old.")]

    await world.clock.sleep(1)

    assert parts_of(await world.ask()) == [TextPart("New.")]
    assert parts_of(await world.ask()) == [TextPart("New.")]
    assert world.asked == 2


async def test_the_prefix_keeps_caches_apart() -> None:
    storage = MemoryStorage()
    one = World("One.", storage=storage, cache=Cache(prefix="one/"))
    two = World("Two.", storage=storage, cache=Cache(prefix="two/"))
    await one.ask()

    assert parts_of(await two.ask()) == [TextPart("Two.")]
    assert [key.partition("/")[0] for key in await storage.keys()] == ["one", "two"]


async def test_ids_of_calls_that_the_conversation_has_already_are_made_new() -> None:
    history = (Message.user("boil"), Message("assistant", (call_tool("boil"),)))
    world = World([call_tool("boil")])
    await world.ask()
    [key] = await world.storage.keys()
    request = ModelRequest(history)
    await world.storage.put(f"cache/{request_digest('scripted:model', request)}", await world.storage.get(key) or b"")

    deltas = await world.ask(request)

    assert [delta for delta in deltas if isinstance(delta, ToolCallEnd)] == [ToolCallEnd("id-0", "boil", "{}")]


class BrokenStorage(MemoryStorage):
    """A store in which nothing works."""

    async def get(self, key: str) -> bytes | None:
        raise StorageError("cannot read", key=key)

    async def put(self, key: str, value: bytes) -> None:
        raise StorageError("cannot write", key=key)


async def test_a_store_that_fails_breaks_no_answer() -> None:
    world = World("One.", "Two.", storage=BrokenStorage())

    assert parts_of(await world.ask()) == [TextPart("One.")]
    assert parts_of(await world.ask()) == [TextPart("Two.")]


def damage(**changes: object) -> Any:
    def change(saved: dict[str, Any]) -> object:
        return {name: value for name, value in {**saved, **changes}.items() if value is not ...}

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: json.dumps(saved)[:-9].encode(),
        lambda saved: b"\xff",
        lambda saved: b"null",
        lambda saved: [],
        damage(format=2),
        damage(format=...),
        damage(message=...),
        damage(message={"role": "assistant", "parts": [{"type": "text", "text": "Good."}]}),
        damage(message={"role": "assistant", "model": "a:b", "parts": [{"type": "text"}]}),
        damage(message={"role": "assistant", "model": "a:b", "parts": [{"type": "image", "url": "data:"}]}),
        damage(usage=7),
        damage(finish_reason="length"),
        damage(finish_reason=[]),
        damage(confidence="high"),
        damage(saved_at="yesterday"),
    ],
    ids=range(15),
)
async def test_a_damaged_entry_is_no_entry(change: Any) -> None:
    world = World("Good morning.", "Good morning again.", cache=Cache(max_age_seconds=60))
    await world.ask()
    [key] = await world.storage.keys()
    changed = change(json.loads(await world.storage.get(key) or b""))
    await world.storage.put(key, changed if isinstance(changed, bytes) else json.dumps(changed).encode())

    assert parts_of(await world.ask()) == [TextPart("Good morning again.")]


TOOL = ToolSpec("boil", "Boil eggs.", {"type": "object", "properties": {"eggs": {"type": "integer"}}})
FULL = ModelRequest(
    (
        Message.system("Be brief."),
        Message("user", (TextPart("Eggs?"), ImagePart("image/png", "aGk="))),
        Message("assistant", (call_tool("boil", "call-1", eggs=2),), model="a:b", provider_metadata={"id": "x"}),
        Message("tool", (ToolResultPart("call-1", "boil", {"done": True, "at": 7}),)),
    ),
    (TOOL,),
    "required",
    100,
    0.5,
    {"seed": 7, "top_k": 3},
    {"type": "object", "required": ["a"]},
)


def other_ids(call: str, result: str) -> tuple[Message, ...]:
    return (
        *FULL.messages[:2],
        Message("assistant", (call_tool("boil", call, eggs=2),), model="a:b"),
        Message("tool", (ToolResultPart(result, "boil", {"at": 7, "done": True}),)),
    )


@pytest.mark.parametrize(
    "same",
    [
        replace(FULL, extra={"top_k": 3, "seed": 7}),
        replace(FULL, output_schema={"required": ["a"], "type": "object"}),
        replace(FULL, messages=other_ids("other", "other")),
    ],
    ids=["extra in another order", "schema in another order", "other ids, no metadata"],
)
def test_requests_that_are_the_same(same: ModelRequest) -> None:
    digest = request_digest("a:b", FULL)

    assert digest is not None
    assert len(digest) == 64
    assert request_digest("a:b", same) == digest


@pytest.mark.parametrize(
    "other",
    [
        replace(FULL, messages=FULL.messages[:-1]),
        replace(FULL, messages=other_ids("call-1", "call-2")),
        replace(FULL, messages=(Message.system("Be long."), *FULL.messages[1:])),
        replace(FULL, tools=()),
        replace(FULL, tools=(replace(TOOL, description="Boil."),)),
        replace(FULL, tool_choice="auto"),
        replace(FULL, max_output_tokens=None),
        replace(FULL, temperature=0.0),
        replace(FULL, extra={"seed": 8, "top_k": 3}),
        replace(FULL, output_schema=None),
    ],
    ids=range(10),
)
def test_requests_that_are_not_the_same(other: ModelRequest) -> None:
    assert request_digest("a:b", other) != request_digest("a:b", FULL)


def test_no_field_of_a_request_is_forgotten() -> None:
    # Whoever adds a field adds it to `request_digest`, and a case above.
    assert [field.name for field in fields(ModelRequest)] == [
        *("messages", "tools", "tool_choice", "max_output_tokens", "temperature", "extra", "output_schema"),
    ]


def test_another_model_is_another_request() -> None:
    assert request_digest("a:b", FULL) != request_digest("a:c", FULL)


async def test_a_request_that_is_no_json_is_not_cached() -> None:
    world = World("One.", "Two.")
    request = replace(REQUEST, extra={"odd": object()})

    assert request_digest("a:b", request) is None
    assert parts_of(await world.ask(request)) == [TextPart("One.")]
    assert parts_of(await world.ask(request)) == [TextPart("Two.")]


async def test_a_stream_out_of_order_is_an_error_and_not_kept() -> None:
    world = World([ModelStart("-"), TextEnd("0"), Finish("stop")])

    assert isinstance(await failure_of(world.model), WireFormatError)
    assert await world.storage.keys() == []
    assert world.inner.open == 0


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="max_age_seconds of Cache must be more than 0, not 0"):
        Cache(max_age_seconds=0)
