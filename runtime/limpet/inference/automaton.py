"""A grammar over bytes, run as an automaton whose states are made when they are first met.

A `Rule` describes bytes; a state is the set of ways in which a text may go on, each way a linked list of rules still
to be matched (partial derivatives, V. Antimirov, 1996). So a string of at most 200 characters costs no 200 states,
and a rule may contain itself. Nothing here knows JSON or tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


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
    """A rule at least `least` and at most `most` times."""

    __slots__ = ("_rest", "item", "least", "most")

    def __init__(self, item: Rule, least: int, most: int) -> None:
        self.item = item
        self.least = least
        self.most = most
        self._rest: Repeat | None = None

    @property
    def rest(self) -> Repeat:
        """The same once less."""
        if self._rest is None:
            self._rest = Repeat(self.item, max(self.least - 1, 0), self.most - 1)
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


NOTHING = Sequenced()
"""The rule of the empty text."""


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """A rule and what follows it; interned, so that sameness is identity."""

    rule: Rule
    rest: _Way | None


class State:
    """A place in a text that has matched so far."""

    __slots__ = ("edges", "is_accepting", "moves", "only_byte")

    def __init__(self, moves: Sequence[tuple[int, int, _Way | None]], is_accepting: bool) -> None:
        self.moves = moves
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
    """Matches texts against a rule, byte by byte. It keeps the states it has met and may be shared."""

    def __init__(self, rule: Rule) -> None:
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

    def matches(self, text: bytes) -> bool:
        """Whether a whole text fits."""
        state = self.walk(self.start, text)
        return state is not None and state.is_accepting

    def _way(self, rule: Rule, rest: _Way | None) -> _Way:
        key = (id(rule), id(rest))
        way = self._ways.get(key)
        if way is None:
            # The way holds the rule, so its id is not given to another object while the key exists.
            way = self._ways[key] = _Way(rule, rest)
        return way

    def _state(self, ways: set[_Way | None]) -> State:
        key = frozenset(ways)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = self._expand(ways)
        return state

    def _expand(self, ways: set[_Way | None]) -> State:
        moves: list[tuple[int, int, _Way | None]] = []
        is_accepting = False
        seen = set(ways)
        waiting = list(ways)
        while waiting:
            way = waiting.pop()
            if way is None:
                is_accepting = True
                continue
            for following in self._open(way, moves):
                if following not in seen:
                    seen.add(following)
                    waiting.append(following)
        return State(moves, is_accepting)

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
            if rule.most > 0:
                yield self._way(rule.item, self._way(rule.rest, rest))
        elif isinstance(rule, Deferred):
            yield self._way(rule.rule, rest)
