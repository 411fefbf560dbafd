"""`python -m tests.fake_provider [--port 0]`: prints its address, and ends with its parent or on SIGTERM."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from .server import FakeProvider

_POLL_SECONDS = 0.25


def main() -> None:
    parser = argparse.ArgumentParser(description="serve a fake provider on 127.0.0.1; prints its address")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--no-cors", action="store_true", help="let no page in")
    parser.add_argument("--model", action="append", help="a name for the list of models")
    parser.add_argument("--fault-rate", type=float, default=0.0, help="strike so many of the questions, 0 to 1")
    parser.add_argument("--seed", type=int, default=0, help="for the faults")
    parser.add_argument("--seconds", type=float, default=600.0, help="end by itself after so long")
    options = parser.parse_args()
    server = FakeProvider(
        port=options.port,
        cors=not options.no_cors,
        models=options.model or ("fake",),
        fault_rate=options.fault_rate,
        seed=options.seed,
        lifetime_seconds=options.seconds,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    parent = os.getppid()
    with server:
        print(server.address, flush=True)
        while os.getppid() == parent and not server.wait(_POLL_SECONDS):
            pass


if __name__ == "__main__":
    main()
