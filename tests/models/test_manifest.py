"""`models/manifest.json` is whole, and what is built is what it says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tooling import models

ROOT = Path(__file__).resolve().parents[2]
ENTRIES: dict[str, dict[str, Any]] = json.loads((ROOT / "models" / "manifest.json").read_text(encoding="utf-8"))[
    "models"
]
FIELDS = {
    "task",
    "recipe",
    "template",
    "license",
    "source",
    "context_length",
    "memory_bytes",
    "model_json_sha256",
    "files",
}


def test_every_model_has_a_recipe_and_an_entry() -> None:
    assert set(ENTRIES) == set(models.RECIPES)
    for name, entry in ENTRIES.items():
        assert set(entry) >= FIELDS, name
        assert entry["recipe"] == f"models/{models.RECIPES[name].script}"
        assert (ROOT / entry["recipe"]).is_file()
        assert (entry["task"], entry["template"]) in {("tool_calling", "needle"), ("chat", "chatml"), ("embedding", "")}


@pytest.mark.parametrize("name", list(models.RECIPES))
def test_what_is_built_is_what_the_manifest_says(name: str) -> None:
    folder, entry = ROOT / "build" / "models" / name, ENTRIES[name]
    if not (folder / "model.json").is_file():
        pytest.skip(f"{folder} is not built")
    text = (folder / "model.json").read_bytes()
    model = json.loads(text)

    assert hashlib.sha256(text).hexdigest() == entry["model_json_sha256"]
    known = {key: value for key, value in entry.items() if key not in ("recipe", "download", "model_json_sha256")}
    assert known == {key: model[key] for key in known}
    for file in entry["files"]:
        assert hashlib.sha256((folder / file["name"]).read_bytes()).hexdigest() == file["sha256"], file["name"]
