"""A grammar over bytes, run as an automaton whose states are made when they are first met.

A `Rule` describes bytes; a state is the set of ways in which a text may go on, each way a linked list of rules still
to be matched (partial derivatives, V. Antimirov, 1996). So a string of at most 200 characters costs no 200 states,
and a rule may contain itself. Of every rule it is known how few bytes fit it: ways that lead nowhere are not taken, and
from each state the shortest end is known. Nothing here knows JSON or tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf


class Rule:
    """A description of bytes. Two rules are the same when they are the same object."""

    __slots__ = ()


class Literal(Rule):
    """These bytes."""

    __slots__ = ("_tail", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._tail: Literal | None = None

    @property
    def tail(self) -> Literal | None:
        """What is left after the first byte."""
        if self._tail is None and len(self.text) > 1:
            self._tail = Literal(self.text[1:])
        return self._tail


class OneOf(Rule):
    """One byte out of some ranges (both ends included)."""

    __slots__ = ("ranges",)

    def __init__(self, *ranges: tuple[int, int]) -> None:
        self.ranges = ranges


class Sequenced(Rule):
    """One rule after the other."""

    __slots__ = ("items",)

    def __init__(self, *items: Rule) -> None:
        self.items = items


class Choice(Rule):
    """One of several rules."""

    __slots__ = ("options",)

    def __init__(self, *options: Rule) -> None:
        self.options = options


class Repeat(Rule):
    """A rule at least `least` and at most `most` times, or without end for `most` None, which is one state."""

    __slots__ = ("_rest", "item", "least", "most")

    def __init__(self, item: Rule, least: int, most: int | None) -> None:
        self.item = item
        self.least = least
        self.most = most
        self._rest: Repeat | None = None

    @property
    def rest(self) -> Repeat:
        """The same once less."""
        if self._rest is None:
            if self.most is None and self.least == 0:
                return self
            self._rest = Repeat(self.item, max(self.least - 1, 0), None if self.most is None else self.most - 1)
        return self._rest


class Deferred(Rule):
    """A rule that is made when it is needed, so that it may contain itself."""

    __slots__ = ("_make", "_rule")

    def __init__(self, make: Callable[[], Rule]) -> None:
        self._make = make
        self._rule: Rule | None = None

    @property
    def rule(self) -> Rule:
        """The rule meant."""
        if self._rule is None:
            self._rule = self._make()
        return self._rule


ALL_BYTES: frozenset[int] = frozenset(range(256))

NOTHING = Sequenced()
"""The rule of the empty text."""


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """A rule and what follows it; interned, so that sameness is identity."""

    rule: Rule
    rest: _Way | None
    length: float
    """How few bytes there are on it; infinite when it leads nowhere."""


class State:
    """A place in a text that has matched so far."""

    __slots__ = ("distance", "edges", "is_accepting", "moves", "only_byte")

    def __init__(
        self, moves: Sequence[tuple[int, int, _Way | None]], is_accepting: bool, distance: float = inf
    ) -> None:
        self.moves = moves
        self.distance = distance
        """How few bytes lead to a place where the text may end; infinite when none do."""
        self.is_accepting = is_accepting
        """Whether the text may end here."""
        first = moves[0][0] if moves else None
        is_only = not is_accepting and first is not None and all(low == high == first for low, high, _ in moves)
        self.only_byte = first if is_only else None
        """The one byte that must follow; None when there is a choice or nothing can follow."""
        self.edges: dict[int, State | None] = {}

    @property
    def is_final(self) -> bool:
        """Whether nothing can follow."""
        return not self.moves


class Automaton:
    """Matches texts against a rule, byte by byte. It keeps the states it has met and may be shared.

    A rule that needs bytes beyond the `alphabet` leads nowhere.
    """

    def __init__(self, rule: Rule, alphabet: frozenset[int] = ALL_BYTES) -> None:
        self._alphabet = alphabet
        self._lengths = shortest_lengths(rule, alphabet)
        self._ways: dict[tuple[int, int], _Way] = {}
        self._states: dict[frozenset[_Way | None], State] = {}
        self.start = self._state({self._way(rule, None)})

    def step(self, state: State, byte: int) -> State | None:
        """Give the state after one more byte; None when it doesn't fit."""
        edges = state.edges
        if byte in edges:
            return edges[byte]
        ways = {way for low, high, way in state.moves if low <= byte <= high}
        following = self._state(ways) if ways else None
        edges[byte] = following
        return following

    def walk(self, state: State, text: Iterable[int]) -> State | None:
        """Give the state after some bytes; None when they don't fit."""
        following: State | None = state
        for byte in text:
            if following is None:
                return None
            following = self.step(following, byte)
        return following

    def forced(self, state: State) -> tuple[bytes, State]:
        """Give the bytes that must follow, and the state after them."""
        run = bytearray()
        while state.only_byte is not None:
            byte = state.only_byte
            following = self.step(state, byte)
            if following is None:
                break
            run.append(byte)
            state = following
        return bytes(run), state

    def shortest(self, state: State) -> bytes:
        """Give the fewest bytes that lead from a state to the end; the state must have a distance."""
        text = bytearray()
        while state.distance:
            byte = min((0 if way is None else way.length, self._first_in(low, high)) for low, high, way in state.moves)[
                1
            ]
            following = self.step(state, byte)
            assert following is not None
            text.append(byte)
            state = following
        return bytes(text)

    def _first_in(self, low: int, high: int) -> int:
        """Give the first byte of a range that is in the alphabet; one that is in no text when there is none."""
        return next((byte for byte in range(low, high + 1) if byte in self._alphabet), 256)

    def matches(self, text: bytes) -> bool:
        """Whether a whole text fits."""
        state = self.walk(self.start, text)
        return state is not None and state.is_accepting

    def _way(self, rule: Rule, rest: _Way | None) -> _Way:
        key = (id(rule), id(rest))
        way = self._ways.get(key)
        if way is None:
            # The way holds the rule, so its id is not given to another object while the key exists.
            way = self._ways[key] = _Way(rule, rest, self._length(rule) + (0 if rest is None else rest.length))
        return way

    def _length(self, rule: Rule) -> float:
        length = self._lengths.get(rule)
        # What is left of a rule that was begun is not among those that were counted.
        return _length_of(rule, self._lengths, self._alphabet) if length is None else length

    def _state(self, ways: set[_Way | None]) -> State:
        key = frozenset(ways)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = self._expand(ways)
        return state

    def _expand(self, ways: set[_Way | None]) -> State:
        moves: list[tuple[int, int, _Way | None]] = []
        is_accepting = False
        distance = min((0.0 if way is None else way.length for way in ways), default=inf)
        seen = set(ways)
        waiting = list(ways)
        while waiting:
            way = waiting.pop()
            if way is None:
                is_accepting = True
                continue
            for following in self._open(way, moves):
                if following not in seen and (following is None or following.length < inf):
                    seen.add(following)
                    waiting.append(following)
        return State(moves, is_accepting, distance)

    def _open(self, way: _Way, moves: list[tuple[int, int, _Way | None]]) -> Iterable[_Way | None]:
        """Add the bytes with which a way may begin to `moves`; yield the ways it stands for without a byte."""
        rule, rest = way.rule, way.rest
        if isinstance(rule, Literal):
            if not rule.text:
                yield rest
                return
            tail = rule.tail
            moves.append((rule.text[0], rule.text[0], rest if tail is None else self._way(tail, rest)))
        elif isinstance(rule, OneOf):
            moves.extend((low, high, rest) for low, high in rule.ranges)
        elif isinstance(rule, Sequenced):
            for item in reversed(rule.items):
                rest = self._way(item, rest)
            yield rest
        elif isinstance(rule, Choice):
            for option in rule.options:
                yield self._way(option, rest)
        elif isinstance(rule, Repeat):
            if rule.least == 0:
                yield rest
            if rule.most is None or rule.most > 0:
                yield self._way(rule.item, self._way(rule.rest, rest))
        elif isinstance(rule, Deferred):
            yield self._way(rule.rule, rest)


def shortest_lengths(rule: Rule, alphabet: frozenset[int] = ALL_BYTES) -> dict[Rule, float]:
    """Give how few bytes of an alphabet fit a rule and each rule inside it; infinite where none do."""
    lengths: dict[Rule, float] = {}
    waiting = [rule]
    while waiting:
        found = waiting.pop()
        if found not in lengths:
            lengths[found] = inf
            waiting.extend(_inner(found))
    # A rule may contain itself, so the numbers fall until they fall no more; inner rules were found last.
    rules = list(reversed(lengths))
    has_changed = True
    while has_changed:
        has_changed = False
        for one in rules:
            length = _length_of(one, lengths, alphabet)
            if length < lengths[one]:
                lengths[one] = length
                has_changed = True
    return lengths


def _inner(rule: Rule) -> Iterable[Rule]:
    if isinstance(rule, Sequenced):
        return rule.items
    if isinstance(rule, Choice):
        return rule.options
    if isinstance(rule, Repeat):
        return (rule.item,)
    return (rule.rule,) if isinstance(rule, Deferred) else ()


def _length_of(rule: Rule, lengths: dict[Rule, float], alphabet: frozenset[int]) -> float:
    if isinstance(rule, Literal):
        return len(rule.text) if alphabet.issuperset(rule.text) else inf
    if isinstance(rule, OneOf):
        return 1 if any(byte in alphabet for low, high in rule.ranges for byte in range(low, high + 1)) else inf
    if isinstance(rule, Sequenced):
        return sum(lengths[item] for item in rule.items)
    if isinstance(rule, Choice):
        return min((lengths[option] for option in rule.options), default=inf)
    if isinstance(rule, Repeat):
        return rule.least * lengths[rule.item] if rule.least else 0
    assert isinstance(rule, Deferred)
    return lengths[rule.rule]
