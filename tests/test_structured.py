"""An answer of a type: what is asked of which model, what becomes of its stream, and what is made of the text."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from typing import Annotated, Any, Literal, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limpet.accumulate import Accumulator
from limpet.errors import ConfigurationError, OutputError, UnsupportedError
from limpet.events import (
    Fallback,
    ModelStart,
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
from limpet.fallback import FallbackModel
from limpet.messages import Message, ReasoningPart, TextPart, ToolCallPart
from limpet.model import Delta, Finish, Model, ModelReference, ModelRequest, ToolSpec
from limpet.protocols.anthropic_messages import AnthropicMessages
from limpet.providers import create_model
from limpet.providers.scripted import Reply, ScriptedModel, call_tool
from limpet.schema import Field
from limpet.structured import Output, OutputMode, StructuredModel
from limpet.wire import Json
from tests.fakes.fetch import FakeFetch, FakeResponse
from tests.fakes.host import make_host
from tests.test_partial_json import is_prefix


class Size(Enum):
    SMALL = "S"
    LARGE = "L"


@dataclass(frozen=True)
class Timer:
    """A timer.

    Args:
        minutes: How long.
    """

    minutes: Annotated[int, Field(ge=1)]
    label: str | None = None
    loud: bool = False


@dataclass(frozen=True)
class Empty:
    pass


@dataclass(frozen=True)
class Node:
    name: str
    next: Node | None = None


class Place(TypedDict):
    city: str


TIMER_SCHEMA = {
    "type": "object",
    "properties": {
        "minutes": {"type": "integer", "minimum": 1, "description": "How long."},
        "label": {"type": "string"},
        "loud": {"type": "boolean", "default": False},
    },
    "required": ["minutes"],
}
TIMER = Output.of(Timer)
LOOK = ToolSpec("look", "Look.", {"type": "object", "properties": {}})
GO = ModelRequest((Message.user("Go."),))
BESIDE = replace(GO, tools=(LOOK,))


# --- the type ---


def test_the_schema_of_an_object_is_its_own() -> None:
    assert (TIMER.schema, TIMER.is_wrapped) == (TIMER_SCHEMA, False)


@pytest.mark.parametrize(
    ("output_type", "inner"),
    [
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Size, {"type": "string", "enum": ["S", "L"]}),
        (int | None, {"type": ["integer", "null"]}),
        (Timer | Place, {"anyOf": [TIMER_SCHEMA, Output.of(Place).schema]}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Empty, {"type": "object", "properties": {}}),
    ],
    ids=str,
)
def test_what_is_no_object_with_properties_is_put_into_one(output_type: object, inner: Json) -> None:
    output = Output.of(output_type)

    assert output.schema == {"type": "object", "properties": {"value": inner}, "required": ["value"]}
    assert output.is_wrapped


def test_a_type_that_contains_itself_keeps_its_definitions_at_the_root() -> None:
    output = Output.of(list[Node])
    schema: Any = output.schema

    assert schema["properties"] == {"value": {"type": "array", "items": {"$ref": "#/$defs/Node"}}}
    assert list(schema["$defs"]) == ["Node"]
    assert output.parse('[{"name": "a", "next": {"name": "b", "next": null}}]') == [Node("a", Node("b"))]


@pytest.mark.parametrize(
    ("output_type", "mode", "name", "says"),
    [
        (complex, "auto", "answer", "output_type: the type complex can't be expressed in JSON Schema"),
        (set[list[int]], "auto", "answer", "output_type: list[int] can't be an item of a set; use a list"),
        (Timer, "magic", "answer", "the mode of an output must be one of auto, native, tool, prompted, not 'magic'"),
        (Timer, "auto", "an answer", "the name of an output must be of letters, digits, '_' and '-', not 'an answer'"),
    ],
    ids=["type", "item", "mode", "name"],
)
def test_what_cant_be_asked_for_is_refused_at_once(output_type: object, mode: Any, name: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Output.of(output_type, mode=mode, name=name)

    assert caught.value.message == says


def test_outputs_are_equal_when_they_ask_for_the_same() -> None:
    assert Output.of(Timer) == TIMER
    assert Output.of(Timer, mode="tool") != TIMER


# --- reading ---


@pytest.mark.parametrize(
    ("output_type", "text", "expected"),
    [
        (Timer, '{"minutes": 10}', Timer(10)),
        (Timer, '{"minutes": 10, "label": null, "loud": null}', Timer(10)),
        (Timer, 'Here you are:\n```json\n{"minutes": 10}\n```\nAnything else?', Timer(10)),
        (Timer, "Sure. {'minutes': 10, 'loud': True,} Done.", Timer(10, loud=True)),
        (Timer, 'For a set {like {this}}:\n```json\n{"minutes": 10}\n```', Timer(10)),
        (Timer, 'I take {braces}.\n{"minutes": 10}', Timer(10)),
        (Timer, 'I take {braces}: {"minutes": 10}.', Timer(10)),
        (Size, 'I would say {"value": "L"}.', Size.LARGE),
        (list[int], '{"value": [1, 2]}', [1, 2]),
        (list[int], "[1, 2]", [1, 2]),
        (list[int], "```\n[1, 2]\n```", [1, 2]),
        (dict[str, int], '{"value": {"eggs": 10}}', {"eggs": 10}),
        (dict[str, int], '{"eggs": 10}', {"eggs": 10}),
        (Timer | Place, '{"value": {"city": "Ulm"}}', {"city": "Ulm"}),
        (Timer | Place, '{"city": "Ulm"}', {"city": "Ulm"}),
        (int | None, '{"value": null}', None),
        (int | None, "null", None),
        (int, "7", 7),
        (Size, '{"value": "L"}', Size.LARGE),
        (Size, '"L"', Size.LARGE),
        (Size, " small\n", Size.SMALL),
        (Empty, '{"value": {}}', Empty()),
        (str, "  Hello {world}", "  Hello {world}"),
    ],
)
def test_an_answer_becomes_a_value_of_the_type(output_type: object, text: str, expected: object) -> None:
    assert Output.of(output_type).parse(text) == expected


AGAIN = "\nAnswer again, with all of it corrected."
NO_JSON = "Answer again, with the JSON object and nothing else."


@pytest.mark.parametrize(
    ("output_type", "text", "says"),
    [
        (
            Timer,
            '{"minutes": "soon", "loud": 7, "volume": 3}',
            "the answer doesn't fit what was asked for:\n- minutes must be an integer, not a string\n"
            "- loud must be true or false, not an integer\n"
            "- the value has no volume (known are: minutes, label, loud)" + AGAIN,
        ),
        (Timer, '{"minutes": 0}', "the answer doesn't fit what was asked for:\n- minutes must be at least 1" + AGAIN),
        (
            list[int],
            '{"value": [1, "secret"]}',
            "the answer doesn't fit what was asked for:\n- value[1] must be an integer, not a string" + AGAIN,
        ),
        (
            Size,
            '{"value": "XL"}',
            "the answer doesn't fit what was asked for:\n- value must be one of 'S', 'L'" + AGAIN,
        ),
        (
            Timer,
            '{"minutes": 10',
            f"the answer is not one whole JSON object: it is cut off before the end. {NO_JSON}",
        ),
        (
            Timer,
            "I'd rather not.",
            f"the answer is not one whole JSON object: Expecting value at character 0. {NO_JSON}",
        ),
        (
            Timer,
            'Either {"minutes": 10} or {"minutes": 11}.',
            f"the answer is not one whole JSON object: there is more than one object. {NO_JSON}",
        ),
        (Timer, "", f"the answer is not one whole JSON object: there is no JSON in it. {NO_JSON}"),
        (Timer, "null", f"the answer is not one whole JSON object: there is no JSON in it. {NO_JSON}"),
        (
            Timer,
            "[1]",
            "the answer doesn't fit what was asked for:\n- the value must be an object, not a list" + AGAIN,
        ),
    ],
)
def test_an_answer_that_does_not_fit_is_told_what_to_repair(output_type: object, text: str, says: str) -> None:
    with pytest.raises(OutputError) as caught:
        Output.of(output_type).parse(text)

    assert caught.value.message == says


def test_a_word_is_an_answer_only_where_words_are_listed() -> None:
    with pytest.raises(OutputError):
        Output.of(str | int).parse("I can't tell.")


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    for output in (TIMER, Output.of(list[int]), Output.of(Size)):
        with suppress(OutputError):
            assert output.parse(text) != text


# --- an answer that is still being written ---


@pytest.mark.parametrize(
    ("output_type", "text", "expected"),
    [
        (Timer, "", None),
        (Timer, "Here", None),
        (Timer, '```json\n{"minutes": 10', None),
        (Timer, "{}", {}),
        (Timer, '```json\n{"minutes": 10, "label": "te', {"minutes": 10, "label": "te"}),
        (Timer, '{"minutes": 10, "label": null}\n```', {"minutes": 10}),
        (Timer, 'In {braces}: {"minutes": 10,', {"minutes": 10}),
        (list[int], '{"val', None),
        (list[int], '{"value": [1, 2', [1]),
        (int, '{"value": 7}', 7),
        (str, "Hel", "Hel"),
    ],
)
def test_what_is_there_so_far_is_told(output_type: object, text: str, expected: object) -> None:
    assert Output.of(output_type).partial(text) == expected


@settings(deadline=None)  # each step reads the text from its start
@given(
    st.lists(st.fixed_dictionaries({"minutes": st.integers(1)}, optional={"label": st.text(), "loud": st.booleans()})),
    st.sampled_from(["", "Here:\n```json\n", "In {braces}: "]),
)
def test_each_step_grows_into_the_next_and_the_last_is_the_answer(timers: list[Any], before: str) -> None:
    output = Output.of(list[Timer])
    text = f"{before}{json.dumps({'value': timers})}\n```"

    steps = [output.partial(text[:end]) for end in range(len(text) + 1)]

    known: list[Any] = [step for step in steps if step is not None]
    assert steps[len(steps) - len(known) :] == known
    assert all(is_prefix(earlier, later) for earlier, later in pairwise(known))
    assert known[-1] == timers
    assert output.parse(text) == [Timer(**timer) for timer in timers]


# --- how a model is asked ---


def scripted(*replies: Reply, **abilities: bool) -> ScriptedModel:
    """Make a model that says these things and is known to be able to do those."""
    model = ScriptedModel(replies, name="fake:m")
    model.info = replace(model.info, **abilities)
    return model


async def drain(model: Model, request: ModelRequest = GO) -> list[Delta]:
    return [delta async for delta in model.stream(request)]


def message_of(deltas: Sequence[Delta]) -> Message:
    """Put an answer together, which also checks that its deltas may stand where they stand."""
    answer = Accumulator()
    for delta in deltas:
        answer.add(delta)
    return answer.message()


NATIVE = {"has_json_schema": True}


@pytest.mark.parametrize(
    ("abilities", "output", "request_", "expected"),
    [
        (NATIVE, TIMER, GO, "native"),
        (NATIVE, TIMER, BESIDE, "native"),
        ({**NATIVE, "has_schema_with_tools": False}, TIMER, GO, "native"),
        ({**NATIVE, "has_schema_with_tools": False}, TIMER, BESIDE, "tool"),
        ({**NATIVE, "has_schema_with_tools": False}, TIMER, replace(BESIDE, tool_choice="none"), "native"),
        (NATIVE, Output.of(dict[str, int]), GO, "tool"),
        ({**NATIVE, "has_tools": False}, Output.of(dict[str, int]), GO, "prompted"),
        ({}, TIMER, GO, "tool"),
        ({"has_tools": False}, TIMER, GO, "prompted"),
        (NATIVE, Output.of(Timer, mode="prompted"), GO, "prompted"),
        ({}, Output.of(Timer, mode="native"), GO, "native"),
    ],
)
def test_the_mode_is_the_best_that_the_model_has(
    abilities: dict[str, bool], output: Output, request_: ModelRequest, expected: OutputMode
) -> None:
    assert StructuredModel(scripted(**abilities), output).mode_for(request_) == expected


async def test_what_is_known_of_the_model_stays() -> None:
    model = scripted()

    assert StructuredModel(model, TIMER).info is model.info


async def test_natively_the_schema_goes_with_the_request() -> None:
    model = scripted('{"minutes": 10}', **NATIVE)

    deltas = await drain(StructuredModel(model, TIMER), BESIDE)

    assert model.requests == [replace(BESIDE, output_schema=TIMER_SCHEMA)]
    assert message_of(deltas) == Message.assistant('{"minutes": 10}', model="fake:m")


async def test_plain_text_is_asked_for_without_a_word() -> None:
    model = scripted("Hello.")

    deltas = await drain(StructuredModel(model, Output.of(str)))

    assert model.requests == [GO]
    assert message_of(deltas).text == "Hello."


async def test_by_words_the_schema_stands_in_the_system_message() -> None:
    model = scripted('{"minutes": 10}', '{"minutes": 10}', has_tools=False)
    structured = StructuredModel(model, TIMER)
    ruled = replace(GO, messages=(Message.system("Be brief."), Message.system("Be kind."), *GO.messages))

    await drain(structured)
    await drain(structured, ruled)

    rule = "Write the answer as one JSON object that fits this JSON Schema, and nothing around it: "
    rule += json.dumps(TIMER_SCHEMA)
    second = Message("system", (TextPart("Be kind."), TextPart(f"\n\n{rule}")))
    assert model.requests == [
        replace(GO, messages=(Message.system(rule), *GO.messages)),
        replace(GO, messages=(ruled.messages[0], second, *GO.messages)),
    ]


FINAL = ToolSpec("final_answer", "Give the final answer, by this call alone.", TIMER_SCHEMA)  # type: ignore[arg-type]


async def test_by_a_tool_its_call_becomes_the_text() -> None:
    model = scripted([ReasoningPart("Hm."), call_tool("final_answer", "c", minutes=10)])

    deltas = await drain(StructuredModel(model, TIMER))

    assert model.requests == [replace(GO, tools=(FINAL,), tool_choice="required")]
    assert deltas == [
        ModelStart("fake:m"),
        ReasoningStart("0"),
        ReasoningDelta("0", "Hm."),
        ReasoningEnd("0"),
        TextStart("c"),
        TextDelta("c", '{"minutes": '),
        TextDelta("c", "10}"),
        TextEnd("c"),
        Finish("stop", Usage(8, 4)),
    ]
    assert message_of(deltas) == Message("assistant", (ReasoningPart("Hm."), TextPart('{"minutes": 10}')), "fake:m")


async def test_the_tools_stay_beside_that_of_the_answer_whatever_its_name() -> None:
    tools = (LOOK, replace(LOOK, name="final_answer"))
    model = scripted(call_tool("look", "c"), has_required_tools=True)

    deltas = await drain(StructuredModel(model, TIMER), replace(GO, tools=tools))

    assert model.requests == [replace(GO, tools=(*tools, replace(FINAL, name="final_answer_")), tool_choice="required")]
    assert message_of(deltas) == Message("assistant", (ToolCallPart("c", "look", "{}"),), "fake:m")
    assert deltas[-1] == Finish("tool_calls", Usage(8, 4))


async def test_when_no_other_tool_may_be_called_that_of_the_answer_is_alone() -> None:
    model = scripted(call_tool("final_answer", minutes=1))

    await drain(StructuredModel(model, TIMER), replace(BESIDE, tool_choice="none"))

    assert model.requests == [replace(GO, tools=(FINAL,), tool_choice="required")]


async def test_a_model_that_cant_be_made_to_call_is_told_to() -> None:
    model = scripted('{"minutes": 10}', has_required_tools=False)

    deltas = await drain(StructuredModel(model, TIMER))

    told = Message.system("Give the final answer by calling final_answer, not as text.")
    assert model.requests == [replace(GO, messages=(told, *GO.messages), tools=(FINAL,), tool_choice="auto")]
    assert message_of(deltas).text == '{"minutes": 10}'


CALL = call_tool("final_answer", "f", minutes=10)
OTHER = call_tool("look", "o")
ANSWER = TextPart('{"minutes": 10}')


@pytest.mark.parametrize(
    ("reply", "parts", "finish_reason"),
    [
        ([CALL, OTHER], [ANSWER], "stop"),
        ([OTHER, CALL], [OTHER], "tool_calls"),
        ([OTHER, CALL, call_tool("final_answer", "g", minutes=1)], [OTHER], "tool_calls"),
        ([CALL, call_tool("final_answer", "g", minutes=11)], [ANSWER], "stop"),
        ([CALL, TextPart("That was it."), ReasoningPart("Done.")], [ANSWER], "stop"),
        ([TextPart("Here it is."), CALL], [TextPart("Here it is."), TextPart('\n\n{"minutes": 10}')], "stop"),
        ([TextPart("Only words.")], [TextPart("Only words.")], "stop"),
    ],
    ids=["answer first", "answer behind", "two behind", "twice", "words behind", "words before", "words only"],
)
async def test_what_comes_first_counts(reply: Any, parts: list[Any], finish_reason: str) -> None:
    deltas = await drain(StructuredModel(scripted(reply), TIMER), BESIDE)

    assert message_of(deltas) == Message("assistant", tuple(parts), "fake:m")
    assert deltas[-1] == Finish(finish_reason, Usage(8, 4))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("steps", "text", "finish_reason"),
    [
        (
            [ToolCallStart("f", "final_answer"), ToolCallEnd("f", "final_answer", '{"minutes": 1}')],
            '{"minutes": 1}',
            "stop",
        ),
        ([ToolCallStart("f", "final_answer"), ToolCallEnd("f", "final_answer", "")], "{}", "stop"),
        (
            [ToolCallStart("f", "final_answer"), ToolCallDelta("f", '{"minu'), Finish("length", Usage(8, 4))],
            '{"minu',
            "length",
        ),
        (
            [
                ToolCallStart("f", "final_answer"),
                ToolCallDelta("f", "{}"),
                ToolCallEnd("f", "final_answer", "{}", {"signature": "eA=="}),
            ],
            "{}",
            "stop",
        ),
    ],
    ids=["whole at once", "without arguments", "cut off", "signed"],
)
async def test_a_call_in_any_shape_becomes_a_text(steps: list[Any], text: str, finish_reason: str) -> None:
    deltas = await drain(StructuredModel(scripted(steps), TIMER))

    assert message_of(deltas) == Message.assistant(text, model="fake:m")
    assert deltas[-1] == Finish(finish_reason, Usage(8, 4))  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["native", "tool", "prompted"])
async def test_leaving_the_answer_stops_the_model(mode: OutputMode) -> None:
    stopped: list[str] = []

    class Endless:
        info = scripted().info

        async def stream(self, request: ModelRequest) -> AsyncIterator[Delta]:
            try:
                yield ModelStart("fake:m")
                yield TextStart("0")
                while True:
                    yield TextDelta("0", "on and ")
            finally:
                stopped.append(mode)

    stream: Any = StructuredModel(Endless(), Output.of(Timer, mode=mode)).stream(GO)
    await anext(stream)
    await stream.aclose()

    assert stopped == [mode]


async def test_each_model_of_a_fallback_is_asked_in_its_own_way() -> None:
    first = scripted(UnsupportedError("fake:m can't"), **NATIVE)
    second = ScriptedModel([CALL], name="fake:n")
    model = FallbackModel([StructuredModel(first, TIMER), StructuredModel(second, TIMER)])

    deltas = await drain(model)

    assert first.requests == [replace(GO, output_schema=TIMER_SCHEMA)]
    assert second.requests == [replace(GO, tools=(FINAL,), tool_choice="required")]
    assert deltas[0] == Fallback("fake:m", "fake:n", "unsupported", "fake:m can't")
    assert message_of(deltas) == Message.assistant('{"minutes": 10}', model="fake:n")


# --- with a service's bytes ---

CHUNKS = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"call_1",'
    b'"type":"function","function":{"name":"final_answer","arguments":""}}]}}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\\"min"}}]}}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"utes\\": 10}"}}]}}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\ndata: [DONE]\n\n',
)


async def test_over_chat_completions_the_answer_is_streamed_and_goes_back_as_text_to_any_service() -> None:
    fetch = FakeFetch(FakeResponse(CHUNKS))
    model = create_model(ModelReference.parse("groq:m"), make_host(fetch=fetch, secrets={"GROQ_API_KEY": "KEY"}))

    deltas = await drain(StructuredModel(model, TIMER))

    body = json.loads(fetch.sent[0].body or b"")
    assert body["tool_choice"] == "required"
    assert [entry["function"]["name"] for entry in body["tools"]] == ["final_answer"]
    assert "response_format" not in body
    answer = message_of(deltas)
    assert [delta.text for delta in deltas if isinstance(delta, TextDelta)] == ['{"min', 'utes": 10}']
    assert TIMER.parse(answer.text) == Timer(10)
    later = ModelRequest((*GO.messages, answer, Message.user("Longer.")))
    assert AnthropicMessages().render(later, model="claude", model_id="anthropic:claude").body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Go."}]},
        {"role": "assistant", "content": [{"type": "text", "text": '{"minutes": 10}'}]},
        {"role": "user", "content": [{"type": "text", "text": "Longer."}]},
    ]


async def test_over_anthropic_a_closed_schema_is_sent_and_nulls_are_read_as_left_out() -> None:
    answer = {
        "type": "message",
        "content": [{"type": "text", "text": '{"minutes": 10, "label": null, "loud": null}'}],
        "stop_reason": "end_turn",
    }
    fetch = FakeFetch(FakeResponse((json.dumps(answer).encode(),)))
    model = create_model(
        ModelReference.parse("anthropic:m"), make_host(fetch=fetch, secrets={"ANTHROPIC_API_KEY": "K"})
    )

    deltas = await drain(StructuredModel(model, TIMER))

    schema = json.loads(fetch.sent[0].body or b"")["output_config"]["format"]["schema"]
    assert (schema["additionalProperties"], schema["required"]) == (False, ["minutes"])
    assert schema["properties"]["minutes"] == {"type": "integer", "description": "How long. (minimum: 1)"}
    assert TIMER.parse(message_of(deltas).text) == Timer(10)
