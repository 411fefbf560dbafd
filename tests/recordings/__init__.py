"""Requests and answers as the wire has them, and how they are read; see README.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Literal

from limpet.model import Delta, Finish
from tests.fakes.fetch import ExpectedRequest, FakeResponse, Hang

FOLDER = Path(__file__).parent
Feeding = Literal["whole", "by line", "by byte"]
FEEDINGS: tuple[Feeding, ...] = ("whole", "by line", "by byte")


@dataclass(frozen=True)
class Recording:
    """One exchange, or several where the first was refused."""

    provider: str
    name: str

    @property
    def folder(self) -> Path:
        return FOLDER / self.provider / self.name

    @property
    def request(self) -> ExpectedRequest:
        data = json.loads((self.folder / "request.json").read_text("utf-8"))
        return ExpectedRequest(url=data["url"], headers=data["headers"], json=data["body"])

    @property
    def expected(self) -> list[Any]:
        """What must come out, as JSON; an error is the last."""
        return list(json.loads((self.folder / "expected.json").read_text("utf-8")))

    def responses(
        self, feeding: Feeding | Sequence[int], change: Callable[[bytes], bytes] = bytes
    ) -> list[FakeResponse]:
        """Read the answers, cut into pieces, or at positions; one that ends with `<hang>` never ends.

        `change` gives another body before it is cut.
        """
        paths = sorted(self.folder.glob("response*.txt"), key=lambda path: (len(path.name), path.name))
        return [_read_response(path.read_bytes(), feeding, change) for path in paths]


def find_recordings(provider: str) -> list[Recording]:
    """List a provider's recordings, by name."""
    return [Recording(provider, path.name) for path in sorted((FOLDER / provider).iterdir()) if path.is_dir()]


def cut(data: bytes, feeding: Feeding | Sequence[int]) -> list[bytes]:
    """Cut bytes into the pieces of one way of feeding, or at positions."""
    if not isinstance(feeding, str):
        places = [0, *sorted(position for position in feeding if position < len(data)), len(data)]
        return [data[start:end] for start, end in pairwise(places)]
    match feeding:
        case "whole":
            return [data]
        case "by line":
            return data.splitlines(keepends=True)
        case "by byte":
            return [data[position : position + 1] for position in range(len(data))]


def delta_to_json(delta: Delta) -> dict[str, Any]:
    """Give a delta as JSON, without the fields that are empty."""
    name = "finish" if isinstance(delta, Finish) else delta.type
    return {"type": name, **{key: value for key, value in asdict(delta).items() if value is not None}}


def number_ids() -> Iterator[str]:
    """Give the ids that calls without one get in a recording's test."""
    return (f"made-{number}" for number in count())


def _read_response(data: bytes, feeding: Feeding | Sequence[int], change: Callable[[bytes], bytes]) -> FakeResponse:
    head, _, body = data.partition(b"\r\n\r\n")
    status, *fields = head.decode("ascii").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    pieces: list[Any] = cut(change(body.removesuffix(b"<hang>")), feeding)
    if body.endswith(b"<hang>"):
        pieces.append(Hang())
    return FakeResponse(pieces, int(status.split(" ")[1]), headers)
