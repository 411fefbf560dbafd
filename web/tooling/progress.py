"""What a build says while it works, and how it ends. All of it goes to stderr: stdout belongs to the command.

Only the standard library: `build.py` uses this file before its virtual environment stands.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

INTERRUPTED = 130  # 128 + SIGINT, what shells expect
TAIL_LINES = 30


class BuildError(Exception):
    """A step could not be done. The text says which, why, and what to do; it is shown without a traceback."""


def say(text: str) -> None:
    """Print one line of progress."""
    print(f"[limpet] {text}", file=sys.stderr, flush=True)


def exit_with(main: Callable[[], int]) -> NoReturn:
    """Run `main` and leave with its code; a `BuildError` becomes its text and 1, Ctrl-C becomes one line and 130."""
    # So that everything that was started is ended in its `finally`, also when we are told to go by a signal.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = main()
    except BuildError as error:
        say(f"FAILED: {error}")
        code = 1
    except KeyboardInterrupt:
        say("stopped")
        code = INTERRUPTED
    sys.exit(code)


def size(bytes_count: int) -> str:
    """Write a number of bytes for people.

    >>> size(1536), size(88_000_000)
    ('1.5 kB', '88.0 MB')
    """
    if bytes_count < 1000:
        return f"{bytes_count} B"
    if bytes_count < 1_000_000:
        return f"{bytes_count / 1000:.1f} kB"
    return f"{bytes_count / 1_000_000:.1f} MB"


def run_logged(
    command: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path,
    time_limit_seconds: float,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> str:
    """Run a program to its end; its output goes to `log` and, line by line, to `on_line`. Gives the output.

    Raises `BuildError` with the last lines when the program fails, is missing or takes longer than the limit. The
    program is ended in every case.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    deadline = time.monotonic() + time_limit_seconds
    try:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise BuildError(f"cannot start {command[0]}: {error.strerror or error}") from error
    with process, log.open("w", encoding="utf-8") as file:
        # A timer ends a program that has stopped printing as well: reading its output would wait for ever.
        watchdog = threading.Timer(time_limit_seconds, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                file.write(line)
                lines.append(line.rstrip())
                if on_line is not None:
                    on_line(line.rstrip())
            code = process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            watchdog.cancel()
    if code != 0:
        why = f"took longer than {time_limit_seconds:.0f} s" if time.monotonic() > deadline else f"ended with {code}"
        tail = "\n".join(f"    {line}" for line in lines[-TAIL_LINES:])
        raise BuildError(f"{Path(command[0]).name} {why}; its last lines (all of them are in {log}):\n{tail}")
    return "\n".join(lines)
