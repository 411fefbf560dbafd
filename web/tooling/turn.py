"""One turn of an agent as `build.py ask` sees it: the settings it is given, the events it prints, how it ends."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from limpet.entrypoints.cli import render_event
from limpet.wire import ErrorWire, EventWire, PartWire, RemoteSettingsWire

from .progress import say

ANSWERED, FAILED, BAD_USAGE = 0, 1, 2


class BadUsageError(Exception):
    """What was asked for cannot be run: an agent file that is wrong, a key that is not there."""


@dataclass(frozen=True)
class Turn:
    """What is asked, of whom, and for how long at most."""

    root: Path
    agent: Path
    prompt: str
    remote: RemoteSettingsWire | None
    time_limit_seconds: float
    is_isolated: bool = True
    shows_browser: bool = False

    @property
    def parts(self) -> list[PartWire]:
        """The prompt as the parts of a message."""
        return [{"type": "text", "text": self.prompt}]


class Printer:
    """Prints the events of one run and keeps its end in mind: `exit_code` is None until then."""

    def __init__(self, *, as_json: bool) -> None:
        self.exit_code: int | None = None
        self._as_json = as_json

    def event(self, event: EventWire) -> None:
        """Print one event; the last one decides the exit code."""
        line = json.dumps(event, ensure_ascii=False) if self._as_json else render_event(event)
        if line:
            print(line, flush=True)
        if event["type"] == "run_end":
            self.exit_code = ANSWERED
        elif event["type"] == "run_error":
            self.exit_code = FAILED

    def error(self, error: ErrorWire) -> None:
        """Take a failure outside of a run: a worker that did not start. Raises `BadUsageError` for a bad agent file."""
        if error["name"] == "ConfigurationError":
            raise BadUsageError(error["message"])
        say(f"{error['name']}: {error['message']}")
        self.exit_code = FAILED
