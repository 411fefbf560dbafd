"""The event parser: what the specification says, and that it doesn't matter where the bytes were cut."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from limpet.errors import WireFormatError
from limpet.sse import EventParser, ServerEvent


def parse(*pieces: bytes, is_closed: bool = False) -> list[ServerEvent]:
    parser = EventParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + (list(parser.close()) if is_closed else [])


CASES: dict[str, tuple[bytes, list[ServerEvent]]] = {
    "one event": (b"data: a\n\n", [ServerEvent("a")]),
    "several lines of data": (b"data: a\ndata:b\ndata\n\n", [ServerEvent("a\nb\n")]),
    "only the first space belongs to the format": (b"data:  a \n\n", [ServerEvent(" a ")]),
    "carriage returns": (b"data: a\r\rdata: b\r\r", [ServerEvent("a"), ServerEvent("b")]),
    "both line ends, mixed": (b"data: a\r\n\r\ndata: b\n\r\n", [ServerEvent("a"), ServerEvent("b")]),
    "comments": (b": hello\n\n:\ndata: a\n: more\ndata: b\n\n", [ServerEvent("a\nb")]),
    "a name, once": (b"event: ping\ndata: a\n\ndata: b\n\n", [ServerEvent("a", "ping"), ServerEvent("b")]),
    "a name without data": (b"event: ping\n\ndata: a\n\n", [ServerEvent("a")]),
    "an id, from then on": (b"id: 7\ndata: a\n\ndata: b\n\n", [ServerEvent("a", id="7"), ServerEvent("b", id="7")]),
    "an id with a zero byte": (b"id: 7\0\ndata: a\n\n", [ServerEvent("a")]),
    "retry": (b"retry: 30\ndata: a\n\n", [ServerEvent("a", retry_milliseconds=30)]),
    "retry that is no number": (b"retry: 3s\ndata: a\n\n", [ServerEvent("a")]),
    "retry that is too large a number": (b"retry: " + b"9" * 5000 + b"\ndata: a\n\n", [ServerEvent("a")]),
    "unknown fields": (b"what: ever\ndatum: x\ndata: a\n\n", [ServerEvent("a")]),
    "a byte order mark": (b"\xef\xbb\xbfdata: a\n\n", [ServerEvent("a")]),
    "a second byte order mark is text": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
    "characters of many bytes": ("data: Grüße 🍳\n\n".encode(), [ServerEvent("Grüße 🍳")]),
    "bytes that are no characters": (b"data: a\xffb\n\n", [ServerEvent("a\ufffdb")]),
    "separators that end no line": ("data: a\u2028b\x0bc\x85d\n\n".encode(), [ServerEvent("a\u2028b\x0bc\x85d")]),
    "an unfinished event": (b"data: a\n\ndata: b\n", [ServerEvent("a")]),
}


@pytest.mark.parametrize(("data", "events"), CASES.values(), ids=CASES.keys())
def test_events_are_read_as_the_specification_says(data: bytes, events: list[ServerEvent]) -> None:
    assert parse(data) == events
    assert parse(*(data[index : index + 1] for index in range(len(data)))) == events


@pytest.mark.parametrize("end", [b"", b"\n", b"\r", b"\n\n"])
def test_close_gives_the_event_whose_blank_line_is_missing(end: bytes) -> None:
    assert parse(b"data: a\n\ndata: [DONE]" + end, is_closed=True) == [ServerEvent("a"), ServerEvent("[DONE]")]


def test_close_after_a_whole_stream_gives_nothing() -> None:
    assert parse(b"data: a\n\n", is_closed=True) == [ServerEvent("a")]


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b"data: " + b"a" * 200], id="in one line that never ends"),
        pytest.param([b"data: " + b"a" * 200 + b"\n\n"], id="in one line"),
        pytest.param([b"data: aaaa\n"] * 20, id="in many lines"),
        pytest.param([b"a"] * 200, id="byte by byte"),
    ],
)
def test_an_event_that_grows_too_large_is_refused(pieces: Sequence[bytes]) -> None:
    parser = EventParser(max_event_bytes=100)

    with pytest.raises(WireFormatError, match="more than 100 bytes"):
        list(chain.from_iterable(map(parser.feed, pieces)))


def test_a_long_stream_of_small_events_is_not_too_large() -> None:
    parser = EventParser(max_event_bytes=100)

    assert sum(len(list(parser.feed(b"data: aaaa\n\n"))) for _ in range(1000)) == 1000


def test_a_large_event_in_tiny_pieces_is_read() -> None:
    parser = EventParser()
    events: list[ServerEvent] = []

    for _ in range(100_000):
        events += parser.feed(b"data: aaaa")
    events += parser.feed(b"\n\n")

    assert [len(event.data) for event in events] == [100_000 * 10 - len("data: ")]


LINES = st.one_of(
    st.sampled_from(["data: x", "data:", "data", ":", ": c", "event: e", "id: 1", "retry: 5", "", "\ufeff", "é", "🍳"]),
    st.text(max_size=8).map(lambda text: "data: " + text.replace("\r", "").replace("\n", "")),
)
STREAMS = st.lists(st.tuples(LINES, st.sampled_from(["\n", "\r", "\r\n"])), max_size=12).map(
    lambda lines: "".join(line + end for line, end in lines).encode("utf-8", "replace")
)


@settings(deadline=None)  # Pyodide and busy machines are slow
@given(stream=st.one_of(STREAMS, st.binary(max_size=60)), cuts=st.lists(st.integers(0, 200), max_size=12))
@example(stream=b"data: a\r\n\r\n", cuts=[8, 9, 10])
@example(stream="data: 🍳\n\n".encode(), cuts=[7, 8, 9])
@example(stream=b"\xef\xbb\xbfdata: a\n\n", cuts=[1, 2, 3])
def test_any_cut_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(places)]

    assert parse(*pieces, is_closed=True) == parse(stream, is_closed=True)
