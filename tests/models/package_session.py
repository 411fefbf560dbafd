"""Runs a model folder on onnxruntime as plainly as `model.json` allows, for these tests only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

State = Mapping[str, Any]


def session_options(external: Mapping[str, bytes]) -> Any:
    """Give the options of a session on one thread that finds its weights in memory.

    `external` must live until the session is made: onnxruntime keeps addresses only.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.add_external_initializers_from_files_in_memory(
        list(external), list(external.values()), [len(data) for data in external.values()]
    )
    return options


class PackageSession:
    """One loaded model. State is passed in and out, so that a test can keep, compare and restore it."""

    def __init__(self, folder: Path) -> None:
        self.description: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        graph = self.description["graph"]
        files = {entry["name"]: (folder / entry["name"]).read_bytes() for entry in self.description["files"]}
        external = {name: files[name] for name in graph["external_data"] if name in files}
        if expand := graph.get("expand"):
            external[expand["target"]] = self._expand(expand, files)
        self._session = onnxruntime.InferenceSession(files[graph["file"]], session_options(external))
        self._graph = graph

    def start(self) -> State:
        """Return the state before the first token."""
        return {entry["input"]: np.full(entry["shape"], entry["fill"], entry["type"]) for entry in self._graph["state"]}

    def feed(self, state: State, ids: Sequence[int]) -> tuple[Any, float, State]:
        """Return the logits after the last of `ids`, the confidence, and the new state; the old one stays usable."""
        entries = self._graph["state"]
        names = [self._graph["logits"], self._graph["scalars"]["confidence"], *(entry["output"] for entry in entries)]
        feeds = {self._graph["input_ids"]: np.array([ids], np.int64), **state}
        logits, confidence, *new = self._session.run(names, feeds)
        after = {
            entry["input"]: np.concatenate([state[entry["input"]], value]) if entry.get("append") else value
            for entry, value in zip(entries, new, strict=True)
        }
        return logits, float(confidence), after

    def _expand(self, expand: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
        source, target = files[expand["source"]], bytearray(expand["size_bytes"])
        session = onnxruntime.InferenceSession(files[expand["file"]])
        for step in expand["steps"]:
            feeds = {
                name: np.frombuffer(source, place["type"], int(np.prod(place["shape"])), place["offset"]).reshape(
                    place["shape"]
                )
                for name, place in step["inputs"].items()
            }
            weight = session.run([step["output"]], feeds)[0]
            target[step["offset"] : step["offset"] + step["size_bytes"]] = weight.tobytes()
        return bytes(target)
