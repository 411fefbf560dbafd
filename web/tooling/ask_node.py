"""One turn in Node: Pyodide and onnxruntime-web again, without a browser around them."""

from __future__ import annotations

import json
import subprocess
import threading
import uuid

from limpet.wire import EventWire, RunCommand, StartCommand

from . import node
from .progress import BuildError, say
from .turn import Printer, Turn

END_LIMIT_SECONDS = 10.0


def ask(turn: Turn, printer: Printer) -> None:
    """Run one turn; its events go to the printer. Raises `BuildError` when Node fails or takes too long.

    Node reads the site's files from the disk: it cannot import Pyodide from a web address.
    """
    start: StartCommand = {
        "type": "start",
        "agent_url": turn.agent.as_uri(),
        "site_url": f"{(turn.root / 'build' / 'site').as_uri()}/",
        "threads": None,
        "allow_download": True,
        "remote": turn.remote,
    }
    run: RunCommand = {
        "type": "run",
        "run_id": uuid.uuid4().hex,
        "conversation_id": uuid.uuid4().hex,
        "parts": turn.parts,
    }
    process = subprocess.Popen(
        [str(node.node()), str(turn.root / "build" / "web" / "node-host.mjs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=node.environment(),
    )
    watchdog = threading.Timer(turn.time_limit_seconds, process.kill)
    problems = threading.Thread(target=_tell_problems, args=(process,), daemon=True)
    watchdog.start()
    problems.start()
    try:
        assert process.stdin is not None
        # The key of the remote goes this way, which leaves it out of the process list and of the environment.
        process.stdin.write(f"{json.dumps(start)}\n{json.dumps(run)}\n")
        process.stdin.flush()
        _follow(process, printer)
        process.stdin.close()
        process.wait(END_LIMIT_SECONDS)
        problems.join(END_LIMIT_SECONDS)
    except (BrokenPipeError, subprocess.TimeoutExpired):
        say("Node did not end by itself")
    finally:
        is_late = not watchdog.is_alive()
        watchdog.cancel()
        process.kill()
        process.wait()
    if printer.exit_code is None and is_late:
        raise BuildError(f"no end after {turn.time_limit_seconds:.0f} s (--time-limit)")


def _tell_problems(process: subprocess.Popen[str]) -> None:
    """Hand on what Node complains of; the reports it writes there as well are for nobody here."""
    assert process.stderr is not None
    for line in process.stderr:
        if not line.startswith('{"type":'):
            say(f"  node: {line.rstrip()[:500]}")


def _follow(process: subprocess.Popen[str], printer: Printer) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        try:
            data = json.loads(line)
        except ValueError:
            say(f"  node: {line.rstrip()}")
            continue
        if data.get("type") == "error":
            printer.error(data["error"])
        elif "run_id" in data and "id" in data:
            event: EventWire = data
            printer.event(event)
        if printer.exit_code is not None:
            return
