"""Local models on real workerd: onnxruntime-web in a Worker of its own, behind the service binding `ONNX`."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.fake_server import FakeServer
from tooling import edge_project, node, recipe, steps
from tooling.progress import BuildError

from .serving import KEYS, ROOT, Edge, Project, make, serving

pytestmark = pytest.mark.timeout(300)
AGENT = Path(__file__).with_name("local_agent.py")
GATEWAY = {"models": {"vectors": {"embeddings": ["local:tiny-embedding"]}, "talk": ["local:tiny-chat"]}}


@pytest.fixture(scope="module")
def local_project(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project of an agent with a local model, and of a gateway with two more."""
    folder = tmp_path_factory.mktemp("local")
    steps.ensure(ROOT, recipe.STEPS, ["edge-onnx", "tiny", "tiny-chat", "tiny-embedding"])
    # The settings are there before the project is made again: what they name belongs to it.
    edge_project.make_project(ROOT, AGENT, folder / "project")
    config = folder / "project" / "wrangler.jsonc"
    setting = json.dumps({"LIMPET_GATEWAY": json.dumps(GATEWAY)})[1:-1]
    config.write_text(config.read_text().replace('"vars": {', f'"vars": {{ {setting},'))
    return make(folder, AGENT)


@pytest.fixture(scope="module")
def served(local_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Edge, FakeServer]]:
    folder = tmp_path_factory.mktemp("state")
    with FakeServer("text:From afar.") as provider, serving(local_project, folder, provider, env=KEYS) as edge:
        yield edge, provider


def events_of(edge: Edge, id: str) -> list[Any]:
    return [data for _, data in edge.ask("GET", f"/conversations/{id}/stream?after=0").events]


def assert_called_here(events: list[Any]) -> None:
    assert [event["model"] for event in events if event["type"] == "model_start"] == ["local:tiny"] * 2
    assert [event["content"] for event in events if event["type"] == "tool_result"] == ["light in the hall"]
    assert events[-1]["finish_reason"] == "stop"


def test_a_local_model_answers_with_a_tool_and_no_network(served: tuple[Edge, FakeServer]) -> None:
    edge, provider = served
    answer = edge.chat("local", "a light, please")

    outputs = [data["output"] for _, data in answer.events[:-1] if data["type"] == "tool-output-available"]
    assert outputs == ["light in the hall"]
    assert_called_here(events_of(edge, "local"))
    assert provider.requests == []


def test_conversations_ask_one_model_at_the_same_time(served: tuple[Edge, FakeServer]) -> None:
    edge, _ = served
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: edge.chat(f"many{number}", f"light number {number}"), range(4)))

    for number in range(4):
        assert_called_here(events_of(edge, f"many{number}"))


def test_a_conversation_goes_on_when_the_models_state_is_lost(served: tuple[Edge, FakeServer]) -> None:
    edge, _ = served
    edge.chat("lost", "a light, please")
    edge.crash()
    answer = edge.chat("lost", "and another")

    assert answer.status == 200
    roles = [message["role"] for message in edge.ask("GET", "/conversations/lost").json["messages"]]
    assert roles == ["user", "assistant", "tool", "assistant"] * 2


def test_vectors_are_made_here(served: tuple[Edge, FakeServer]) -> None:
    edge, provider = served
    texts = ["one", "two", "one"]

    def ask(_: int) -> list[list[float]]:
        answer = edge.gateway("/v1/embeddings", {"model": "vectors", "input": texts})
        assert answer.status == 200, answer.body
        return [item["embedding"] for item in answer.json["data"]]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(6)))

    first, second, third = answers[0]
    assert all(answer == answers[0] for answer in answers)
    assert first == third != second
    assert math.isclose(sum(value * value for value in first), 1.0, rel_tol=1e-3)
    assert provider.requests == []


def test_the_gateway_serves_a_local_chat_model(served: tuple[Edge, FakeServer]) -> None:
    edge, _ = served
    request = {"model": "talk", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8}
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: edge.gateway("/v1/chat/completions", request), range(3)))

    assert [answer.status for answer in answers] == [200] * 3, answers[0].body
    assert answers[0].json["usage"]["completion_tokens"] > 0


def fallback_of(project: Project, folder: Path) -> tuple[dict[str, Any], str]:
    """What is said of turning to the remote model, and what that answers."""
    with FakeServer("text:From afar.") as provider, serving(project, folder, provider) as edge:
        edge.chat("turned", "a light, please")
        events = events_of(edge, "turned")
    (turn,) = (event for event in events if event["type"] == "fallback")
    return turn, "".join(event["text"] for event in events if event["type"] == "text_delta")


def test_the_remote_model_answers_where_the_binding_is_missing(local_project: Project, tmp_path: Path) -> None:
    project = Project(tmp_path / "project", local_project.packed)
    shutil.copytree(local_project.folder, project.folder)
    config = project.folder / "wrangler.jsonc"
    config.write_text(re.sub(r'"services": \[.*?\],', "", config.read_text()))

    turn, text = fallback_of(project, tmp_path / "state")

    assert (turn["from_model"], turn["to_model"]) == ("local:tiny", "openai_compatible:fake")
    assert turn["reason"] == "unavailable"
    assert text == "From afar."


def test_the_remote_model_answers_where_a_file_is_broken(local_project: Project, tmp_path: Path) -> None:
    project = Project(tmp_path / "project", local_project.packed)
    shutil.copytree(local_project.folder, project.folder)
    weights = project.folder / "onnx" / "models" / "tiny" / "weights.bin"
    weights.write_bytes(bytes(weights.stat().st_size))

    turn, text = fallback_of(project, tmp_path / "state")

    assert turn["reason"] == "unavailable"
    assert "not what its model.json promises" in turn["message"]
    assert text == "From afar."


def test_wrangler_would_upload_the_worker_of_models(local_project: Project, tmp_path: Path) -> None:
    wrangler = ROOT / "web" / "edge" / "node_modules" / "wrangler" / "bin" / "wrangler.js"
    command = [str(node.node()), str(wrangler), "deploy", "--dry-run", "--outdir", str(tmp_path / "out")]
    env = node.environment({"WRANGLER_SEND_METRICS": "false", "CI": "1", "HOME": str(tmp_path)})
    folder = local_project.folder / edge_project.ONNX
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, env=env)

    assert done.returncode == 0, done.stderr[-3000:]
    assert "WARNING" not in done.stdout + done.stderr
    total = re.search(r"Total Upload: ([\d.]+) KiB", done.stdout)
    assert total is not None, done.stdout[-3000:]
    assert float(total[1]) < 16 * 1024
    assert {"env.MODELS", "env.FILES"} <= set(re.findall(r"env\.\w+", done.stdout))


def test_what_an_isolate_cannot_hold_is_left_out(tmp_path: Path) -> None:
    agent = tmp_path / "agent.py"
    agent.write_text('from limpet import Agent\nagent = Agent(model=["local:needle", "openai:gpt-5-mini"])\n')
    fitting, others = edge_project.models_of(ROOT, agent, tmp_path / "none")

    assert fitting == []
    assert list(others) == ["needle"]
    assert "an isolate has" in others["needle"]


def test_models_go_when_the_agent_names_none(local_project: Project, tmp_path: Path) -> None:
    shutil.copytree(local_project.folder, tmp_path / "project")
    config = tmp_path / "project" / "wrangler.jsonc"
    config.write_text(config.read_text().replace("LIMPET_GATEWAY", "UNUSED").replace("local:", "away:"))
    edge_project.make_project(ROOT, ROOT / "examples" / "kitchen.py", tmp_path / "project")

    assert not (tmp_path / "project" / "onnx").exists()


def test_a_worker_of_models_without_its_class_is_found(local_project: Project, tmp_path: Path) -> None:
    shutil.copytree(local_project.folder, tmp_path / "project")
    config = tmp_path / "project" / "onnx" / "wrangler.jsonc"
    config.write_text(config.read_text().replace('"class_name": "Models"', '"class_name": "Others"'))

    with pytest.raises(BuildError, match="no class Others"):
        edge_project.check_project(tmp_path / "project")
