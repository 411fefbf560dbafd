"""`build.py edge`: make a project for Cloudflare Workers from an agent file, and serve one on this machine."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from . import edge_host, edge_project
from .progress import BuildError
from .site import DEMO_AGENT

DEFAULT_OUT = "build/edge"
DEFAULT_PORT = 8787
START_LIMIT_SECONDS = 90.0
STOP_LIMIT_SECONDS = 5.0
POLL_SECONDS = 0.05
LIMPET_REMOTE_KEY = "LIMPET_REMOTE_API_KEY"


def needed(root: Path, options: argparse.Namespace) -> list[str]:
    """Give the steps of the build which the agent's local models stand on."""
    agent, out = _paths(root, options)
    models = [] if agent is None else edge_project.models_of(root, agent, out)[0]
    return ["edge-onnx", *models] if models else []


def _paths(root: Path, options: argparse.Namespace) -> tuple[Path | None, Path]:
    """Give the agent's file, None when nothing is to be made of one, and the project's folder."""
    is_made = options.agent_file is not None or not options.serve
    agent = (options.agent_file or root / DEMO_AGENT).resolve() if is_made else None
    return agent, (options.out or root / DEFAULT_OUT).resolve()


def edge(root: Path, options: argparse.Namespace) -> int:
    """Do what the command line says. Gives the exit code."""
    agent, out = _paths(root, options)
    if agent is not None:
        edge_project.make_project(root, agent, out)
    if not options.serve:
        return 0
    if not (out / "wrangler.jsonc").exists():
        raise BuildError(f"there is no project at {out}; make one: build.py edge AGENT.py --out {out}")
    packed = host_folder(root, out)
    edge_host.pack(root, out, packed)
    edge_host.make_snapshot(root, packed)
    port = free_port() if options.port is None and is_taken(DEFAULT_PORT) else options.port or DEFAULT_PORT
    vars, env = _settings(out, options)
    with serving(root, out, packed, port=port, vars=vars, env=env) as server:
        # Whoever ends us ends workerd too, however it is done.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        print(f"the agent is at {server.url}", flush=True)
        try:
            return server.process.wait()
        except KeyboardInterrupt:
            return 0


def _settings(project: Path, options: argparse.Namespace) -> tuple[dict[str, str], dict[str, str]]:
    """Give the variables and the secrets of the command line. Without keys of its own this machine may ask."""
    vars: dict[str, str] = {}
    env: dict[str, str] = {}
    if "LIMPET_KEYS" not in edge_host.secrets(project):
        vars["LIMPET_ACCESS"] = "open"
    if options.model is not None:
        vars["LIMPET_MODEL"] = options.model
    if options.base_url is not None:
        vars["LIMPET_BASE_URL"] = options.base_url
    if options.api_key_env is not None:
        key = os.environ.get(options.api_key_env)
        if not key:
            raise BuildError(f"--api-key-env: the environment variable {options.api_key_env} is not set")
        env[LIMPET_REMOTE_KEY] = key
    return vars, env


def host_folder(root: Path, project: Path) -> Path:
    """Where a project is packed for workerd: beside it, so that two do not meet."""
    return root / "build" / "edge-hosts" / project.name


class Server:
    """A workerd that serves a project; ended by `close`, by its own process id."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log

    @property
    def url(self) -> str:
        """Its address, with a slash at the end."""
        return f"http://127.0.0.1:{self.port}/"

    def close(self) -> None:
        """End it; harmless when it has ended."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_LIMIT_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        self.process.wait(STOP_LIMIT_SECONDS)


@contextmanager
def serving(
    root: Path,
    project: Path,
    packed: Path,
    *,
    port: int,
    vars: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    state: Path | None = None,
) -> Iterator[Server]:
    """Serve a packed project until the end of the block. Raises `BuildError` when workerd doesn't start."""
    server = start(root, project, packed, port=port, vars=vars, env=env, state=state)
    try:
        yield server
    finally:
        server.close()


def start(
    root: Path,
    project: Path,
    packed: Path,
    *,
    port: int,
    vars: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    state: Path | None = None,
) -> Server:
    """Start workerd and wait until Python answers in it. Raises `BuildError`."""
    given = {**edge_host.secrets(project), **edge_host.variables(project), **(vars or {}), **(env or {})}
    config = edge_host.write_config(project, packed, given.keys())
    log = packed / f"workerd-{port}.log"
    process = edge_host.start(root, config, port=port, state=state or packed / "state", env=given, log=log)
    server = Server(process, port, log)
    wait_until_ready(server)
    return server


def wait_until_ready(server: Server) -> None:
    """Wait until Python answers. Raises `BuildError` with the end of the log, and has ended the server then."""
    deadline = time.monotonic() + START_LIMIT_SECONDS
    while server.process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{server.url}health", timeout=START_LIMIT_SECONDS):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(POLL_SECONDS)
    server.close()
    end = "\n".join(server.log.read_text("utf-8", "replace").splitlines()[-12:])
    raise BuildError(f"workerd does not serve the agent:\n{end}")


def is_taken(port: int) -> bool:
    """Whether somebody listens at a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Give a port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
