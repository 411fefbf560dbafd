from __future__ import annotations

import json
import re

import pytest

from limpet.inference.automaton import Automaton, Rule
from limpet.inference.code_points import complement, json_rule, plain_rule
from limpet.inference.regex_rule import PatternError, bounded_regex_rule, regex_rule
from tests.inference.chance import Numbers

PATTERNS = [
    r"^\d{3}-\d{4}$",
    r"[a-z]+@[a-z]+\.(com|org)$",
    r"^a|b$",
    r"^(foo|ba[rz])*x?$",
    r"^[^,\"]{2,5}$",
    r"^\w+\s\S+$",
    r"\u00e9[^\d]",
    r"^.{3}$",
    r"^[\]\-a]+$",
    r"^(?P<part>x)(?:y|z){2,}$",
    r"^\u00e9\x41\u{1F600}?$".replace(r"\u{1F600}", "\N{GRINNING FACE}"),
    r"^$",
    r"",
    r"^[A-Z]{2}\d*?$",
    r"^\D\W\S$",
    r"^(a*)*b+$",
    r"^[\t\n]?\/\\$",
    r"\A[a-c-]\Z",
    r"^{x}$",
]


def texts_of(rule: Rule, count: int = 40) -> list[bytes]:
    """Write texts by chance, and end them when they grow long."""
    automaton = Automaton(rule)
    texts = []
    for seed in range(count):
        numbers, state, text = Numbers(seed), automaton.start, bytearray()
        while not (state.is_accepting and (state.is_final or numbers.below(8) == 0)):
            if len(text) > 40:
                text += automaton.shortest(state)
                break
            low, high, _ = numbers.one_of(state.moves)
            text.append(low + numbers.below(high - low + 1))
            following = automaton.step(state, text[-1])
            assert following is not None
            state = following
        texts.append(bytes(text))
    return texts


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_written_matches(pattern: str) -> None:
    plain = [text.decode() for text in texts_of(regex_rule(pattern, is_search=True))]
    quoted = [
        json.loads(b'"' + text + b'"') for text in texts_of(regex_rule(pattern, encode=json_rule, is_search=True))
    ]
    whole = [text.decode() for text in texts_of(regex_rule(pattern))]

    assert [text for text in (*plain, *quoted) if re.search(pattern, text) is None] == []
    assert [text for text in whole if re.fullmatch(pattern, text) is None] == []


@pytest.mark.parametrize(
    ("pattern", "text", "is_in"),
    [
        ("colou?r", "the color red", True),
        ("^colou?r$", "colour", True),
        ("^colou?r$", "a colour", False),
        ("^(yes|no)$", "yes", True),
        ("^(yes|no)$", "yesno", False),
        (r"^\d{2,}$", "1234567", True),
        (r"^\d{2,}$", "1", False),
        (r"^[^a]$", "\N{GRINNING FACE}", True),
        (r"^.$", "\n", False),
        (r"^[\s\S]{2}$", "a\n", True),
        (r"^\w$", "\u00e9", False),
    ],
)
def test_what_may_be_written(pattern: str, text: str, is_in: bool) -> None:
    assert Automaton(regex_rule(pattern, is_search=True)).matches(text.encode()) is is_in


@pytest.mark.parametrize(
    ("pattern", "least", "most"),
    [(r"^[a-z]+\d$", 3, 6), ("x", 2, 4), (r"^\w{2,8}@\w+$", 1, 200), (r"^.*$", 0, 5), (r"^[^b]+\s", 4, 4)],
)
def test_lengths_hold_beside_a_pattern(pattern: str, least: int, most: int) -> None:
    texts = [json.loads(b'"' + text + b'"') for text in texts_of(bounded_regex_rule(pattern, least, most))]

    assert [text for text in texts if re.search(pattern, text) is None or not least <= len(text) <= most] == []
    assert len(set(texts)) > 5


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)b",
        "(?i)a",
        r"\bword",
        r"(a)\1",
        "a**",
        "a++",
        "[z-a]",
        "(",
        "a)",
        "a{5,2}",
        "a{2000}",
        "x(^a)",
        "a$b",
        "[a",
        "\\",
    ],
)
def test_what_can_not_be_followed_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError, match="the pattern"):
        regex_rule(pattern)


@pytest.mark.parametrize(
    ("low", "high"), [(0x20, 0x7E), (0x7F, 0x80), (0x7FF, 0x800), (0xD7FF, 0xE000), (0xFFFF, 0x10000), (0xE9, 0x1F600)]
)
def test_ranges_of_characters_end_where_they_should(low: int, high: int) -> None:
    automaton = Automaton(plain_rule([(low, high)]))
    near = {code for edge in (low, high, 0x7F, 0x7FF, 0xFFFF, 0x10FFFF) for code in range(max(edge - 2, 0), edge + 3)}

    for code in sorted(near):
        if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF:
            assert automaton.matches(chr(code).encode()) == (low <= code <= high), hex(code)


def test_the_complement_of_everything_is_nothing() -> None:
    assert complement([(0, 0x10FFFF)]) == []
    assert complement([]) == [(0, 0x10FFFF)]
    assert complement([(5, 9), (0, 3)]) == [(4, 4), (10, 0x10FFFF)]
