"""The process that reads with ours: `python -m tests.bench.parse_speed.serve_ours EVENTS PIECE_BYTES`."""

from .ours import READERS
from .reading import serve

if __name__ == "__main__":
    serve(READERS)
