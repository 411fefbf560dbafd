"""What can go wrong on the way to a provider and back, on demand or by chance."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from .answers import Answer, Call, Reasoning, Text
from .formats.format import MARK, Frames

Framing = Literal["chunked", "close", "length"]
"""How the end of a body shows: a last chunk, the end of the connection, a length told before."""

FAULTS: Mapping[str, str] = {
    # Harmless: the whole answer arrives.
    "slow_head": "a pause before the head",
    "slow_frames": "a pause before each frame",
    "drip": "byte by byte",
    "huge_event": "an event of several MB",
    "cut_after_the_end": "the connection ends after the reason to finish, before the rest",
    "length_too_long": "the head promises more bytes than there are",
    # The answer can't begin.
    "reset_before_head": "the connection is reset before the head",
    "close_before_head": "the connection is closed before the head",
    "no_http": "something that is not HTTP",
    "silent_head": "no head, and no end",
    "status": "a refusal: `status`, and `retry_after` as its header",
    # The answer breaks off.
    "reset_in_body": "the connection is reset between two frames",
    "reset_in_frame": "the connection is reset inside a frame",
    "close_in_body": "the body ends cleanly between two frames",
    "close_in_frame": "the body ends cleanly inside a frame",
    "half_close": "nothing more is sent, but the server goes on listening",
    "length_too_short": "the head promises fewer bytes than there are",
    "bad_chunk": "the size of a chunk is no number",
    "empty": "a good status and nothing else",
    "silent_body": "silence between two frames, without end",
    # The answer is nonsense.
    "garbage": "a frame that is not what the format promises",
    "invalid_utf8": "bytes inside a text that are no UTF-8",
    "html": "a web page with a good status",
}
"""Every kind of fault, and what it is."""
HARMLESS = frozenset(
    {"slow_head", "slow_frames", "drip", "huge_event", "cut_after_the_end", "length_too_long", "invalid_utf8"}
)
"""After these the answer has been given: a scripted one is used up."""
STATUSES = (429, 500, 502, 503, 504, 529)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one request. `at` says where in the answer, as a share; `seconds` how long each pause is."""

    kind: str
    at: float = 0.5
    seconds: float = 0.02
    status: int = 503
    retry_after: float | None = None
    framing: Framing = "chunked"
    megabytes: float = 3.0

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"there is no fault {self.kind!r}; known are {', '.join(FAULTS)}")

    @property
    def is_harmless(self) -> bool:
        """Whether the whole answer arrives."""
        return self.kind in HARMLESS

    def spoil(self, answer: Answer) -> Answer:
        """Change what is said, for faults that lie in it."""
        if self.kind == "huge_event":
            return replace(answer, parts=(Text("x" * int(self.megabytes * 1_000_000)), *answer.parts))
        if self.kind == "invalid_utf8":
            return replace(answer, parts=tuple(_damaged(part) for part in answer.parts))
        return answer

    def cut(self, frames: Frames) -> tuple[bytes, ...]:
        """Give the frames, or parts of them, that are sent before the answer breaks off; its end is never among them.

        The cut is before the frame that a share `at` of the answer comes before.
        """
        kept = min(int(self.at * (frames.end + 1)), frames.end)
        if self.kind == "cut_after_the_end":
            return frames.frames[: frames.end + 1]
        if self.kind not in ("reset_in_frame", "close_in_frame"):
            return frames.frames[:kept]
        frame = frames.frames[kept]
        # The last bytes of a frame are line ends, without which some readers do.
        inside = 1 + int((self.at * 7919) % 1 * (len(frame) - 4))
        return (*frames.frames[:kept], frame[:inside])


def random_fault(chance: random.Random, *, seconds: float = 0.01) -> Fault:
    """Draw a fault."""
    status = chance.choice(STATUSES)
    return Fault(
        chance.choice(list(FAULTS)),
        at=chance.random(),
        seconds=seconds,
        status=status,
        retry_after=chance.choice((None, 0.0, 1.0, 3600.0)) if status == 429 else None,
        framing=chance.choice(("chunked", "close", "length")),
    )


def fault_from_json(data: Mapping[str, Any]) -> Fault:
    """Read a fault from another process: its fields by name."""
    return Fault(**data)


def _damaged(part: Text | Reasoning | Call) -> Text | Reasoning | Call:
    if not isinstance(part, Call):
        return replace(part, text=part.text[:5] + MARK + part.text[5:])
    arguments = json.loads(part.arguments)
    for name, value in arguments.items():
        if isinstance(value, str):
            arguments[name] = value[:1] + MARK + value[1:]
            break
    return replace(part, arguments=json.dumps(arguments, ensure_ascii=False))
