"""The few tools that a question is about, out of hundreds: what a small model can be shown.

Tools are compared with the question by vectors of their descriptions where a model of embeddings is there, else by the
words that both have (Okapi BM25). Nothing here waits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from math import log
from operator import mul

from ..model import ToolSpec

LEAST_RANKED = 2
"""Tools that are shown because they fit, however many are shown because they were used."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
_COMMON_WORDS = """
a an and any are as at be by can could do does for from have how i if in into is it its me my need of on or our out
please so some that the their them then there these this to up us want was we what when where which who will with would
you your
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_ENDINGS = ("ations", "ation", "ings", "ing", "ions", "ion", "ers", "ies", "er", "ed", "es", "s", "e", "y")
# BM25: how soon a repeated word counts no more, and how much a long text is held against it.
_SATURATION, _LENGTH = 1.2, 0.5
_NAME_COUNTS = 2


def describe_tool(tool: ToolSpec) -> str:
    """Give a tool as a sentence: its name in words, and what it does; for want of that, what it takes.

    Names of parameters beside a description make vectors less like a question that is put in other words: of 200 such
    questions 147 instead of 153 found their tool among the best five.
    """
    name = _in_words(tool.name)
    if tool.description:
        return f"{name}: {tool.description.strip()}"
    parameters = ", ".join(map(_in_words, _parameters(tool)))
    return f"{name} ({parameters})" if parameters else name


def rank_by_vectors(question: Sequence[float], tools: Sequence[Sequence[float]]) -> list[float]:
    """Give how like each tool is to the question, from vectors of length 1."""
    return [sum(map(mul, question, tool)) for tool in tools]


def rank_by_words(question: str, tools: Sequence[ToolSpec]) -> list[float]:
    """Give how much each tool shares of the question's words; rare words say more."""
    texts = [_counted(tool) for tool in tools]
    lengths = [sum(text.values()) for text in texts]
    mean = sum(lengths) / max(len(lengths), 1) or 1.0
    found = Counter(word for text in texts for word in text)
    scores = [0.0] * len(tools)
    for word in set(_stems(question)):
        if word not in found:
            continue
        weight = log(1 + (len(tools) - found[word] + 0.5) / (found[word] + 0.5))
        for place, text in enumerate(texts):
            count = text.get(word, 0)
            share = 1 - _LENGTH + _LENGTH * lengths[place] / mean
            scores[place] += weight * count * (_SATURATION + 1) / (count + _SATURATION * share)
    return scores


def pick_tools(
    tools: Sequence[ToolSpec], scores: Sequence[float], used: Sequence[str], most: int
) -> tuple[ToolSpec, ...]:
    """Give the tools to show, in their order: those that were used, and of the others the best up to `most` in all.

    A few of the others are shown even when more than `most` were used.
    """
    kept = {place for place, tool in enumerate(tools) if tool.name in set(used)}
    others = sorted((place for place in range(len(tools)) if place not in kept), key=lambda place: -scores[place])
    shown = kept | set(others[: max(most - len(kept), LEAST_RANKED)])
    return tuple(tool for place, tool in enumerate(tools) if place in shown)


def _in_words(name: str) -> str:
    return " ".join(_WORD.findall(name)).lower()


def _parameters(tool: ToolSpec) -> list[str]:
    properties = tool.parameters.get("properties")
    return [str(name) for name in properties] if isinstance(properties, Mapping) else []


def _counted(tool: ToolSpec) -> Counter[str]:
    text = Counter(_stems(" ".join([tool.description, *_parameters(tool)])))
    for word in _stems(tool.name):
        text[word] += _NAME_COUNTS
    return text


def _stems(text: str) -> list[str]:
    """Give the words of a text without their endings, common words left out."""
    words = (word.lower() for word in _WORD.findall(text))
    return [_stem(word) for word in words if word not in _COMMON]


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stem = word[: -len(ending)]
            # As in `setting`.
            return stem[:-1] if ending[0] in "ie" and stem[-1] == stem[-2] else stem
    return word
