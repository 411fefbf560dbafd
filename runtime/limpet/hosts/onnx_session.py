"""Local models on CPython: `onnxruntime` behind the seam `InferenceBackend`.

Everything about a model stands in the `model.json` of its folder: how the inputs and outputs of the graph are called,
which outputs are the next run's inputs (`onnx_state.py`), and how packed weights are expanded. Runs happen in a thread,
so that the event loop stays free.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from math import log, prod
from pathlib import Path
from typing import Any, TypeVar, cast
from zipfile import BadZipFile

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]  # ships no types

from ..errors import ContextLengthError, ModelTooBigError, ModelUnavailableError
from ..host import Candidates, LoadProgress
from ..wire import Availability, JsonObject, LoadStatus
from .onnx_errors import ONNX_ERRORS, is_out_of_memory, run_errors
from .onnx_state import Array, CopiedState, State, make_state

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")

_SNAPSHOT_END = 2 * ("-" + 16 * "[0-9a-f]")
"""How the name of a file with a snapshot ends: hashes of the model and of the key."""

_LOAD_ERRORS: tuple[type[Exception], ...] = (OSError, ValueError, KeyError, TypeError, *ONNX_ERRORS)

_MOST_SNAPSHOTS = 8
_MOST_SNAPSHOT_BYTES = 128_000_000
"""Kept in memory, the one used longest ago is dropped first; 350 tokens of Needle 3 are 8 MB, of SmolLM2 16 MB."""


class OnnxBackend:
    """The models in the folders of `models_dir`, each with its `model.json`.

    With `cache_dir`, snapshots outlive the process. `threads` None leaves their number to `onnxruntime`. A model whose
    manifest says that it needs more than `memory_bytes` is refused before anything of it is read.
    """

    def __init__(
        self,
        models_dir: Path,
        *,
        cache_dir: Path | None = None,
        threads: int | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        self._models_dir = models_dir
        self._cache_dir = cache_dir
        self._threads = threads
        self._memory_bytes = memory_bytes
        self._sessions: dict[str, OnnxSession] = {}
        self._lock = asyncio.Lock()

    async def availability(self, model_id: str) -> Availability:
        """Say whether the folder of a model is there; nothing is downloaded on this host."""
        return "available" if (self._folder(model_id) / "model.json").is_file() else "unavailable"

    async def load(self, model_id: str, progress: LoadProgress) -> OnnxSession:
        """Load a model, or give the session that is open. Raises `ModelUnavailableError`."""
        async with self._lock:
            session = self._sessions.get(model_id)
            if session is None or session.is_closed:
                folder = self._folder(model_id)
                if not (folder / "model.json").is_file():
                    raise ModelUnavailableError(
                        f"there is no local model {model_id!r} in {self._models_dir}; make it: python3 build.py models",
                        provider="local",
                        model=model_id,
                    )
                self._require_memory(model_id)
                loop = asyncio.get_running_loop()

                def report(status: LoadStatus, file: str, loaded: int, total: int) -> None:
                    loop.call_soon_threadsafe(progress, status, file, loaded, total)

                session = await asyncio.to_thread(_open, folder, self._threads, self._cache_dir, report)
                self._sessions[model_id] = session
            progress("ready", "", 1, 1)
            return session

    def cached(self) -> dict[str, int]:
        """Give the bytes of the snapshots that are kept in files, by the id of their model."""
        sizes: dict[str, int] = {}
        for model_id, path in self._snapshot_files():
            sizes[model_id] = sizes.get(model_id, 0) + path.stat().st_size
        return sizes

    def delete_cached(self, model_id: str) -> None:
        """Delete the snapshots of a model that are kept in files; those of an open session stay in its memory."""
        for owner, path in self._snapshot_files():
            if owner == model_id:
                path.unlink(missing_ok=True)

    def _snapshot_files(self) -> list[tuple[str, Path]]:
        names = self._cache_dir.glob(f"*{_SNAPSHOT_END}.npz") if self._cache_dir else ()
        return [(path.stem.rsplit("-", 2)[0], path) for path in sorted(names)]

    def _require_memory(self, model_id: str) -> None:
        if self._memory_bytes is None:
            return
        open_models = [session.manifest for session in self._sessions.values() if not session.is_closed]
        needed = _needed_bytes(self._folder(model_id))
        available = max(
            0, self._memory_bytes - sum(int(cast(int, each.get("memory_bytes", 0))) for each in open_models)
        )
        if needed > available:
            raise ModelTooBigError(
                f"local:{model_id}: it needs {needed / 1e6:.0f} MB of memory, {available / 1e6:.0f} MB are left for it",
                resource="memory",
                needed_bytes=needed,
                available_bytes=available,
                provider="local",
                model=model_id,
            )

    def _folder(self, model_id: str) -> Path:
        # An id is a name, never a path out of the folder.
        return self._models_dir / Path(model_id).name


class OnnxSession:
    """A loaded model and the state of one token sequence; see `InferenceSession`."""

    def __init__(
        self,
        folder: Path,
        manifest: JsonObject,
        session: ort.InferenceSession,
        cache_dir: Path | None,
    ) -> None:
        self._folder = folder
        self._manifest = manifest
        self._session: ort.InferenceSession | None = session
        self._cache_dir = cache_dir
        graph: Any = manifest["graph"]
        self._graph: dict[str, Any] = graph
        self._is_batched = len(graph["input_ids_shape"]) == 2
        self._scalars: dict[str, str] = graph.get("scalars", {})
        self._context_length = int(cast(int, manifest.get("context_length", sys.maxsize)))
        self._slots: list[dict[str, Any]] = graph.get("state", [])
        self._state: State = make_state(self._slots, self._context_length)
        self._lock = asyncio.Lock()
        self._logits: np.ndarray[Any, np.dtype[np.float32]] | None = None
        self._reported: dict[str, float] = {}
        self._running: asyncio.Future[Any] | None = None
        self._snapshots: dict[str, tuple[list[Array], int]] = {}

    @property
    def manifest(self) -> JsonObject:
        """The model's `model.json`."""
        return self._manifest

    @property
    def lock(self) -> asyncio.Lock:
        """Held by whoever uses the sequence."""
        return self._lock

    @property
    def length(self) -> int:
        """How many tokens the state holds."""
        return self._state.length

    @property
    def is_closed(self) -> bool:
        """Whether the memory was given back."""
        return self._session is None

    async def read(self, name: str) -> bytes:
        """Read one of the files that the manifest names. Raises `ModelUnavailableError`."""
        files: Any = self._manifest.get("files", [])
        if name not in {entry["name"] for entry in files}:
            raise self._unavailable(f"the local model has no file {name!r}")
        return await asyncio.to_thread((self._folder / name).read_bytes)

    async def forward(
        self, token_ids: Sequence[int], *, top_k: int, allowed: Sequence[int] | None = None
    ) -> Candidates:
        """Append tokens and rank what may come next; equal logits are ranked by id, the lower first.

        Raises `ContextLengthError` when they don't fit, `ModelUnavailableError` when memory is refused; the state is
        then what it was.
        """
        await self._settle()
        if token_ids:
            await self._in_thread(self._run, list(token_ids))
        if self._logits is None:
            raise self._unavailable("nothing was computed yet that could be ranked")
        return self._rank(self._logits, top_k, allowed)

    async def embed(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        """Give a vector for each sequence of tokens. Raises `ContextLengthError` when one is too long."""
        await self._settle()
        if not batch:
            return []
        return cast("list[list[float]]", (await self._in_thread(self._run_embedding, batch)).tolist())

    async def rewind(self, length: int) -> bool:
        """Shorten the sequence to its first `length` tokens; False when this model's state can't be, or is shorter."""
        await self._settle()
        before = self._state.length
        if length < 0 or not self._state.rewind(length):
            return False
        if length != before:
            self._logits = None
        return True

    async def reset(self) -> None:
        """Forget the sequence."""
        await self._settle()
        self._state.clear()
        self._logits = None

    async def snapshot(self, key: str, *, is_temporary: bool = False) -> None:
        """Keep the state under `key`, in memory and, where there is a cache folder, in a file unless `is_temporary`."""
        await self._settle()
        copied = self._state.copy()
        self._keep(key, copied, self._state.length)
        path = self._path(key)
        if path is not None and not is_temporary:
            await asyncio.to_thread(self._write, path, copied, self._state.length)

    async def restore(self, key: str) -> bool:
        """Go back to the state kept under `key`; False when there is none."""
        await self._settle()
        kept = self._snapshots.get(key)
        path = self._path(key)
        if kept is None and path is not None and path.is_file():
            kept = await asyncio.to_thread(self._read, path)
        if kept is None:
            return False
        self._keep(key, *kept)
        self._state.put(*kept)
        self._logits = None
        return True

    async def close(self) -> None:
        """Give back the memory; harmless when called twice."""
        await self._settle()
        self._session = None
        self._state, self._snapshots, self._logits = CopiedState([]), {}, None
        await asyncio.to_thread(_trim)

    async def _in_thread(self, work: Callable[[_Given], _Made], given: _Given) -> _Made:
        # Cancelling leaves at once; the thread can't be stopped, so whatever comes next waits for it.
        running = asyncio.ensure_future(asyncio.to_thread(work, given))
        self._running = running
        return await asyncio.shield(running)

    async def _settle(self) -> None:
        """Wait for a run that somebody no longer waits for; what came of it is of no interest."""
        if self._running is not None:
            await asyncio.wait({self._running})
            if not self._running.cancelled():
                self._running.exception()
            self._running = None

    @property
    def _id(self) -> str:
        return str(self._manifest.get("id", ""))

    def _open_session(self) -> ort.InferenceSession:
        if self._session is None:
            raise self._unavailable("the local model was closed")
        return self._session

    def _run(self, token_ids: list[int]) -> None:
        session, graph, past = self._open_session(), self._graph, self._state.length
        if "logits" not in graph:
            raise self._unavailable("this local model gives vectors, no words")
        self._require_room(past + len(token_ids))
        feeds = {graph["input_ids"]: np.array([token_ids] if self._is_batched else token_ids, np.int64)}
        if "past_length" in graph:
            feeds[graph["past_length"]] = np.array([past], np.int64)
        outputs = [graph["logits"], *self._scalars.values()]
        with run_errors(self._id):
            logits, *scalars = self._state.run(session, feeds, outputs, len(token_ids))
        self._logits = logits.reshape(-1)
        self._reported = {name: float(value.reshape(-1)[0]) for name, value in zip(self._scalars, scalars, strict=True)}

    def _run_embedding(self, batch: Sequence[Sequence[int]]) -> Array:
        session, graph = self._open_session(), self._graph
        if "embedding" not in graph:
            raise self._unavailable("this local model gives words, no vectors")
        longest = max(map(len, batch))
        self._require_room(longest)
        ids = np.zeros((len(batch), max(1, longest)), np.int64)
        mask = np.zeros_like(ids)
        for row, sequence in enumerate(batch):
            ids[row, : len(sequence)] = sequence
            mask[row, : len(sequence)] = 1
        feeds = {graph["input_ids"]: ids, graph["attention_mask"]: mask}
        with run_errors(self._id):
            (vectors,) = session.run([graph["embedding"]], feeds)
        return cast(Array, vectors)

    def _require_room(self, tokens: int) -> None:
        if tokens > self._context_length:
            raise ContextLengthError(
                f"local:{self._id}: {tokens} tokens do not fit into its context of {self._context_length}",
                provider="local",
                model=self._id,
            )

    def _unavailable(self, message: str) -> ModelUnavailableError:
        return ModelUnavailableError(message, provider="local", model=self._id)

    def _rank(
        self, logits: np.ndarray[Any, np.dtype[np.float32]], top_k: int, allowed: Sequence[int] | None
    ) -> Candidates:
        best = float(logits.max())
        log_sum_exp = best + log(float(np.exp(logits.astype(np.float64) - best).sum()))
        ids = np.arange(logits.size) if allowed is None else np.array(sorted(allowed), np.int64)
        ranked = ids[np.argsort(-logits[ids], kind="stable")[:top_k]]
        return Candidates(ranked.tolist(), logits[ranked].tolist(), log_sum_exp, dict(self._reported))

    def _keep(self, key: str, state: list[Array], length: int) -> None:
        self._snapshots.pop(key, None)
        self._snapshots[key] = (list(state), length)
        for oldest in list(self._snapshots)[:-1]:
            size = sum(array.nbytes for arrays, _ in self._snapshots.values() for array in arrays)
            if len(self._snapshots) > _MOST_SNAPSHOTS or size > _MOST_SNAPSHOT_BYTES:
                del self._snapshots[oldest]

    def _path(self, key: str) -> Path | None:
        if self._cache_dir is None:
            return None
        # The manifest holds the hashes of all files: a model that was built anew finds no old state.
        model = sha256(json.dumps(self._manifest, sort_keys=True).encode()).hexdigest()[:16]
        return self._cache_dir / f"{self._id}-{model}-{sha256(key.encode()).hexdigest()[:16]}.npz"

    def _write(self, path: Path, state: list[Array], length: int) -> None:
        arrays: dict[str, Any] = {slot["input"]: array for slot, array in zip(self._slots, state, strict=True)}
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        with fresh.open("wb") as file:
            np.savez(file, length=np.array(length), **arrays)
        fresh.replace(path)

    def _read(self, path: Path) -> tuple[list[Array], int] | None:
        # A damaged file is as good as none: the prefix is computed again.
        # `np.load` leaves a damaged file open that it opened itself (numpy 2.4).
        with suppress(OSError, ValueError, KeyError, BadZipFile), path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            return [arrays[slot["input"]] for slot in self._slots], int(arrays["length"])
        return None


def _needed_bytes(folder: Path) -> int:
    # What is damaged is told when it is opened.
    with suppress(OSError, ValueError, TypeError):
        return int(json.loads((folder / "model.json").read_text(encoding="utf-8")).get("memory_bytes", 0))
    return 0


def _trim() -> None:
    """Let the C library give freed memory back: glibc would keep 300 of the 370 MB that SmolLM2 takes."""
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):  # other C libraries give it back by themselves
            ctypes.CDLL(None).malloc_trim(0)


def _open(folder: Path, threads: int | None, cache_dir: Path | None, progress: LoadProgress) -> OnnxSession:
    try:
        manifest: JsonObject = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        graph: Any = manifest["graph"]
        progress("load", graph["file"], 0, 0)
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        if graph.get("optimization_level") == "disabled":
            # Fused when it was written; looking for more would only make loading longer.
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        # Spinning threads starve each other as soon as something else runs on the same cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        weights = _weights(folder, graph)
        if weights:
            names = list(weights)
            options.add_external_initializers_from_files_in_memory(
                names, [weights[name] for name in names], [len(weights[name]) for name in names]
            )
        # `weights` is read while the session is made, and must live until then.
        session = ort.InferenceSession(
            (folder / graph["file"]).read_bytes(), options, providers=["CPUExecutionProvider"]
        )
        del weights
        return OnnxSession(folder, manifest, session, cache_dir)
    except _LOAD_ERRORS as error:
        damaged = f"is damaged ({type(error).__name__}); build it again: python3 build.py models"
        no_memory = "does not fit into memory; close other programs"
        raise ModelUnavailableError(
            f"the local model in {folder} {no_memory if is_out_of_memory(error) else damaged}",
            provider="local",
            model=folder.name,
        ) from error


def _weights(folder: Path, graph: Mapping[str, Any]) -> dict[str, bytes]:
    """Read the files of external data, and expand the packed ones by the small graph that the manifest names."""
    expand = graph.get("expand")
    made = {} if expand is None else {expand["target"]: b""}
    weights = {name: (folder / name).read_bytes() for name in graph.get("external_data", []) if name not in made}
    if expand is None:
        return weights
    packed = weights.get(expand["source"]) or (folder / expand["source"]).read_bytes()
    sessions: dict[str, ort.InferenceSession] = {}
    target = bytearray(expand["size_bytes"])
    for step in expand["steps"]:
        file = step.get("file", expand["file"])
        if file not in sessions:
            sessions[file] = ort.InferenceSession((folder / file).read_bytes(), providers=["CPUExecutionProvider"])
        feeds = {
            name: np.frombuffer(packed, place["type"], prod(place["shape"]), place["offset"]).reshape(place["shape"])
            for name, place in step["inputs"].items()
        }
        (expanded,) = sessions[file].run([step["output"]], feeds)
        target[step["offset"] : step["offset"] + step["size_bytes"]] = expanded.tobytes()
    weights[expand["target"]] = bytes(target)
    return weights
