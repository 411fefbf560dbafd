"""A byte-level vocabulary of 3 markers, 256 bytes and a few merges, and sessions of a chat model that has it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from limpet.inference.bpe import BpeTokenizer, byte_alphabet
from limpet.inference.vocabulary import Vocabulary
from limpet.wire import JsonObject
from tests.fakes.session import FakeSession
from tests.inference.chance import Numbers

MARKERS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = [
    *("Ġ t", "h e", "Ġt he", "i n", "a n", "Ġ a", "l l", "e r", "u s", "us er", '" :', '" ,', 'Ġ "', "Ġ {", '" }'),
    *("t r", "tr u", "tru e", "Ġ true", "t i", "m e", "a s", "as s", "i s", "is t", "ass ist", "an t", "assist ant"),
    *("n a", "na me", "Ċ Ċ", "Ġ Ġ", "e n", "E gg", "g g", "Egg s"),
]


def chat_tokenizer_json() -> bytes:
    """Give the `tokenizer.json` of the vocabulary."""
    pieces = [*MARKERS, *byte_alphabet(), *dict.fromkeys(merge.replace(" ", "") for merge in MERGES)]
    special = {piece: place for place, piece in enumerate(MARKERS)}
    document = {"type": "bpe", "pieces": pieces, "merges": MERGES, "special": special, "pre": "smollm2"}
    return json.dumps(document).encode()


CHAT_TOKENIZER = BpeTokenizer.parse(chat_tokenizer_json())
CHAT_VOCABULARY = Vocabulary(CHAT_TOKENIZER)
START, END = CHAT_TOKENIZER.markers["<|im_start|>"], CHAT_TOKENIZER.markers["<|im_end|>"]
ANSWER_AT = [START, *CHAT_TOKENIZER.encode("assistant\n")]


def chat_session(
    rank: Callable[[list[int]], Sequence[int]], *, context_length: int = 512, can_rewind: bool = True
) -> FakeSession:
    """Give a session that ranks as the function says."""
    manifest: JsonObject = {
        "id": "fake",
        "task": "chat",
        "template": "chatml",
        "bos_token_id": START,
        "eos_token_ids": [END, 0],
        "context_length": context_length,
    }
    return FakeSession(
        rank,
        files={"tokenizer.json": chat_tokenizer_json()},
        manifest=manifest,
        can_rewind=can_rewind,
        vocab_size=len(CHAT_TOKENIZER.bytes_of),
    )


def answering(*answers: str) -> Callable[[list[int]], Sequence[int]]:
    """Rank so that the model writes these answers, the first to the first question and so on, and ends each."""

    def rank(sequence: list[int]) -> list[int]:
        size = len(ANSWER_AT)
        places = [place for place in range(len(sequence)) if sequence[place : place + size] == ANSWER_AT]
        if not places:
            return [0]
        target = CHAT_TOKENIZER.encode(answers[min(len(places), len(answers)) - 1])
        place = len(sequence) - places[-1] - size
        return target[place : place + 1] or [END]

    return rank


def at_random(seed: int, size: int = len(CHAT_TOKENIZER.bytes_of)) -> Callable[[list[int]], Sequence[int]]:
    """Rank all tokens by chance; the same sequence has the same order."""

    def rank(sequence: list[int]) -> list[int]:
        numbers = Numbers(seed * 1000003 + len(sequence) * 8191 + sum(sequence[-3:]))
        order = list(range(size))
        for place in range(32):  # the best few are what matters
            other = place + numbers.below(size - place)
            order[place], order[other] = order[other], order[place]
        return order

    return rank
