"""What the formats rely on when they say that a block is whole."""

from __future__ import annotations

import pytest

from limpet.errors import WireFormatError
from limpet.events import TextDelta, TextEnd, TextStart, ToolCallDelta, ToolCallEnd, ToolCallStart
from limpet.protocols.blocks import BlockWriter


def test_end_block_keeps_two_texts_and_their_metadata_apart() -> None:
    blocks = BlockWriter(new_id=str)

    blocks.text("one", {"n": 1})
    blocks.end_block()
    blocks.text("two", {"n": 2})
    blocks.close()

    assert blocks.take() == [
        TextStart("text-0"),
        TextDelta("text-0", "one"),
        TextEnd("text-0", {"n": 1}),
        TextStart("text-1"),
        TextDelta("text-1", "two"),
        TextEnd("text-1", {"n": 2}),
    ]


def test_end_block_ends_a_call_that_is_whole() -> None:
    blocks = BlockWriter(new_id=str)

    blocks.call(index=0, id="1", name="look", arguments="{}")
    blocks.end_block()

    assert blocks.take() == [ToolCallStart("1", "look"), ToolCallDelta("1", "{}"), ToolCallEnd("1", "look", "{}")]


def test_texts_that_wait_for_an_open_call_stay_apart() -> None:
    blocks = BlockWriter(new_id=str)
    blocks.call(index=0, id="1", name="look", arguments='{"a')
    blocks.take()

    blocks.text("one")
    blocks.end_block()
    blocks.text("two")
    blocks.end_block()
    waiting = blocks.take()
    blocks.call(index=0, id="", name="", arguments='": 1}')
    blocks.close()
    rest = blocks.take()

    assert waiting == []
    assert [delta.text for delta in rest if isinstance(delta, TextDelta)] == ["one", "two"]
    assert sum(isinstance(delta, TextStart) for delta in rest) == 2


def test_end_block_of_nothing_gives_nothing() -> None:
    blocks = BlockWriter(new_id=str)

    blocks.end_block()
    blocks.close()

    assert blocks.take() == []
    assert not blocks.has_blocks


def test_bytes_that_are_no_characters_spoil_a_call_but_only_mark_a_text() -> None:
    damaged = b'{"label": "e\xffggs"}'.decode("utf-8", "surrogateescape")
    blocks = BlockWriter(new_id=str)

    blocks.text(damaged)
    blocks.call(index=0, id="1", name="look", arguments=damaged)
    with pytest.raises(WireFormatError, match="no characters"):
        blocks.close()

    assert [delta.text for delta in blocks.take() if isinstance(delta, TextDelta)] == ['{"label": "e\ufffdggs"}']


def test_a_character_whose_second_half_could_be_a_bad_byte_is_whole() -> None:
    blocks = BlockWriter(new_id=str)

    for piece in ('{"a": "\ud83d', '\udc9a"}'):
        blocks.call(index=0, id="1", name="look", arguments=piece)
    blocks.close()

    assert blocks.take()[-1] == ToolCallEnd("1", "look", '{"a": "\U0001f49a"}')
