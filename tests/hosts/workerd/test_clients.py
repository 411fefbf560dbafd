"""The clients that people have: `openai`, the AI SDK's chat, AG-UI's agent. Each real package holds a conversation."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fake_provider import Answer, Call, FakeProvider, Text
from tests.fake_server import FakeServer
from tooling import edge_clients, node, recipe, steps

from .conftest import Serve
from .serving import ROOT, Edge, Project, serving

pytestmark = pytest.mark.timeout(300)
CLIENTS = Path(__file__).with_name("clients")
LIMIT_SECONDS = 60
KEY = "key-of-the-client-0123456789"


def run_node(script: str, url: str, *more: str) -> Any:
    command = [str(node.node()), str(CLIENTS / script), str(ROOT / "web" / "edge"), url, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, env=node.environment())
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def adding(serve: Serve) -> Edge:
    return serve('tool:add:{"a": 2, "b": 3}')[0]


def parts_of(message: Any) -> list[tuple[str, Any]]:
    """What a UI message holds: its texts, and its tools' outputs."""
    return [
        (part["type"], part.get("output", part.get("text")))
        for part in message["parts"]
        if part["type"] != "step-start"
    ]


def test_use_chat_holds_a_conversation_with_tools(adding: Edge) -> None:
    seen = run_node("use_chat.mjs", adding.server.url)

    answer = [("tool-add", 5), ("text", "The tool says: 5")]
    assert (seen["errors"], seen["status"], seen["resumed"]) == ([], "ready", 0)
    assert [(message["role"], parts_of(message)) for message in seen["messages"]] == [
        ("user", [("text", "two and three")]),
        ("assistant", answer),
        ("user", [("text", "and again")]),
        ("assistant", answer),
    ]
    history = adding.ask("GET", "/conversations/use-chat").json["messages"]
    assert [message["role"] for message in history] == ["user", "assistant", "tool", "assistant"] * 2


def test_use_chat_asks_before_a_call_and_goes_on(serve: Serve) -> None:
    edge, _ = serve('tool:wipe:{"what": "disk"}')
    seen = run_node("approving_chat.mjs", edge.server.url)

    assert seen["errors"] == []
    assert [(message["role"], parts_of(message)) for message in seen["messages"]] == [
        ("user", [("text", "please")]),
        ("assistant", [("tool-wipe", "wiped disk"), ("text", "The tool says: wiped disk")]),
    ]


def test_ag_ui_holds_a_conversation_with_tools(adding: Edge) -> None:
    seen = run_node("ag_ui.mjs", adding.server.url)

    assert [message["role"] for message in seen["messages"]] == ["user", "assistant", "tool", "assistant"] * 2
    assert [message["content"] for message in seen["messages"] if message["role"] == "tool"] == ["5", "5"]
    assert seen["messages"][-1]["content"] == "The tool says: 5"
    assert seen["types"].count("RUN_FINISHED") == 2
    assert "RUN_ERROR" not in seen["types"]


def test_ag_uis_client_runs_a_tool_of_its_own(serve: Serve) -> None:
    edge, provider = serve('tool:paint:{"colour": "red"}')
    seen = run_node("ag_ui.mjs", edge.server.url, "own")

    assert [message["role"] for message in seen["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert seen["messages"][-1]["content"] == "The tool says: it is red now"
    assert seen["types"].count("RUN_FINISHED") == 2
    assert "TOOL_CALL_RESULT" not in seen["types"]
    assert {"paint", "add"} <= {tool["function"]["name"] for tool in provider.requests[0].json["tools"]}
    history = edge.ask("GET", "/conversations/ag-ui").json["messages"]
    assert [message["role"] for message in history] == ["user", "assistant", "tool", "assistant"]


def test_openai_holds_conversations_with_the_agent_and_through_the_gateway(project: Project, tmp_path: Path) -> None:
    steps.ensure(ROOT, recipe.STEPS, ["edge-clients"])
    arguments = '{"a": 2, "b": 3}'
    with FakeProvider() as provider, FakeServer() as by_name:
        here, there = Answer.of(Call("add", arguments)), Answer.of(Call("client_add", arguments))
        said = Answer.of(Text("That makes 5."))
        provider.replies.extend([here, said, here, said, there, said])
        vectors = {"model": "openai:vectors", "base_url": provider.base_url("openai"), "key_name": "VECTORS_KEY"}
        calling = {"model": f"openai_compatible:tool:client_add:{arguments}", "base_url": by_name.base_url}
        gateway = {
            "models": {
                "good": [{"model": "openai_compatible:text:All is well.", "base_url": by_name.base_url}],
                "calling": [calling],
                "vectors": {"embeddings": [vectors]},
            }
        }
        settings = {
            "LIMPET_ACCESS": "keys",
            "LIMPET_BASE_URL": provider.base_url("openai_compatible"),
            "LIMPET_GATEWAY": json.dumps(gateway),
        }
        env = {"LIMPET_KEYS": json.dumps({"client": {"key": KEY}}), "VECTORS_KEY": "key-of-the-vectors"}
        with serving(project, tmp_path, by_name, vars=settings, env=env) as edge:
            command = [edge_clients.python(ROOT), CLIENTS / "openai_client.py", edge.server.url, KEY]
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
            assert done.returncode == 0, done.stderr[-3000:]
            seen = json.loads(done.stdout)

    assert seen["models"] == ["worker", "good", "calling", "vectors"]
    assert seen["agent"][:2] == ["That makes 5.", "stop"]
    assert seen["agent_stream"][:2] == ["That makes 5.", "stop"]
    assert seen["agent_stream"][3] == []
    assert seen["agent"][2] == seen["agent_stream"][2] > 0
    assert seen["agent_client_tools"] == ["tool_calls", "client_add", arguments, "stop", "That makes 5."]
    assert seen["gateway_stream"] == ["All is well.", "stop", 18, []]
    assert seen["gateway_client_tools"] == ["tool_calls", "client_add", arguments, "stop", "The tool says: 5"]
    text, reason, tokens, calls = seen["gateway_tools_stream"]
    assert (text, reason, tokens) == ("", "tool_calls", 18)
    assert [(call["name"], call["arguments"]) for call in calls] == [("client_add", arguments)]
    assert len(seen["embeddings"]) == 2
    assert seen["embeddings"][0] != seen["embeddings"][1]
    assert seen["refused"] == [404, "model_not_found"]


def test_a_client_that_is_told_to_wait_is_told_for_how_long(serve: Serve) -> None:
    edge, _ = serve("429:60")
    began = time.monotonic()
    answer = edge.ask(
        "POST", "/v1/chat/completions", {"model": "worker", "messages": [{"role": "user", "content": "x"}]}
    )

    assert (answer.status, answer.headers["retry-after"]) == (429, "60")
    assert time.monotonic() - began < 30
