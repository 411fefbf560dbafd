"""What is sent, and what is made of answers in every fragmentation; whole exchanges are in `tests/recordings`."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limpet.accumulate import Accumulator
from limpet.errors import ContextLengthError, ModelUnavailableError, RateLimitError, WireFormatError
from limpet.events import ModelStart, TextDelta, ToolCallEnd, Usage
from limpet.messages import ImagePart, Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from limpet.model import Delta, Finish, ModelRequest, ToolSpec
from limpet.protocols.chat_completions import ChatReader, Dialect, render_request
from limpet.protocols.wire_protocol import AnswerContext
from tests.suites.stream_grammar import assert_stream, parts_of

# --- render ---


PLAIN = Dialect()


def render(*messages: Message, dialect: Dialect = PLAIN, **fields: Any) -> dict[str, Any]:
    request = ModelRequest(messages, **fields)
    return dict(render_request(request, model="m", model_id="openai:m", dialect=dialect))


def test_a_conversation_with_tools_is_rendered() -> None:
    body = render(
        Message.system("Be brief."),
        Message("user", (TextPart("What is "), TextPart("this?"))),
        Message("assistant", (ReasoningPart("hm"), TextPart("Wait."), ToolCallPart("c1", "look", '{"at": 1}'))),
        Message("tool", (ToolResultPart("c1", "look", {"seen": "Grüße"}),)),
        Message.assistant("A greeting."),
    )

    assert body == {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is this?"},
            {
                "role": "assistant",
                "content": "Wait.",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": '{"seen": "Grüße"}'},
            {"role": "assistant", "content": "A greeting."},
        ],
    }


def test_pictures_are_rendered() -> None:
    parts = (TextPart("Look:"), ImagePart("image/png", "aGk="), ImagePart(url="https://example.org/a.png"))

    body = render(Message("user", parts))

    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    ]


def test_tools_and_limits_are_rendered() -> None:
    parameters: Any = {"type": "object", "properties": {}}
    tool = ToolSpec("look", "Look.", parameters)
    dialect = Dialect(max_tokens_field="max_completion_tokens", has_stream_options=False)

    body = render(
        dialect=dialect,
        tools=(tool,),
        tool_choice="required",
        max_output_tokens=9,
        temperature=0.0,
        extra={"seed": 1, "model": "other"},
    )

    assert body == {
        "model": "other",
        "messages": [],
        "stream": True,
        "tools": [{"type": "function", "function": {"name": "look", "description": "Look.", "parameters": parameters}}],
        "tool_choice": "required",
        "max_completion_tokens": 9,
        "temperature": 0.0,
        "seed": 1,
    }


@pytest.mark.parametrize("arguments", ["", "{", "[1]", "null", '{"a": 1'])
def test_broken_arguments_are_not_sent_back(arguments: str) -> None:
    body = render(
        Message("assistant", (ToolCallPart("c1", "look", arguments),)),
        Message("tool", (ToolResultPart("c1", "look", "no such thing", is_error=True),)),
    )

    assert body["messages"] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "Error: no such thing"},
    ]


def test_a_call_that_was_never_answered_is_answered() -> None:
    body = render(Message("assistant", (ToolCallPart("c1", "look", "{}"),)), Message.user("Never mind."))

    assert body["messages"][1:] == [
        {"role": "tool", "tool_call_id": "c1", "content": "Error: the call was not run"},
        {"role": "user", "content": "Never mind."},
    ]


def test_an_empty_answer_is_rendered() -> None:
    assert render(Message("assistant", ()))["messages"] == [{"role": "assistant", "content": ""}]


@pytest.mark.parametrize("author", ["openai:m", "openai:other", None])
def test_opaque_data_goes_back_only_to_its_author(author: str | None) -> None:
    details: Any = [{"type": "reasoning.text", "text": "hm", "signature": "s"}]
    parts = (
        ReasoningPart("hm", {"reasoning_details": details}),
        ToolCallPart("c1", "look", "{}", {"extra_content": {"google": {"thought_signature": "t"}}}),
    )

    body = render(Message("assistant", parts, model=author), dialect=Dialect(reasoning_field="reasoning_details"))

    message = body["messages"][0]
    is_own = author == "openai:m"
    assert message.get("reasoning_details") == (details if is_own else None)
    assert ("extra_content" in message["tool_calls"][0]) == is_own


def test_signed_thoughts_between_words_go_back_once() -> None:
    first, second = ({"type": "reasoning.text", "text": text, "signature": text, "index": 0} for text in "ab")
    second["index"] = 1
    answer = Accumulator()
    for delta in parse(
        chunk({"reasoning_details": [first]}),
        chunk({"content": "One. "}),
        chunk({"reasoning_details": [second]}),
        chunk({"content": "Two."}, "stop"),
    ):
        answer.add(delta)

    body = render(replace(answer.message(), model="openai:m"), dialect=Dialect(reasoning_field="reasoning_details"))

    assert body["messages"] == [
        {"role": "assistant", "content": "One. Two.", "reasoning_details": [first, second]},
    ]


def test_plain_reasoning_goes_back_where_it_is_wanted() -> None:
    message = Message("assistant", (ReasoningPart("hm"), TextPart("yes")), model="openai:m")

    assert render(message, dialect=Dialect(reasoning_field="reasoning_content"))["messages"] == [
        {"role": "assistant", "content": "yes", "reasoning_content": "hm"}
    ]
    assert render(message)["messages"] == [{"role": "assistant", "content": "yes"}]


@pytest.mark.parametrize("author", ["openai:m", "other:model"])
def test_a_call_without_thoughts_has_the_field_for_them_where_it_must(author: str) -> None:
    message = Message("assistant", (ToolCallPart("1", "look", "{}"),), model=author)

    rendered = render(message, dialect=Dialect(reasoning_field="reasoning_content"))["messages"][0]

    assert rendered["reasoning_content"] == ""
    assert "reasoning_content" not in render(message)["messages"][0]


# --- parse ---


def parse(*chunks: Any, taken_ids: tuple[str, ...] = ()) -> list[Delta]:
    numbers = count()
    parser = ChatReader(AnswerContext("p", "m", lambda: f"new-{next(numbers)}", taken_ids))
    deltas: list[Delta] = [ModelStart("p:m")]
    for chunk in chunks:
        text = chunk if isinstance(chunk, str) else json.dumps(chunk)
        deltas += parser.feed(f"data: {text}\n\n".encode())
    deltas += parser.close()
    assert_stream(deltas)
    return deltas


def chunk(delta: Any, finish_reason: str | None = None, **fields: Any) -> Any:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}], **fields}


def fragment(index: int | None = None, id: str | None = None, name: str | None = None, arguments: Any = None) -> Any:
    function = {"name": name, "arguments": arguments}
    return {key: value for key, value in {"index": index, "id": id, "function": function}.items() if value is not None}


def calls_of(*fragments: Any, taken_ids: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    """Parse fragments of calls, each a list that comes in one delta; give id, name and arguments of the calls."""
    chunks = [chunk({"tool_calls": list(group)}) for group in fragments]
    deltas = parse(*chunks, chunk({}, "tool_calls"), taken_ids=taken_ids)
    ids = [delta.call_id for delta in deltas if isinstance(delta, ToolCallEnd)]
    parts = [part for part in parts_of(deltas) if isinstance(part, ToolCallPart)]
    return [(id, part.name, part.arguments) for id, part in zip(ids, parts, strict=True)]


A, B = ("a", "look", '{"at": 1}'), ("b", "wait", '{"for": 2}')

FRAGMENTATIONS: dict[str, tuple[list[Any], list[tuple[str, str, str]]]] = {
    "whole calls in one delta": (
        [[fragment(0, "a", "look", A[2]), fragment(1, "b", "wait", B[2])]],
        [A, B],
    ),
    "whole calls in one delta, without index": (
        [[fragment(None, "a", "look", A[2]), fragment(None, "b", "wait", B[2])]],
        [A, B],
    ),
    "whole calls in one delta, without index or id": (
        [[fragment(None, None, "look", A[2]), fragment(None, None, "wait", B[2])]],
        [("new-0", *A[1:]), ("new-1", *B[1:])],
    ),
    "whole calls one after the other, without index or id": (
        [[fragment(None, None, "look", A[2])], [fragment(None, None, "wait", B[2])]],
        [("new-0", *A[1:]), ("new-1", *B[1:])],
    ),
    "whole calls that are all number 0": (
        [[fragment(0, "a", "look", A[2])], [fragment(0, "b", "wait", B[2])]],
        [A, B],
    ),
    "whole calls that are all number 0, without ids": (
        [[fragment(0, "", "look", A[2])], [fragment(0, "", "wait", B[2])]],
        [("new-0", *A[1:]), ("new-1", *B[1:])],
    ),
    "the same call twice, without ids": (
        [[fragment(None, None, "look", A[2])], [fragment(None, None, "look", A[2])]],
        [("new-0", *A[1:]), ("new-1", *A[1:])],
    ),
    "parallel calls, interleaved by index": (
        [
            [fragment(0, "a", "look", "")],
            [fragment(1, "b", "wait", "")],
            [fragment(1, arguments='{"for"')],
            [fragment(0, arguments='{"at"')],
            [fragment(1, arguments=": 2}")],
            [fragment(0, arguments=": 1}")],
        ],
        [A, B],
    ),
    "parallel calls, interleaved by id": (
        [
            [fragment(None, "a", "look", '{"at"')],
            [fragment(None, "b", "wait", '{"for"')],
            [fragment(None, "a", arguments=": 1}")],
            [fragment(None, "b", arguments=": 2}")],
        ],
        [A, B],
    ),
    "the index counts from 1, with a gap": (
        [[fragment(1, "a", "look", A[2])], [fragment(5, "b", "wait", B[2])]],
        [A, B],
    ),
    "the id is repeated": (
        [[fragment(0, "a", "look", "")], [fragment(0, "a", arguments='{"at"')], [fragment(0, "a", arguments=": 1}")]],
        [A],
    ),
    "id and name are repeated": (
        [
            [fragment(0, "a", "look", "")],
            [fragment(0, "a", "look", '{"at": 1}')],
            [fragment(0, "a", "look", "")],
        ],
        [A],
    ),
    "the name is repeated, without ids": (
        [[fragment(0, None, "look", '{"at"')], [fragment(0, None, "look", ": 1}")], [fragment(0, None, "look", "")]],
        [("new-0", *A[1:])],
    ),
    "another id with every fragment": (
        [[fragment(0, "a", "look", "")], [fragment(0, "x", arguments='{"at"')], [fragment(0, "y", arguments=": 1}")]],
        [A],
    ),
    "the id comes late": (
        [[fragment(0, None, "look", "")], [fragment(0, "a", arguments=A[2])]],
        [A],
    ),
    "the name comes in pieces": (
        [[fragment(0, "a", "lo", "")], [fragment(0, None, "ok", "")], [fragment(0, arguments=A[2])]],
        [A],
    ),
    "the name comes after the arguments": (
        [[fragment(0, "a", None, '{"at"')], [fragment(0, None, None, ": 1}")], [fragment(0, None, "look", "")]],
        [A],
    ),
    "two calls with one id": (
        [[fragment(0, "a", "look", A[2])], [fragment(1, "a", "wait", B[2])]],
        [A, ("new-0", *B[1:])],
    ),
    "arguments are an object": ([[fragment(0, "a", "look", {"at": 1})]], [A]),
    "the arguments once more at the end": (
        [[fragment(0, "a", "look", A[2])], [fragment(1, "b", "wait", B[2])], [fragment(0, "a", "look", A[2])]],
        [A, B],
    ),
    "blanks after the arguments": (
        [[fragment(0, "a", "look", A[2] + "\n")], [fragment(0, arguments="\n")]],
        [("a", "look", A[2] + "\n\n")],
    ),
}


@pytest.mark.parametrize(("fragments", "calls"), FRAGMENTATIONS.values(), ids=FRAGMENTATIONS.keys())
def test_calls_are_put_together(fragments: list[Any], calls: list[tuple[str, str, str]]) -> None:
    assert calls_of(*fragments) == calls


def test_an_id_that_the_conversation_has_already_is_replaced() -> None:
    assert calls_of([fragment(0, "a", "look", A[2])], taken_ids=("a",)) == [("new-0", *A[1:])]


def test_a_call_is_reported_while_it_grows() -> None:
    parser = ChatReader(AnswerContext("p", "m", str))

    deltas = [
        [
            type(delta).__name__
            for delta in parser.feed(f"data: {json.dumps(chunk({'tool_calls': [part]}))}\n\n".encode())
        ]
        for part in (fragment(0, "a", "look", ""), fragment(0, arguments='{"at"'), fragment(0, arguments=": 1}"))
    ]

    assert deltas == [[], ["ToolCallStart", "ToolCallDelta"], ["ToolCallDelta"]]


@pytest.mark.parametrize(
    "fragments",
    [
        pytest.param([[fragment(0, "a", None, "{}")]], id="a call without a name"),
        pytest.param(
            [[fragment(0, "a", "look", "{}")], [fragment(1, "b", "wait", "{}")], [fragment(0, arguments="{}}")]],
            id="more of a call that was whole",
        ),
    ],
)
def test_calls_that_make_no_sense_are_a_broken_answer(fragments: list[Any]) -> None:
    with pytest.raises(WireFormatError):
        calls_of(*fragments)


def test_text_after_a_call_comes_after_it() -> None:
    deltas = parse(
        chunk({"content": "One "}),
        chunk({"tool_calls": [fragment(0, "a", "look", '{"at"')]}),
        chunk({"content": "more "}),
        chunk({"tool_calls": [fragment(0, arguments=": 1}")]}),
        chunk({"content": "thing."}, "tool_calls"),
    )

    assert parts_of(deltas) == [TextPart("One "), ToolCallPart("", "look", A[2]), TextPart("more thing.")]


SPEECH = st.lists(
    st.one_of(
        st.tuples(st.just("text"), st.text(min_size=1, max_size=12)),
        st.tuples(st.just("reasoning"), st.text(min_size=1, max_size=12)),
    ),
    max_size=4,
)
ARGUMENTS = st.dictionaries(st.text(max_size=4), st.one_of(st.integers(), st.text(max_size=6)), max_size=3)
CALLS = st.lists(st.tuples(st.sampled_from(["look", "wait", "go"]), ARGUMENTS), max_size=3)


@settings(deadline=None)  # Pyodide and busy machines are slow
@given(speech=SPEECH, calls=CALLS, data=st.data())
def test_any_fragmentation_gives_the_same_parts(
    speech: list[tuple[str, str]], calls: list[tuple[str, dict[str, Any]]], data: st.DataObject
) -> None:
    chunks = []
    for kind, text in speech:
        field = "content" if kind == "text" else "reasoning_content"
        chunks += [chunk({field: piece}) for piece in split(data, text)]
    queues = []
    for index, (name, arguments) in enumerate(calls):
        pieces = split(data, json.dumps(arguments, ensure_ascii=data.draw(st.booleans())))
        first, *rest = [{"index": index, "function": {"arguments": piece}} for piece in pieces]
        first["id"], first["function"]["name"] = f"id-{index}", name  # type: ignore[index]
        queues.append([first, *rest])
    order = data.draw(st.permutations([index for index, queue in enumerate(queues) for _ in queue]))
    chunks += [chunk({"tool_calls": [queues[index].pop(0)]}) for index in order]
    stream = "".join(f"data: {json.dumps(item)}\n\n" for item in chunks).encode() + b"data: [DONE]\n\n"
    at = data.draw(st.integers(0, len(stream)))
    parser = ChatReader(AnswerContext("p", "m", lambda: "unused"))

    if not chunks:
        return
    deltas: list[Delta] = [ModelStart("p:m"), *parser.feed(stream[:at]), *parser.feed(stream[at:]), *parser.close()]

    assert_stream(deltas)
    expected: list[Any] = []
    for kind, said in speech:
        cls = TextPart if kind == "text" else ReasoningPart
        if expected and isinstance(expected[-1], cls):
            expected[-1] = cls(expected[-1].text + said)
        else:
            expected.append(cls(said))
    found = parts_of(deltas)
    by_name = sorted((name, json.dumps(arguments, sort_keys=True)) for name, arguments in calls)
    assert [part for part in found if not isinstance(part, ToolCallPart)] == expected
    assert by_name == sorted(
        (part.name, json.dumps(json.loads(part.arguments), sort_keys=True))
        for part in found
        if isinstance(part, ToolCallPart)
    )


def split(data: st.DataObject, text: str) -> list[str]:
    """Cut a text anywhere, also between the two halves of a character as UTF-16 has it."""
    units = text.encode("utf-16-le", "surrogatepass")
    cuts = data.draw(st.lists(st.integers(0, len(units) // 2), max_size=3))
    places = [0, *sorted(cut * 2 for cut in cuts), len(units)]
    return [units[start:end].decode("utf-16-le", "surrogatepass") for start, end in pairwise(places)]


@pytest.mark.parametrize(
    ("pieces", "texts"),
    [
        (["\ud83c\udf73"], ["🍳"]),
        (["a\ud83c", "\udf73b"], ["a", "🍳b"]),
        (["a\ud83c", "b"], ["a", "\ufffdb"]),
        (["a\ud83c"], ["a", "\ufffd"]),
        (["\udf73a"], ["\ufffda"]),
    ],
)
def test_halves_of_characters_are_joined_or_replaced(pieces: list[str], texts: list[str]) -> None:
    deltas = parse(*(chunk({"content": piece}) for piece in pieces), chunk({}, "stop"))

    assert [delta.text for delta in deltas if isinstance(delta, TextDelta)] == texts


@pytest.mark.parametrize(
    ("raw", "has_call", "reason"),
    [
        ("stop", False, "stop"),
        ("stop", True, "tool_calls"),
        ("eos", False, "stop"),
        ("length", False, "length"),
        ("length", True, "length"),
        ("max_tokens", False, "length"),
        ("tool_calls", True, "tool_calls"),
        ("tool_calls", False, "stop"),
        ("function_call", True, "tool_calls"),
        ("content_filter", False, "content_filter"),
        ("SAFETY", False, "content_filter"),
        ("never_heard_of", False, "stop"),
    ],
)
def test_finish_reasons_are_mapped(raw: str, has_call: bool, reason: str) -> None:
    delta = {"tool_calls": [fragment(0, "a", "look", "{}")]} if has_call else {"content": "Yes."}

    finish = parse(chunk(delta), chunk({}, raw))[-1]

    assert isinstance(finish, Finish)
    assert finish.finish_reason == reason
    assert (finish.provider_metadata == {"finish_reason": raw}) == (raw == "never_heard_of")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, Usage()),
        ({}, Usage()),
        ({"prompt_tokens": 3, "completion_tokens": 2}, Usage(3, 2)),
        ({"input_tokens": 3, "output_tokens": 2}, Usage(3, 2)),
        ({"prompt_tokens": None, "completion_tokens": -1}, Usage()),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 8},
                "completion_tokens_details": {"reasoning_tokens": 4},
            },
            Usage(9, 5, 8, 4),
        ),
        ({"prompt_tokens": 9, "prompt_cache_hit_tokens": 8, "prompt_tokens_details": None}, Usage(9, 0, 8)),
    ],
)
@pytest.mark.parametrize("place", ["with the last chunk", "on its own", "x_groq"])
def test_usage_is_read_wherever_it_stands(usage: Any, expected: Usage, place: str) -> None:
    last: Any = chunk({"content": "Yes."}, "stop")
    after: list[Any] = []
    if place == "with the last chunk":
        last["usage"] = usage
    elif place == "x_groq":
        last["x_groq"] = {"id": "r", "usage": usage}
    else:
        after = [{"choices": [], "usage": usage}]

    finish = parse(last, *after, "[DONE]")[-1]

    assert isinstance(finish, Finish)
    assert finish.usage == expected


def test_the_last_of_several_sums_counts() -> None:
    finish = parse(
        chunk({"content": "a"}, usage={"prompt_tokens": 3, "completion_tokens": 1}),
        chunk({"content": "b"}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 2}),
    )[-1]

    assert isinstance(finish, Finish)
    assert finish.usage == Usage(3, 2)


def test_the_same_reasoning_under_two_names_is_said_once() -> None:
    deltas = parse(chunk({"reasoning_content": "hm", "reasoning": "hm"}), chunk({"content": "Yes."}, "stop"))

    assert parts_of(deltas) == [ReasoningPart("hm"), TextPart("Yes.")]


def test_other_choices_and_a_repeated_whole_are_skipped() -> None:
    deltas = parse(
        {"choices": [{"index": 1, "delta": {"content": "No."}}, {"index": 0, "delta": {"content": "Yes."}}]},
        {"choices": [{"index": 0, "delta": {}, "message": {"content": "Yes."}, "finish_reason": "stop"}]},
    )

    assert parts_of(deltas) == [TextPart("Yes.")]


@pytest.mark.parametrize("data", ["null", "[]", "7", '"text"', "{}", '{"choices": null}', '{"choices": [null]}'])
def test_json_that_says_nothing_is_skipped(data: str) -> None:
    assert parts_of(parse(data, chunk({"content": "Yes."}, "stop"))) == [TextPart("Yes.")]


@pytest.mark.parametrize(
    ("chunks", "error"),
    [
        pytest.param([], WireFormatError, id="nothing"),
        pytest.param(["[DONE]"], WireFormatError, id="only the end"),
        pytest.param([chunk({"content": "Yes"})], WireFormatError, id="no end"),
        pytest.param(["{"], WireFormatError, id="broken JSON"),
        pytest.param([{"error": {"code": 429, "message": "slowly"}}], RateLimitError, id="an error with a status"),
        pytest.param([{"error": {"code": "rate_limit_exceeded"}}], RateLimitError, id="an error with a code"),
        pytest.param([{"error": "prompt is too long"}], ContextLengthError, id="an error that is a text"),
        pytest.param([{"error": {"type": "server_error"}}], ModelUnavailableError, id="an error without a status"),
        pytest.param([chunk({"content": "Y"}), chunk({}, "error")], ModelUnavailableError, id="a reason for the end"),
    ],
)
def test_failures_within_the_stream_are_errors(chunks: list[Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        parse(*chunks)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"choices": [', WireFormatError),
        (b'{"object": "list", "data": []}', WireFormatError),
        (b"[]", WireFormatError),
        (b"  <html>", WireFormatError),
        (b'{"error": {"code": 503}}', ModelUnavailableError),
    ],
)
def test_answers_that_are_none_are_errors(body: bytes, error: type[Exception]) -> None:
    parser = ChatReader(AnswerContext("p", "m", str))

    with pytest.raises(error):
        list(parser.feed(body)) + list(parser.close())


def test_errors_name_the_model_and_not_the_text() -> None:
    with pytest.raises(WireFormatError) as caught:
        parse("{secret words")

    assert caught.value.message == "p:m: the server sent an event that is not JSON"
    assert (caught.value.provider, caught.value.model) == ("p", "m")


def test_probabilities_sources_and_citations_are_kept() -> None:
    note = {"type": "url_citation", "url_citation": {"url": "https://host/"}}
    token = {"token": "Hi", "logprob": -0.5}
    text = chunk({"content": "Hi", "annotations": [note, {"type": "unheard_of"}]})
    text["choices"][0]["logprobs"] = {"content": [token], "refusal": None, "odd": 1}

    finish = parse(text, text, chunk({}, "stop", citations=["https://host/"]), "[DONE]")[-1]

    assert isinstance(finish, Finish)
    assert finish.provider_metadata == {
        "citations": ["https://host/"],
        "annotations": [note, note],
        "logprobs": [token, token],
    }
