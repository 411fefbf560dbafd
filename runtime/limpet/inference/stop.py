"""Stop sequences in a text that comes in pieces: what may be the beginning of one is held back until it is known."""

from __future__ import annotations

from collections.abc import Sequence


class StopWatcher:
    """Watches one answer."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._longest = max(map(len, self._stops), default=1) - 1
        self._held = ""
        self.has_stopped = False
        """Whether a stop sequence was found; nothing is given after it."""

    def feed(self, text: str) -> str:
        """Give what of the text so far is certain to stand before any stop sequence.

        >>> watcher = StopWatcher(["END"])
        >>> [watcher.feed(piece) for piece in ("The E", "ND", " of it")]
        ['The ', '', '']
        """
        if self.has_stopped or not self._stops:
            return "" if self.has_stopped else text
        text = self._held + text
        place = min((place for stop in self._stops if (place := text.find(stop)) >= 0), default=-1)
        if place >= 0:
            self.has_stopped = True
            self._held = ""
            return text[:place]
        kept = next(
            (
                count
                for count in range(min(self._longest, len(text)), 0, -1)
                if any(stop.startswith(text[-count:]) for stop in self._stops)
            ),
            0,
        )
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def close(self) -> str:
        """Give what was held back, at the end of the answer."""
        text, self._held = self._held, ""
        return text
