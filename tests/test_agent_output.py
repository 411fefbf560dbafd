"""`output_type`: the typed value of a run, whatever the model can do, with one bounded second chance."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal

import pytest

from limpet import Agent, ConfigurationError, Event, Host, Message, OutputError, RunResult, TextPart, tool
from limpet.errors import ModelUnavailableError
from limpet.events import (
    ModelStart,
    OutputUpdate,
    RunEnd,
    RunError,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallEnd,
    ToolResult,
)
from limpet.model import Finish, ModelInfo, ModelRequest
from limpet.providers.scripted import ScriptedModel, call_tool
from tests.fakes.host import make_host
from tests.fakes.reading import read


@dataclass
class Step:
    text: str
    minutes: int = 0


@dataclass
class Recipe:
    title: str
    kind: Literal["soup", "cake"]
    steps: list[Step] = field(default_factory=list)


SOUP = Recipe("Leek soup", "soup", [Step("Cut the leeks."), Step("Boil them.", 20)])
SOUP_JSON: dict[str, Any] = {
    "title": "Leek soup",
    "kind": "soup",
    "steps": [{"text": "Cut the leeks.", "minutes": 0}, {"text": "Boil them.", "minutes": 20}],
}


class AbleModel(ScriptedModel):
    """A scripted model that says of itself what it can."""

    def __init__(self, replies: Any, **abilities: Any) -> None:
        super().__init__(replies)
        known = {"has_json_schema": False, "has_tools": False, **abilities}
        self.info: ModelInfo = replace(self.info, **known)


@tool
def look(word: str) -> str:
    """Look something up."""
    return f"{word} is green"


def updates(events: list[Event]) -> list[OutputUpdate]:
    return [event for event in events if isinstance(event, OutputUpdate)]


def answer(value: Any, mode: str) -> Any:
    if mode == "tool":
        return call_tool("final_answer", **value)
    text = json.dumps(value)
    return f"Here you are:\n```json\n{text}\n```" if mode == "prompted" else text


ABILITIES: dict[str, dict[str, bool]] = {
    "native": {"has_json_schema": True, "has_tools": True},
    "tool": {"has_tools": True},
    "prompted": {},
}


@pytest.mark.parametrize("mode", ABILITIES)
async def test_the_value_is_of_the_type_however_the_model_was_asked(host: Host, mode: str) -> None:
    model = AbleModel([answer(SOUP_JSON, mode)], **ABILITIES[mode])

    run = Agent(model, output_type=Recipe).run("a soup", host=host)
    events, error = await read(run)
    result: RunResult = await run

    assert error is None
    assert result.output == SOUP
    [*partial, whole] = updates(events)
    assert whole == OutputUpdate(SOUP_JSON, is_whole=True)
    assert len(partial) > 3
    assert not any(update.is_whole for update in partial)
    assert [event for event in events if isinstance(event, ToolCallEnd | ToolResult)] == []
    assert result.messages[-1].role == "assistant"
    request = model.requests[0]
    assert (request.output_schema is not None) == (mode == "native")
    assert [spec.name for spec in request.tools] == (["final_answer"] if mode == "tool" else [])
    assert (request.messages[0].role == "system") == (mode == "prompted")


@pytest.mark.parametrize("mode", ABILITIES)
async def test_tools_are_called_before_the_answer(host: Host, mode: str) -> None:
    abilities = {**ABILITIES[mode], "has_tools": True}
    model = AbleModel([call_tool("look", word="leek"), answer(SOUP_JSON, mode)], **abilities)

    run = Agent(model, [look], output_type=Recipe, output_mode=mode).run("a soup", host=host)  # type: ignore[arg-type]
    events, error = await read(run)

    assert error is None
    assert [event.content for event in events if isinstance(event, ToolResult)] == ["leek is green"]
    assert (await run).output == SOUP


def is_prefix(part: Any, whole: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and is_prefix(part[key], whole[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and all(map(is_prefix, part, whole)) and len(part) <= len(whole)
    if isinstance(part, str):
        return isinstance(whole, str) and whole.startswith(part)
    return bool(part == whole)


async def test_each_update_is_a_prefix_of_the_next(host: Host) -> None:
    pieces = [TextDelta("0", character) for character in json.dumps(SOUP_JSON, ensure_ascii=False)]
    model = AbleModel([[TextStart("0"), *pieces, TextEnd("0")]], has_json_schema=True)

    events, _ = await read(Agent(model, output_type=Recipe).run("a soup", host=host))

    values = [update.value for update in updates(events)]
    assert len(values) > 15
    assert all(is_prefix(first, second) for first, second in pairwise(values))
    assert values[-1] == SOUP_JSON


@pytest.mark.parametrize("mode", ABILITIES)
async def test_the_model_is_told_once_what_was_wrong(host: Host, mode: str) -> None:
    wrong = {**SOUP_JSON, "kind": "stew"}
    model = AbleModel([answer(wrong, mode), answer(SOUP_JSON, mode)], **ABILITIES[mode])

    run = Agent(model, output_type=Recipe).run("a soup", host=host)
    events, error = await read(run)

    assert error is None
    assert (await run).output == SOUP
    [*_, told] = model.requests[1].messages
    assert (told.role, "kind" in told.text, "soup" in told.text) == ("user", True, True)
    assert model.requests[1].messages[-2].role == "assistant"
    assert [update.is_whole for update in updates(events)].count(True) == 1


async def test_after_its_chances_the_run_ends_with_an_error(host: Host) -> None:
    model = AbleModel(["no recipe here"] * 3)

    run = Agent(model, output_type=Recipe, max_reasks=2).run("a soup", host=host, conversation_id="c")
    events, error = await read(run)

    assert isinstance(error, OutputError)
    assert isinstance(events[-1], RunError)
    assert events[-1].name == "OutputError"
    assert len(model.requests) == 3
    again = await Agent(ScriptedModel(["hello"])).run("and?", host=host, conversation_id="c")
    assert again.text == "hello"


@pytest.mark.parametrize(
    ("output_type", "text", "value"),
    [
        (int, '{"value": 7}', 7),
        (list[str], '{"value": ["a", "b"]}', ["a", "b"]),
        (Literal["yes", "no"], '{"value": "no"}', "no"),
        (int | None, '{"value": null}', None),
        (dict[str, int], '{"value": {"a": 1}}', {"a": 1}),
    ],
    ids=str,
)
async def test_a_type_that_is_no_object_comes_as_itself(host: Host, output_type: Any, text: str, value: Any) -> None:
    run = Agent(AbleModel([text], has_json_schema=True), output_type=output_type).run("?", host=host)
    events, _ = await read(run)

    assert (await run).output == value
    assert updates(events)[-1] == OutputUpdate(value, is_whole=True)


async def test_an_answer_that_was_cut_off_or_cancelled_has_no_value(host: Host) -> None:
    cut = [
        ModelStart("scripted:model"),
        TextStart("0"),
        TextDelta("0", '{"title": "Le'),
        TextEnd("0"),
        Finish("length"),
    ]

    run = Agent(AbleModel([cut], has_json_schema=True), output_type=Recipe).run("?", host=host)
    events, error = await read(run)

    assert error is None
    assert isinstance(events[-1], RunEnd)
    assert (await run).output is None
    assert updates(events) == [OutputUpdate({"title": "Le"}, is_whole=False)]


async def test_each_model_of_a_fallback_is_asked_as_it_can(host: Host) -> None:
    first = AbleModel([ModelUnavailableError("away")], has_json_schema=True)
    second = AbleModel([answer(SOUP_JSON, "prompted")])

    result = await Agent([first, second], output_type=Recipe).run("a soup", host=host)

    assert result.output == SOUP
    assert first.requests[0].output_schema is not None
    assert second.requests[0].output_schema is None


async def test_a_run_with_an_output_goes_on_elsewhere_after_each_event(host: Host) -> None:
    def agent() -> Agent:
        def replies(request: ModelRequest) -> Any:
            is_second = any(isinstance(part, TextPart) and "kind" in part.text for part in request.messages[-1].parts)
            return json.dumps(SOUP_JSON if is_second else {**SOUP_JSON, "kind": "stew"})

        return Agent(AbleModel([replies] * 9, has_json_schema=True), output_type=Recipe)

    whole, _ = await read(agent().run("?", host=host))
    for count in range(1, len(whole)):
        run = agent().run("?", host=make_host())
        for _ in range(count):
            await anext(run)
        state = json.loads(json.dumps(run.dump()))
        await run.close()
        moved = agent().resume(state, host=make_host())
        events, error = await read(moved)

        assert error is None, count
        assert isinstance(events[-1], RunEnd)
        assert (await moved).output == SOUP


def test_a_type_that_cannot_be_expressed_is_refused_when_the_agent_is_made() -> None:
    with pytest.raises(ConfigurationError, match="output_type"):
        Agent(ScriptedModel([]), output_type=open)
    with pytest.raises(ConfigurationError, match="output_type: "):
        Agent(ScriptedModel([]), output_type=[])
    with pytest.raises(ConfigurationError, match="leave it out for any text"):
        Agent(ScriptedModel([]), output_type=None)


async def test_text_is_the_output_where_no_type_is_given(host: Host) -> None:
    result = await Agent(ScriptedModel(["hi"])).run("?", host=host, messages=[Message.user("earlier")])

    assert result.output == "hi"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('Such as {"title": "A", "kind": "soup"}:\n```json\n{"title": "B", "kind": "cake"}\n```', "B"),
        ("{'title': 'C', 'kind': 'soup'}", "C"),
    ],
    ids=["behind an example", "in a loose hand"],
)
async def test_the_last_update_is_of_the_value_that_the_result_has(host: Host, text: str, value: str) -> None:
    run = Agent(AbleModel([text]), output_type=Recipe).run("a cake", host=host)
    events, _ = await read(run)

    assert (await run).output.title == value
    last = updates(events)[-1]
    assert last.is_whole
    assert last.value["title"] == value  # type: ignore[index,call-overload]
