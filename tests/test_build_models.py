"""Local models by the build: fetched from a server, checked by hash, and counted as made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tooling import models, server, steps
from tooling.progress import BuildError

FILES = {"model.onnx": b"graph" * 1000, "tokenizer.json": b"{}"}
MODEL_JSON = b'{"id": "small"}'


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one model in its manifest."""
    files = [{"name": name, "size_bytes": len(data), "sha256": sha256(data)} for name, data in FILES.items()]
    entry = {"model_json_sha256": sha256(MODEL_JSON), "files": files}
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "manifest.json").write_text(json.dumps({"models": {"small": entry}}), "utf-8")
    return tmp_path


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """The folder that the server has."""
    folder = tmp_path / "served" / "small"
    folder.mkdir(parents=True)
    for name, data in {**FILES, "model.json": MODEL_JSON, "LICENSE": b"Apache License"}.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def url(served: Path) -> Iterator[str]:
    with server.serve(served.parent) as running:
        yield f"{running.url}small"


def built(root: Path) -> dict[str, bytes]:
    folder = root / "build" / "models" / "small"
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


def test_a_model_is_fetched_whole(root: Path, url: str) -> None:
    models.download(root, "small", url)

    assert built(root) == {**FILES, "model.json": MODEL_JSON, "LICENSE": b"Apache License"}
    assert [path.name for path in (root / "build" / "models").iterdir()] == ["small"]


def test_a_new_one_takes_the_place_of_the_old(root: Path, url: str) -> None:
    old = root / "build" / "models" / "small" / "weights.old"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")

    models.download(root, "small", f"{url}/")

    assert not old.exists()
    assert built(root)["model.onnx"] == FILES["model.onnx"]


@pytest.mark.parametrize("name", ["model.json", "model.onnx", "tokenizer.json"])
@pytest.mark.parametrize("data", [b"", b"<!doctype html>", b"x" * 5000, b"x" * 9_000_000], ids=len)
def test_what_is_not_promised_is_refused(root: Path, served: Path, url: str, name: str, data: bytes) -> None:
    (served / name).write_bytes(data)

    with pytest.raises(BuildError, match=rf"{name} is not the file that models/manifest\.json promises"):
        models.download(root, "small", url)

    assert built(root) == {}


def test_what_arrived_is_not_fetched_again(root: Path, served: Path, url: str) -> None:
    (served / "tokenizer.json").rename(served / "gone")
    with pytest.raises(BuildError, match=r"small/tokenizer\.json answered 404"):
        models.download(root, "small", url)
    (served / "gone").rename(served / "tokenizer.json")
    (served / "model.onnx").unlink()

    models.download(root, "small", url)

    assert built(root)["model.onnx"] == FILES["model.onnx"]


def test_nobody_at_the_address_is_told(root: Path) -> None:
    with server.serve(root) as running:
        url = running.url

    with pytest.raises(BuildError, match=rf"{url}small/model\.json could not be fetched"):
        models.download(root, "small", f"{url}small")


def test_the_manifest_may_know_the_address(root: Path) -> None:
    with pytest.raises(BuildError, match="has no address for small"):
        models.download_url(root, "small")
    path = root / "models" / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["models"]["small"]["download"] = {"url": "https://models.example.org/small/"}
    path.write_text(json.dumps(manifest), "utf-8")

    assert models.download_url(root, "small") == "https://models.example.org/small/"


def test_a_fetched_model_is_not_made_by_its_recipe(root: Path, url: str) -> None:
    made: list[str] = []
    recipe = {
        "small": steps.Step("small", "model small", lambda _: made.append("small"), ["models"], ["build/models/small"])
    }

    steps.accept(root, recipe, "small", lambda: models.download(root, "small", url))
    steps.ensure(root, recipe, ["small"])

    assert made == []
    (root / "build" / "models" / "small" / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(BuildError):
        steps.ensure(root, {"small": steps.Step("small", "", fail, ["models"], ["build/models/small"])}, ["small"])


def fail(_: Path) -> None:
    raise BuildError("made again")
