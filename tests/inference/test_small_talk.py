"""Which messages are small talk: written before it was tried, and not changed for those that are taken otherwise."""

from __future__ import annotations

import pytest

from limpet.inference.small_talk import TALKS, small_talk

# What is said, what it is, and what it is taken for where that is something else.
PROMPTS: list[tuple[str, str | None, str | None]] = [
    ("hi", "greeting", "greeting"),
    ("Hello there!", "greeting", "greeting"),
    ("Good morning :)", "greeting", "greeting"),
    ("hey hey", "greeting", "greeting"),
    ("Hi, nice to meet you.", "greeting", "greeting"),
    ("yo", "greeting", None),
    ("Hello assistant, good evening to you", "greeting", "greeting"),
    ("thanks", "thanks", "thanks"),
    ("Thank you so much!", "thanks", "thanks"),
    ("thanks a lot, that was quick", "thanks", "thanks"),
    ("Perfect, thank you", "thanks", "thanks"),
    ("That's very kind of you", "thanks", "thanks"),
    ("thanks for setting the timer", "thanks", None),
    ("bye!", "farewell", "farewell"),
    ("ok bye", "farewell", "farewell"),
    ("Good night", "farewell", "farewell"),
    ("See you tomorrow, thanks for everything", "farewell", "thanks"),
    ("talk to you later", "farewell", None),
    ("ok", "praise", "praise"),
    ("Great job!", "praise", None),
    ("well done, you're awesome", "praise", "praise"),
    ("sorry", "apology", "apology"),
    ("oh, my mistake", "apology", "apology"),
    ("How are you?", "feelings", "feelings"),
    ("hi, how are you doing today?", "feelings", "feelings"),
    ("what's up", "feelings", "feelings"),
    ("Who are you?", "identity", "identity"),
    ("are you a robot?", "identity", "identity"),
    ("What is your name, please?", "identity", "identity"),
    ("are you ChatGPT?", "identity", None),
    ("What can you do?", "abilities", "abilities"),
    ("help", "abilities", "abilities"),
    ("hello! what can you do for me?", "abilities", "abilities"),
    ("can you help me with something", "abilities", None),
    ("What is the capital of France?", None, None),
    ("Who painted the Mona Lisa?", None, None),
    ("good morning alarm at seven", None, None),
    ("Thanks, now stop the timer", None, None),
    ("hello world in Python", None, None),
    ("help me boil eggs", None, None),
    ("what are you cooking?", None, None),
    ("How are you supposed to cook rice?", None, None),
    ("who are you voting for", None, None),
    ("great, ten minutes then", None, None),
    ("nice restaurants in Lyon", None, None),
    ("say hi to Anna", None, None),
    ("ok set the oven to 180", None, None),
    ("bye bye Birdie tickets", None, None),
    ("ten minutes for the eggs", None, None),
    ("tell me about yourself and about Rome", None, None),
    ("guten Morgen", None, None),
    ("", None, None),
    ("?!", None, None),
    ("please", None, None),
]


@pytest.mark.parametrize(("said", "_", "taken_for"), PROMPTS, ids=[said or "nothing" for said, _, _ in PROMPTS])
def test_a_message_is_small_talk_when_it_is_nothing_else(said: str, _: str | None, taken_for: str | None) -> None:
    talk = small_talk(said)

    assert (talk.kind if talk else None) == taken_for


def test_how_many_are_taken_for_what_they_are() -> None:
    right = sum(meant == taken_for for _, meant, taken_for in PROMPTS)
    lost = [said for said, meant, taken_for in PROMPTS if meant is None and taken_for is not None]

    assert (right, len(PROMPTS)) == (47, 54)
    assert lost == [], "a question must never be taken for small talk"


def test_a_table_of_small_talk_says_what_is_said() -> None:
    assert [talk.kind for talk in TALKS if not talk.examples] == ["apology", "feelings", "identity", "abilities"]
    assert all(talk.plain for talk in TALKS)
    for talk in TALKS:
        for asked, _ in talk.examples:
            assert small_talk(asked) is talk, asked
