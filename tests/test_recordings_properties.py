"""What holds for every wire format however its bytes are cut, and whatever a server puts into a field."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limpet.errors import ModelError
from limpet.messages import Message
from limpet.model import Delta, ModelRequest
from limpet.providers import create_model
from tests.fakes.fetch import FakeFetch, FakeResponse
from tests.fakes.host import make_host
from tests.recordings import Recording
from tests.recordings.event_stream import encode_message
from tests.recordings.frames import NOTHING, Frame, split
from tests.suites.stream_grammar import assert_stream
from tests.test_recordings import FORMATS, MODELS, RECORDINGS, SECRETS, record

ODD_VALUES = (None, True, 0, -1, 1.5, "", "x", "\ud83c", [], [None], ["x"], {}, {"type": "x"}, [{"type": 1}])


def recordings_of(folder: str) -> list[Recording]:
    return [recording for recording in RECORDINGS if recording.provider == folder]


@pytest.mark.parametrize("folder", FORMATS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
async def test_where_the_bytes_are_cut_changes_nothing(folder: str, data: st.DataObject) -> None:
    recording = data.draw(st.sampled_from(recordings_of(folder)))
    size = max(path.stat().st_size for path in recording.folder.glob("response*.txt"))
    positions = data.draw(st.lists(st.integers(0, size), max_size=20))

    result, _ = await record(recording, positions)

    assert result == recording.expected


@pytest.mark.parametrize("folder", FORMATS)
@settings(max_examples=120, deadline=None)
@given(data=st.data())
async def test_an_odd_value_in_any_field_gives_a_stream_or_a_model_error(folder: str, data: st.DataObject) -> None:
    frames = data.draw(st.sampled_from(list(find_bodies(folder))))
    number = data.draw(
        st.sampled_from([number for number, frame in enumerate(frames) if frame.document is not NOTHING])
    )
    places = list(find_places(frames[number].document))
    place = data.draw(st.sampled_from(places)) if places else ()
    odd = data.draw(st.sampled_from(ODD_VALUES))
    frames[number] = frames[number].change(lambda document: put(document, place, odd))
    body = b"".join(frame.data for frame in frames)
    host = make_host(fetch=FakeFetch(FakeResponse([body])), secrets=SECRETS)
    reference = MODELS[folder]
    reference = replace(reference, options={**reference.options, "max_attempts": 1})

    deltas: list[Delta] = []
    is_whole = True
    async with asyncio.timeout(20):
        try:
            async with aclosing(create_model(reference, host).stream(ModelRequest((Message.user("Go."),)))) as stream:  # type: ignore[type-var]
                async for delta in stream:
                    deltas.append(delta)  # noqa: PERF401  # what came before an error counts, too
        except ModelError:
            is_whole = False

    assert_stream(deltas, is_whole=is_whole)


@pytest.mark.parametrize("folder", FORMATS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
async def test_unknown_fields_and_unknown_events_change_nothing(folder: str, data: st.DataObject) -> None:
    recording = data.draw(st.sampled_from(recordings_of(folder)))
    value = data.draw(st.sampled_from(ODD_VALUES))

    def change(body: bytes) -> bytes:
        frames = [frame.change(lambda document: add_field(document, value)) for frame in split(body)]
        if len(frames) > 1:  # a complete answer has no events
            for _ in range(data.draw(st.integers(0, 3))):
                place = data.draw(st.integers(0, len(frames) - 1))
                frames.insert(place, Frame(data.draw(st.sampled_from(unknown_events(folder)))))
        return b"".join(frame.data for frame in frames)

    result, _ = await record(recording, [], check=False, change=change)

    # What goes back to the provider as it came has the new fields, and should.
    assert [remove_field(delta) for delta in result] == recording.expected


@pytest.mark.parametrize(
    "recording",
    [recording for recording in RECORDINGS if recording.name != "without_blank_lines"],  # nor has it frames
    ids=lambda recording: f"{recording.provider}-{recording.name}",
)
async def test_raw_events_are_kept(recording: Recording) -> None:
    result, fetch = await record(recording, "whole", check=False, options={"raw_events": True})

    metadata = result[-1].get("provider_metadata") or {}
    raw = metadata.pop("raw_events", [])
    if not metadata:
        result[-1].pop("provider_metadata", None)
    assert result == recording.expected
    if result[-1]["type"] == "finish":
        body = b"".join(piece for piece in fetch.responses[-1].pieces if isinstance(piece, bytes))
        found = [({frame.name: frame.document} if frame.name else frame.document) for frame in split(body)]
        assert raw == [document for document in found if isinstance(document, dict | list)]


NEW = "x_new"
WORDS = ("args", "arguments", "input", "response")
"""In these a new field is no field of the format: it is what the model wrote."""


def unknown_events(folder: str) -> list[bytes]:
    if folder == "bedrock":
        return [encode_message({":event-type": NEW, ":message-type": "event"}, b'{"x_new": 1}')]
    if folder == "ollama":
        return [b'{"x_new": {"a": [1]}}\n', b"\n"]
    return [
        b'event: x-new\ndata: {"type": "x-new", "x_new": {"a": [1]}}\n\n',
        b'data: {"x_new": 1}\n\n',
        b"event: x-new\ndata: no JSON\n\n",
        b"event: x-new\n\n",
        b": a comment\n\n",
    ]


def add_field(document: Any, value: Any) -> Any:
    """Give a document with a new field in each of its objects."""
    if isinstance(document, list):
        return [add_field(item, value) for item in document]
    if not isinstance(document, dict):
        return document
    kept = {key: item if key in WORDS else add_field(item, value) for key, item in document.items()}
    return {NEW: value, **kept}


def remove_field(document: Any) -> Any:
    if isinstance(document, list):
        return [remove_field(item) for item in document]
    if not isinstance(document, dict):
        return document
    return {key: remove_field(item) for key, item in document.items() if key != NEW}


def find_bodies(folder: str) -> Iterator[list[Frame]]:
    """Give the frames of each good answer that has JSON in it."""
    for recording in recordings_of(folder):
        path = recording.folder / "response.txt"
        if not path.exists():
            continue
        head, _, body = path.read_bytes().partition(b"\r\n\r\n")
        frames = split(body)
        is_good = b" 200 " in head and not body.endswith(b"<hang>")
        if is_good and any(frame.document is not NOTHING for frame in frames):
            yield frames


def find_places(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the way to each value within a document."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield (*place, key)
        yield from find_places(value, (*place, key))


def put(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    """Give a copy of a document with another value at a place."""
    if not place:
        return value
    result = document.copy()
    result[place[0]] = put(document[place[0]], place[1:], value)
    return result
