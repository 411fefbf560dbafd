"""What an answer that is still being written says of the agent's `output_type` so far."""

from __future__ import annotations

from .events import OutputUpdate
from .structured import Output


class OutputWatch:
    """Reads the text of one answer as it comes; lives for one turn.

    Reading begins at the start of the text each time, so it waits until the text has grown by a sixteenth: all of it
    together then costs what reading the whole text seventeen times would.
    """

    def __init__(self, output: Output | None) -> None:
        self._output = output if output is not None and output.schema is not None else None
        self._text = ""
        self._read_at = 1
        self._value: object = None

    def add(self, text: str) -> OutputUpdate | None:
        """Take more of the text; gives what to report when the value has grown."""
        if self._output is None:
            return None
        self._text += text
        if len(self._text) < self._read_at:
            return None
        self._read_at = len(self._text) * 17 // 16 + 1
        value = self._output.partial(self._text)
        if value is None or value == self._value:
            return None
        self._value = value
        return OutputUpdate(value, is_whole=False)  # type: ignore[arg-type]  # it was read from JSON
