"""What holds for every wire format however its bytes are cut, and whatever a server puts into a field."""

from __future__ import annotations

import asyncio
import json
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
    positions = data.draw(st.lists(st.integers(0, 4000), max_size=20))

    result, _ = await record(recording, positions)

    assert result == recording.expected


@pytest.mark.parametrize("folder", FORMATS)
@settings(max_examples=120, deadline=None)
@given(data=st.data())
async def test_an_odd_value_in_any_field_gives_a_stream_or_a_model_error(folder: str, data: st.DataObject) -> None:
    bodies = list(find_bodies(folder))
    if not bodies:
        pytest.skip("the format is not made of lines of JSON")
    lines, documents = data.draw(st.sampled_from(bodies))
    number = data.draw(st.sampled_from(sorted(documents)))
    places = list(find_places(documents[number]))
    place = data.draw(st.sampled_from(places)) if places else ()
    odd = put(documents[number], place, data.draw(st.sampled_from(ODD_VALUES)))
    prefix = lines[number].split("{")[0].split("[")[0]
    body = "".join([*lines[:number], f"{prefix}{json.dumps(odd)}\n", *lines[number + 1 :]])
    reference = MODELS[folder]
    reference = replace(reference, options={**reference.options, "max_attempts": 1})
    host = make_host(fetch=FakeFetch(FakeResponse([body.encode("utf-8", "replace")])), secrets=SECRETS)

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


def find_bodies(folder: str) -> Iterator[tuple[list[str], dict[int, Any]]]:
    """Give each good answer as its lines, and those of them that are JSON, by number."""
    for recording in recordings_of(folder):
        path = recording.folder / "response.txt"
        if not path.exists():
            continue
        head, _, body = path.read_bytes().partition(b"\r\n\r\n")
        if b" 200 " not in head or body.endswith(b"<hang>"):
            continue
        try:
            lines = body.decode().splitlines(keepends=True)
        except UnicodeDecodeError:  # binary frames
            continue
        documents = {number: document for number, line in enumerate(lines) if (document := read_document(line))}
        if documents:
            yield lines, documents


def read_document(line: str) -> Any:
    try:
        return json.loads(line.removeprefix("data:"))
    except ValueError:
        return None


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
