"""Two models as one: which of them is asked what, what is said, and when another model is turned to."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import aclosing
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import pytest

from limpet import Agent, tool
from limpet.errors import ConfigurationError, LowConfidenceError, ModelUnavailableError
from limpet.events import Fallback, ModelStart, Progress, TextDelta, TextEnd, TextStart, ToolCallEnd, Usage
from limpet.fallback import FallbackModel
from limpet.inference.catalog import CATALOG
from limpet.messages import Message, ToolCallPart, ToolResultPart
from limpet.model import Delta, Finish, Model, ModelReference, ModelRequest
from limpet.providers import CALLS_NO_TOOLS, LOCAL_PARTS, create_model, local_models
from limpet.providers.local_assistant import AssistantSettings
from limpet.providers.scripted import ScriptedModel
from limpet.wire import Json
from tests.fakes.host import make_host
from tests.fakes.session import FakeSession
from tests.inference.small import TIMER, TOOLS
from tests.inference.small_assistant import Assistant, calling, writing
from tests.suites.stream_grammar import assert_stream

ROOT = Path(__file__).resolve().parents[1]
ERRAND = ModelRequest((Message.user("ten minutes for the eggs"),), TOOLS)
SET = "timer set for 10 minutes (eggs)"
EMPTY = calling("[]", confidence=0.2)


class Turns(asyncio.Event):
    """A gate at which others get their turn, and which is always open."""

    async def wait(self) -> Literal[True]:
        await asyncio.sleep(0)
        return True


def after(*results: Json, question: str = "ten minutes for the eggs", is_error: bool = False) -> ModelRequest:
    """Give a conversation whose last message is what a tool returned."""
    calls = tuple(ToolCallPart(f"{place}", "set_timer", '{"minutes":10}') for place in range(len(results)))
    parts = tuple(
        ToolResultPart(call.id, call.name, content, is_error) for call, content in zip(calls, results, strict=True)
    )
    return ModelRequest((Message.user(question), Message("assistant", calls), Message("tool", parts)), TOOLS)


def ask(text: str, *tools: object, **options: object) -> ModelRequest:
    return replace(ModelRequest((Message.user(text),), TOOLS if tools else ()), **options)  # type: ignore[arg-type]


async def collect(model: Model, request: ModelRequest) -> list[Delta]:
    deltas = [delta async for delta in model.stream(request)]
    assert_stream(deltas)
    return deltas


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def usage_of(deltas: list[Delta]) -> Usage:
    assert isinstance(deltas[-1], Finish)
    return deltas[-1].usage


async def test_a_question_that_a_tool_fits_is_answered_with_its_call() -> None:
    assistant = Assistant(calling(), writing("no"))

    deltas = await collect(assistant.model, ERRAND)

    assert [delta for delta in deltas if isinstance(delta, (ModelStart, ToolCallEnd))] == [
        ModelStart("local:assistant", 1.0),
        ToolCallEnd("call-0", "set_timer", '{"minutes":10,"label":"eggs"}'),
    ]
    assert assistant.models.asked == ["needle"]
    assert usage_of(deltas).output_tokens > 0


async def test_what_a_tool_returned_is_put_into_a_sentence() -> None:
    assistant = Assistant(calling(), writing("The eggs are set for 10 minutes."))

    deltas = await collect(assistant.model, after(SET))

    assert [delta for delta in deltas if not isinstance(delta, (Progress, Finish))] == [
        ModelStart("local:assistant", 0.9048),
        TextStart("words"),
        TextDelta("words", "The eggs are set for 10 minutes."),
        TextEnd("words"),
    ]
    assert assistant.models.asked == ["smollm2"]
    assert 0 < usage_of(deltas).output_tokens < usage_of(deltas).input_tokens


@pytest.mark.parametrize(
    "sentence",
    [
        "The eggs are set for 12 minutes.",
        "The eggs are set for twelve minutes.",
        "The timer is set for the eggs.",
        "The pasta is set for 10 minutes.",
        "The eggs are not set for 10 minutes.",
        "Shall I set the eggs for 10 minutes?",
        "",
        "The eggs are set for 10 minutes, in 10 minutes.",
        "The eggs are set for 10 minutes" + " now" * 60,
    ],
)
async def test_a_sentence_that_says_anything_else_is_not_said(sentence: str) -> None:
    deltas = await collect(Assistant(calling(), writing(sentence)).model, after(SET))

    assert text_of(deltas) == SET
    assert [delta.confidence for delta in deltas if isinstance(delta, ModelStart)] == [None]


async def test_a_sentence_that_is_unlikely_is_not_said() -> None:
    sentence = "The eggs are set for 10 minutes."

    said = [
        text_of(await collect(Assistant(calling(), writing(sentence), say_at=least).model, after(SET)))
        for least in (0.9, 0.91)
    ]

    assert said == [sentence, SET]


@pytest.mark.parametrize(
    ("results", "plain"),
    [
        ((True,), "yes"),
        ((None,), ""),
        (({"temperature": 18, "is_raining": False},), "temperature: 18, is raining: no"),
        (("a", ["b", "c"]), "a\nb; c"),
        (("one, two, three, four",), "one, two, three, four"),
        (("word " * 50,), ("word " * 50).strip()),
    ],
)
async def test_results_are_told_as_they_are_without_the_chat_model(results: tuple[Json, ...], plain: str) -> None:
    assistant = Assistant(calling())

    deltas = await collect(assistant.model, after(*results))

    assert text_of(deltas) == plain
    assert usage_of(deltas) == Usage()


async def test_a_tool_that_failed_takes_another_model() -> None:
    with pytest.raises(LowConfidenceError, match="'set_timer' failed") as caught:
        await collect(Assistant(calling(), writing("Done.")).model, after("too long", is_error=True))

    assert caught.value.honest_answer == "The tool set_timer failed: too long"


@pytest.mark.parametrize(
    ("said", "written", "told"),
    [
        ("good morning!", "Good morning! How can I assist you?", "Good morning! How can I assist you?"),
        ("good morning!", "Good morning! I am Akira.", "Hello! What can I do for you?"),
        ("thanks a lot", "You are very welcome!", "You are very welcome!"),
        ("thanks a lot", "You are welcome! What can I do for you?", "You are welcome!"),
        ("bye", "Goodbye! It is 7.", "Goodbye!"),
        ("how are you?", "I am sad.", "I am ready to help. What can I do for you?"),
        ("who are you", "I am a person.", "I am a small assistant that runs on this device."),
        ("what can you do?", "I can fly.", ""),
    ],
)
async def test_small_talk_is_answered_in_words_that_are_known(said: str, written: str, told: str) -> None:
    assert text_of(await collect(Assistant(calling(), writing(written)).model, ask(said))) == told


async def test_what_it_can_do_is_what_its_tools_do() -> None:
    assistant = Assistant(calling(), writing("I can fly."))

    deltas = await collect(assistant.model, ask("what can you do?", TOOLS))

    assert text_of(deltas) == "I can: set a kitchen timer; switch a lamp."
    assert assistant.models.asked == []


async def test_small_talk_needs_no_chat_model() -> None:
    assert text_of(await collect(Assistant(calling()).model, ask("hello"))) == "Hello! What can I do for you?"
    without = create_model(ModelReference("local", "assistant", options={"words": ""}), Assistant(calling()).host)
    assert text_of(await collect(without, ask("hello"))) == "Hello! What can I do for you?"


async def test_small_talk_that_a_tool_is_about_is_shown_to_the_tools_first() -> None:
    assistant = Assistant(calling("[]"), writing("Hello!"))
    hello = replace(ERRAND, messages=(Message.user("hello"),))

    await collect(assistant.model, hello)
    await collect(assistant.model, replace(hello, tools=(replace(TIMER, description="Say hello."),)))

    assert assistant.models.asked == ["smollm2", "needle", "smollm2"]


async def test_what_an_unsure_call_has_cost_is_counted() -> None:
    assistant = Assistant(calling("[]"), writing("Hello! How can I assist you?"))
    request = replace(ERRAND, messages=(Message.user("hello"),), tools=(replace(TIMER, description="Say hello."),))
    alone = await collect(assistant.model, replace(request, tools=()))

    both = await collect(assistant.model, request)

    assert text_of(both) == text_of(alone)
    assert usage_of(both).output_tokens > usage_of(alone).output_tokens
    assert usage_of(both).reasoning_tokens > 0


async def test_what_neither_knows_is_left_to_another_model() -> None:
    assistant = Assistant(calling("[]", confidence=0.2), writing("Leonardo."))
    remote = ScriptedModel(["Leonardo da Vinci."])

    deltas = await collect(FallbackModel([assistant.model, remote]), ask("Who painted the Mona Lisa?", TOOLS))

    assert text_of(deltas) == "Leonardo da Vinci."
    assert [delta.reason for delta in deltas if isinstance(delta, Fallback)] == ["low_confidence"]
    assert assistant.models.asked == ["needle"]


async def test_with_no_other_model_it_says_that_it_does_not_know() -> None:
    model = FallbackModel([Assistant(calling("[]"), writing("Leonardo.")).model])

    told = [text_of(await collect(model, ask("Who painted the Mona Lisa?", *tools))) for tools in ((TOOLS,), ())]

    assert told == [
        "None of my tools fits this, and I don't know the answer myself. I can: set a kitchen timer; switch a lamp.",
        "I don't know: I am a small model on this device, and answering that takes more knowledge than I have.",
    ]


async def test_it_is_as_sure_as_the_surer_model() -> None:
    unsure = calling(confidence=0.1)

    with pytest.raises(LowConfidenceError) as caught:
        await collect(Assistant(unsure, writing("Leonardo.")).model, ERRAND)
    by_calls = caught.value.confidence
    with pytest.raises(LowConfidenceError) as caught:
        await collect(Assistant(unsure, writing("Leonardo."), facts_at=0.95).model, ERRAND)

    assert 0 < by_calls < 0.4
    assert round(caught.value.confidence, 4) == 0.9048


async def test_facts_are_believed_from_where_the_user_says() -> None:
    question = ask("Who painted the Mona Lisa?")

    deltas = await collect(Assistant(calling(), writing("Leonardo."), facts_at=0.9).model, question)

    assert text_of(deltas) == "Leonardo."
    assert ModelStart("local:assistant", 0.9048) in deltas


async def test_tool_choice_is_kept() -> None:
    with pytest.raises(LowConfidenceError):
        await collect(Assistant(calling()).model, replace(ERRAND, tool_choice="none"))
    assistant = Assistant(calling(), writing("Hello!"))

    deltas = await collect(assistant.model, replace(ERRAND, tool_choice="required"))

    assert [delta.name for delta in deltas if isinstance(delta, ToolCallEnd)] == ["set_timer"]


async def test_an_answer_of_a_schema_is_written_by_the_chat_model() -> None:
    assistant = Assistant(calling(), writing('{"minutes": 10}'))
    schema: dict[str, Json] = {
        "type": "object",
        "properties": {"minutes": {"type": "integer"}},
        "required": ["minutes"],
        "additionalProperties": False,
    }

    deltas = await collect(assistant.model, ask("How long?", output_schema=schema))

    assert text_of(deltas) == '{"minutes": 10}'
    assert [delta.model for delta in deltas if isinstance(delta, ModelStart)] == ["local:assistant"]
    assert assistant.models.asked == ["smollm2"]


async def test_a_small_memory_holds_one_model_at_a_time() -> None:
    both = CATALOG["needle"].memory_bytes + CATALOG["smollm2"].memory_bytes
    closed = []
    for memory_bytes in (0, both, both - 1):
        calls, words = calling(), writing("The eggs are set for 10 minutes.")
        model = Assistant(calls, words, memory_bytes=memory_bytes).model

        await collect(model, ERRAND)
        await collect(model, after(SET))
        closed.append((calls.is_closed, words.is_closed))

    assert closed == [(False, False), (False, False), (True, False)]


class Unclosed(Turns):
    """A gate that lets nobody through to a session which was closed."""

    def __init__(self, session: FakeSession) -> None:
        super().__init__()
        self._session = session

    async def wait(self) -> Literal[True]:
        assert not self._session.is_closed, "it was closed in the middle of an answer"
        return await super().wait()


@pytest.mark.parametrize("steps", range(12))
async def test_with_a_small_memory_one_answer_is_made_after_the_other(steps: int) -> None:
    calls, words = calling(), writing("The eggs are set for 10 minutes.")
    calls.gate = Unclosed(calls)
    assistant = Assistant(calls, words, memory_bytes=1)
    first = asyncio.create_task(collect(assistant.model, ERRAND))
    for _ in range(steps):
        await asyncio.sleep(0)

    await asyncio.gather(first, collect(assistant.model, after(SET)))

    assert (calls.is_closed, assistant.models.asked) == (True, ["needle", "smollm2"])


@pytest.mark.parametrize("request_", [ERRAND, after(SET)], ids=["call", "words"])
@pytest.mark.parametrize("memory_bytes", [0, 1])
async def test_it_stops_wherever_it_is_cancelled(request_: ModelRequest, memory_bytes: int) -> None:
    for steps in range(200):
        calls, words = calling(), writing("The eggs are set for 10 minutes.")
        calls.gate = words.gate = Turns()
        assistant = Assistant(calls, words, memory_bytes=memory_bytes)
        before = asyncio.all_tasks()
        task = asyncio.create_task(collect(assistant.model, request_))
        for _ in range(steps):
            await asyncio.sleep(0)
        if task.done():
            assert steps > 20
            break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == before
        assert (calls.lock.locked(), words.lock.locked()) == (False, False)
        await collect(assistant.model, request_)
    else:
        raise AssertionError("it never ended")


async def test_a_reader_may_leave_early() -> None:
    words = writing("The eggs are set for 10 minutes.")

    async with aclosing(Assistant(calling(), words).model.stream(after(SET))) as stream:  # type: ignore[type-var]
        async for _ in stream:
            break

    assert not words.lock.locked()


async def test_a_model_that_is_missing_is_named() -> None:
    model = create_model("local:assistant", make_host())

    assert not model.info.is_configured
    with pytest.raises(ModelUnavailableError, match="runs no local models") as caught:
        await collect(model, ERRAND)
    assert (caught.value.provider, caught.value.model) == ("local", "assistant")


async def test_an_agent_calls_its_tool_and_tells_what_came_of_it() -> None:
    @tool
    def set_timer(minutes: int, label: str = "") -> str:
        """Set a kitchen timer."""
        return f"timer set for {minutes} minutes ({label})"

    assistant = Assistant(calling(), writing("The eggs are set for 10 minutes."))

    result = await Agent(model=assistant.model, tools=[set_timer]).run("ten minutes for the eggs", host=assistant.host)

    assert result.text == "The eggs are set for 10 minutes."
    assert [message.role for message in result.messages] == ["user", "assistant", "tool", "assistant"]
    assert assistant.models.asked == ["needle", "smollm2"]


def test_its_models_are_named_before_they_are_loaded() -> None:
    defaults = AssistantSettings()
    mine = ModelReference("local", "mine", options={"task": "assistant", "calls": "tiny", "words": ""})

    assert LOCAL_PARTS["assistant"] == {"calls": defaults.calls, "words": defaults.words}
    assert [CATALOG[name].task for name in local_models(ModelReference.parse("local:assistant"))] == [
        "tool_calling",
        "chat",
    ]
    assert local_models(mine) == ("tiny",)
    assert local_models(ModelReference.parse("local:needle")) == ("needle",)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("needle", {}, ("needle", "minilm")),
        ("needle", {"all_tools": 9}, ("needle",)),
        ("needle", {"tools_by": ""}, ("needle",)),
        ("mine", {"tools_by": "other"}, ("mine", "other")),
        ("mine", {"task": "chat"}, ("mine",)),
        ("smollm2", {}, ("smollm2",)),
        ("assistant", {}, ("needle", "smollm2", "minilm")),
        ("assistant", {"calls_options": {"all_tools": 20}}, ("needle", "smollm2")),
    ],
)
def test_what_chooses_among_many_tools_is_named_too(
    name: str, options: dict[str, object], expected: tuple[str, ...]
) -> None:
    assert local_models(ModelReference("local", name, options=options), 9) == expected
    assert "minilm" not in local_models(ModelReference("local", name, options=options), 8)


def test_models_that_call_no_tools_are_those_of_the_catalog() -> None:
    assert {name for name, known in CATALOG.items() if known.task in ("chat", "embedding")} == set(CALLS_NO_TOOLS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"say_at": 1.5}, "'say_at' is 1.5, not between 0 and 1"),
        ({"calls": ""}, "'calls' names no model"),
        ({"calls_options": {"act_at": 2.0}}, "'act_at' is 2.0"),
        ({"temperature": 1.0}, "no option 'temperature'"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        create_model(ModelReference("local", "assistant", options=options), make_host())


# With the real models: whatever is said of a result has its numbers, and no others.

NUMBERS = [
    ("ten minutes for the eggs", "timer set for 10 minutes (eggs)"),
    ("how long do the eggs still take?", "eggs: 7 minutes left"),
    ("what is 200 g in ounces?", "200 gram is 7.055 ounce"),
    ("oven to 180 please", "oven heating to 180 degrees Celsius"),
    ("put two leeks on the list", "3 x leek on the shopping list"),
    ("how cold is it outside?", {"temperature": -4, "unit": "Celsius"}),
    ("what do I owe?", {"amount": 1240.5, "currency": "EUR"}),
    ("when is the next train to Basel?", "17:34 on platform 7"),
    ("how many people have booked?", "12 of 40 seats are taken"),
    ("how far is Kyoto?", {"distance_km": 370}),
    ("is the library open?", "open until 18:30"),
    ("did it work?", "failed after 3 attempts"),
]


def numbers_in(text: str) -> set[str]:
    """Find the numbers in another way than the check does."""
    spoken = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    words = {word: str(place) for place, word in enumerate(spoken, 1)}
    spelled = re.sub(r"[a-z]+", lambda match: words.get(match[0], match[0]), text.lower())
    return set(re.findall(r"-?\d+(?:[.:]\d+)?", spelled))


@pytest.mark.timeout(300)
async def test_no_sentence_of_the_real_model_has_another_number() -> None:
    if find_spec("onnxruntime") is None:
        pytest.skip("onnxruntime is not installed")
    models_dir = Path(os.environ.get("LIMPET_BUILD") or ROOT / "build") / "models"
    if not models_dir.joinpath("smollm2", "model.json").is_file():
        pytest.skip("the model smollm2 is not built: python3 build.py models smollm2")
    backend = import_module("limpet.hosts.onnx_session").OnnxBackend(models_dir)
    model = create_model("local:assistant", make_host(inference=backend))
    phrased = 0

    for question, result in NUMBERS:
        deltas = await collect(model, after(result, question=question))
        told = text_of(deltas)
        assert numbers_in(told) == numbers_in(str(result)), told
        phrased += any(isinstance(delta, ModelStart) and delta.confidence is not None for delta in deltas)

    await (await backend.load("smollm2", lambda *_: None)).close()
    assert phrased >= 3, "nearly nothing is put into a sentence"
