"""Steps keyed by content: a step runs again when its inputs, its settings or what it stands on has changed.

A stamp in `build/state/<name>.json` holds the key a step was last made with and the sizes of what it made. Nothing
here knows what the steps do: they are listed in `recipe.py`.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .lock import build_lock, write_atomically
from .progress import BuildError, say, size

SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "dist", ".mypy_cache", ".ruff_cache"})


@dataclass(frozen=True)
class Step:
    """One thing to make. Paths are relative to the repository; a folder stands for all files in it."""

    name: str
    what: str
    make: Callable[[Path], None]
    inputs: Sequence[str]
    outputs: Sequence[str]
    after: Sequence[str] = ()
    settings: str = ""
    is_made: Callable[[Path], bool] = lambda _: False
    """Whether something that is there already, made by nobody knows whom, will do. Asked before `make`."""


def ensure(root: Path, steps: Mapping[str, Step], wanted: Sequence[str]) -> None:
    """Make the wanted steps and what they stand on, as far as they are not made.

    Raises `BuildError` that names the step. What was made before stays, so the next build goes on from there.
    """
    order = list(_in_order(steps, wanted))
    if all(_is_fresh(root, step, key) for step, key in _with_keys(root, steps, order)):
        return
    with build_lock(root):
        # Keys are taken again for each step: a step may write what a later one reads (wire.ts).
        for name in order:
            step, key = next(pair for pair in _with_keys(root, steps, order) if pair[0].name == name)
            if not _is_fresh(root, step, key):
                _make(root, step, key)


def accept(root: Path, steps: Mapping[str, Step], name: str, fetch: Callable[[], None]) -> None:
    """Call `fetch`, which gets what a step makes from elsewhere, and count the step as made."""
    with build_lock(root):
        step, key = next(
            pair for pair in _with_keys(root, steps, list(_in_order(steps, [name]))) if pair[0].name == name
        )
        fetch()
        _put_stamp(root, step, key)


def _make(root: Path, step: Step, key: str) -> None:
    stamp = _stamp(root, step)
    stamp.unlink(missing_ok=True)
    if step.is_made(root):
        say(f"{step.what}: already there")
    else:
        say(f"{step.what} ...")
        started = time.monotonic()
        try:
            step.make(root)
        except BuildError as error:
            raise BuildError(f"{step.what}: {error}") from error
        sizes = ", ".join(f"{path} {size(_measure(root / path)[1])}" for path in step.outputs)
        say(f"{step.what}: {time.monotonic() - started:.1f} s; {sizes}")
    for path in step.outputs:
        if _measure(root / path)[0] == 0:
            raise BuildError(f"{step.what}: nothing is at {path} although the step ended well")
    _put_stamp(root, step, key)


def _put_stamp(root: Path, step: Step, key: str) -> None:
    outputs = {path: list(_measure(root / path)) for path in step.outputs}
    write_atomically(_stamp(root, step), json.dumps({"key": key, "outputs": outputs}, indent=1).encode())


def _in_order(steps: Mapping[str, Step], wanted: Sequence[str], seen: set[str] | None = None) -> Iterator[str]:
    """Each wanted step once, after those it stands on."""
    seen = set() if seen is None else seen
    for name in wanted:
        if name not in seen:
            seen.add(name)
            yield from _in_order(steps, steps[name].after, seen)
            yield name


def _with_keys(root: Path, steps: Mapping[str, Step], order: Sequence[str]) -> Iterator[tuple[Step, str]]:
    keys: dict[str, str] = {}
    for name in order:
        step = steps[name]
        parts = [step.name, step.settings, *(keys[before] for before in step.after)]
        parts += [f"{path.relative_to(root)} {_hash(path)}" for path in input_files(root, step)]
        keys[name] = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        yield step, keys[name]


def input_files(root: Path, step: Step) -> list[Path]:
    """The files a step reads, sorted. An input that does not exist counts as no file."""
    found: list[Path] = []
    for name in step.inputs:
        path = root / name
        found += _walk(path) if path.is_dir() else [path] if path.is_file() else []
    return sorted(found)


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir():
            if path.name not in SKIPPED_FOLDERS:
                yield from _walk(path)
        elif path.suffix != ".pyc":
            yield path


def _is_fresh(root: Path, step: Step, key: str) -> bool:
    try:
        stamp = json.loads(_stamp(root, step).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return stamp["key"] == key and all(
        list(_measure(root / path)) == measured for path, measured in stamp["outputs"].items()
    )


def _measure(path: Path) -> tuple[int, int]:
    """How many files there are at a path, and how many bytes."""
    if path.is_dir():
        sizes = [file.stat().st_size for file in path.rglob("*") if file.is_file()]
        return len(sizes), sum(sizes)
    return (1, path.stat().st_size) if path.is_file() else (0, 0)


def _stamp(root: Path, step: Step) -> Path:
    return root / "build" / "state" / f"{step.name}.json"


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
