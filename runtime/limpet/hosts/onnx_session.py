"""Local models on CPython: `onnxruntime` behind the seam `InferenceBackend`.

Everything about a model stands in the `model.json` of its folder: how the inputs and outputs of the graph are called,
which outputs are the next run's inputs, and how packed weights are expanded. A state with `append` holds one row for
each token: an output has the new rows only, and they go behind the others in a buffer of which the next run is shown
the part in use. Any other state is replaced by its output. Runs happen in a thread, so that the event loop stays free.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from math import log, prod
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]  # ships no types

from ..errors import ModelUnavailableError
from ..host import Candidates, LoadProgress
from ..wire import Availability, JsonObject, LoadStatus

_LEAST_ROWS = 512
_MOST_SNAPSHOTS = 8
"""Kept in memory, the one used longest ago is dropped first; 350 tokens of Needle 3 are 8 MB."""


Array = np.ndarray[Any, np.dtype[Any]]


class OnnxBackend:
    """The models in the folders of `models_dir`, each with its `model.json`.

    With `cache_dir`, snapshots outlive the process. `threads` None leaves their number to `onnxruntime`.
    """

    def __init__(self, models_dir: Path, *, cache_dir: Path | None = None, threads: int | None = None) -> None:
        self._models_dir = models_dir
        self._cache_dir = cache_dir
        self._threads = threads
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
                loop = asyncio.get_running_loop()

                def report(status: LoadStatus, file: str, loaded: int, total: int) -> None:
                    loop.call_soon_threadsafe(progress, status, file, loaded, total)

                session = await asyncio.to_thread(_open, folder, self._threads, self._cache_dir, report)
                self._sessions[model_id] = session
            progress("ready", "", 1, 1)
            return session

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
        self._input_name: str = graph["input_ids"]
        self._is_batched = len(graph["input_ids_shape"]) == 2
        self._states: list[dict[str, Any]] = graph["state"]
        self._scalars: dict[str, str] = graph.get("scalars", {})
        self._output_names = [graph["logits"], *self._scalars.values(), *(state["output"] for state in self._states)]
        self._lock = asyncio.Lock()
        self._state: list[Array] = []
        self._length = 0
        self._logits: np.ndarray[Any, np.dtype[np.float32]] | None = None
        self._reported: dict[str, float] = {}
        self._running: asyncio.Future[None] | None = None
        self._snapshots: dict[str, tuple[list[Array], int]] = {}
        self._forget()

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
        return self._length

    @property
    def is_closed(self) -> bool:
        """Whether the memory was given back."""
        return self._session is None

    async def read(self, name: str) -> bytes:
        """Read one of the files that the manifest names. Raises `ModelUnavailableError`."""
        files: Any = self._manifest.get("files", [])
        if name not in {entry["name"] for entry in files}:
            raise ModelUnavailableError(f"the local model has no file {name!r}", provider="local", model=self._id)
        return await asyncio.to_thread((self._folder / name).read_bytes)

    async def forward(
        self, token_ids: Sequence[int], *, top_k: int, allowed: Sequence[int] | None = None
    ) -> Candidates:
        """Append tokens and rank what may come next; equal logits are ranked by id, the lower first."""
        await self._settle()
        if token_ids:
            self._running = asyncio.ensure_future(asyncio.to_thread(self._run, list(token_ids)))
            # Cancelling leaves at once; the thread can't be stopped, so whatever comes next waits for it.
            await asyncio.shield(self._running)
        if self._logits is None:
            raise ModelUnavailableError(
                "nothing was computed yet that could be ranked", provider="local", model=self._id
            )
        return self._rank(self._logits, top_k, allowed)

    async def reset(self) -> None:
        """Forget the sequence."""
        await self._settle()
        self._forget()

    async def snapshot(self, key: str) -> None:
        """Keep the state under `key`, in memory and, where there is a cache folder, in a file."""
        await self._settle()
        state = self._state_in_use()
        # Rows behind the snapshot will be written over, the rows in it too after a `restore` to another one.
        copied = [array.copy() if _appends(entry) else array for entry, array in zip(self._states, state, strict=True)]
        self._keep(key, copied, self._length)
        path = self._path(key)
        if path is not None:
            await asyncio.to_thread(self._write, path, copied, self._length)

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
        self._length = kept[1]
        for place, (entry, array) in enumerate(zip(self._states, kept[0], strict=True)):
            if _appends(entry):
                self._reserve(place, self._length)
                self._state[place][: self._length] = array
            else:
                self._state[place] = array
        self._logits = None
        return True

    async def close(self) -> None:
        """Give back the memory; harmless when called twice."""
        await self._settle()
        self._session = None
        self._state, self._snapshots, self._logits = [], {}, None

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

    def _forget(self) -> None:
        self._state = [np.full(state["shape"], state["fill"], state["type"]) for state in self._states]
        self._length = 0
        self._logits = None

    def _run(self, token_ids: list[int]) -> None:
        session = self._session
        if session is None:
            raise ModelUnavailableError("the local model was closed", provider="local", model=self._id)
        ids = np.array([token_ids] if self._is_batched else token_ids, np.int64)
        feeds = {state["input"]: array for state, array in zip(self._states, self._state_in_use(), strict=True)}
        feeds[self._input_name] = ids
        # Neither the inputs nor the outputs are copied on the CPU.
        outputs = session.run(self._output_names, feeds)
        length = self._length + len(token_ids)
        first_state = 1 + len(self._scalars)
        for place, (entry, array) in enumerate(zip(self._states, outputs[first_state:], strict=True)):
            if _appends(entry):
                self._reserve(place, length)
                self._state[place][self._length : length] = array
            else:
                self._state[place] = array
        self._length = length
        self._logits = outputs[0].reshape(-1)
        scalars = zip(self._scalars, outputs[1:first_state], strict=True)
        self._reported = {name: float(value.reshape(-1)[0]) for name, value in scalars}

    def _state_in_use(self) -> list[Array]:
        return [
            array[: self._length] if _appends(entry) else array
            for entry, array in zip(self._states, self._state, strict=True)
        ]

    def _reserve(self, place: int, rows: int) -> None:
        """Make room for so many rows in a state that grows."""
        array = self._state[place]
        if len(array) < rows:
            larger = np.empty((max(rows, 2 * len(array), _LEAST_ROWS), *array.shape[1:]), array.dtype)
            larger[: len(array)] = array
            self._state[place] = larger

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
        while len(self._snapshots) > _MOST_SNAPSHOTS:
            del self._snapshots[next(iter(self._snapshots))]

    def _path(self, key: str) -> Path | None:
        if self._cache_dir is None:
            return None
        # The manifest holds the hashes of all files: a model that was built anew finds no old state.
        model = sha256(json.dumps(self._manifest, sort_keys=True).encode()).hexdigest()[:16]
        return self._cache_dir / f"{self._id}-{model}-{sha256(key.encode()).hexdigest()[:16]}.npz"

    def _write(self, path: Path, state: list[Array], length: int) -> None:
        arrays: dict[str, Any] = {entry["input"]: array for entry, array in zip(self._states, state, strict=True)}
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
            return [arrays[entry["input"]] for entry in self._states], int(arrays["length"])
        return None


def _appends(state: Mapping[str, Any]) -> bool:
    return bool(state.get("append", False))


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
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailableError(
            f"the local model in {folder} is damaged ({type(error).__name__}); build it again: python3 build.py models",
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
    session = ort.InferenceSession((folder / expand["file"]).read_bytes(), providers=["CPUExecutionProvider"])
    target = bytearray(expand["size_bytes"])
    for step in expand["steps"]:
        feeds = {
            name: np.frombuffer(packed, place["type"], prod(place["shape"]), place["offset"]).reshape(place["shape"])
            for name, place in step["inputs"].items()
        }
        (expanded,) = session.run([step["output"]], feeds)
        target[step["offset"] : step["offset"] + step["size_bytes"]] = expanded.tobytes()
    weights[expand["target"]] = bytes(target)
    return weights
