"""Amazon's event stream: the vectors of AWS's libraries, any cuts, any damage."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Mapping
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limpet.errors import WireFormatError
from limpet.protocols.event_stream import MAX_MESSAGE_BYTES, MessageParser, StreamMessage
from tests.recordings.event_stream import encode_message

BODY = b"{'foo':'bar'}"
ONE_HEADER = bytes.fromhex(
    "0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e7b27666f6f273a27626172277d"
    "8d9c08b1"
)
NO_HEADERS = bytes.fromhex("0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936")


def parse(*pieces: bytes) -> list[StreamMessage]:
    parser = MessageParser()
    messages = [message for piece in pieces for message in parser.feed(piece)]
    assert parser.is_empty
    return messages


def build(headers: bytes, payload: bytes = b"") -> bytes:
    prelude = (16 + len(headers) + len(payload)).to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    message = prelude + crc32(prelude).to_bytes(4, "big") + headers + payload
    return message + crc32(message).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("data", "headers", "payload"),
    [
        (bytes.fromhex("000000100000000005c248eb7d98c8ff"), {}, b""),
        (
            bytes.fromhex("0000002b0000000e348bec7b086576656e742d6964040000a00c7b27666f6f273a27626172277dd3890285"),
            {},
            BODY,
        ),
        (NO_HEADERS, {}, BODY),
        (ONE_HEADER, {"content-type": "application/json"}, BODY),
    ],
    ids=["empty_message", "int32_header", "payload_no_headers", "payload_one_str_header"],
)
def test_the_vectors_that_are_sound(data: bytes, headers: Mapping[str, str], payload: bytes) -> None:
    assert parse(data) == [StreamMessage(headers, payload)]
    assert encode_message({}, BODY) == NO_HEADERS
    assert encode_message({"content-type": "application/json"}, BODY) == ONE_HEADER


@pytest.mark.parametrize(
    "data",
    [
        ONE_HEADER.replace(b"content-type", b"content+type"),
        ONE_HEADER[:6] + b"\1" + ONE_HEADER[7:],
        b"\1" + NO_HEADERS[1:],
        NO_HEADERS[:24] + b"\x8d" + NO_HEADERS[25:],
    ],
    ids=["corrupted_headers", "corrupted_header_len", "corrupted_length", "corrupted_payload"],
)
def test_the_vectors_that_are_damaged(data: bytes) -> None:
    with pytest.raises(WireFormatError, match="checksum"):
        parse(data)


def test_every_kind_of_header_is_read_or_passed_over() -> None:
    headers = b"".join(
        bytes([1]) + name + bytes([kind]) + value
        for name, kind, value in [
            (b"a", 0, b""),
            (b"b", 1, b""),
            (b"c", 2, b"\1"),
            (b"d", 3, b"\1\2"),
            (b"e", 4, b"\1\2\3\4"),
            (b"f", 5, b"12345678"),
            (b"g", 6, b"\0\3xyz"),
            (b"h", 7, b"\0\5Gr\xc3\xbcn"),
            (b"i", 8, b"12345678"),
            (b"j", 9, b"1234567812345678"),
            (b"k", 7, b"\0\0"),
        ]
    )

    assert parse(build(headers, BODY)) == [StreamMessage({"h": "Grün", "k": ""}, BODY)]


@pytest.mark.parametrize(
    "headers",
    [b"\x05ab", b"\x01a", b"\x01a\x0a", b"\x01a\x07", b"\x01a\x07\0", b"\x01a\x07\0\x05ab", b"\x01a\x09short", b"\x01"],
)
def test_headers_that_cannot_be_are_refused(headers: bytes) -> None:
    with pytest.raises(WireFormatError, match="header"):
        parse(build(headers))


@pytest.mark.parametrize(("total", "size"), [(MAX_MESSAGE_BYTES + 1, 0), (15, 0), (40, 30), (0, 0)])
def test_lengths_that_cannot_be_are_refused_before_anything_is_kept(total: int, size: int) -> None:
    prelude = total.to_bytes(4, "big") + size.to_bytes(4, "big")

    with pytest.raises(WireFormatError, match="length"):
        list(MessageParser().feed(prelude + crc32(prelude).to_bytes(4, "big")))


MESSAGES = st.lists(
    st.tuples(
        st.dictionaries(st.text(min_size=1, max_size=20), st.text(max_size=30), max_size=4), st.binary(max_size=200)
    ),
    max_size=5,
)


@given(MESSAGES, st.lists(st.integers(0, 600), max_size=12))
def test_cuts_make_no_difference(messages: list[tuple[dict[str, str], bytes]], cuts: list[int]) -> None:
    data = b"".join(encode_message(headers, payload) for headers, payload in messages)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})

    parsed = parse(*(data[start:end] for start, end in pairwise(edges)))

    assert parsed == [StreamMessage(headers, payload) for headers, payload in messages]


@given(st.binary(max_size=60), st.integers(0, 10_000), st.integers(1, 255))
def test_one_wrong_byte_never_goes_unnoticed(payload: bytes, at: int, change: int) -> None:
    data = bytearray(encode_message({":event-type": "messageStop"}, payload))
    data[at % len(data)] ^= change
    parser = MessageParser()

    with pytest.raises(WireFormatError):
        list(parser.feed(bytes(data)))


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_garbage_raises_nothing_else(pieces: list[bytes]) -> None:
    parser = MessageParser()
    try:
        for piece in pieces:
            list(parser.feed(piece))
    except WireFormatError:
        pass
