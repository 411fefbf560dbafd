"""SentencePiece byte-pair encoding in plain Python: text to token ids and back.

The pieces come from a model's `tokenizer.json`: `{"kind": "sentencepiece_bpe", "pieces": [text, ...], "scores": [...],
"types": [...], "add_dummy_prefix": false}`; the index is the id, the types are 0 normal, 1 unknown, 2 control,
3 user-defined, 4 byte. Two neighbours are merged whose joined piece has the best score, the leftmost first; what is no
piece is spelled in bytes. User-defined pieces are the markers of a chat template: they are found only in text that we
wrote, so that nobody can type one.
"""

from __future__ import annotations

import json
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush
from typing import Protocol

from ..errors import ModelUnavailableError

_SPACE = "\u2581"
_NORMAL, _UNKNOWN, _MARKER, _BYTE = 0, 1, 3, 4


class AnyTokenizer(Protocol):
    """What the engine needs of a tokenizer, of whatever kind."""

    @property
    def markers(self) -> Mapping[str, int]:
        """Ids of the pieces that only a template may write, by their text."""
        ...

    @property
    def bytes_of(self) -> Sequence[bytes]:
        """The bytes that each id stands for; markers stand for none."""
        ...

    def encode(self, text: str) -> list[int]:
        """Give the ids of a text that somebody typed."""
        ...

    def encode_bytes(self, data: bytes) -> list[int]:
        """Give the ids of bytes that need not be whole characters."""
        ...

    def encode_template(self, text: str) -> list[int]:
        """Give the ids of a text that we wrote, with markers in it."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Give the text of some ids."""
        ...


class Tokenizer:
    """A vocabulary with its merge order. It holds no state of a text and may be shared."""

    def __init__(self, pieces: Sequence[tuple[str, float, int]], *, add_dummy_prefix: bool = False) -> None:
        self._add_dummy_prefix = add_dummy_prefix
        self._rank: dict[str, tuple[float, int]] = {}
        self._byte_ids: dict[int, int] = {}
        self.markers: dict[str, int] = {}
        """Ids of the user-defined pieces by their text."""
        self.bytes_of: list[bytes] = []
        """The bytes that each id stands for; markers and control pieces stand for none."""
        self._unknown_id = 0
        for token_id, (text, score, kind) in enumerate(pieces):
            spelled = b""
            if kind == _NORMAL:
                self._rank.setdefault(text, (-score, token_id))
                spelled = text.replace(_SPACE, " ").encode()
            elif kind == _BYTE:
                self._byte_ids[int(text[3:5], 16)] = token_id
                spelled = bytes([int(text[3:5], 16)])
            elif kind == _MARKER:
                self.markers[text] = token_id
            elif kind == _UNKNOWN:
                self._unknown_id = token_id
            self.bytes_of.append(spelled)
        self._words: dict[str, tuple[int, ...]] = {}

    @classmethod
    def parse(cls, data: bytes) -> Tokenizer:
        """Read a `tokenizer.json`. Raises `ModelUnavailableError` when it isn't one."""
        try:
            document = json.loads(data)
            if not isinstance(document, Mapping) or document.get("kind") != "sentencepiece_bpe":
                raise ValueError("kind")
            rows = zip(document["pieces"], document["scores"], document["types"], strict=True)
            pieces = [(str(text), float(score), int(kind)) for text, score, kind in rows]
            return cls(pieces, add_dummy_prefix=bool(document.get("add_dummy_prefix", False)))
        except (ValueError, KeyError, TypeError) as error:
            raise ModelUnavailableError(
                "the local model's tokenizer.json is not a sentencepiece_bpe tokenizer; build the model again"
            ) from error

    def encode(self, text: str) -> list[int]:
        """Give the ids of a text that somebody typed: markers in it are plain characters."""
        if not text:
            return []
        spaced = text.replace(" ", _SPACE)
        if self._add_dummy_prefix:
            spaced = _SPACE + spaced
        ids: list[int] = []
        # No piece has a space inside, so every word is merged for itself and remembered.
        start = 0
        while start < len(spaced):
            end = spaced.find(_SPACE, start + 1)
            word = spaced[start:] if end < 0 else spaced[start:end]
            ids.extend(self._encode_word(word))
            start += len(word)
        return ids

    def encode_bytes(self, data: bytes) -> list[int]:
        """Give the ids of bytes that need not be whole characters; those that are no text are spelled byte by byte."""
        try:
            return self.encode(data.decode())
        except UnicodeDecodeError:
            return [self._byte_ids.get(byte, self._unknown_id) for byte in data]

    def encode_template(self, text: str) -> list[int]:
        """Give the ids of a text that we wrote: markers in it become their ids."""
        return encode_marked(text, self.markers, self.encode)

    def _encode_word(self, word: str) -> tuple[int, ...]:
        known = self._words.get(word)
        if known is None:
            known = tuple(self._merge(word))
            if len(self._words) < 4096:
                self._words[word] = known
        return known

    def _merge(self, word: str) -> Iterable[int]:
        rank = self._rank
        symbols: list[str] = list(word)
        following = list(range(1, len(symbols) + 1))
        before = list(range(-1, len(symbols) - 1))
        queue = [
            (rank[pair][0], place, pair)
            for place in range(len(symbols) - 1)
            if (pair := symbols[place] + symbols[place + 1]) in rank
        ]
        heapify(queue)
        while queue:
            _, place, pair = heappop(queue)
            right = following[place]
            if not symbols[place] or right >= len(symbols) or symbols[place] + symbols[right] != pair:
                continue
            symbols[place], symbols[right] = pair, ""
            after = following[place] = following[right]
            if after < len(symbols):
                before[after] = place
            for left in (before[place], place):
                right = following[left] if left >= 0 else len(symbols)
                if right < len(symbols) and (joined := symbols[left] + symbols[right]) in rank:
                    heappush(queue, (rank[joined][0], left, joined))
        for symbol in symbols:
            if symbol in rank:
                yield rank[symbol][1]
            elif symbol:
                # Half of a surrogate pair, which a page or a terminal may hand over, has no bytes.
                for byte in symbol.encode("utf-8", "replace"):
                    yield self._byte_ids.get(byte, self._unknown_id)

    def decode(self, ids: Iterable[int]) -> str:
        """Give the text of some ids; broken UTF-8 becomes U+FFFD, markers are left out."""
        text = b"".join(self.bytes_of[token_id] for token_id in ids).decode("utf-8", "replace")
        return text[1:] if self._add_dummy_prefix and text.startswith(" ") else text


def encode_marked(text: str, markers: Mapping[str, int], encode: Callable[[str], list[int]]) -> list[int]:
    """Give the ids of a text with markers in it, where `encode` knows none."""
    ids: list[int] = []
    while text:
        place, marker = min(
            ((place, marker) for marker in markers if (place := text.find(marker)) >= 0),
            default=(len(text), ""),
        )
        ids.extend(encode(text[:place]))
        if marker:
            ids.append(markers[marker])
        text = text[place + len(marker) :]
    return ids


class TextStream:
    """Turns tokens into text as they come, never cutting a character in two."""

    def __init__(self, tokenizer: AnyTokenizer) -> None:
        self._bytes_of = tokenizer.bytes_of
        self._decoder = getincrementaldecoder("utf-8")("replace")

    def feed(self, token_id: int) -> str:
        """Give the characters that this token completes."""
        return self._decoder.decode(self._bytes_of[token_id])

    def close(self) -> str:
        """Give what is left: U+FFFD for a character that was never finished."""
        return self._decoder.decode(b"", True)
