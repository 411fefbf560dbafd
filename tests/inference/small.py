"""A vocabulary of 304 tokens: Needle's markers, the 256 bytes, and a few merges that look like JSON."""

from __future__ import annotations

import json

from limpet.inference.tokenizer import Tokenizer
from limpet.inference.vocabulary import Vocabulary
from limpet.model import ToolSpec

MARKERS = ["<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tools>", "</tools>", "<tool_call>", "</tool_call>"]
MERGES = [
    '":',
    '":"',
    '","',
    '{"',
    '[{"',
    "}}",
    "}}]",
    "[]",
    "na",
    "me",
    "name",
    "\u2581a",
    "\u2581b",
    "ab",
    "\u2581ab",
]


def tokenizer_json() -> bytes:
    """Give the `tokenizer.json` of the vocabulary."""
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    letters = [chr(code) for code in range(0x21, 0x7F)] + ["\u2581"]
    pieces = ["<pad>", "</s>", "<s>", "<unk>", *MARKERS, *bytes_, *MERGES, *letters]
    types = [2, 2, 2, 1, *[3] * len(MARKERS), *[4] * 256, *[0] * (len(MERGES) + len(letters))]
    scores = [0.0] * (4 + len(MARKERS) + 256) + [-float(rank) for rank in range(len(MERGES) + len(letters))]
    document = {"format": 1, "kind": "sentencepiece_bpe", "pieces": pieces, "scores": scores, "types": types}
    return json.dumps({**document, "add_dummy_prefix": False}).encode()


TOKENIZER = Tokenizer.parse(tokenizer_json())
VOCABULARY = Vocabulary(TOKENIZER)
TIMER = ToolSpec(
    "set_timer",
    "Set a kitchen timer.",
    {
        "type": "object",
        "properties": {
            "minutes": {"type": "integer", "minimum": 1, "maximum": 600, "description": "How long, in minutes."},
            "label": {"type": "string", "description": "What it is for.", "default": ""},
        },
        "required": ["minutes"],
    },
)
LIGHT = ToolSpec(
    "set_light",
    "Switch a lamp.",
    {
        "type": "object",
        "properties": {"room": {"enum": ["kitchen", "office"]}, "is_on": {"type": "boolean"}},
        "required": ["room", "is_on"],
    },
)
TOOLS = (TIMER, LIGHT)
