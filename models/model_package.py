"""Writes a model's folder: its files, `model.json` beside them, in one step.

`model.json` is all that a host reads. It says which files to fetch, how the
graph's inputs and outputs are called, which outputs are fed back as state, and
how the packed weights are expanded; so a host knows nothing about any model.
`models/README.md` describes every field.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORMAT = 1


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data` in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def json_bytes(value: object) -> bytes:
    """Return compact JSON, always the same bytes for the same value."""
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def write_package(
    out: Path, description: Mapping[str, Any], files: Mapping[str, bytes], extra: Mapping[str, bytes]
) -> dict[str, Any]:
    """Write `files` (a host needs them), `extra` (it does not) and `model.json` into the folder `out`.

    Everything is written beside `out` and then renamed, so a reader sees the
    old folder or the new one. Returns what stands in `model.json`.
    """
    listed = [{"name": name, "size_bytes": len(data), "sha256": sha256(data)} for name, data in files.items()]
    model = {"format": FORMAT, **description, "files": listed}
    fresh = out.with_name(out.name + ".new")
    stale = out.with_name(out.name + ".old")
    for folder in (fresh, stale):
        shutil.rmtree(folder, ignore_errors=True)
    fresh.mkdir(parents=True)
    for name, data in {**files, **extra}.items():
        (fresh / name).write_bytes(data)
    (fresh / "model.json").write_text(json.dumps(model, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if out.exists():
        out.rename(stale)
    fresh.rename(out)
    shutil.rmtree(stale, ignore_errors=True)
    return model
