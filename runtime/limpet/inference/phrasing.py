"""Whether a sentence says what tools returned, and nothing else.

A small model that phrases a result now and then leaves out half of it, takes a number for another or makes something
up. So each number, name and word of its sentence must be found where it may come from. The check errs on the side of
refusing: then the result is told as it is. Nothing here waits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from ..wire import Json

_MOST_CHARACTERS, _MOST_CLAUSES = 200, 3
"""Longer results are told as they are."""
_COVERED = 0.6
"""So much of a result's words the sentence must have, beside all its numbers."""
_ENDINGS = ("ing", "ied", "ies", "ed", "es", "s", "e", "y")


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        stem = word[: -len(ending)]
        # A note is nothing that is not.
        if word.endswith(ending) and len(stem) >= 3 and stem != "not":
            return stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] else stem
    return word


def _stems(words: str) -> frozenset[str]:
    return frozenset(map(_stem, words.split()))


_FREE = _stems(
    """
    a an the this that these those it its i you your my me we our yours they their them he she his her there here
    is are am was were be been being has have had do does did will would can could may
    of to for in on at with by from into as and or but so if then which who what when where how
    s m re ll ve d ca wo now currently please sure here okay ok hello hi good welcome glad need
    """
)
"""Words that say nothing by themselves."""
_DENYING = _stems(
    """
    no not never none nothing nobody nowhere without fail failed failure error off out closed wrong unable empty
    missing denied refused rejected declined cancelled canceled unavailable invalid unknown stopped minus negative
    """
)
"""Words that turn a sentence into its opposite: a result's must be said, and no others."""
_BOUNDING = _stems(
    """
    before after until till since ago over under above below more less fewer than most least last first next previous
    only all every each both half quarter twice double triple dozen couple pair hundreds thousands millions again
    already still yet ready almost
    """
)
"""Words that change what a number or a name says: none may come from the question."""
_UNITS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty
"""
_TENS = "thirty forty fifty sixty seventy eighty ninety hundred"
_NUMBER_WORDS = {
    **{word: str(value) for value, word in enumerate(_UNITS.split())},
    **{word: str(10 * value) for value, word in enumerate(_TENS.split(), 3)},
    "thousand": "1000",
    "million": "1000000",
    "billion": "1000000000",
}
_TOKEN = re.compile(
    r"(?P<number>(?:(?<![\w.])[-\u2212])?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:[.:/-]\d+)*)|(?P<word>[^\W\d_]+)"
    r"|(?P<end>[,;.!?\n]|$)"
)
_VALUES = _stems("true false null yes")
_NEGATION = re.compile(r"n['\u2019]t\b")


class Source:
    """What a sentence may be made of: results, whose numbers and words count, and words that it may have beside."""

    def __init__(self, results: str, context: str = "") -> None:
        self._length = len(results)
        self._clauses = list(_clauses(results))
        self._numbers = Counter(token for clause in self._clauses for token in clause if _is_number(token))
        self._words = {token for clause in self._clauses for token in clause if not _is_number(token)}
        beside = {token for clause in _clauses(context) for token in clause if not _is_number(token)}
        self._allowed = self._words | _FREE | (beside - _DENYING - _BOUNDING)

    @property
    def can_be_phrased(self) -> bool:
        """Whether there is something that a sentence could say in other words, and not too much of it."""
        has_content = bool(self._words - _FREE - _VALUES or self._numbers)
        return has_content and self._length <= _MOST_CHARACTERS and len(self._clauses) <= _MOST_CLAUSES

    def problem(self, sentence: str) -> str | None:
        """Say what is wrong with a sentence that tells the results; None when it is faithful.

        >>> Source("timer set for 10 minutes (eggs)").problem("The eggs are set for 12 minutes.")
        'the number 12 is not in the results so often'
        """
        if problem := self.invented(sentence):
            return problem
        clauses = list(_clauses(sentence))
        said = {token for clause in clauses for token in clause}
        if missing := set(self._numbers) - said:
            return f"the number {min(missing)} is missing"
        if missing := (self._words & _DENYING) - said:
            return f"the word {min(missing)!r} is missing"
        content = self._words - _FREE
        whole = len(content) + len(self._numbers)
        if len(content & said) + len(self._numbers) < _COVERED * whole:
            return "it leaves out too much"
        return self._misplaced(clauses)

    def invented(self, sentence: str) -> str | None:
        """Say what a sentence has that is found nowhere; None when there is nothing."""
        tokens = [token for clause in _clauses(sentence) for token in clause]
        if not tokens or "?" in sentence:
            return "it says nothing" if not tokens else "it asks"
        for token, count in Counter(tokens).items():
            if _is_number(token):
                if count > self._numbers[token]:
                    return f"the number {token} is not in the results so often"
            elif token not in self._allowed:
                return f"the word {token!r} is found nowhere"
        return None

    def _misplaced(self, clauses: list[list[str]]) -> str | None:
        """Say what belongs to something else, where the results tell of several things."""
        following = {pair for clause in self._clauses for pair in _following(clause)}
        followers = {word for _, word in following}
        for number, word in (pair for clause in clauses for pair in _following(clause)):
            if word in followers and (number, word) not in following:
                return f"the number {number} is not one of {word!r}"
        latest = 0
        for token in (token for clause in clauses for token in clause if token not in _FREE):
            homes = [place for place, home in enumerate(self._clauses) if token in home]
            if homes and max(homes) < latest:
                return f"{token!r} comes too late"
            latest = max(latest, min(homes, default=0))
        return None


def plain_text(content: Json) -> str:
    """Give what a tool returned as text: an object as its names and values.

    >>> plain_text({"temperature": 18, "wind_kmh": 12, "rain": False})
    'temperature: 18, wind kmh: 12, rain: no'
    """
    if isinstance(content, str):
        return content.strip()
    if isinstance(content, bool):
        return "yes" if content else "no"
    if content is None:
        return ""
    if isinstance(content, Mapping):
        return ", ".join(f"{name.replace('_', ' ')}: {_inner(value)}" for name, value in content.items())
    if isinstance(content, list):
        return "; ".join(map(plain_text, content)) if content else "nothing"
    return str(content)


def _inner(value: Json) -> str:
    text = plain_text(value)
    return f"({text})" if isinstance(value, (Mapping, list)) else text


def _clauses(text: str) -> Iterator[list[str]]:
    """Yield the words, as stems, and numbers of a text, in pieces that commas and `and` part."""
    clause: list[str] = []
    for match in _TOKEN.finditer(_NEGATION.sub(" not", text.replace("cannot", "can not"))):
        word = (match["word"] or "").lower()
        if match["number"]:
            clause.append(_normalized(match["number"]))
        elif word in _NUMBER_WORDS:
            clause.append(_NUMBER_WORDS[word])
        elif word and word not in ("and", "but"):
            clause.append(_stem(word))
        elif clause:
            yield clause
            clause = []


def _following(clause: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each number with the word that comes next, `x` and the like left out."""
    for place, token in enumerate(clause):
        if _is_number(token):
            word = next((one for one in clause[place + 1 :] if one not in ("x", "of", "the", "a")), "")
            if word and not _is_number(word) and word not in _FREE:
                yield token, word


def _normalized(number: str) -> str:
    number = number.replace("\u2212", "-")
    grouped = number.replace(",", "")
    try:
        return f"{float(grouped):.12g}"
    except ValueError:
        return number


def _is_number(token: str) -> bool:
    return token[-1].isdigit()
