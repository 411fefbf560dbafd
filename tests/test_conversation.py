"""A conversation is kept as it was, and trimming it leaves no call without its result."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet import Host, Message, StorageError
from limpet.conversation import (
    NOT_RUN,
    fit,
    forget_conversation,
    load_conversation,
    mend,
    save_conversation,
    storage_key,
)
from limpet.estimates import estimate_tokens, text_tokens
from limpet.messages import ImagePart, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from tests.fakes.host import make_host

texts = st.text(max_size=30)
ids = st.sampled_from("abcd")
calls = st.builds(ToolCallPart, ids, st.just("clock"), texts)
results = st.builds(ToolResultPart, ids, st.just("clock"), texts, st.booleans())
wild_messages = st.lists(
    st.one_of(
        st.builds(Message.user, texts),
        st.builds(Message.assistant, texts),
        st.builds(
            lambda parts: Message("assistant", tuple(parts)),
            st.lists(calls, max_size=3, unique_by=lambda part: part.id),
        ),
        st.builds(lambda parts: Message("tool", tuple(parts)), st.lists(results, max_size=3)),
    ),
    max_size=12,
)
"""Messages in any order, so that calls lack results and results lack calls."""


def is_valid(messages: list[Message]) -> bool:
    """Whether each tool message answers all calls of the message before it, in order, and each call is answered."""
    for before, message in zip([None, *messages], [*messages, None], strict=True):
        calls = before.tool_calls if before is not None and before.role == "assistant" else ()
        results = message.tool_results if message is not None and message.role == "tool" else ()
        if [call.id for call in calls] != [result.id for result in results]:
            return False
        if message is not None and message.role == "tool" and not results:
            return False
    return True


# --- storage ----------------------------------------------------------------------------------------------------


@given(wild_messages)
async def test_a_conversation_comes_back_as_it_was(messages: list[Message]) -> None:
    storage = make_host().storage
    await save_conversation(storage, "c", messages)

    assert await load_conversation(storage, "c") == messages


async def test_a_conversation_that_was_never_saved_is_empty(host: Host) -> None:
    assert await load_conversation(host.storage, "c") == []


async def test_a_conversation_can_be_forgotten(host: Host) -> None:
    await save_conversation(host.storage, "c", [Message.user("hi")])

    await forget_conversation(host.storage, "c")

    assert await load_conversation(host.storage, "c") == []
    assert await host.storage.keys() == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not JSON",
        b"\xff\xfe",
        b"[]",
        b'{"format": 2, "messages": []}',
        b'{"format": 1}',
        b'{"format": 1, "messages": [7]}',
    ],
)
async def test_what_is_not_a_conversation_is_refused_with_its_key(host: Host, data: bytes) -> None:
    await host.storage.put(storage_key("c"), data)

    with pytest.raises(StorageError, match="conversations/c") as caught:
        await load_conversation(host.storage, "c")

    assert caught.value.key == "conversations/c"


async def test_the_stored_form_names_its_format(host: Host) -> None:
    await save_conversation(host.storage, "c", [Message.user("hi")])

    assert json.loads(await host.storage.get("conversations/c") or b"") == {
        "format": 1,
        "messages": [{"role": "user", "parts": [{"type": "text", "text": "hi"}]}],
    }


# --- mend -------------------------------------------------------------------------------------------------------

CALLS = Message("assistant", (ToolCallPart("a", "clock", "{}"), ToolCallPart("b", "clock", "{}")))
RESULT_A = ToolResultPart("a", "clock", "noon")
RESULT_B = ToolResultPart("b", "clock", "one")
NO_RESULT_B = ToolResultPart("b", "clock", NOT_RUN, is_error=True)


@pytest.mark.parametrize(
    ("messages", "mended"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param(
            [CALLS, Message("tool", (RESULT_A,))], [CALLS, Message("tool", (RESULT_A, NO_RESULT_B))], id="one lacks"
        ),
        pytest.param(
            [CALLS, Message("tool", (RESULT_B,)), Message("tool", (RESULT_A,))],
            [CALLS, Message("tool", (RESULT_A, RESULT_B))],
            id="one message for each result",
        ),
        pytest.param(
            [CALLS, Message("tool", (RESULT_A,)), Message.user("and?")],
            [CALLS, Message("tool", (RESULT_A, NO_RESULT_B)), Message.user("and?")],
            id="one lacks before a question",
        ),
        pytest.param(
            [Message("tool", (RESULT_A,)), Message.user("hi")], [Message.user("hi")], id="results without calls"
        ),
    ],
)
def test_a_broken_history_is_mended(messages: list[Message], mended: list[Message]) -> None:
    assert mend(messages) == mended


@given(wild_messages)
def test_a_mended_history_is_valid_and_stays_so(messages: list[Message]) -> None:
    mended = mend(messages)

    assert is_valid(mended)
    assert mend(mended) == mended
    others = [message for message in messages if message.role != "tool"]
    assert [message for message in mended if message.role != "tool"] == others


# --- fit --------------------------------------------------------------------------------------------------------


def exchange(number: int, *, turns: int = 0) -> list[Message]:
    """A question, some calls of a tool, and an answer: about ten tokens a message."""
    messages = [Message.user(f"question {number}" + "." * 20)]
    for turn in range(turns):
        id = f"{number}-{turn}"
        messages.append(Message("assistant", (ToolCallPart(id, "clock", "x" * 20),)))
        messages.append(Message("tool", (ToolResultPart(id, "clock", "y" * 20),)))
    messages.append(Message.assistant(f"answer {number}" + "." * 20))
    return messages


def tokens(messages: list[Message]) -> int:
    return sum(map(estimate_tokens, messages))


def test_what_fits_is_left_as_it_is() -> None:
    messages = [*exchange(1), *exchange(2)]

    assert fit(messages, tokens(messages)) == messages


def test_the_oldest_exchanges_go_first() -> None:
    messages = [*exchange(1, turns=2), *exchange(2), *exchange(3)]

    assert fit(messages, tokens(messages) - 1) == [*exchange(2), *exchange(3)]
    assert fit(messages, tokens(exchange(3))) == exchange(3)


def test_of_a_long_last_exchange_the_oldest_turns_go() -> None:
    messages = [*exchange(1), *exchange(2, turns=3)[:-1]]
    question, *turns = messages[2:]

    fitted = fit(messages, tokens([question, *turns[2:]]))

    assert fitted == [question, *turns[2:]]


def test_the_last_question_stays_even_when_it_is_too_long() -> None:
    question = Message.user("x" * 1000)

    assert fit([*exchange(1), question], 10) == [question]


def test_nothing_fits_into_nothing() -> None:
    assert fit([], 0) == []


@given(wild_messages, st.integers(-10, 120))
def test_a_fitted_history_is_valid_and_keeps_the_end(messages: list[Message], limit: int) -> None:
    messages = mend(messages)

    fitted = fit(messages, limit)

    assert is_valid(fitted)
    assert fitted[-1:] == messages[-1:]
    questions = [message for message in messages if message.role == "user"]
    assert [message for message in fitted if message.role == "user"][-1:] == questions[-1:]
    if tokens(messages) <= limit:
        assert fitted == messages
    kept = iter(messages)
    assert all(message in kept for message in fitted)


@given(wild_messages, st.integers(0, 120))
def test_more_room_never_keeps_less(messages: list[Message], limit: int) -> None:
    messages = mend(messages)

    assert len(fit(messages, limit)) <= len(fit(messages, limit + 10))


@pytest.mark.parametrize(
    ("message", "count"),
    [
        (Message.user(""), 4),
        (Message.user("ten minutes for the eggs"), 10),
        (Message.user("日本語"), 7),
        (Message("assistant", (ReasoningPart("abcd"), TextPart("abcd"))), 6),
        (Message("assistant", (ToolCallPart("1", "clock", "{}"),)), 7),
        (Message("tool", (ToolResultPart("1", "clock", {"hour": 12}),)), 7),
        (Message("user", (ImagePart(url="https://example.org/cat.png"),)), 804),
    ],
)
def test_tokens_are_guessed(message: Message, count: int) -> None:
    assert estimate_tokens(message) == count


@given(st.text(), st.text())
def test_a_longer_text_is_not_guessed_shorter(first: str, second: str) -> None:
    assert text_tokens(first) <= text_tokens(first + second) + 1


async def test_what_cannot_be_written_is_refused_with_its_key_and_leaves_what_was_stored(host: Host) -> None:
    await save_conversation(host.storage, "c", [Message.user("hi")])
    result = ToolResultPart("1", "clock", {1, 2})  # type: ignore[arg-type]  # no JSON

    with pytest.raises(StorageError, match="'conversations/c' can't be written") as caught:
        await save_conversation(host.storage, "c", [Message("tool", (result,))])

    assert caught.value.key == "conversations/c"
    assert await load_conversation(host.storage, "c") == [Message.user("hi")]
