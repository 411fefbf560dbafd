from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet.errors import ConfigurationError, ToolArgumentsError, ToolError
from limpet.schema import Field
from limpet.tools import Tool, tool
from limpet.wire import Json, JsonObject

if TYPE_CHECKING:
    from nowhere import Answer  # type: ignore[import-not-found]


class Heat(Enum):
    LOW = "low"
    HIGH = "high"


@tool
def set_timer(minutes: int, label: str = "") -> str:
    """Set a kitchen timer.

    Args:
        minutes: How long, in minutes.
        label: What it is for.

    Returns:
        What was set.
    """
    return f"timer set for {minutes} minutes"


@tool
def cook(
    dish: str,
    heat: Heat,
    *,
    minutes: Annotated[int, Field("Between 1 and 600.", ge=1, le=600)] = 10,
    with_: list[Literal["salt", "pepper"]] | None = None,
) -> Answer:
    """Cook something.

    Args:
        dish: What.
        minutes: Not told: the annotation knows better.
    """
    return {"dish": dish, "heat": heat, "minutes": minutes, "with": with_}


def nothing(progress: Json) -> None:
    raise AssertionError(f"no progress was expected, but {progress!r}")


async def call(any_tool: Tool[..., Any], arguments: str = "{}") -> tuple[Json, list[Json]]:
    """Call a tool as the loop does; gives its result and its progress."""
    progress: list[Json] = []
    result = await any_tool.call(any_tool.parse(arguments), progress.append)
    return result, progress


# --- making -----------------------------------------------------------------------------------------------------


def test_a_function_becomes_a_specification() -> None:
    assert set_timer.spec.name == "set_timer"
    assert set_timer.spec.description == "Set a kitchen timer."
    assert set_timer.spec.parameters == {
        "type": "object",
        "properties": {
            "minutes": {"type": "integer", "description": "How long, in minutes."},
            "label": {"type": "string", "description": "What it is for.", "default": ""},
        },
        "required": ["minutes"],
    }


def test_annotations_tell_more_than_docstrings() -> None:
    assert cook.spec.parameters == {
        "type": "object",
        "properties": {
            "dish": {"type": "string", "description": "What."},
            "heat": {"type": "string", "enum": ["low", "high"]},
            "minutes": {
                "type": "integer",
                "minimum": 1,
                "maximum": 600,
                "description": "Between 1 and 600.",
                "default": 10,
            },
            "with_": {"type": "array", "items": {"type": "string", "enum": ["salt", "pepper"]}},
        },
        "required": ["dish", "heat"],
    }


def test_a_tool_without_parameters() -> None:
    @tool
    def now() -> str:
        return "noon"

    assert now.spec.description == ""
    assert now.spec.parameters == {"type": "object", "properties": {}}
    assert now.parse("") == {}


def test_settings_are_kept() -> None:
    @tool(name="stop", description="Stop it.", timeout_seconds=2, retries=1, requires_approval=True)
    async def stop_timer() -> None:
        """Not this text."""

    assert (stop_timer.spec.name, stop_timer.spec.description) == ("stop", "Stop it.")
    assert (stop_timer.timeout_seconds, stop_timer.retries) == (2, 1)
    assert (stop_timer.requires_approval, stop_timer.is_idempotent) == (True, True)


def test_a_tool_is_still_its_function() -> None:
    assert set_timer(3) == "timer set for 3 minutes"
    assert set_timer.__name__ == "set_timer"
    assert set_timer.__doc__ == set_timer.function.__doc__
    assert list(inspect.signature(set_timer).parameters) == ["minutes", "label"]
    assert repr(set_timer) == "Tool('set_timer')"


def test_classes_of_a_function_are_found() -> None:
    @dataclass
    class Egg:
        heat: Heat
        neighbour: Optional[Egg] = None  # noqa: UP045

    @tool
    def boil(eggs: list[Egg]) -> None: ...

    assert boil.parse('{"eggs": [{"heat": "low", "neighbour": {"heat": "HIGH"}}]}') == {
        "eggs": [Egg(Heat.LOW, Egg(Heat.HIGH))]
    }


def test_a_class_may_stand_in_several_parameters() -> None:
    @dataclass
    class Pot:
        litres: float

    @tool
    def swap(one: Pot, other: Pot, rest: list[Pot]) -> None: ...

    pot: JsonObject = {"type": "object", "properties": {"litres": {"type": "number"}}, "required": ["litres"]}
    assert swap.spec.parameters["properties"] == {"one": pot, "other": pot, "rest": {"type": "array", "items": pot}}


class Kitchen:
    """A kitchen."""

    def __init__(self, name: str) -> None:
        self.name = name

    def light(self, is_on: bool) -> str:
        """Switch the light."""
        return f"{self.name}: {is_on}"

    def __call__(self, dish: str) -> str:
        """Cook in it."""
        return f"{self.name}: {dish}"


def pour(millilitres: float, *, into: str) -> str:
    """Pour."""
    return f"{millilitres} into {into}"


@functools.wraps(pour)
def poured(*args: Any, **kwargs: Any) -> str:
    return pour(*args, **kwargs)


@pytest.mark.parametrize(
    ("made", "name", "description", "arguments", "result"),
    [
        pytest.param(tool(Kitchen("a").light), "light", "Switch the light.", '{"is_on": true}', "a: True", id="method"),
        pytest.param(
            tool(name="cook")(Kitchen("a")), "cook", "Cook in it.", '{"dish": "egg"}', "a: egg", id="callable"
        ),
        pytest.param(
            tool(name="fill")(functools.partial(pour, into="cup")),
            "fill",
            "Pour.",
            '{"millilitres": 2}',
            "2.0 into cup",
            id="partial",
        ),
        pytest.param(tool(poured), "pour", "Pour.", '{"millilitres": 1, "into": "pot"}', "1.0 into pot", id="wrapped"),
    ],
)
async def test_whatever_can_be_called(
    made: Tool[..., Any], name: str, description: str, arguments: str, result: str
) -> None:
    assert (made.spec.name, made.spec.description) == (name, description)
    assert (await call(made, arguments))[0] == result


def positional_only(minutes: int, /) -> None: ...
def many(*minutes: int) -> None: ...
def keywords(**minutes: int) -> None: ...
def untyped(minutes) -> None: ...  # type: ignore[no-untyped-def]
def complex_number(minutes: complex) -> None: ...
def inner_bytes(minutes: dict[str, list[bytes]]) -> None: ...
def unknown(label: str, minutes: Minute) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def default_object(minutes: object = object()) -> None: ...
def generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (positional_only, r"positional_only\(minutes\): .* positional only"),
        (many, r"many\(minutes\): .*use a list"),
        (keywords, r"keywords\(minutes\): .*use a list or a dict"),
        (untyped, r"untyped\(minutes\): has no type annotation"),
        (Kitchen.light, r"light\(self\): has no type annotation; .*bound method"),
        (complex_number, r"complex_number\(minutes\): the type complex can't be expressed"),
        (inner_bytes, r"inner_bytes\(minutes\): the type bytes can't be expressed"),
        (unknown, r"unknown\(minutes\): the type 'Minute' is unknown here"),
        (default_object, r"default_object\(minutes\): the default: a object can't be written"),
        (lambda: None, r"the tool name '<lambda>'"),
        (Kitchen("a"), "the tool name None"),
        (generator, "generator is a generator"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_at_once(function: Callable[..., object], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        tool(function)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"name": "set timer"}, "the tool name 'set timer'"),
        ({"name": "x" * 65}, "the tool name 'x"),
        ({"timeout_seconds": 0}, "timeout_seconds=0 is not above 0"),
        ({"timeout_seconds": 1}, "timeout_seconds can't stop a function that never waits"),
        ({"retries": -1}, "retries=-1"),
        ({"retries": 1, "is_idempotent": False}, "0 with is_idempotent=False"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        tool(**settings)(set_timer.function)


# --- arguments --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"minutes": 10}', {"minutes": 10}),
        ('{"minutes": "10", "label": "eggs"}', {"minutes": 10, "label": "eggs"}),
        ('{"minutes": 10, "label": null}', {"minutes": 10}),
        ("```json\n{'minutes': 10.0,}\n```", {"minutes": 10}),
        ('{"name": "set_timer", "arguments": {"minutes": 10}}', {"minutes": 10}),
        ('{"name": "set_timer", "parameters": {"minutes": 10}}', {"minutes": 10}),
    ],
)
def test_arguments_get_the_types_of_the_signature(text: str, expected: dict[str, object]) -> None:
    assert set_timer.parse(text) == expected


def test_all_problems_of_a_call_are_told_at_once() -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        cook.parse('{"heat": "warm", "minutes": 0, "salt": true, "with_": ["salt", "sugar"]}')

    assert caught.value.message == (
        "cook was not called, its arguments don't fit:\n"
        "- dish is missing\n"
        "- heat must be one of 'low', 'high'\n"
        "- minutes must be at least 1\n"
        "- with_[1] must be one of 'salt', 'pepper'\n"
        "- the value has no salt (known are: dish, heat, minutes, with_)\n"
        "Correct them and call it again."
    )


@pytest.mark.parametrize("text", ["{", "ten", "[]", '{"name": "other", "arguments": {"minutes": 10}}'])
def test_arguments_that_are_no_call_are_refused(text: str) -> None:
    with pytest.raises(ToolArgumentsError):
        set_timer.parse(text)


@given(st.text() | st.from_regex(r"\{('|\")(minutes|label)\1: .*\}"))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with suppress(ToolArgumentsError):
        assert type(set_timer.parse(text)["minutes"]) is int


# --- calling ----------------------------------------------------------------------------------------------------


async def test_results_become_json() -> None:
    result = await call(cook, '{"dish": "egg", "heat": "HIGH"}')

    assert result == ({"dish": "egg", "heat": "high", "minutes": 10, "with": None}, [])


async def test_async_functions_are_awaited() -> None:
    @tool
    async def wait(turns: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return turns

    assert await call(wait, '{"turns": 3}') == (3, [])


async def test_a_generator_reports_while_it_waits_and_its_last_value_is_the_result() -> None:
    go_on = asyncio.Event()
    seen: list[Json] = []

    @tool
    async def download() -> AsyncIterator[object]:
        yield "begin"
        await go_on.wait()
        yield {"loaded": 1}
        yield {"loaded": 2}
        yield "done"

    running = asyncio.ensure_future(download.call({}, seen.append))
    await asyncio.sleep(0)
    before = list(seen)
    go_on.set()

    assert await running == "done"
    assert before == ["begin"]
    assert seen == ["begin", {"loaded": 1}, {"loaded": 2}]


async def test_a_generator_without_values_gives_nothing() -> None:
    @tool
    async def silent() -> AsyncIterator[int]:
        for number in ():
            yield number

    assert await call(silent) == (None, [])


async def test_a_generator_that_fails_has_told_its_progress() -> None:
    seen: list[Json] = []

    @tool
    async def breaks() -> AsyncIterator[int]:
        yield 1
        yield 2
        await asyncio.sleep(0)
        raise ToolError("the pot is empty")

    with pytest.raises(ToolError, match="the pot is empty"):
        await breaks.call({}, seen.append)

    assert seen == [1, 2]


async def test_a_result_that_is_not_json_is_an_answer() -> None:
    @tool
    def strange() -> object:
        return object()

    with pytest.raises(ToolError, match="strange ran, but its result can't be told: a object can't be written"):
        await strange.call({}, nothing)


async def test_a_tool_that_takes_too_long_is_stopped() -> None:
    released = []

    @tool(timeout_seconds=0.01)
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            released.append(True)

    with pytest.raises(ToolError, match=r"slow did not finish within 0\.01 seconds"):
        await slow.call({}, nothing)
    assert released == [True]


async def test_a_generator_that_takes_too_long_is_stopped() -> None:
    released = []

    @tool(timeout_seconds=0.01)
    async def slow() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            released.append(True)

    with pytest.raises(ToolError, match="slow did not finish"):
        await slow.call({}, lambda progress: None)
    assert released == [True]


async def test_a_tools_own_timeout_is_an_ordinary_failure() -> None:
    @tool(timeout_seconds=60)
    async def impatient() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        await impatient.call({}, nothing)


@pytest.mark.parametrize(
    ("failures", "retries", "attempts"),
    [
        pytest.param([OSError("1"), OSError("2")], 2, 3, id="until it works"),
        pytest.param([OSError("1"), OSError("2")], 1, 2, id="until they are used up"),
        pytest.param([ToolError("no")], 2, 1, id="not an answer"),
        pytest.param([OSError("1")], 0, 1, id="not unless asked"),
    ],
)
async def test_failures_are_tried_again(failures: list[Exception], retries: int, attempts: int) -> None:
    calls = []

    @tool(retries=retries)
    async def flaky() -> str:
        calls.append(1)
        if len(calls) <= len(failures):
            raise failures[len(calls) - 1]
        return "done"

    if attempts > len(failures):
        assert await call(flaky) == ("done", [])
    else:
        with pytest.raises(type(failures[0]), match=str(failures[attempts - 1])):
            await call(flaky)
    assert len(calls) == attempts


async def test_running_out_of_time_is_tried_again() -> None:
    calls = []

    @tool(timeout_seconds=0.01, retries=1)
    async def slow_at_first() -> str:
        calls.append(1)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return "done"

    assert await call(slow_at_first) == ("done", [])


@pytest.mark.parametrize("is_generator", [False, True])
async def test_cancelling_goes_to_the_tool_and_is_not_tried_again(is_generator: bool) -> None:
    happened: list[str] = []
    begun = asyncio.Event()

    async def wait() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            happened.append("released")
        return "never"

    async def generate() -> AsyncIterator[str]:
        yield "first"
        yield await wait()

    endless = tool(retries=3, timeout_seconds=60)(generate if is_generator else wait)
    running = asyncio.ensure_future(endless.call({}, lambda progress: None))
    await begun.wait()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert happened == ["released"]


async def test_several_calls_of_one_tool_run_beside_each_other() -> None:
    both = asyncio.Barrier(2)

    @tool
    async def meet(name: str) -> str:
        await both.wait()
        return name

    calls = (call(meet, '{"name": "a"}'), call(meet, '{"name": "b"}'))

    assert await asyncio.gather(*calls) == [("a", []), ("b", [])]


def test_schemas_are_not_shared_between_tools() -> None:
    first: JsonObject = tool(name="one")(set_timer.function).spec.parameters
    first.clear()

    assert tool(name="two")(set_timer.function).spec.parameters == set_timer.spec.parameters
