"""`build.py ask`: one turn of an agent in a real browser, in Node or on CPython; each event a line as it happens."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from limpet.wire import RemoteSettingsWire

from . import arguments, ask_browser, ask_node
from .progress import BuildError, exit_with, say
from .site import DEMO_AGENT
from .turn import BAD_USAGE, FAILED, BadUsageError, Printer, Turn

ROOT = Path(__file__).resolve().parents[2]
LONGEST_ARGUMENT = 8_000


def ask(root: Path, options: argparse.Namespace) -> int:
    """Run one turn as the command line says. Gives the exit code: 0 answered, 1 failed, 2 bad usage."""
    printer = Printer(as_json=options.json)
    try:
        agent = (options.agent or root / DEMO_AGENT).resolve()
        check_syntax(agent)
        if options.host == "cpython":
            return _ask_cpython(root, agent, options)
        turn = Turn(
            root=root,
            agent=agent,
            prompt=options.prompt,
            remote=remote_settings(options),
            time_limit_seconds=options.time_limit,
            is_isolated=not options.no_isolation,
            shows_browser=options.show_browser,
        )
        (ask_browser if options.host == "browser" else ask_node).ask(turn, printer)
    except BadUsageError as error:
        say(f"error: {error}")
        return BAD_USAGE
    if printer.exit_code is None:
        say("the run stopped without a last event")
        return FAILED
    return printer.exit_code


def check_syntax(agent: Path) -> None:
    """Refuse an agent file that is not Python before a browser is started for it."""
    try:
        compile(agent.read_bytes(), str(agent), "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        raise BadUsageError(f"the agent file {agent}{where}: {what}") from error


def remote_settings(options: argparse.Namespace) -> RemoteSettingsWire | None:
    """The remote model of the command line; the key is read from the environment and goes nowhere else."""
    if options.model is None and options.base_url is None and options.api_key_env is None:
        return None
    if options.model is not None and ":" not in options.model and options.base_url is None:
        raise BadUsageError(f"--model without --base-url is provider:name, such as openai:{options.model}")
    # An empty name stands for the remote model that the agent file names.
    remote: RemoteSettingsWire = {"model": options.model or ""}
    if options.base_url is not None:
        remote["base_url"] = options.base_url
    if options.api_key_env is not None:
        key = os.environ.get(options.api_key_env)
        if not key:
            raise BadUsageError(f"--api-key-env: the environment variable {options.api_key_env} is not set")
        remote["api_key"] = key
    return remote


def _ask_cpython(root: Path, agent: Path, options: argparse.Namespace) -> int:
    # A prompt goes through standard input when it may be taken for an option, or is so long that importing
    # onnxruntime 1.30.0 crashes on the command line (seen at 60 kB).
    is_odd = options.prompt.startswith("-") or len(options.prompt) > LONGEST_ARGUMENT
    prompt = "-" if is_odd else options.prompt
    words: list[str] = ["ask", str(agent), prompt, "--models-dir", str(root / "build" / "models")]
    words += ["--json"] if options.json else []
    for name in ("model", "base_url", "api_key_env"):
        value: str | None = getattr(options, name)
        words += [] if value is None else [f"--{name.replace('_', '-')}", value]
    try:
        command = [sys.executable, "-m", "limpet", *words]
        given = {"input": options.prompt.encode("utf-8", "surrogateescape")} if is_odd else {}
        return subprocess.run(command, cwd=Path.cwd(), check=False, timeout=options.time_limit, **given).returncode
    except subprocess.TimeoutExpired:
        raise BuildError(f"no end after {options.time_limit:.0f} s (--time-limit)") from None


if __name__ == "__main__":
    exit_with(lambda: ask(ROOT, arguments.parse(sys.argv[1:])))
