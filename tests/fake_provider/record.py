"""What the server was sent and what became of each connection; shared by the server's thread and the tests'."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .answers import Answer
from .faults import Fault

Keeper = Literal["open", "client", "server"]


@dataclass(frozen=True)
class SeenRequest:
    """A request as it arrived; header names in lower case. `format` is the wire format's name, or what else it is."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    format: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class SeenConnection:
    """What became of a connection; times as `time.time()` has them.

    `closed_by` is "open" until somebody closed it; `is_complete` says whether all that was to be sent was sent before.
    """

    opened_at: float
    closed_at: float = 0.0
    closed_by: Keeper = "open"
    is_complete: bool = False
    sent_bytes: int = 0
    first_byte_at: float = 0.0


@dataclass
class Scope:
    """The part of a server that one test, or one of many clients at once, has to itself: the addresses with its name.

    `replies` are said in their order, each once; without any the server answers from what was asked. `faults` strike
    the questions in their order; None leaves one alone.
    """

    name: str
    replies: deque[Answer] = field(default_factory=deque)
    faults: deque[Fault | None] = field(default_factory=deque)
    requests: list[SeenRequest] = field(default_factory=list)
    connections: list[SeenConnection] = field(default_factory=list)


class Record:
    """All scopes of a server, and a way to wait for a change in them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._scopes: dict[str, Scope] = {}

    def scope(self, name: str) -> Scope:
        """Give the scope of a name, a new one if need be."""
        with self._changed:
            return self._scopes.setdefault(name, Scope(name))

    def note(self, change: Callable[[], object]) -> None:
        """Change something and wake those who wait."""
        with self._changed:
            change()
            self._changed.notify_all()

    def wait_for(self, is_so: Callable[[], bool], timeout_seconds: float) -> bool:
        """Wait until something is so; False when it wasn't in time."""
        with self._changed:
            return self._changed.wait_for(is_so, timeout_seconds)

    def open_connections(self) -> int:
        """Count the connections of all scopes that nobody has closed."""
        scopes = list(self._scopes.values())
        return sum(seen.closed_by == "open" for scope in scopes for seen in list(scope.connections))
