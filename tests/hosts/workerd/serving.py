"""A real workerd with a project of ours in it, and a fake provider behind it, over sockets of this machine."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.fake_server import FakeServer
from tooling import edge, edge_host, edge_project, recipe, steps
from tooling.progress import BuildError

ROOT = Path(__file__).resolve().parents[3]
AGENT = Path(__file__).with_name("agent.py")
SECONDS = 60.0
LONG = os.environ.get("LIMPET_LONG") == "1"
"""Whether each fault strikes a hundred times, a thousand requests are generated, and a second is a second."""
PROMPT_SECONDS = 1.0 if LONG else 10.0
"""In which a run ends whose client has left. A machine that does other work as well may take longer."""
LIFETIME_SECONDS = 900.0
GATEWAY_KEY = "key-of-the-gateway-0123456789"
KEYS = {"LIMPET_KEYS": json.dumps({"gateway": {"key": GATEWAY_KEY}})}
"""The gateway is open to nobody without a key."""


def why_not() -> str | None:
    """Why no workerd can be started on this machine, None when one can."""
    try:
        edge_host.workerd(ROOT)
    except BuildError as error:
        return str(error)
    return None


@dataclass
class Project:
    """A project as it would be uploaded, and what of it is packed for workerd."""

    folder: Path
    packed: Path


def make(
    folder: Path, agent: Path = AGENT, *, needed: tuple[str, ...] = ("wheel", "workers-sdk", "edge-parts")
) -> Project:
    """Make the project of an agent file, with its snapshot."""
    steps.ensure(ROOT, recipe.STEPS, needed)
    edge_project.make_project(ROOT, agent, folder / "project")
    project = Project(folder / "project", folder / "packed")
    edge_host.pack(ROOT, project.folder, project.packed)
    edge_host.make_snapshot(ROOT, project.packed)
    return project


@dataclass
class Answer:
    """What came back; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[tuple[int | None, Any]]:
        """The server-sent events, each with its id."""
        return list(read_events(self.body))


def read_events(body: bytes) -> Iterator[tuple[int | None, Any]]:
    """Read server-sent events; a `[DONE]` stays a text, half an event at the end is left out."""
    for block in body.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        id = int(fields["id"]) if "id" in fields else None
        yield id, fields["data"] if fields["data"] == "[DONE]" else json.loads(fields["data"])


class Stream(AbstractContextManager["Stream"]):
    """An answer that is read as it comes; closed, as a client that leaves, at the end of the block."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self._reply = connection.getresponse()
        self.status = self._reply.status
        self.headers = {name.lower(): value for name, value in self._reply.getheaders()}
        self._rest = b""

    def events(self) -> Iterator[tuple[int | None, Any]]:
        """Yield events as they come."""
        while piece := self._reply.read1(65536):
            self._rest += piece
            whole, found, rest = self._rest.rpartition(b"\n\n")
            if found:
                self._rest = rest
                yield from read_events(whole + found)

    def close(self) -> None:
        """Leave."""
        self._connection.close()
        self._reply.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass
class Edge:
    """A workerd that serves, and how to ask it."""

    project: Project
    state: Path
    vars: Mapping[str, str]
    env: Mapping[str, str]
    server: edge.Server = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start it, on the state that is there."""
        self.server = edge.start(
            ROOT,
            self.project.folder,
            self.project.packed,
            port=edge.free_port(),
            vars=self.vars,
            env=self.env,
            state=self.state,
        )

    def crash(self) -> None:
        """Kill it and start it again on the same state."""
        self.server.kill()
        self.start()

    def ask(self, method: str, path: str, data: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request and read the whole answer."""
        connection = self._send(method, path, data, headers)
        try:
            reply = connection.getresponse()
            found = {name.lower(): value for name, value in reply.getheaders()}
            return Answer(reply.status, found, reply.read())
        finally:
            connection.close()

    def stream(self, method: str, path: str, data: object = None, headers: Mapping[str, str] | None = None) -> Stream:
        """Send a request and read the answer as it comes."""
        return Stream(self._send(method, path, data, headers))

    def chat(self, id: str, text: str, **more: object) -> Answer:
        """Say something over the AI SDK's route."""
        return self.ask("POST", "/chat", chat(id, text, **more))

    def gateway(self, path: str, data: object) -> Answer:
        """Ask the gateway, with `KEYS` among the secrets."""
        return self.ask("POST", path, data, {"authorization": f"Bearer {GATEWAY_KEY}"})

    def log(self) -> str:
        """What workerd has said."""
        return self.server.log.read_text("utf-8", "replace")

    def _send(
        self, method: str, path: str, data: object, headers: Mapping[str, str] | None
    ) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=SECONDS)
        body = data if data is None or isinstance(data, bytes) else json.dumps(data).encode()
        connection.request(method, path, body, {"content-type": "application/json", **(headers or {})})
        return connection


def chat(id: str, text: str, **more: object) -> dict[str, object]:
    """The body of `useChat`'s request."""
    return {"id": id, "messages": [{"id": "1", "role": "user", "parts": [{"type": "text", "text": text}]}], **more}


@contextmanager
def serving(
    project: Project,
    state: Path,
    provider: FakeServer,
    *,
    vars: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Edge]:
    """Serve a project, open to all unless `vars` say otherwise, with its remote model at the fake provider."""
    base_urls = json.dumps({"openai_compatible": provider.base_url})
    settings = {"LIMPET_ACCESS": "open", "LIMPET_BASE_URLS": base_urls, **(vars or {})}
    edge_server = Edge(project, state, settings, env or {})
    try:
        yield edge_server
    finally:
        edge_server.server.close()
