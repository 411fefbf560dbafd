"""Which sentences say what a tool returned: those that are true to it pass, and nothing that is made up does."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet.inference.phrasing import Source, plain_text
from limpet.wire import Json

FAITHFUL = [
    ("timer set for 10 minutes (eggs)", "ten minutes for the eggs", "The eggs are set for ten minutes."),
    ("no timer is running", "which timers run?", "There is no timer running now."),
    (
        "eggs: 9 minutes left, tea: 3 minutes left",
        "",
        "You have 9 minutes left for the eggs and 3 for tea.",
    ),
    ("200 gram is 7.055 ounce", "200 g in ounces", "200 grams are 7.055 ounces."),
    ("2 x leek, 1 x milk", "what do I have to buy?", "You have to buy 2 leeks and 1 milk."),
    ("temperature: -4", "how cold is it outside?", "The temperature outside is -4."),
    ("balance: 1240.5, currency: EUR", "what is my balance?", "Your balance is 1,240.50 EUR."),
    ("17:34 on platform 7", "when is the train to Basel?", "The train to Basel is at 17:34 on platform 7."),
    ("the door can't be opened", "open the door", "The door can not be opened."),
    ("deleted", "delete the note about plants", "The note about plants is deleted."),
    ("the lamp is off", "is the lamp on?", "The lamp is off."),
    ("3 unread mails", "any new mail?", "You have three unread mails."),
]
UNFAITHFUL = [
    ("timer set for 10 minutes", "", "The timer is set for 100 minutes.", "the number 100 is not in"),
    ("timer set for 10 minutes", "", "The timer is set for twenty minutes.", "the number 20 is not in"),
    ("timer set for 10 minutes", "at 7", "The timer is set for 10 minutes at 7.", "the number 7 is not in"),
    ("timer set for 10 minutes", "", "The timer is set.", "the number 10 is missing"),
    ("timer set for 10 minutes", "", "The timer is set for 10 hours.", "'hour' is found nowhere"),
    ("temperature: -4", "how cold is it?", "It is 4.", "the number 4 is not in"),
    ("minus 4", "how cold is it?", "It is 4.", "'minu' is missing"),
    ("reminder saved", "", "Your reminder for Anna is saved.", "'anna' is found nowhere"),
    ("no timer is running", "", "A timer is running.", "'no' is missing"),
    ("the timer is running", "", "No timer is running.", "'no' is found nowhere"),
    ("the lamp is off", "turn on the lamp", "The lamp is on.", "'off' is missing"),
    ("the lamp is on", "turn off the lamp", "The lamp is off.", "'off' is found nowhere"),
    ("payment failed after 3 attempts", "", "The payment took 3 attempts.", "found nowhere"),
    ("dry", "is it raining in Paris?", "It is raining in Paris.", "it leaves out too much"),
    ("200 gram is 7.055 ounce", "", "7.055 grams are 200 ounces.", "the number 7.055 is not one of 'gram'"),
    ("eggs: 9 minutes left, tea: 3 minutes left", "", "The tea has 9 minutes left, the eggs 3.", "comes too late"),
    ("Anna: lunch, Otto: photos", "any mail?", "Otto mailed lunch and Anna photos.", "comes too late"),
    ("17:34 on platform 7", "when does it leave?", "It leaves at 17:43 on platform 7.", "the number 17:43 is not in"),
    ("platform 7", "the train after five", "After platform 7.", "'after' is found nowhere"),
    ("3 eggs are left", "a couple of eggs?", "A couple of the 3 eggs are left.", "'coupl' is found nowhere"),
    ("10 seats are left", "", "Is it 10 seats that are left?", "it asks"),
    ("10 seats are left", "", "", "it says nothing"),
    ("180 degrees", "", "180 degrees, and now 180 degrees.", "not in the results so often"),
]


@pytest.mark.parametrize(("results", "context", "sentence"), FAITHFUL, ids=[line[2] for line in FAITHFUL])
def test_a_true_sentence_passes(results: str, context: str, sentence: str) -> None:
    assert Source(results, context).problem(sentence) is None


@pytest.mark.parametrize(
    ("results", "context", "sentence", "problem"), UNFAITHFUL, ids=[line[2] or "nothing" for line in UNFAITHFUL]
)
def test_what_is_not_true_is_found(results: str, context: str, sentence: str, problem: str) -> None:
    assert problem in (Source(results, context).problem(sentence) or "nothing")


@pytest.mark.parametrize(
    ("results", "can"),
    [
        ("timer set", True),
        ("7", True),
        ("yes", False),
        ("true", False),
        ("", False),
        ("it is", False),
        ("a1, b2, c3", True),
        ("one, two, three, four", False),
        ("word " * 41, False),
    ],
)
def test_what_is_too_little_or_too_much_is_not_phrased(results: str, can: bool) -> None:
    assert Source(results).can_be_phrased is can


VALUES = st.one_of(
    st.integers(-5000, 5000).map(str),
    st.decimals(-500, 500, places=2).map(str),
    st.tuples(st.integers(0, 23), st.integers(0, 59)).map(lambda time: f"{time[0]:02}:{time[1]:02}"),
)
WORDS = st.sampled_from(["timer", "minutes", "eggs", "left", "gram", "is", "set for", "and", ",", "(", "x", "the", "-"])
TEXTS = st.lists(st.one_of(VALUES, WORDS), min_size=1, max_size=12).map(" ".join)


def values_in(text: str) -> set[str]:
    """Find the numbers of a text in another way: as far as digits go, and the same for 10, 10.0 and 10.00."""
    found = re.findall(r"(?<![\w.])-?\d+(?:[.:/-]\d+)*", text)
    return {re.sub(r"^(-?\d+)\.0+$|^(-?\d+\.\d*?[1-9])0+$", r"\1\2", one).replace("-0", "0") for one in found}


@given(TEXTS, TEXTS, TEXTS)
def test_no_sentence_that_passes_has_another_number(results: str, context: str, sentence: str) -> None:
    if Source(results, context).problem(sentence) is None:
        assert values_in(sentence) == values_in(results)


@given(TEXTS, st.data())
def test_a_changed_number_is_always_found(results: str, data: st.DataObject) -> None:
    numbers = list(re.finditer(r"\d", results))
    if numbers:
        place = data.draw(st.sampled_from(numbers)).start()
        digit = data.draw(st.sampled_from([one for one in "123456789" if one != results[place]]))
        changed = results[:place] + digit + results[place + 1 :]
        assert Source(results).problem(changed) is not None or values_in(changed) == values_in(results)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (" ten ", "ten"),
        (True, "yes"),
        (False, "no"),
        (None, ""),
        (1.5, "1.5"),
        ([], "nothing"),
        ({}, ""),
        ([{"a_b": 1}, {"a_b": [2, 3]}], "a b: 1; a b: (2; 3)"),
    ],
)
def test_a_result_is_told_as_text(content: Json, text: str) -> None:
    assert plain_text(content) == text
