"""What the engines are asked: prompts of a certain length, tool calls with a grammar, a long conversation, texts."""

from __future__ import annotations

from typing import Any

from limpet.inference.bpe import BpeTokenizer
from limpet.inference.catalog import CATALOG
from limpet.inference.chat_template import ChatTemplate, tool_examples
from limpet.messages import Message
from limpet.model import ToolSpec

CHOOSE = "Answer with the name of the tool that fits what the user wants."
SENTENCES = (
    "The harbour lies between two hills, and the boats leave before the sun is up.",
    "Every second house has a workshop in which somebody mends nets or paints names on planks.",
    "On Thursdays the market fills the square with cheese, apples, buttons and loud voices.",
    "A narrow railway climbs from the mill to the old quarry, though nobody has seen a train on it.",
    "The lighthouse keeper writes down the weather four times a day in a green book.",
    "When the river froze in that winter, the children skated to school with lanterns.",
    "An engineer from the city measured the bridge and said that it would stand for a hundred years.",
    "The baker's daughter plays the trumpet, which the neighbours have learned to live with.",
    "In the library there is a map on which the island has a different shape.",
    "Two brothers opened a cinema in the barn and show the same film every summer.",
    "The teacher collects stones and can say of each of them where it was found.",
    "After the storm a piano stood on the beach, and it was almost in tune.",
)
FIRST_WORDS = (
    "Always Bravely Calmly Daily Eagerly Fairly Gently Happily Intently Jointly Kindly Loosely Merrily Neatly Openly "
    "Plainly Quietly Readily Safely Truly Usually Vividly Warmly Yearly"
)
TASK = "Tell me a very long and detailed story about this place and about the people who live there."

# A small model that was led astray would write on and on.
_TEXT = {"type": "string", "maxLength": 40}
TOOLS: tuple[dict[str, Any], ...] = (
    {
        "name": "set_light",
        "description": "Set the light in a room.",
        "parameters": {
            "type": "object",
            "properties": {
                "room": {"enum": ["kitchen", "bathroom", "bedroom", "living room", "garage"]},
                "brightness": {"type": "integer", "minimum": 0, "maximum": 100},
                "color": {"enum": ["warm white", "cold white", "red", "green", "blue"]},
                "mode": {"enum": ["permanent", "until sunrise", "until midnight"]},
            },
            "required": ["room", "brightness", "color", "mode"],
        },
    },
    {
        "name": "create_event",
        "description": "Put an event into the calendar.",
        "parameters": {
            "type": "object",
            "properties": {
                "title": _TEXT,
                "day": {"enum": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]},
                "hour": {"type": "integer", "minimum": 0, "maximum": 23},
                "minutes": {"type": "integer", "minimum": 0, "maximum": 600},
            },
            "required": ["title", "day", "hour", "minutes"],
        },
    },
    {
        "name": "get_weather",
        "description": "Tell the weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": _TEXT, "unit": {"enum": ["celsius", "fahrenheit"]}},
            "required": ["city", "unit"],
        },
    },
    {
        "name": "set_timer",
        "description": "Set a timer in the kitchen.",
        "parameters": {
            "type": "object",
            "properties": {"minutes": {"type": "integer", "minimum": 0, "maximum": 600}, "label": _TEXT},
            "required": ["minutes", "label"],
        },
    },
    {
        "name": "translate",
        "description": "Translate a text into another language.",
        "parameters": {
            "type": "object",
            "properties": {"text": _TEXT, "language": _TEXT},
            "required": ["text", "language"],
        },
    },
)
LIGHT_QUESTIONS = (
    "Make the kitchen light warm white at 60 percent until midnight.",
    "I want red light in the bedroom until sunrise, brightness 20.",
    "Set the garage to cold white, full brightness of 100, for good.",
    "Blue light in the living room at 35 percent until midnight, please.",
    "The bathroom shall have green light with 50 percent until sunrise.",
    "Permanent warm white light in the garage, brightness 80.",
    "Dim the bedroom to 10 percent, red, until sunrise.",
)
EVENT_QUESTIONS = (
    "Put dinner with Anna into my calendar for Friday, at 19, 90 minutes.",
    "Please note lunch with Peter on Monday at 12, it takes 45 minutes.",
    "A call with the bank on Tuesday at 9 for 30 minutes, please put it in.",
    "Plan a walk with Maria on Sunday at 15, for 120 minutes.",
    "Put a meeting with the teacher on Thursday at 16, 20 minutes long.",
    "Add breakfast with Tom on Saturday at 8, for 60 minutes.",
    "I have piano practice on Wednesday at 17 for 50 minutes, note it.",
)
CALLS = {
    "call": (TOOLS[:1], LIGHT_QUESTIONS),
    "note": (TOOLS[1:2], EVENT_QUESTIONS),
    "choice": (TOOLS, EVENT_QUESTIONS),
}
"""A call of little but what the schema says, one with a title and numbers to write, and one whose tool is chosen."""


class Prompts:
    """Made with the model's own tokenizer."""

    def __init__(self, tokenizer: BpeTokenizer) -> None:
        self._tokenizer = tokenizer
        self._template = ChatTemplate(tokenizer, "chatml", CATALOG["smollm2"].system)

    def long(self, number: int, tokens: int) -> dict[str, Any]:
        """Give a prompt of exactly so many tokens; those of different numbers part at their fourth token."""
        firsts = FIRST_WORDS.split()
        system = f"{firsts[number % len(firsts)]} you tell stories."
        words: list[str] = []
        filler = " ".join(SENTENCES[(number + place) % len(SENTENCES)] for place in range(4 * len(SENTENCES))).split()
        ids: list[int] = []
        while len(ids) < tokens:
            words.append(filler[len(words)])
            ids = self._ids(system, words)
        while len(ids) > tokens:
            words.pop()
            ids = self._ids(system, words)
        while len(ids) < tokens:
            words.append("a")
            ids = self._ids(system, words)
        assert len(ids) == tokens
        return {"system": system, "user": self._user(words), "ids": ids, "text": self._text(ids)}

    def question(self, kind: str, number: int) -> dict[str, Any]:
        """Give a question and the tools to answer it with: see `CALLS`."""
        tools, questions = CALLS[kind]
        user = questions[number % len(questions)]
        specs = [ToolSpec(tool["name"], tool["description"], tool["parameters"]) for tool in tools]
        ids = self._template.prompt(CHOOSE, [*tool_examples(specs), Message.user(user)])
        return {"user": user, "tools": tools, "text": self._text(ids), "grammar": grammar(tools)}

    def conversation(self, tokens: int) -> list[dict[str, str]]:
        """Give a conversation of at least so many tokens, and one more question."""
        messages: list[dict[str, str]] = []
        number = 0
        while len(self._conversation_ids(messages)) < tokens:
            story = " ".join(SENTENCES[(number + place) % len(SENTENCES)] for place in range(3))
            messages.append({"role": "user", "text": f"What else do you know? That would be part {number}."})
            messages.append({"role": "assistant", "text": story})
            number += 1
        return [*messages, {"role": "user", "text": "And who plays the trumpet?"}]

    def _conversation_ids(self, messages: list[dict[str, str]]) -> list[int]:
        made = [(Message.user if one["role"] == "user" else Message.assistant)(one["text"]) for one in messages]
        return self._template.prompt("", made)

    def _ids(self, system: str, words: list[str]) -> list[int]:
        return self._template.prompt(system, [Message.user(self._user(words))])

    def _user(self, words: list[str]) -> str:
        return f"{' '.join(words)}\n{TASK}"

    def _text(self, ids: list[int]) -> str:
        texts = {token_id: text for text, token_id in self._tokenizer.markers.items()}
        return "".join(texts.get(token_id) or self._tokenizer.decode([token_id]) for token_id in ids)


def documents(count: int) -> list[str]:
    """Give texts of one to twelve sentences."""
    return [
        " ".join(SENTENCES[(5 * number + place) % len(SENTENCES)] for place in range(1 + 7 * number % len(SENTENCES)))
        for number in range(count)
    ]


def grammar(tools: tuple[dict[str, Any], ...]) -> str:
    """Write the calls as a grammar for llama.cpp: the same texts as ours admits."""
    lines, names = [], []
    for number, tool in enumerate(tools):
        names.append(f"call{number}")
        pieces = [_literal(f'{{"name": "{tool["name"]}", "arguments": {{')]
        for place, (name, schema) in enumerate(tool["parameters"]["properties"].items()):
            pieces.append(_literal(f'{", " if place else ""}"{name}": '))
            pieces.append(_value(schema))
        lines.append(f"call{number} ::= {' '.join(pieces)} {_literal('}}')}")
    strings = ['text ::= "\\"" [^"\\\\\\x00-\\x1f]{0,40} "\\""', 'number ::= "0" | [1-9] [0-9]? [0-9]?']
    return "\n".join([f"root ::= {' | '.join(names)}", *lines, *strings])


def _value(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "(" + " | ".join(_literal(f'"{one}"') for one in schema["enum"]) + ")"
    return {"string": "text", "integer": "number"}[schema["type"]]


def _literal(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
