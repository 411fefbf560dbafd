from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import pytest

from limpet.agent import Agent
from limpet.errors import ConfigurationError, ContextLengthError, ModelUnavailableError, UnsupportedError
from limpet.events import (
    ModelStart,
    Progress,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from limpet.inference.bpe import byte_alphabet
from limpet.inference.catalog import CATALOG, KnownModel
from limpet.messages import ImagePart, Message, ToolCallPart, ToolResultPart
from limpet.model import Delta, Finish, ModelReference, ModelRequest
from limpet.providers import create_model
from limpet.providers.local import LocalModel
from limpet.providers.local_chat import LocalChatModel
from limpet.providers.local_chat_settings import ChatSettings, chat_settings
from tests.fakes.host import make_host
from tests.fakes.session import FakeBackend, FakeSession
from tests.inference.small import LIGHT, TIMER, TOOLS
from tests.inference.small_chat import (
    ANSWER_AT,
    CHAT_TOKENIZER,
    END,
    answering,
    at_random,
    chat_session,
    chat_tokenizer_json,
)
from tests.inference.validate import problems
from tests.suites.stream_grammar import assert_stream

HI = Message.user("Hi")
CITY = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "is": {"enum": ["true", "an ant"]}},
    "required": ["name", "is"],
}


def model_of(session: FakeSession, **options: object) -> LocalChatModel:
    return LocalChatModel("fake", make_host(inference=FakeBackend(session)), chat_settings(options))


async def collect(model: LocalChatModel, *messages: Message, **fields: object) -> list[Delta]:
    request = ModelRequest(messages or (HI,), **fields)  # type: ignore[arg-type]
    async with aclosing(model.stream(request)) as stream:  # type: ignore[type-var]
        deltas = [delta async for delta in stream]
    assert_stream(deltas)
    return [delta for delta in deltas if not isinstance(delta, Progress)]


def finish_of(deltas: Sequence[Delta]) -> Finish:
    finish = deltas[-1]
    assert isinstance(finish, Finish)
    return finish


def text_of(deltas: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


async def test_an_answer_is_streamed_token_by_token() -> None:
    deltas = await collect(model_of(chat_session(answering("the name"))))

    assert deltas == [
        ModelStart("local:fake"),
        TextStart("text"),
        *(TextDelta("text", piece) for piece in ("t", "he", " ", "name")),
        TextEnd("text"),
        Finish("stop", Usage(input_tokens=10, output_tokens=4)),
    ]


async def test_loading_and_a_long_prompt_are_told_of() -> None:
    session = chat_session(answering("the"))
    model = model_of(session, prefill_tokens=8)
    request = ModelRequest((Message.user("the " * 40),))

    first = [delta async for delta in model.stream(request) if isinstance(delta, Progress)]
    second = [delta async for delta in model.stream(request) if isinstance(delta, Progress)]

    assert [(notice.status, notice.file) for notice in first[:2]] == [("load", "model.onnx"), ("ready", "")]
    assert {(notice.status, notice.file) for notice in first[2:]} == {("load", "prompt")}
    loaded = [notice.loaded for notice in first[2:]]
    assert loaded == sorted(set(loaded))
    assert loaded[0] == 0
    assert second == []


async def test_the_next_turn_computes_what_is_new() -> None:
    session = chat_session(answering("the name", "an ant"))
    model = model_of(session)
    first = await collect(model)
    session.log.clear()

    second = await collect(model, HI, Message.assistant("the name", model="local:fake"), Message.user("And?"))

    used = finish_of(first).usage
    # All but the last token of the first answer, which ended it, was in the state.
    new = [END, *CHAT_TOKENIZER.encode("\n")]
    assert finish_of(second).usage.cached_tokens == used.input_tokens + used.output_tokens
    (_, fed), *_ = session.log
    assert isinstance(fed, list)
    assert fed[: len(new)] == new
    assert text_of(second) == "an ant"


async def test_a_reply_in_other_tokens_than_the_tokenizer_s_is_not_computed_again() -> None:
    letters = [CHAT_TOKENIZER.encode(letter)[0] for letter in "name"]

    def rank(sequence: list[int]) -> list[int]:
        size = len(ANSWER_AT)
        place = max((at for at in range(len(sequence)) if sequence[at : at + size] == ANSWER_AT), default=-size)
        return letters[len(sequence) - place - size :][:1] or [END]

    session = chat_session(rank)
    model = model_of(session)
    first = await collect(model)

    second = await collect(model, HI, Message.assistant("name"), Message.user("And?"))

    assert (text_of(first), finish_of(first).usage.output_tokens) == ("name", 4)
    assert len(CHAT_TOKENIZER.encode("name")) == 1
    assert finish_of(second).usage.cached_tokens == finish_of(first).usage.input_tokens + 4


async def test_it_ends_at_its_limit() -> None:
    deltas = await collect(model_of(chat_session(answering("the the the the"))), max_output_tokens=3)

    assert finish_of(deltas).finish_reason == "length"
    assert finish_of(deltas).usage.output_tokens == 3
    assert text_of(deltas) == "the the"


async def test_it_ends_before_a_stop_sequence_and_computes_the_reply_again_as_it_was_told() -> None:
    session = chat_session(answering("the name is an ant"))

    deltas = await collect(model_of(session, stop=" is an"))

    assert [delta.text for delta in deltas if isinstance(delta, TextDelta)] == ["t", "he", " name"]
    assert finish_of(deltas).finish_reason == "stop"


async def test_a_marker_ends_the_answer() -> None:
    target = [*CHAT_TOKENIZER.encode("the"), CHAT_TOKENIZER.markers["<|im_start|>"]]

    def rank(sequence: list[int]) -> list[int]:
        place = len(sequence) - 1 - sequence[::-1].index(ANSWER_AT[-1]) if ANSWER_AT[-1] in sequence else 0
        return target[len(sequence) - place - 1 :][:1] or [END]

    assert text_of(await collect(model_of(chat_session(rank)))) == "the"


async def test_characters_are_never_cut() -> None:
    deltas = await collect(model_of(chat_session(answering("\N{COOKING} \u00e9"))))

    assert [delta.text for delta in deltas if isinstance(delta, TextDelta)] == ["\N{COOKING}", " ", "\u00e9"]


async def test_a_seed_gives_the_same_answer_and_another_one_another() -> None:
    session = chat_session(at_random(3))
    answers = [
        text_of(await collect(model_of(session, temperature=2.0, seed=seed), max_output_tokens=12))
        for seed in (1, 1, 2)
    ]

    assert answers[0] == answers[1] != answers[2]


async def test_what_a_request_says_goes_before_the_options() -> None:
    session = chat_session(answering("the the the"))
    model = model_of(session, stop=["the"], temperature=1.0, max_output_tokens=9)

    deltas = await collect(model, extra={"stop": []}, temperature=0.0, max_output_tokens=2)

    assert text_of(deltas) == "the"
    assert finish_of(deltas).finish_reason == "length"


async def test_log_probabilities_are_told_when_they_are_asked_for() -> None:
    deltas = await collect(model_of(chat_session(answering("the")), logprobs=2))

    metadata = finish_of(deltas).provider_metadata
    assert metadata is not None
    t, he = (CHAT_TOKENIZER.encode(text)[0] for text in ("t", "he"))
    rows = metadata["logprobs"]
    assert isinstance(rows, list)
    assert rows[0] == {
        "token": "t",
        "bytes": [ord("t")],
        "logprob": -0.1,
        "top_logprobs": [
            {"token": "t", "bytes": [ord("t")], "logprob": -0.1},
            {"token": "", "bytes": [], "logprob": -30.1},
        ],
    }
    assert [row["token"] for row in rows if isinstance(row, dict)] == ["t", "he", ""]
    assert (t, he) == tuple(CHAT_TOKENIZER.encode("the"))


async def test_an_answer_fits_its_schema_and_says_how_often_it_was_made_to() -> None:
    session = chat_session(answering('{"name": "an ant", "is": "true"}'))

    deltas = await collect(model_of(session), output_schema=CITY)

    assert text_of(deltas) == '{"name": "an ant", "is": "true"}'
    finish = finish_of(deltas)
    assert finish.finish_reason == "stop"
    assert finish.provider_metadata == {
        "grammar": {"choices": 5, "overrides": 0, "forced_tokens": finish.usage.output_tokens - 5, "was_closed": False}
    }
    # Forced text goes in one pass with the token before it.
    assert len([1 for name, fed in session.log if name == "forward"]) == 6  # two of the prompt


async def test_a_stop_sequence_does_not_cut_json() -> None:
    session = chat_session(answering('{"name": "an ant", "is": "true"}'))

    deltas = await collect(model_of(session, stop=["ant"]), output_schema=CITY)

    assert text_of(deltas) == '{"name": "an ant", "is": "true"}'


@pytest.mark.parametrize("seed", range(6))
async def test_a_model_out_of_its_mind_writes_what_fits_as_well(seed: int) -> None:
    deltas = await collect(model_of(chat_session(at_random(seed))), output_schema=CITY, max_output_tokens=60)

    assert problems(json.loads(text_of(deltas)), CITY) == []
    assert finish_of(deltas).usage.output_tokens <= 60
    metadata = finish_of(deltas).provider_metadata
    assert metadata is not None
    assert isinstance(grammar := metadata["grammar"], dict)
    assert isinstance(overrides := grammar["overrides"], int)
    assert overrides > 0


async def test_a_text_without_a_limit_is_ended_when_it_goes_round_and_round() -> None:
    session = chat_session(answering('{"name": "' + "the " * 400), context_length=4096)

    deltas = await collect(model_of(session), output_schema=CITY, max_output_tokens=2000)

    assert problems(json.loads(text_of(deltas)), CITY) == []
    assert finish_of(deltas).usage.output_tokens < 200


async def test_an_answer_fits_a_pattern() -> None:
    deltas = await collect(model_of(chat_session(at_random(5)), pattern=r"\d{3}-(yes|no)"))

    assert text_of(deltas)[3:] in ("-yes", "-no")
    assert text_of(deltas)[:3].isdigit()


async def test_an_answer_that_has_no_choice_is_not_computed() -> None:
    session = chat_session(answering("nothing"))

    deltas = await collect(
        model_of(session), output_schema={"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}
    )

    assert text_of(deltas) == '{"a": 1}'
    assert session.log == []


@pytest.mark.parametrize(
    ("fields", "options", "words"),
    [
        ({"output_schema": {"type": "string", "pattern": r"(?=a)"}}, {}, "can't be followed"),
        ({"output_schema": {"type": "integer", "minimum": 2, "maximum": 1}}, {}, "nothing fits"),
        ({"output_schema": CITY, "max_output_tokens": 3}, {}, "there is room for 3"),
        ({}, {"pattern": "("}, "can't be followed"),
    ],
)
async def test_what_can_not_be_written_is_refused_before_the_first_word(
    fields: dict[str, object], options: dict[str, object], words: str
) -> None:
    session = chat_session(answering("the"))

    with pytest.raises(UnsupportedError, match=words) as caught:
        await collect(model_of(session, **options), **fields)

    assert (caught.value.provider, caught.value.model) == ("local", "fake")
    assert not session.lock.locked()


async def test_a_call_has_the_tool_that_the_question_makes_likelier_and_arguments_that_fit() -> None:
    light = CHAT_TOKENIZER.encode("set_light")
    question = CHAT_TOKENIZER.encode("lamp")
    written = CHAT_TOKENIZER.encode('set_light", "arguments": {"room": "office", "is_on": true}')

    def rank(sequence: list[int]) -> list[int]:
        head = CHAT_TOKENIZER.encode('{"name": "')
        place = max((at for at in range(len(sequence)) if sequence[at : at + len(head)] == head), default=-1)
        is_about_light = any(sequence[at : at + len(question)] == question for at in range(len(sequence)))
        done = len(sequence) - place - len(head)
        timer = CHAT_TOKENIZER.encode("set_timer")
        best = (written if is_about_light else timer)[done : done + 1]
        return [*best, *timer[done : done + 1], *light[done : done + 1]] or [0]

    deltas = await collect(
        model_of(chat_session(rank)), Message.user("the lamp in the office"), tools=TOOLS, tool_choice="required"
    )

    calls = [delta for delta in deltas if isinstance(delta, ToolCallEnd)]
    assert [call.name for call in calls] == ["set_light"]
    assert problems(json.loads(calls[0].arguments), LIGHT.parameters) == []
    assert [type(delta) for delta in deltas][1] is ToolCallStart
    assert finish_of(deltas).finish_reason == "tool_calls"
    metadata = finish_of(deltas).provider_metadata
    assert metadata is not None
    assert isinstance(gains := metadata["tools"], dict)
    assert list(gains) == ["set_light", "set_timer"]


@pytest.mark.parametrize("seed", range(4))
async def test_one_tool_that_must_be_called_is_called(seed: int) -> None:
    deltas = await collect(model_of(chat_session(at_random(seed))), tools=(TIMER,), tool_choice="required")

    call = next(delta for delta in deltas if isinstance(delta, ToolCallEnd))
    assert call.name == "set_timer"
    assert problems(json.loads(call.arguments), TIMER.parameters) == []
    assert "".join(delta.arguments for delta in deltas if isinstance(delta, ToolCallDelta)) == call.arguments


@pytest.mark.parametrize("tool_choice", ["auto", "none"])
async def test_without_being_told_it_answers_in_words(tool_choice: str) -> None:
    deltas = await collect(model_of(chat_session(answering("the"))), tools=TOOLS, tool_choice=tool_choice)

    assert text_of(deltas) == "the"


async def test_what_tools_returned_is_answered_in_words() -> None:
    call = Message("assistant", (ToolCallPart("1", "set_timer", '{"minutes":5}'),))
    result = Message("tool", (ToolResultPart("1", "set_timer", "done"),))

    deltas = await collect(
        model_of(chat_session(answering("x", "the")), call_at=0.1), Message.user("five"), call, result, tools=TOOLS
    )

    assert finish_of(deltas).finish_reason == "stop"


async def test_a_conversation_that_is_too_long_is_refused_with_numbers() -> None:
    session = chat_session(answering("the"), context_length=64)

    with pytest.raises(ContextLengthError, match=r"takes \d+ of the 64 tokens") as caught:
        await collect(model_of(session), Message.user("the " * 60))

    assert (caught.value.provider, caught.value.model) == ("local", "fake")
    assert session.log == []


async def test_what_room_is_left_bounds_the_answer() -> None:
    session = chat_session(answering("the " * 60), context_length=64)

    deltas = await collect(model_of(session))

    finish = finish_of(deltas)
    assert (finish.finish_reason, finish.usage.total_tokens) == ("length", 64)


async def test_pictures_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="pictures") as caught:
        await collect(model_of(chat_session(answering("the"))), Message("user", (ImagePart("image/png", data="aa"),)))

    assert caught.value.model == "fake"


async def test_conversations_take_turns() -> None:
    session = chat_session(answering("the name is an ant"))
    model = model_of(session)
    order: list[str] = []

    async def ask(name: str) -> None:
        async for delta in model.stream(ModelRequest((Message.user(name),))):
            if isinstance(delta, TextDelta):
                order.append(name)  # noqa: PERF401  in the order of all three

    await asyncio.gather(*(ask(name) for name in ("a", "b", "c")))

    assert order == sorted(order)
    assert set(order) == {"a", "b", "c"}


@pytest.mark.parametrize("count", range(1, 7))
async def test_it_can_be_cancelled_at_every_step_and_answers_the_next_question(count: int) -> None:
    session = chat_session(answering("the name"))
    model = model_of(session, prefill_tokens=8)
    steps = 0
    task: asyncio.Task[list[Delta]]
    forward = session.forward

    async def counted(token_ids: Sequence[int], *, top_k: int, allowed: Sequence[int] | None = None) -> object:
        nonlocal steps
        steps += 1
        if steps == count:
            task.cancel()
            await asyncio.sleep(0)
        return await forward(token_ids, top_k=top_k, allowed=allowed)

    session.forward = counted  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(collect(model))
    with pytest.raises(asyncio.CancelledError):
        await task
    session.forward = forward  # type: ignore[method-assign]

    assert not session.lock.locked()
    assert len(asyncio.all_tasks()) == 1
    assert text_of(await collect(model)) == "the name"


async def test_a_reader_that_leaves_gives_the_model_back() -> None:
    session = chat_session(answering("the name"))
    model = model_of(session)

    async with aclosing(model.stream(ModelRequest((HI,)))) as stream:  # type: ignore[type-var]
        async for delta in stream:
            if isinstance(delta, TextDelta):
                assert session.lock.locked()
                break

    assert not session.lock.locked()
    assert text_of(await collect(model)) == "the name"


async def test_the_model_is_free_before_the_end_of_an_answer_is_told() -> None:
    session = chat_session(answering("the"))

    async for delta in model_of(session).stream(ModelRequest((HI,))):
        if isinstance(delta, (TextEnd, Finish)):
            assert not session.lock.locked()


async def test_a_model_for_something_else_is_refused() -> None:
    session = chat_session(answering("the"))
    session._manifest = {**session.manifest, "task": "embedding"}

    with pytest.raises(ModelUnavailableError, match="is for 'embedding', not for 'chat'"):
        await collect(model_of(session))


async def test_what_the_vocabulary_can_not_spell_is_never_begun() -> None:
    pieces = json.loads(chat_tokenizer_json())
    pieces["pieces"][pieces["pieces"].index(byte_alphabet()[0xE4])] = "\u0120\u0120\u0120"
    session = chat_session(at_random(2))
    session._files["tokenizer.json"] = json.dumps(pieces).encode()
    schema = {"type": "object", "properties": {"a": {"enum": ["\u4e2d", "the"]}}, "required": ["a"]}

    assert text_of(await collect(model_of(session), output_schema=schema)) == '{"a": "the"}'
    schema["properties"] = {"a": {"const": "\u4e2d"}}
    with pytest.raises(UnsupportedError, match="nothing fits"):
        await collect(model_of(session), output_schema=schema)


async def test_an_agent_gets_an_answer_of_its_type() -> None:
    host = make_host(inference=FakeBackend(chat_session(at_random(9))))

    result = await Agent(model=LocalChatModel("fake", host), output_type=dict[str, int] | bool | None).run(
        "Hi", host=host
    )

    assert result.output is None or isinstance(result.output, (bool, dict))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temprature": 1}, "no option 'temprature'"),
        ({"temperature": "hot"}, "not of type float"),
        ({"top_k": True}, "not of type int"),
        ({"stop": [1]}, "not a list of texts"),
        ({"candidates": 0}, "at least 1"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        chat_settings(options)


def test_a_stop_may_be_one_text() -> None:
    assert chat_settings({"stop": "a"}) == chat_settings({"stop": ("a",)}) == ChatSettings(stop=["a"])


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("needle", {}, LocalModel),
        ("smollm2", {"temperature": 0.7}, LocalChatModel),
        ("mine", {"task": "chat", "top_p": 0.9}, LocalChatModel),
        ("mine", {}, LocalModel),
    ],
)
def test_a_name_means_a_model_by_its_task(name: str, options: dict[str, object], kind: type) -> None:
    model = create_model(ModelReference("local", name, options=options), make_host())

    assert type(model) is kind
    assert not model.info.is_configured


def test_a_task_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not one of"):
        create_model(ModelReference("local", "mine", options={"task": "painting"}), make_host())


def test_what_is_known_of_a_chat_model_before_it_is_loaded() -> None:
    info = LocalChatModel("smollm2", make_host()).info

    assert (info.context_length, info.has_json_schema, info.has_parallel_tools) == (4096, True, False)
    assert info.is_local


def test_the_catalog_says_what_the_manifest_says() -> None:
    path = Path(__file__).resolve().parents[2] / "models" / "manifest.json"
    if not path.is_file():
        pytest.skip("only the package is here, not the models")
    models = json.loads(path.read_text(encoding="utf-8"))["models"]

    told = {name: KnownModel(one["task"], one["context_length"], one["memory_bytes"]) for name, one in models.items()}
    known = {name: CATALOG[name] for name in told}
    assert {name: KnownModel(one.task, one.context_length, one.memory_bytes) for name, one in known.items()} == told
