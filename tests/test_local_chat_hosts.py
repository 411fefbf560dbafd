"""Real chat models on real hosts: `onnxruntime` on CPython, `onnxruntime-web` under Node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.inference.sweep_agent import agent_source

ROOT = Path(__file__).resolve().parents[1]
HOSTS = ("cpython", "node")
LIMIT_SECONDS = 150

pytestmark = [
    pytest.mark.timeout(3 * LIMIT_SECONDS),
    pytest.mark.skipif(sys.platform == "emscripten", reason="starts other programs: Pyodide cannot"),
]


def ask(host: str, *words: str) -> list[Any]:
    """Give the events of a run."""
    done = subprocess.run(
        [sys.executable, "-m", "tooling.ask", "ask", "--json", "--host", host, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'web'}{os.pathsep}{ROOT / 'runtime'}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def text_of(events: list[Any]) -> str:
    return "".join(event["text"] for event in events if event["type"] == "text_delta")


def sweep(host: str, folder: Path, model: str, first: int, last: int) -> dict[str, Any]:
    """Write the answers of some seeds on a host."""
    if not (ROOT / "build" / "models" / model / "model.json").is_file():
        pytest.skip(f"the {model} model is not built: python3 build.py models {model}")
    agent = folder / "agent.py"
    agent.write_text(agent_source(model, first, last), encoding="utf-8")
    result: dict[str, Any] = json.loads(text_of(ask(host, "--agent", str(agent), "go")))
    assert result["count"] == last - first
    return result


def test_five_hundred_schemas_have_the_same_answers_on_both_hosts(tmp_path: Path) -> None:
    results = [sweep(host, tmp_path, "tiny-chat", 0, 500) for host in HOSTS]

    assert results[0]["digest"] == results[1]["digest"]


@pytest.mark.parametrize("host", HOSTS)
def test_smollm2_answers_schemas(host: str, tmp_path: Path) -> None:
    # Of eight-bit sums the two hosts round some differently, so that a near tie may fall either way.
    sweep(host, tmp_path, "smollm2", 0, 24)


@pytest.mark.parametrize("host", HOSTS)
def test_smollm2_says_the_capital_of_france(host: str) -> None:
    if not (ROOT / "build" / "models" / "smollm2" / "model.json").is_file():
        pytest.skip("the smollm2 model is not built: python3 build.py models smollm2")

    assert text_of(ask(host, "--model", "local:smollm2", "What is the capital of France?")) == (
        "The capital of France is Paris."
    )
