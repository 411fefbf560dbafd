from __future__ import annotations

import json

import pytest

from limpet.errors import ConfigurationError
from limpet.events import ToolCallEnd
from limpet.inference.tool_choice import describe_tool, pick_tools, rank_by_vectors, rank_by_words
from limpet.messages import Message, ToolCallPart
from limpet.model import ModelReference, ModelRequest, ToolSpec
from limpet.providers import create_model
from limpet.providers.local import LocalModel, LocalSettings
from limpet.wire import Availability
from tests.fakes.host import make_host
from tests.fakes.session import FakeSession
from tests.inference.many_tools import hit_rate, read_many_tools, read_plain_questions
from tests.inference.small import TIMER, TOKENIZER
from tests.inference.small_embedding import EmbeddingSession, Models
from tests.inference.test_local import ARGUMENTS, says, session_that_says
from tests.inference.test_local import CALL as MADE

NAMES = ("set_timer", "set_light", "play_music", "set_alarm", "lock_door", "sendEmail2", "call", "read", "write")


def tool(name: str, description: str = "", *parameters: str) -> ToolSpec:
    properties = {parameter: {"type": "string"} for parameter in parameters}
    return ToolSpec(name, description, {"type": "object", "properties": properties})


MANY = tuple(tool(name) for name in NAMES)


def names(tools: tuple[ToolSpec, ...]) -> list[str]:
    return [one.name for one in tools]


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (tool("get_weather", "Tells the weather. ", "city"), "get weather: Tells the weather."),
        (tool("getHTTPStatus2", "", "baseUrl", "max_tries"), "get http status 2 (base url, max tries)"),
        (tool("ping"), "ping"),
        (ToolSpec("größe_ändern", "", {}), "größe ändern"),
    ],
)
def test_a_tool_is_described_in_words(one: ToolSpec, text: str) -> None:
    assert describe_tool(one) == text


def test_vectors_rank_by_their_product() -> None:
    assert rank_by_vectors([0.6, 0.8], [[1.0, 0.0], [0.0, 1.0], [-0.6, -0.8]]) == pytest.approx([0.6, 0.8, -1.0])


def test_words_rank_by_what_is_shared_and_rare() -> None:
    tools = [
        tool("set_timer", "Set a kitchen timer."),
        tool("set_light", "Set a light in the kitchen."),
        tool("play", "Plays music.", "artist"),
    ]

    timer = rank_by_words("Setting timers", tools)
    artist = rank_by_words("which artists?", tools)
    nothing = rank_by_words("where is it?", tools)

    assert timer[0] > timer[1] > timer[2] == 0
    assert artist[2] > artist[0] == artist[1] == 0
    assert nothing == [0, 0, 0]
    assert rank_by_words("timer", []) == []


@pytest.mark.parametrize(
    ("used", "most", "expected"),
    [
        ([], 3, ["set_timer", "play_music", "lock_door"]),
        (["call", "gone"], 3, ["play_music", "lock_door", "call"]),
        (["set_timer", "set_timer"], 2, ["set_timer", "play_music", "lock_door"]),
        (["set_light", "set_alarm", "call"], 3, ["set_light", "play_music", "set_alarm", "lock_door", "call"]),
    ],
    ids=["none used", "one used", "the best was used", "as many used as fit"],
)
def test_used_tools_stay_and_the_best_fill_up(used: list[str], most: int, expected: list[str]) -> None:
    assert names(pick_tools(MANY, [3, 0, 5, 1, 4, 2, 0, 0, 0], used, most)) == expected


def test_equal_tools_come_in_their_order() -> None:
    assert names(pick_tools(MANY, [0] * 9, [], 2)) == ["set_timer", "set_light"]


def test_words_find_most_of_two_hundred_tools_when_they_are_named() -> None:
    tools = [one for one, _ in read_many_tools()]
    by_name = {one.name: one for one in tools}
    pairs = [(by_name[name], question) for name, question in read_plain_questions()]

    found = [pick_tools(tools, rank_by_words(question, tools), [], 5) for _, question in pairs]

    # Measured: 69 of 70. Questions in other words are for vectors (`test_many_tools.py`).
    assert len(tools) == len(by_name) == 200
    assert hit_rate(found, [one for one, _ in pairs]) >= 0.95


# From here on through the model that calls tools.

CALL = '[{"name":"set_timer","arguments":{}}]'
ASKED = ModelRequest((Message.user("an egg please"),), (*MANY[1:], MANY[0]))


def shown(session: FakeSession) -> list[str]:
    """Read which tools the model was shown, from the tokens that it was fed."""
    fed = [token_id for name, what in session.log if name == "forward" and isinstance(what, list) for token_id in what]
    text = TOKENIZER.decode(fed)
    return [str(entry["name"]) for entry in json.loads(text[text.index("[{") : text.index("}]") + 2])]


def models(there: Availability = "available") -> tuple[Models, FakeSession, EmbeddingSession]:
    calling, embedding = session_that_says(says(CALL)), EmbeddingSession()
    return Models({"calls": calling, "minilm": embedding}, {"minilm": there}), calling, embedding


async def answer(backend: Models, request: ModelRequest = ASKED, **settings: object) -> list[str]:
    model = LocalModel("calls", make_host(inference=backend), LocalSettings(**settings))  # type: ignore[arg-type]
    return names((await model.answer(request, lambda progress: None)).tools)


async def test_the_tools_that_fit_are_shown_by_meaning() -> None:
    backend, calling, _ = models()

    tools = await answer(backend, tools_shown=2)

    # No word of the question is in the tool's name; an egg is near a timer for the model of vectors.
    assert tools == ["set_light", "set_timer"]
    assert shown(calling) == tools
    assert backend.asked == ["minilm", "calls"]


@pytest.mark.parametrize(
    ("count", "settings", "expected"),
    [(8, {}, 8), (9, {}, 5), (9, {"all_tools": 9}, 9), (3, {"all_tools": 2, "tools_shown": 4}, 3)],
)
async def test_few_tools_are_all_shown_without_a_look(count: int, settings: dict[str, int], expected: int) -> None:
    backend, calling, embedding = models()
    request = ModelRequest((Message.user("an egg please"),), ASKED.tools[-count:])

    tools = await answer(backend, request, **settings)

    assert len(tools) == expected
    assert shown(calling) == tools
    assert [name for name, _ in embedding.log] == ([] if count == expected else ["embed"])


async def test_vectors_of_tools_are_made_once() -> None:
    backend, _, embedding = models()

    await answer(backend, tools_shown=2)
    await answer(backend, ModelRequest((Message.user("wake me"),), ASKED.tools), tools_shown=2)

    made = [len(batch) for _, batch in embedding.log if isinstance(batch, list)]
    assert made == [len(MANY) + 1, 1]


@pytest.mark.parametrize("there", ["unavailable", "downloadable", "downloading"])
async def test_words_choose_without_the_model_of_vectors(there: Availability) -> None:
    backend, _, embedding = models(there)

    tools = await answer(backend, ModelRequest((Message.user("play music"),), ASKED.tools), tools_shown=1)

    # Two at least, and the other is the first of those that share nothing.
    assert tools == ["set_light", "play_music"]
    assert backend.asked == ["calls"]
    assert embedding.log == []


async def test_words_choose_when_the_model_of_vectors_is_none() -> None:
    calling = session_that_says(says(CALL))
    backend = Models({"calls": calling, "minilm": session_that_says(says(CALL))})

    tools = await answer(backend, ModelRequest((Message.user("play music"),), ASKED.tools), tools_shown=1)

    assert tools == ["set_light", "play_music"]
    assert backend.asked == ["minilm", "calls"]


async def test_another_model_of_vectors_or_none_can_be_named() -> None:
    backend, _, _ = models()

    assert await answer(backend, tools_shown=2, tools_by="") == ["set_light", "play_music"]
    assert backend.asked == ["calls"]


async def test_tools_that_were_used_stay() -> None:
    backend, _, _ = models()
    used = Message("assistant", (ToolCallPart("c1", "call", {}),))
    request = ModelRequest((Message.user("call her"), used, Message.user("an egg please")), ASKED.tools)

    assert await answer(backend, request, tools_shown=3) == ["set_light", "call", "set_timer"]


async def test_a_call_of_a_chosen_tool_is_made() -> None:
    calling = session_that_says(says(MADE))
    backend = Models({"calls": calling, "minilm": EmbeddingSession()})
    model = LocalModel("calls", make_host(inference=backend), LocalSettings(tools_shown=2))
    request = ModelRequest((Message.user("ten minutes for the eggs"),), (*MANY[1:], TIMER))

    said = [delta async for delta in model.stream(request)]

    assert shown(calling) == ["set_light", "set_timer"]
    assert said[-2] == ToolCallEnd("id-0", "set_timer", ARGUMENTS)


def test_a_wrong_number_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'tools_shown' is 0"):
        create_model(ModelReference("local", "needle", options={"tools_shown": 0}), make_host())
