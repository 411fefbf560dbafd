"""BERT's tokenizer: text to the ids of words and parts of words, and back.

The pieces come from a model's `tokenizer.json`: `{"type": "wordpiece", "pieces": [text, ...], "lowercase": true,
"special": {"[CLS]": 101, ...}}`; the index is the id, and a piece that goes on with a word begins with `##`. A text is
cleaned, cut at spaces, around punctuation and around each Chinese character; then each word is spelled with the longest
pieces there are, from its left. A word that can't be spelled is `[UNK]` as a whole. With `lowercase` a text also loses
its accents. Special pieces are found only in text that we wrote, so that nobody can type one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from unicodedata import category, normalize

from ..errors import ModelUnavailableError
from .tokenizer import encode_marked

_GOES_ON = "##"
_LONGEST_WORD = 100
"""Letters from which on a word is unknown; BERT's number."""
_MOST_WORDS = 8192
_IDEOGRAPHS = (
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F)),
    *((0x2B820, 0x2CEAF), (0x2F800, 0x2FA1F)),
)
"""As BERT lists them: neither kana nor hangul, nor what Unicode has added since."""


class _Cleaned(dict[int, str]):
    """What each character becomes before it is taken apart, looked up when it is first met."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        kind = category(letter)
        found = letter
        if code in (0x09, 0x0A, 0x0D) or kind in ("Zs", "Zl", "Zp"):
            found = " "
        elif code == 0xFFFD or kind in ("Cc", "Cf", "Co", "Cs"):
            found = ""
        elif any(low <= code <= high for low, high in _IDEOGRAPHS):
            found = f" {letter} "
        self[code] = found
        return found


class _Plain(dict[int, str]):
    """What each character becomes once accents stand for themselves."""

    def __init__(self, *, lowercase: bool) -> None:
        super().__init__()
        self._lowercase = lowercase

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        kind = category(letter)
        found = letter.lower() if self._lowercase else letter
        if kind[0] == "P" or (code < 0x80 and not letter.isalnum() and letter > " "):
            found = f" {letter} "
        elif kind == "Mn" and self._lowercase:
            found = ""
        self[code] = found
        return found


class WordPieceTokenizer:
    """A vocabulary of whole words and parts. It holds no state of a text and may be shared."""

    def __init__(self, pieces: Sequence[str], special: Mapping[str, int], *, lowercase: bool) -> None:
        self._lowercase = lowercase
        self._cleaned, self._plain = _Cleaned(), _Plain(lowercase=lowercase)
        self.markers: dict[str, int] = dict(special)
        """Ids of the special pieces by their text."""
        marked = set(self.markers.values())
        self._starts: dict[str, int] = {}
        self._parts: dict[str, int] = {}
        self.bytes_of: list[bytes] = []
        """The bytes that each id stands for, a space before a word among them; special pieces stand for none."""
        for token_id, piece in enumerate(pieces):
            spelled = b""
            if token_id not in marked:
                goes_on = piece.startswith(_GOES_ON) and piece != _GOES_ON
                text = piece[len(_GOES_ON) :] if goes_on else piece
                (self._parts if goes_on else self._starts)[text] = token_id
                spelled = text.encode() if goes_on else b" " + text.encode()
            self.bytes_of.append(spelled)
        self._unknown = self.markers.get("[UNK]", 0)
        self._longest = max((len(piece) for piece in pieces), default=0)
        self._words: dict[str, tuple[int, ...]] = {}

    @classmethod
    def parse(cls, data: bytes) -> WordPieceTokenizer:
        """Read a `tokenizer.json`. Raises `ModelUnavailableError` when it isn't one."""
        try:
            document = json.loads(data)
            if not isinstance(document, Mapping) or document.get("type") != "wordpiece":
                raise ValueError("type")
            special = {str(text): int(token_id) for text, token_id in document["special"].items()}
            return cls(document["pieces"], special, lowercase=bool(document["lowercase"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelUnavailableError(
                "the local model's tokenizer.json is not a wordpiece tokenizer; build the model again"
            ) from error

    def encode(self, text: str, most_tokens: int | None = None) -> list[int]:
        """Give the ids of a text that somebody typed, or the first of them: markers in it are plain characters."""
        known = self._words
        ids: list[int] = []
        for word in self._split(text):
            found = known.get(word)
            if found is None:
                found = tuple(self._spell(word))
                if len(known) < _MOST_WORDS:
                    known[word] = found
            ids += found
            if most_tokens is not None and len(ids) >= most_tokens:
                return ids[:most_tokens]
        return ids

    def encode_template(self, text: str) -> list[int]:
        """Give the ids of a text that we wrote: markers in it become their ids."""
        return encode_marked(text, self.markers, self.encode)

    def encode_sequence(self, text: str, most_tokens: int) -> list[int]:
        """Give the ids of a whole text between `[CLS]` and `[SEP]`, cut off so that they are `most_tokens` at most."""
        return [self.markers["[CLS]"], *self.encode(text, most_tokens - 2), self.markers["[SEP]"]]

    def decode(self, ids: Iterable[int]) -> str:
        """Give the words of some ids, in lower case if that is how they were read; special pieces are left out."""
        return b"".join(self.bytes_of[token_id] for token_id in ids).decode("utf-8", "replace").removeprefix(" ")

    def _split(self, text: str) -> list[str]:
        cleaned = text.translate(self._cleaned)
        if self._lowercase and not cleaned.isascii():
            cleaned = normalize("NFD", cleaned)
        return cleaned.translate(self._plain).split()

    def _spell(self, word: str) -> list[int]:
        if len(word) > _LONGEST_WORD:
            return [self._unknown]
        ids: list[int] = []
        start, known = 0, self._starts
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                token_id = known.get(word[start:end])
                if token_id is not None:
                    break
            else:
                return [self._unknown]
            ids.append(token_id)
            start, known = end, self._parts
        return ids
