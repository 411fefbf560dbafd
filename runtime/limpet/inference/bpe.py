"""Byte-level byte-pair encoding, as GPT-2 and its heirs have it: text to token ids and back.

The pieces come from a model's `tokenizer.json`: `{"type": "bpe", "pieces": [text, ...], "merges": ["a b", ...],
"special": {"<|im_start|>": 1, ...}, "pre": "smollm2"}`; the index is the id, the texts are written in GPT-2's alphabet
of 256 printable characters, one for each byte. A text is first cut into words (`pre` says how), then in each word the
two neighbours are joined whose merge comes first in the list. Special pieces are the markers of a chat template: they
are found only in text that we wrote, so that nobody can type one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from unicodedata import category

from ..errors import ModelUnavailableError
from .tokenizer import encode_marked

_MOST_WORDS = 8192
_SPACES = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""What Unicode calls white space; Python's `\\s` has four control characters more."""
_WORDS = {
    # `\p{L}` is `[^\W\d_]` but for the numbers that are no decimal digits, which `_split` takes out again.
    "gpt2": rf"'(?:[stmd]|re|ve|ll)| ?[^\W\d_]+| ?\d+| ?(?:[^\w{_SPACES}]|_)+"
    rf"|[{_SPACES}]+(?![^{_SPACES}])|[{_SPACES}]+",
    # Every digit is a word, and spaces before one belong together as they do at the end of a text.
    "smollm2": rf"\d|'(?:[stmd]|re|ve|ll)| ?[^\W\d_]+| ?(?:[^\w{_SPACES}]|_)+"
    rf"|[{_SPACES}]+(?![^{_SPACES}\d])|[{_SPACES}]+",
}


def byte_alphabet() -> list[str]:
    """Give the character by which each byte is written in the pieces."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


class BpeTokenizer:
    """A vocabulary with its merge order. It holds no state of a text and may be shared."""

    def __init__(self, pieces: Sequence[str], merges: Sequence[str], special: Mapping[str, int], pre: str) -> None:
        self._pattern = re.compile(_WORDS[pre])
        self._has_single_digits = pre == "smollm2"
        self._rank = {merge: rank for rank, merge in enumerate(merges)}
        self._id_of = {piece: token_id for token_id, piece in enumerate(pieces)}
        self._alphabet = byte_alphabet()
        self.markers: dict[str, int] = dict(special)
        """Ids of the special pieces by their text."""
        back = {ord(letter): chr(byte) for byte, letter in enumerate(self._alphabet)}
        # One call for all pieces takes a third of the time that one for each takes; no piece has this character.
        spelled = "\uffff".join(pieces).translate(back).split("\uffff")
        marked = set(special.values())
        self.bytes_of: list[bytes] = [
            b"" if token_id in marked else text.encode("latin-1", "replace") for token_id, text in enumerate(spelled)
        ]
        """The bytes that each id stands for; special pieces stand for none."""
        self._words: dict[str, tuple[int, ...]] = {}

    @classmethod
    def parse(cls, data: bytes) -> BpeTokenizer:
        """Read a `tokenizer.json`. Raises `ModelUnavailableError` when it isn't one."""
        try:
            document = json.loads(data)
            if not isinstance(document, Mapping) or document.get("type") != "bpe":
                raise ValueError("type")
            special = {str(text): int(token_id) for text, token_id in document["special"].items()}
            return cls(document["pieces"], document["merges"], special, str(document["pre"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelUnavailableError(
                "the local model's tokenizer.json is not a bpe tokenizer that this version reads; build the model again"
            ) from error

    def encode(self, text: str) -> list[int]:
        """Give the ids of a text that somebody typed: markers in it are plain characters."""
        known = self._words
        ids: list[int] = []
        for word in self._split(text):
            found = known.get(word)
            if found is None:
                # Half of a surrogate pair, which a page or a terminal may hand over, has no bytes.
                found = tuple(self._merge(word.encode("utf-8", "replace")))
                if len(known) < _MOST_WORDS:
                    known[word] = found
            ids += found
        return ids

    def encode_bytes(self, data: bytes) -> list[int]:
        """Give the ids of bytes that need not be whole characters; those that are no text are merged as one word."""
        try:
            return self.encode(data.decode())
        except UnicodeDecodeError:
            return list(self._merge(data))

    def encode_template(self, text: str) -> list[int]:
        """Give the ids of a text that we wrote: markers in it become their ids."""
        return encode_marked(text, self.markers, self.encode)

    def decode(self, ids: Iterable[int]) -> str:
        """Give the text of some ids; broken UTF-8 becomes U+FFFD, markers are left out."""
        return b"".join(self.bytes_of[token_id] for token_id in ids).decode("utf-8", "replace")

    def _split(self, text: str) -> Iterator[str]:
        if self._has_single_digits and not text.isascii():
            # Numbers that are no decimal digits, such as a superscript two, are words as well.
            start = 0
            for place, letter in enumerate(text):
                if letter.isnumeric() and not letter.isdecimal() and category(letter)[0] == "N":
                    yield from self._pattern.findall(text[start:place])
                    yield letter
                    start = place + 1
            text = text[start:]
        yield from self._pattern.findall(text)

    def _merge(self, data: bytes) -> Iterator[int]:
        rank = self._rank
        symbols = [self._alphabet[byte] for byte in data]
        following = list(range(1, len(symbols) + 1))
        before = list(range(-1, len(symbols) - 1))
        queue = [
            (rank[pair], place, pair)
            for place in range(len(symbols) - 1)
            if (pair := f"{symbols[place]} {symbols[place + 1]}") in rank
        ]
        heapify(queue)
        while queue:
            _, place, pair = heappop(queue)
            right = following[place]
            if right >= len(symbols) or f"{symbols[place]} {symbols[right]}" != pair:
                continue
            symbols[place], symbols[right] = symbols[place] + symbols[right], ""
            after = following[place] = following[right]
            if after < len(symbols):
                before[after] = place
            for left in (before[place], place):
                right = following[left] if left >= 0 else len(symbols)
                if right < len(symbols) and (joined := f"{symbols[left]} {symbols[right]}") in rank:
                    heappush(queue, (rank[joined], left, joined))
        for symbol in symbols:
            if symbol in self._id_of:  # a byte that the vocabulary lacks is left out: no text that is UTF-8 has one
                yield self._id_of[symbol]
