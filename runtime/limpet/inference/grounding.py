"""What in a call is evidenced by the user's words, and what the model made up.

A small model fills in what it wasn't told. Numbers, optional values out of a list and optional texts that the question
doesn't speak of are dropped from the call; where a required number is made up, or what was asked for was negated, the
call must not be acted on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

from ..model import ToolSpec
from ..wire import Json, JsonObject
from .prompt import resolve_schema
from .quantities import measured_numbers, mentioned_numbers, spoken_numbers
from .units import place_measured

_WORDS = re.compile(r"[^\W_]+")
_NEGATED = re.compile(
    r"^\W*(?:please\s+|hey\s+|no\s*,\s*|actually\s*,?\s*)*"
    r"(?:do\s+not|don['\u2019]?t|never|stop\s+trying\s+to)\s+"
    r"(?!(?:let\s+(?:me|us)\s+(?:forget|miss)|forget|miss|hesitate|disturb)\b)",
    re.IGNORECASE,
)
_REASONS = re.compile(r"[;.]\s|,\s")
_CLAUSES = re.compile(r"\b(?:and|then)\b|[,;]")
_POLITE = re.compile(
    r"\W*(?:(?:please|hey|ok|okay|now|kindly|let's|(?:can|could|would)\s+you|i\s+(?:want|need)\s+to)\b\W*)*",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"'([^']+)'")
_LONGEST_REASON = 3
_COMMON = frozenset(
    re.findall(
        r"\w+",
        "how what which who when where why much many some any do does did can could will would should be been was were "
        "are not no if then so as but get set make tell user whether shall use used one all more",
    )
)
_FILLERS = frozenset(
    re.findall(r"\w+", "a an the to of for in on at and or is my me i it that this with please from by about")
)


@dataclass(slots=True)
class Grounding:
    """What was found out about the arguments of one call; paths are such as `minutes` or `stops[0].city`."""

    spoken: list[str] = field(default_factory=list)
    """Values that the question has."""
    dropped: list[str] = field(default_factory=list)
    """Optional values that were taken out."""
    invented: list[str] = field(default_factory=list)
    """Required numbers that the question doesn't have."""
    unspoken: list[str] = field(default_factory=list)
    """Required texts none of whose words are in the question."""
    empty: list[str] = field(default_factory=list)
    """Required texts that the model left empty."""
    chosen: list[str] = field(default_factory=list)
    """Required values out of a list that the question doesn't name: meant (`food` for a lunch), or guessed."""
    placed: list[str] = field(default_factory=list)
    """Numbers of a wrong unit that were put where the unit is, or converted."""
    passed_over: list[str] = field(default_factory=list)
    """Values out of a list that the question has, in whose place there is another or none."""
    is_ordered: bool = False
    """Whether the question, or a part of it, begins with the verb of the tool's name: `mow the lawn` for `mow_lawn`."""
    is_unrelated: bool = False
    """Whether neither a value nor the tool's name or description has a word or number of the question."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing speaks against the call: no value is made up or guessed, and the question is about it."""
        return not (
            self.invented or self.unspoken or self.empty or self.chosen or self.passed_over or self.is_unrelated
        )


class Question:
    """The user's words, looked at once for all calls, and what the model thought about them."""

    def __init__(self, text: str, thoughts: str = "") -> None:
        self.text = text
        self._reasons = [set(_QUOTED.findall(reason.casefold())) for reason in _REASONS.split(thoughts)]
        self.numbers = spoken_numbers(text)
        self.mentions = list(mentioned_numbers(text))
        self.measured = list(measured_numbers(text))
        self.words = _WORDS.findall(text.casefold())
        self._stems = {_stem(word) for word in self.words}
        clauses = [_WORDS.search(clause, _end_of(_POLITE, clause)) for clause in _CLAUSES.split(text.casefold())]
        is_asked = text.rstrip().endswith("?")
        self._verbs = set() if is_asked else {_stem(first[0]) for first in clauses if first is not None}
        self.is_negated = _NEGATED.match(text) is not None
        """Whether it forbids what it names (`don't turn on the lights`)."""

    def has_number(self, value: float) -> bool:
        """Whether a number is spoken of, in digits or words."""
        return round(float(value), 6) in self.numbers

    def leaves_out(self, numbers: Iterable[float], texts: Iterable[str]) -> bool:
        """Whether it has a number that neither these numbers nor these texts account for."""
        used = {round(float(number), 6) for number in numbers}
        spoken = {number for text in texts for number in spoken_numbers(text)}
        single = set().union(*(mention for mention in self.mentions))
        if used & (self.numbers - single):
            # `1 hour 20 minutes` became 80: which of its numbers went in can't be told.
            return False
        return any(not (mention & used or mention & spoken) for mention in self.mentions)

    def orders(self, tool_name: str) -> bool:
        """Whether it is an order that begins with the verb of the tool's name, or has a part that does."""
        verb = _WORDS.search(tool_name.casefold())
        return verb is not None and _stem(verb[0]) in self._verbs

    def is_about(self, text: str) -> bool:
        """Whether it shares a word of some meaning with a text."""
        return any(self.has_word(word) for word in _WORDS.findall(text.casefold()) if word not in _COMMON | _FILLERS)

    def is_reason_for(self, value: str, tool_words: Set[str] = frozenset()) -> bool:
        """Whether the model thought of words that are there when it chose a value: `'selfie' -> camera 'front'`.

        Words of the tool's name are no reason for a value.
        """
        chosen = {value.casefold(), value.casefold().replace("_", " ")}
        return any(
            quotes & chosen and any(self._is_named_by(quote, tool_words) for quote in quotes - chosen)
            for quotes in self._reasons
        )

    def _is_named_by(self, quote: str, tool_words: Set[str]) -> bool:
        # Who quotes the whole question gives no reason.
        return (
            len(quote.split()) <= _LONGEST_REASON and self.share_of(quote) == 1 and not _is_made_of(quote, tool_words)
        )

    def has_exactly(self, text: str) -> bool:
        """Whether all words of a text are there as they are written."""
        words = _WORDS.findall(text.casefold())
        return bool(words) and all(word in self.words for word in words)

    def has_word(self, word: str) -> bool:
        """Whether a word is there, whatever its ending."""
        return _stem(word) in self._stems or any(len(word) > 3 and other.startswith(word[:4]) for other in self.words)

    def share_of(self, text: str) -> float:
        """How many of the words of a text are there, 0..1; 1 for a text without words."""
        words = [word for word in _WORDS.findall(text.casefold()) if word not in _FILLERS]
        return sum(map(self.has_word, words)) / len(words) if words else 1.0


def ground_call(question: Question, tool: ToolSpec, arguments: JsonObject) -> tuple[JsonObject, Grounding]:
    """Give the arguments without what was made up, and what was found."""
    found = Grounding()
    placed, found.placed, wrong = place_measured(question.measured, tool.parameters, arguments)
    tool_words = {_stem(word) for word in _WORDS.findall(tool.name.casefold())}
    checked = _object(question, tool.parameters, tool.parameters, placed, "", found, tool_words)
    found.invented += wrong
    found.is_ordered = question.orders(tool.name)
    found.is_unrelated = not found.spoken and not question.is_about(f"{tool.name} {tool.description}")
    return checked, found


def _object(
    question: Question,
    schema: Mapping[str, object],
    root: Mapping[str, object],
    values: JsonObject,
    path: str,
    found: Grounding,
    tool_words: Set[str],
) -> JsonObject:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return values
    names = schema.get("required")
    required = set(names) if isinstance(names, (list, tuple)) else set()
    kept: JsonObject = {}
    for name, value in values.items():
        child = properties.get(name)
        place = f"{path}.{name}" if path else name
        if not isinstance(child, Mapping):
            kept[name] = value
            continue
        child = resolve_schema(child, root)
        if isinstance(value, dict):
            kept[name] = _object(question, child, root, value, place, found, tool_words)
        elif name in required:
            kept[name] = value
            _judge(question, child, value, place, found)
        elif _is_evidenced(question, child, name, value, tool_words):
            kept[name] = value
            found.spoken.append(place)
        else:
            found.dropped.append(place)
    for name, child in properties.items():
        if isinstance(child, Mapping) and _passes_over(question, resolve_schema(child, root), kept.get(name)):
            found.passed_over.append(f"{path}.{name}" if path else name)
    return kept


def _passes_over(question: Question, schema: Mapping[str, object], value: Json) -> bool:
    """Whether the question has another value of a list than the one that was chosen, which it does not have."""
    listed = schema.get("enum")
    if not isinstance(listed, (list, tuple)) or (isinstance(value, str) and question.share_of(value) > 0):
        return False
    return any(isinstance(item, str) and item != value and question.has_exactly(item) for item in listed)


def _judge(question: Question, schema: Mapping[str, object], value: Json, path: str, found: Grounding) -> None:
    """Note what is wrong with a required value."""
    if isinstance(value, list):
        for place, item in enumerate(value):
            _judge(question, {}, item, f"{path}[{place}]", found)
    elif _is_number(value) and isinstance(value, (int, float)):
        (found.spoken if question.has_number(value) else found.invented).append(path)
    elif isinstance(value, str) and _is_listed(schema):
        (found.spoken if question.share_of(value) > 0 else found.chosen).append(path)
    elif isinstance(value, str):
        if not value.strip():
            found.empty.append(path)
        else:
            numbers = [float(digits) for digits in _NUMERIC.findall(value)]
            is_spoken = all(map(question.has_number, numbers)) if numbers else question.share_of(value) > 0
            (found.spoken if is_spoken else found.unspoken).append(path)


_NUMERIC = re.compile(r"\d+(?:\.\d+)?")


def _is_evidenced(
    question: Question, schema: Mapping[str, object], name: str, value: Json, tool_words: Set[str]
) -> bool:
    """Whether an optional value was asked for."""
    if value is None or value == "" or value == []:
        return False
    if _is_number(value) and isinstance(value, (int, float)):
        return question.has_number(value)
    if isinstance(value, list):
        return any(_is_evidenced(question, {}, name, item, tool_words) for item in value)
    if isinstance(value, str):
        if _is_listed(schema) and question.is_reason_for(value, tool_words):
            return True
        if question.share_of(value) > 0:
            # `notify` in "notify Anna" is the order, no text of its own.
            return _is_listed(schema) or not _is_made_of(value, tool_words)
        # `es` for Spanish, `C` for Celsius, `7:00 pm` for "seven this evening".
        numbers = [float(digits) for digits in _NUMERIC.findall(value)]
        if numbers:
            return all(map(question.has_number, numbers))
        return len(value) <= 3 and any(word.startswith(value.casefold()[:1]) for word in question.words)
    return True


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_listed(schema: Mapping[str, object]) -> bool:
    return "enum" in schema or "const" in schema


def _is_made_of(text: str, stems: Set[str]) -> bool:
    """Whether a text has words, and no others than these."""
    words = [word for word in _WORDS.findall(text.casefold()) if word not in _FILLERS]
    return bool(words) and all(_stem(word) in stems for word in words)


def _end_of(pattern: re.Pattern[str], text: str) -> int:
    match = pattern.match(text)
    return match.end() if match is not None else 0


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s", "ly", "er"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
