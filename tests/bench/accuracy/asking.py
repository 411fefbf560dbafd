"""Asking the prompts: on either ONNX host, with what was fed and ranked noted, kept by content for a second run."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from limpet.host import Candidates, InferenceBackend, InferenceSession, LoadProgress
from limpet.hosts.cpython import create_host
from limpet.hosts.onnx_session import OnnxBackend
from limpet.messages import Message
from limpet.model import ModelRequest
from limpet.providers.local import LocalAnswer, LocalModel, LocalSettings
from limpet.stores.memory import MemoryStorage
from limpet.wire import Availability, JsonObject

from . import node_host
from .cases import Case
from .scoring import Outcome
from .toolsets import TOOLSETS

HostName = Literal["cpython", "node"]
HOSTS: tuple[HostName, ...] = ("cpython", "node")
INSTRUCTIONS = "You are a helpful assistant. Use the tools when they fit."
_CACHE = node_host.ROOT / "build" / "accuracy"
_RUNTIME = node_host.ROOT / "runtime" / "limpet"
_BRIDGE = node_host.ROOT / "web" / "onnxruntime-web-bridge" / "src"


@dataclass(frozen=True, slots=True)
class Note:
    """One forward of a turn: what was fed, the best token after it, and that token's logit."""

    fed: list[int]
    best: int
    logit: float


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as it was answered on one host; `head` is the confidence that the model itself reports."""

    outcome: Outcome
    head: float | None
    notes: list[Note]


class NotingSession:
    """Hands everything on and notes the forwards since the prefix was there."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self.notes: list[Note] = []

    @property
    def manifest(self) -> JsonObject:
        return self._session.manifest

    @property
    def lock(self) -> asyncio.Lock:
        return self._session.lock

    @property
    def length(self) -> int:
        return self._session.length

    async def read(self, name: str) -> bytes:
        return await self._session.read(name)

    async def forward(
        self, token_ids: Sequence[int], *, top_k: int, allowed: Sequence[int] | None = None
    ) -> Candidates:
        candidates = await self._session.forward(token_ids, top_k=top_k, allowed=allowed)
        self.notes.append(Note(list(token_ids), candidates.ids[0], round(candidates.logits[0], 6)))
        return candidates

    async def reset(self) -> None:
        await self._session.reset()

    async def snapshot(self, key: str, *, is_temporary: bool = False) -> None:
        await self._session.snapshot(key, is_temporary=is_temporary)
        self.notes = []

    async def restore(self, key: str) -> bool:
        is_kept = await self._session.restore(key)
        self.notes = []
        return is_kept

    async def close(self) -> None:
        await self._session.close()


class NotingBackend:
    """Gives a noting session of the one model that it is used for."""

    def __init__(self, backend: InferenceBackend) -> None:
        self._backend = backend
        self.session: NotingSession | None = None

    async def availability(self, model_id: str) -> Availability:
        return await self._backend.availability(model_id)

    async def load(self, model_id: str, progress: LoadProgress) -> NotingSession:
        if self.session is None:
            self.session = NotingSession(await self._backend.load(model_id, progress))
        return self.session

    async def close(self) -> None:
        """Close the session, if there is one."""
        if self.session is not None:
            await self.session.close()


def make_backend(host: HostName, models_dir: Path, threads: int | None) -> NotingBackend:
    """Make the backend of a host; nothing is loaded yet."""
    if host == "node":
        return NotingBackend(node_host.NodeBackend(models_dir, threads=threads))
    return NotingBackend(OnnxBackend(models_dir, threads=threads))


async def ask_all(backend: NotingBackend, model_id: str, cases: Sequence[Case], settings: LocalSettings) -> list[Asked]:
    """Ask every case and judge none: the answers as the model gave them, sure or not."""
    host = create_host(storage=MemoryStorage(), inference=backend, secrets={})
    model = LocalModel(model_id, host, settings)
    asked: list[Asked] = []
    for case in cases:
        tools = tuple(tool.spec for tool in TOOLSETS[case.toolset])
        request = ModelRequest((Message.system(INSTRUCTIONS), Message.user(case.prompt)), tools)
        started = time.perf_counter()
        answer = await model.answer(request, lambda _: None)
        seconds = time.perf_counter() - started
        notes = [] if backend.session is None else backend.session.notes
        asked.append(Asked(_outcome(case, answer, seconds), answer.head_confidence, notes))
    return asked


def _outcome(case: Case, answer: LocalAnswer, seconds: float) -> Outcome:
    calls = [(call.tool.name, call.arguments) for call in answer.calls]
    return Outcome(case, calls, answer.confidence, answer.thoughts, list(answer.token_ids), seconds)


async def ask_all_once(
    host: HostName, models_dir: Path, model_id: str, cases: Sequence[Case], settings: LocalSettings, threads: int | None
) -> tuple[list[Asked], int]:
    """Like `ask_all`, but an answer that was given before by the same code is taken from `build/accuracy`.

    The second value says how many were taken from there.
    """
    file = _CACHE / f"{host}-{_key(host, models_dir / model_id, settings)}.json"
    kept: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    missing = [case for case in cases if _case_key(case) not in kept]
    if missing:
        backend = make_backend(host, models_dir, threads)
        try:
            fresh = await ask_all(backend, model_id, missing, settings)
        finally:
            await backend.close()
        kept.update({_case_key(asked.outcome.case): _to_json(asked) for asked in fresh})
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".new")
        draft.write_text(json.dumps(kept), "utf-8")
        draft.replace(file)
    return [_from_json(case, kept[_case_key(case)]) for case in cases], len(cases) - len(missing)


def _key(host: HostName, model: Path, settings: LocalSettings) -> str:
    """Name everything but the prompt that an answer depends on: the model, the settings, the code, the runtime."""
    files = [model / "model.json", Path(__file__), _RUNTIME / "providers" / "local.py"]
    files += sorted((_RUNTIME / "inference").glob("*.py"))
    if host == "node":
        package = node_host.RUNTIME.parents[1] / "package.json"
        files += [package, node_host.RUNTIME, *sorted(Path(__file__).parent.glob("node_host.*"))]
        files += sorted(_BRIDGE.glob("*.ts"))
    else:
        files.append(_RUNTIME / "hosts" / "onnx_session.py")
    digest = hashlib.sha256(json.dumps([asdict(settings), version("onnxruntime"), INSTRUCTIONS]).encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest() if file.is_file() else b"none")
    return digest.hexdigest()[:16]


def _case_key(case: Case) -> str:
    tools = [(tool.spec.name, tool.spec.description, tool.spec.parameters) for tool in TOOLSETS[case.toolset]]
    return hashlib.sha256(json.dumps([case.prompt, tools]).encode()).hexdigest()[:32]


def _to_json(asked: Asked) -> dict[str, Any]:
    outcome = asked.outcome
    return {
        "calls": outcome.calls,
        "confidence": outcome.confidence,
        "head": asked.head,
        "thoughts": outcome.thoughts,
        "token_ids": outcome.token_ids,
        "seconds": outcome.seconds,
        "notes": [[note.fed, note.best, note.logit] for note in asked.notes],
    }


def _from_json(case: Case, row: dict[str, Any]) -> Asked:
    calls = [(name, arguments) for name, arguments in row["calls"]]
    outcome = Outcome(case, calls, row["confidence"], row["thoughts"], row["token_ids"], row["seconds"])
    return Asked(outcome, row["head"], [Note(*note) for note in row["notes"]])
