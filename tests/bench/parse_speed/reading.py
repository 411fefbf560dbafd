"""One process of the benchmark: it waits for the name of a reader and a stream, reads once, and says how long it took.

Only the standard library, so that the peers' Python and Pyodide run it as well.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from .streams import STREAMS, join

Read = tuple[str, str, int]
"""What a reader must find: the text, the arguments of the call, the tokens of the answer."""
Reader = Callable[[str, Sequence[bytes]], Read]


class Bench:
    """Keeps the streams, and reads one when it is told to."""

    def __init__(self, readers: Mapping[str, Reader], count: int, piece_bytes: int) -> None:
        self._readers = readers
        made = {name: make(count) for name, make in STREAMS.items()}
        self._counts = {name: len(events) for name, events in made.items()}
        self._pieces = {name: join(events, piece_bytes) for name, events in made.items()}

    def read(self, reader: str, stream: str) -> str:
        """Read a stream once; give the microseconds per event and what was found, as JSON."""
        pieces, read = self._pieces[stream], self._readers[reader]
        gc.collect()
        start = time.perf_counter()
        text, arguments, tokens = read(stream, pieces)
        seconds = time.perf_counter() - start
        found = [len(text), hash_text(text), hash_text(arguments), tokens]
        return json.dumps({"us": seconds / self._counts[stream] * 1e6, "found": found})


def hash_text(text: str) -> int:
    """Give a number that is the same in every process."""
    number = 0
    for byte in text.encode("utf-8", "replace"):
        number = (number * 31 + byte) & 0xFFFFFFFF
    return number


def serve(readers: Mapping[str, Reader]) -> None:
    """Answer each line of standard input, `["reader", "stream"]`, with a line; the arguments are two numbers."""
    bench = Bench(readers, int(sys.argv[1]), int(sys.argv[2]))
    for line in sys.stdin:
        print(bench.read(*json.loads(line)), flush=True)
