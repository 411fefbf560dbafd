from __future__ import annotations

import asyncio

import pytest

from limpet.inference.engine import Engine
from tests.fakes.session import FakeSession
from tests.inference.small_chat import CHAT_TOKENIZER, chat_session

FIRST = list(range(10, 40))


def calls(session: FakeSession, *names: str) -> list[tuple[str, object]]:
    """Give what was asked of the session since the last look, of some kinds."""
    found = [(name, value) for name, value in session.log if not names or name in names]
    session.log.clear()
    return found


def engine_of(*, can_rewind: bool = True) -> tuple[Engine, FakeSession]:
    session = chat_session(lambda _: [1], can_rewind=can_rewind)
    return Engine(session, CHAT_TOKENIZER), session


async def test_a_prompt_is_computed_in_pieces_and_reported() -> None:
    engine, session = engine_of()
    reports: list[tuple[int, int]] = []

    candidates, cached = await engine.prefill(FIRST, top_k=4, step=12, report=lambda *pair: reports.append(pair))

    assert (cached, len(candidates.ids), session.sequence) == (0, 4, FIRST)
    assert calls(session) == [("forward", FIRST[:12]), ("forward", FIRST[12:24]), ("forward", FIRST[24:])]
    assert reports == [(0, 30), (12, 30), (24, 30)]


async def test_only_what_is_new_is_computed() -> None:
    engine, session = engine_of()
    await engine.prefill(FIRST, top_k=1)
    await engine.feed([50, 51], top_k=1)
    calls(session)

    _, cached = await engine.prefill([*FIRST, 50, 51, 60, 61], top_k=1)

    assert cached == 32
    assert calls(session) == [("forward", [60, 61])]


async def test_an_edit_rewinds_to_where_it_begins() -> None:
    engine, session = engine_of()
    await engine.prefill(FIRST, top_k=1)
    calls(session)

    _, cached = await engine.prefill([*FIRST[:20], 90, 91], top_k=1)

    assert (cached, session.sequence) == (20, [*FIRST[:20], 90, 91])
    assert calls(session) == [("rewind", 20), ("forward", [90, 91])]


async def test_the_same_prompt_again_computes_its_last_token() -> None:
    engine, session = engine_of()
    await engine.prefill(FIRST, top_k=1)
    calls(session)

    assert (await engine.prefill(FIRST, top_k=1))[1] == 29
    assert calls(session) == [("rewind", 29), ("forward", FIRST[-1:])]


async def test_a_model_that_can_not_be_shortened_begins_again_but_goes_on_where_it_is() -> None:
    engine, session = engine_of(can_rewind=False)
    await engine.prefill(FIRST, top_k=1)

    assert (await engine.prefill([*FIRST, 50], top_k=1))[1] == 30
    assert (await engine.prefill([*FIRST, 51], top_k=1))[1] == 0
    calls(session)
    assert (await engine.prefill([*FIRST, 52], top_k=1))[1] == 0
    assert calls(session) == [("reset", None), ("forward", [*FIRST, 52])]
    assert session.sequence == [*FIRST, 52]


@pytest.mark.parametrize("can_rewind", [True, False])
async def test_two_long_conversations_take_turns_without_being_computed_again(can_rewind: bool) -> None:
    engine, session = engine_of(can_rewind=can_rewind)
    one = [10, *range(20, 220), 11]
    two = [10, *range(25, 225), 12]
    await engine.prefill(one, top_k=1)
    await engine.prefill(two, top_k=1)
    calls(session)

    cached = []
    for _ in range(3):
        for conversation in (one, two):
            conversation.append(13)
            cached.append((await engine.prefill(conversation, top_k=1))[1])
            assert session.sequence == conversation

    assert cached == [202, 202, 203, 203, 204, 204]
    assert [value for name, value in calls(session) if name == "forward"] == [[13]] * 6


async def test_a_prefix_is_kept_and_found_again() -> None:
    engine, session = engine_of()

    assert not await engine.prefill_prefix(FIRST)
    assert await engine.prefill_prefix(FIRST)
    await engine.prefill([1, 2, 3], top_k=1)
    calls(session)
    assert await engine.prefill_prefix(FIRST)
    assert [name for name, _ in calls(session)] == ["restore"]
    assert session.sequence == FIRST

    # Another engine over the same snapshots, as after a reload.
    again = Engine(session, CHAT_TOKENIZER)
    session.sequence = []
    assert await again.prefill_prefix(FIRST)
    assert (await again.prefill([*FIRST, 7], top_k=1))[1] == 30


async def test_a_cancelled_step_is_forgotten_and_what_was_before_it_is_kept() -> None:
    engine, session = engine_of()
    await engine.prefill(FIRST, top_k=1)
    session.gate = asyncio.Event()
    session.has_begun.clear()
    task = asyncio.create_task(engine.prefill([*FIRST, 50, 51, 52], top_k=1, step=2))
    await session.has_begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # What the state then holds is unknown: here the tokens were appended after all.
    session.sequence += [50, 51]
    session.gate = None
    calls(session)

    _, cached = await engine.prefill([*FIRST, 50, 60], top_k=1)

    assert (cached, session.sequence) == (30, [*FIRST, 50, 60])
    assert calls(session) == [("rewind", 30), ("forward", [50, 60])]


async def test_a_session_that_somebody_else_used_is_begun_again() -> None:
    engine, session = engine_of()
    await engine.prefill(FIRST, top_k=1)
    await session.forward([99], top_k=1)

    assert (await engine.prefill([*FIRST, 50], top_k=1))[1] == 0
    assert session.sequence == [*FIRST, 50]


def test_replies_are_remembered_in_their_own_tokens_the_last_sixty_four() -> None:
    engine, _ = engine_of()
    for number in range(70):
        engine.remember(f"reply {number}", [number, number])

    assert engine.spelling("reply 69") == (69, 69)
    assert engine.spelling("reply 6") == (6, 6)
    assert engine.spelling("reply 5") is None
