from __future__ import annotations

import pytest

from limpet.inference.confidence import combine
from limpet.inference.decoder import Evidence
from limpet.inference.grounding import Grounding, Question, ground_call
from limpet.model import ToolSpec
from limpet.wire import JsonObject

OVEN = ToolSpec(
    "set_oven",
    "",
    {
        "type": "object",
        "properties": {
            "celsius": {"type": "integer"},
            "mode": {"enum": ["fan", "top_heat"]},
            "minutes": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "dish": {"type": "string"},
        },
        "required": ["celsius"],
    },
)
NOTE = ToolSpec(
    "note", "", {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
)  # fmt: skip


@pytest.mark.parametrize(
    ("question", "arguments", "kept"),
    [
        ("200 degrees", {"celsius": 200, "mode": "fan"}, {"celsius": 200}),
        ("200 degrees with the fan", {"celsius": 200, "mode": "fan"}, {"celsius": 200, "mode": "fan"}),
        ("top heat, 200", {"celsius": 200, "mode": "top_heat"}, {"celsius": 200, "mode": "top_heat"}),
        ("two hundred for half an hour", {"celsius": 200, "minutes": 30}, {"celsius": 200, "minutes": 30}),
        ("two hundred", {"celsius": 200, "minutes": 30}, {"celsius": 200}),
        ("200 for the lasagne", {"celsius": 200, "dish": "lasagne"}, {"celsius": 200, "dish": "lasagne"}),
        ("200", {"celsius": 200, "dish": "default"}, {"celsius": 200}),
        ("200", {"celsius": 200, "dish": "", "minutes": None}, {"celsius": 200}),
    ],
)
def test_optional_values_that_nobody_spoke_of_are_dropped(
    question: str, arguments: JsonObject, kept: JsonObject
) -> None:
    grounded, found = ground_call(Question(question), OVEN, arguments)

    assert grounded == kept
    assert found == Grounding(spoken=list(kept), dropped=[name for name in arguments if name not in kept])


@pytest.mark.parametrize(
    ("thoughts", "is_kept"),
    [
        ("'windy' -> mode 'fan'.", True),
        ("celsius 200 from '200', mode 'fan' from 'windy'", True),
        ("mode 'fan' from 'fan'", False),
        ("mode 'fan' from 'cold'", False),
        ("'windy' is a word. The mode defaults to 'fan'.", False),
        ("'200, make it windy' -> mode 'fan'.", False),
    ],
)
def test_a_value_in_other_words_is_kept_when_the_thoughts_give_the_reason(thoughts: str, is_kept: bool) -> None:
    grounded, _ = ground_call(Question("200, make it windy", thoughts), OVEN, {"celsius": 200, "mode": "fan"})

    assert ("mode" in grounded) == is_kept


PAUSE = ToolSpec("pause_playback", "Stop the music for a while.", {"type": "object", "properties": {}})


@pytest.mark.parametrize(
    ("question", "is_unrelated"),
    [("music off for a bit", False), ("no more music please", False), ("what should I cook for tonight?", True)],
)
def test_a_call_that_has_nothing_of_the_question_is_not_trusted(question: str, is_unrelated: bool) -> None:
    _, found = ground_call(Question(question), PAUSE, {})

    assert found.is_unrelated == is_unrelated
    assert combine(0.8, Evidence(), Question(question), [found]) == pytest.approx(0.2 if is_unrelated else 0.8)


@pytest.mark.parametrize(
    ("question", "is_ordered"),
    [
        ("pause", True),
        ("could you please pause the music", True),
        ("dim the lights and then pause", True),
        ("should I pause?", False),
        ("pause for me?", False),
        ("the music needs a pause", False),
        ("", False),
    ],
)
def test_an_order_begins_with_the_verb_of_the_tool(question: str, is_ordered: bool) -> None:
    _, found = ground_call(Question(question), PAUSE, {})

    assert found.is_ordered == is_ordered


def test_an_order_without_a_blemish_is_trusted_more_and_what_was_forced_may_be_what_was_said() -> None:
    ordered = Grounding(is_ordered=True)
    question = Question("pause")
    forced = Evidence(overrides=1, least_fit=0.01)

    assert combine(0.4, Evidence(), question, [ordered]) == pytest.approx(0.625)
    assert combine(0.4, Evidence(), question, [ordered, Grounding()]) == pytest.approx(0.4)
    assert combine(0.4, Evidence(), question, [Grounding(is_ordered=True, chosen=["mode"])]) == pytest.approx(0.4)
    assert combine(0.4, Evidence(), question, [ordered], leaves_out=True) == pytest.approx(0.2)
    assert combine(0.8, forced, question, [Grounding(spoken=["text"])]) == pytest.approx(0.8**0.75)
    assert combine(0.8, forced, question, [Grounding(spoken=["text"], chosen=["mode"])]) == pytest.approx(0.2)


CAMERA = ToolSpec(
    "take_photo",
    "Take a picture.",
    {
        "type": "object",
        "properties": {
            "camera": {"enum": ["door", "drone", "phone"], "default": "phone"},
            "caption": {"type": "string"},
        },
    },
)


@pytest.mark.parametrize(
    ("question", "camera", "passed_over"),
    [
        ("take a photo with the drone", "drone", []),
        ("take a photo with the drone", "door", ["camera"]),
        ("take a photo with the drone", None, ["camera"]),
        ("take a photo with my phone at the door", "phone", []),
        ("take a photo", None, []),
    ],
)
def test_another_value_of_the_list_than_the_one_that_was_said_is_noted(
    question: str, camera: str | None, passed_over: list[str]
) -> None:
    _, found = ground_call(Question(question), CAMERA, {} if camera is None else {"camera": camera})

    assert found.passed_over == passed_over
    assert combine(0.8, Evidence(), Question("x"), [found]) < 0.4 or not passed_over


def test_the_order_itself_is_no_text_and_no_reason() -> None:
    question = Question("photo of the cat", "'photo' -> camera 'door'")

    grounded, found = ground_call(question, CAMERA, {"camera": "door", "caption": "take a photo"})
    kept, _ = ground_call(question, CAMERA, {"caption": "photo of the cat"})

    assert grounded == {}
    assert found.dropped == ["camera", "caption"]
    assert kept == {"caption": "photo of the cat"}


def test_a_required_number_that_nobody_spoke_of_is_noted_and_kept() -> None:
    grounded, found = ground_call(Question("heat the oven to 900 degrees"), OVEN, {"celsius": 96})

    assert grounded == {"celsius": 96}
    assert found.invented == ["celsius"]
    assert combine(0.9, Evidence(), Question("x"), [found]) == 0


@pytest.mark.parametrize(
    ("question", "text", "found"),
    [
        ("note that the key is under the mat", "the key is under the mat", Grounding(spoken=["text"], is_ordered=True)),
        ("note something", "buy milk", Grounding(unspoken=["text"], is_ordered=True)),
        ("a note", " ", Grounding(empty=["text"])),
    ],
)
def test_required_texts_are_looked_at(question: str, text: str, found: Grounding) -> None:
    assert ground_call(Question(question), NOTE, {"text": text})[1] == found


@pytest.mark.parametrize(
    ("question", "is_negated"),
    [
        ("don't turn on the lights", True),
        ("Do not lock the garage", True),
        ("please never play country", True),
        ("don\u2019t forget to remind me of the milk", False),
        ("don't let me forget the milk", False),
        ("do not disturb for two hours", False),
        ("turn on the lights", False),
        ("text Ben that I don't have time", False),
    ],
)
def test_negation_is_heard(question: str, is_negated: bool) -> None:
    assert Question(question).is_negated == is_negated


@pytest.mark.parametrize(
    ("evidence", "findings", "confidence"),
    [
        (Evidence(), [], 0.8),
        (Evidence(was_cut=True), [], 0.0),
        (Evidence(overrides=1, least_fit=0.01), [], 0.2),
        (Evidence(overrides=1, least_fit=0.9), [], 0.8),
        (Evidence(), [Grounding(spoken=["text"])], 0.8**0.75),
        (Evidence(), [Grounding(spoken=["text"]), Grounding()], 0.8),
        (Evidence(), [Grounding(spoken=["text"]), Grounding(spoken=["text"])], 0.8**0.6),
        (Evidence(), [Grounding(spoken=["text"], chosen=["mode"])], 0.8),
        (Evidence(), [Grounding(unspoken=["text"])], 0.4),
        (Evidence(), [Grounding(), Grounding(empty=["text"])], 0.0),
    ],
)
def test_what_was_found_lowers_the_confidence(evidence: Evidence, findings: list[Grounding], confidence: float) -> None:
    assert combine(0.8, evidence, Question("turn it on"), findings) == pytest.approx(confidence)


@pytest.mark.parametrize(
    ("thoughts", "confidence"),
    [
        ("'lights' -> set_light. No room specified, so default to office.", 0.2),
        ("Room not given.", 0.2),
        ("'lights' -> set_light.", 0.8),
    ],
)
def test_a_choice_that_the_thoughts_call_a_guess_is_not_trusted(thoughts: str, confidence: float) -> None:
    found = [Grounding(spoken=["is_on"], chosen=["room"])]

    assert combine(0.8, Evidence(), Question("turn it on"), found, thoughts=thoughts) == pytest.approx(confidence)


@pytest.mark.parametrize(
    ("question", "numbers", "texts", "leaves_out"),
    [
        ("dim the lights to 150 percent", [], ["dim"], True),
        ("dim the lights to 50 percent", [50], [], False),
        ("heat to 180 and forty minutes on the timer", [180], [], True),
        ("play 99 red balloons", [], ["99 Red Balloons"], False),
        ("1 hour and 20 minutes", [80], [], False),
        ("a timer for an egg", [], ["egg"], False),
        ("wake me at half past five", [5, 30], [], False),
    ],
)
def test_a_number_that_no_call_took_up_is_noticed(
    question: str, numbers: list[float], texts: list[str], leaves_out: bool
) -> None:
    assert Question(question).leaves_out(numbers, texts) == leaves_out


def test_a_number_left_out_halves_the_confidence() -> None:
    found = [Grounding(spoken=["text"])]

    assert combine(0.8, Evidence(), Question("x"), found, leaves_out=True) == pytest.approx(0.4)


def test_without_a_head_the_tokens_are_all_there_is() -> None:
    assert combine(None, Evidence(least_probability=0.3)) == 0.3
