"""The fake provider itself: each format answers from what was asked, faults are what they say, and all is seen."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from limpet import Agent, tool
from limpet.errors import WireFormatError
from limpet.events import TextDelta
from limpet.host import Host, HttpRequest
from limpet.hosts.cpython import create_host
from limpet.hosts.http1 import Http1Fetch
from limpet.messages import Message
from limpet.model import Finish, ModelReference, ModelRequest
from limpet.providers import create_embeddings, create_model
from limpet.stores.memory import MemoryStorage
from tests.fake_provider import Answer, Call, FakeProvider, Fault, Question, Reasoning
from tests.fake_provider.answers import reply_to
from tests.fake_provider.fitting import fit
from tests.fake_provider.formats import FORMATS
from tests.fakes.clock import FakeClock

ROOT = Path(__file__).resolve().parents[2]
SECRETS = {
    **{f"{name}_API_KEY": "KEY" for name in ("OPENAI", "AZURE_OPENAI", "ANTHROPIC", "GEMINI", "COHERE", "VOYAGE")},
    "JINA_API_KEY": "KEY",
    "GOOGLE_ACCESS_TOKEN": "KEY",
    "AWS_BEARER_TOKEN_BEDROCK": "KEY",
    "CLOUDFLARE_API_TOKEN": "KEY",
}
CHATS: Mapping[str, tuple[str, Mapping[str, object], str]] = {
    "openai": ("openai", {}, "chat_completions"),
    "openai_compatible": ("openai_compatible", {}, "chat_completions"),
    "azure": ("azure", {"api_version": "2024-10-21"}, "chat_completions"),
    "responses": ("openai", {"api": "responses"}, "responses"),
    "anthropic": ("anthropic", {}, "anthropic"),
    "gemini": ("gemini", {}, "gemini"),
    "vertex": ("vertex", {"project": "kitchen"}, "gemini"),
    "ollama": ("ollama", {}, "ollama"),
    "cohere": ("cohere", {}, "cohere"),
    "bedrock": ("bedrock", {}, "bedrock"),
    "workers_ai": ("workers_ai", {}, "workers_ai"),
}
EMBEDDINGS = ("openai", "voyage", "jina", "cohere", "gemini", "ollama", "workers_ai")
SCHEMA = {
    "type": "object",
    "properties": {"minutes": {"type": "integer"}, "done": {"type": "boolean"}},
    "required": ["minutes", "done"],
    "additionalProperties": False,
}


def make_host() -> Host:
    return create_host(storage=MemoryStorage(), secrets=SECRETS)


def reference(server: FakeProvider, name: str) -> ModelReference:
    provider, options, _ = CHATS[name]
    return ModelReference(provider, "fake", base_url=server.base_url(provider), options=options)


@tool
def set_timer(minutes: int, label: str = "") -> str:
    """Set a kitchen timer."""
    return f"{label} in {minutes}"


@pytest.mark.parametrize("name", CHATS)
async def test_a_plain_question_is_repeated(name: str) -> None:
    with FakeProvider() as server:
        result = await Agent(model=reference(server, name)).run("Hello there.", host=make_host())

        assert (result.text, result.usage.input_tokens, result.usage.output_tokens) == ("You said: Hello there.", 11, 7)
        assert [request.format for request in server.requests] == [CHATS[name][2]]


@pytest.mark.parametrize("name", CHATS)
async def test_a_tool_is_called_with_arguments_that_fit_and_its_result_is_said(name: str) -> None:
    with FakeProvider() as server:
        result = await Agent(model=reference(server, name), tools=[set_timer]).run("eggs", host=make_host())

    assert (result.text, result.turns) == ("The tool says: eggs in 1", 2)


@pytest.mark.parametrize("name", CHATS)
async def test_a_schema_gets_json_that_fits(name: str) -> None:
    words = ""
    with FakeProvider() as server:
        request = ModelRequest((Message.user("How long?"),), output_schema=SCHEMA)
        async with aclosing(create_model(reference(server, name), make_host()).stream(request)) as stream:  # type: ignore[type-var]
            async for delta in stream:
                words += delta.text if isinstance(delta, TextDelta) else ""

    assert json.loads(words) == {"minutes": 1, "done": True}


@pytest.mark.parametrize("name", CHATS)
async def test_a_script_is_said_part_by_part(name: str) -> None:
    script = Answer.of(
        Reasoning("Hard or soft?"),
        "Two timers.",
        Call("set_timer", '{"minutes": 3, "label": "é"}'),
        Call("set_timer", '{"minutes": 3, "label": "é"}'),
    )
    with FakeProvider() as server:
        server.replies.extend([script, Answer(Answer.of("That is a lo").parts, "length", 20, 5)])
        result = await Agent(model=reference(server, name), tools=[set_timer]).run("eggs", host=make_host())

    said = result.messages[1]
    assert ([call.arguments for call in said.tool_calls], said.text) == ([script.calls[0].arguments] * 2, "Two timers.")
    assert len({call.id for call in said.tool_calls}) == 2
    assert "Hard or soft?" in [getattr(part, "text", "") for part in said.parts]
    assert (result.text, result.finish_reason, result.usage.total_tokens) == ("That is a lo", "length", 43)


@pytest.mark.parametrize("name", EMBEDDINGS)
async def test_embeddings_are_near_where_words_are_shared(name: str) -> None:
    with FakeProvider() as server:
        model = create_embeddings(ModelReference(name, "fake", base_url=server.base_url(name)), make_host())
        eggs, boiled, ship = await model.embed(["eggs", "boiled eggs", "a ship"])

    assert len(eggs) == len(ship) == 64
    near, far = (sum(a * b for a, b in zip(eggs, other, strict=True)) for other in (boiled, ship))
    assert near > 0.5 > far


async def test_faults_strike_embeddings_too() -> None:
    with FakeProvider() as server:
        server.faults.append(Fault("status", status=503))
        options = {"max_attempts": 2}
        host = replace(make_host(), clock=FakeClock())
        model = create_embeddings(ModelReference("openai", "fake", server.base_url(), options=options), host)
        vectors = await model.embed(["eggs"])
        server.faults.append(Fault("garbage"))
        with pytest.raises(WireFormatError):
            await model.embed(["eggs"])

    assert len(vectors) == 1


@pytest.mark.parametrize("name", ["openai", "anthropic", "gemini", "ollama", "workers_ai"])
async def test_the_list_of_models_has_the_shape_of_its_service(name: str) -> None:
    with FakeProvider(models=("fake", "other")) as server:
        model: Any = create_model(reference(server, name), make_host())

        assert await model.list_models() == ["fake", "other"]


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_complete_answer_is_one_piece_of_json(form: Any) -> None:
    answer = Answer.of(Reasoning("Hm."), "Words.", Call("look", '{"at": "it"}'))

    whole = form.complete(answer, Question())

    assert isinstance(json.loads(whole), dict)
    assert [word in whole for word in (b"Hm.", b"Words.", b"look", b"at")] == [True] * 4


async def test_what_the_client_closes_is_seen_with_its_time() -> None:
    with FakeProvider() as server:
        server.faults.append(Fault("silent_body", at=0.9))
        run = Agent(model=reference(server, "openai")).run("one two three", host=make_host())
        async for event in run:
            if isinstance(event, TextDelta):
                run.cancel()
        seen = await asyncio.to_thread(server.wait_for_close)

    assert (seen.closed_by, seen.is_complete) == ("client", False)
    assert seen.opened_at < seen.closed_at


async def test_scopes_keep_clients_apart() -> None:
    with FakeProvider() as server:
        server.scope("a").replies.append(Answer.of("for a"))
        server.scope("b").faults.append(Fault("status", status=401))
        texts = []
        for scope in ("a", "c"):
            agent = Agent(model=ModelReference("openai", "fake", server.base_url("openai", scope)))
            texts.append((await agent.run("?", host=make_host())).text)

        assert texts == ["for a", "You said: ?"]
        assert [len(server.scope(name).requests) for name in ("a", "b", "c", "")] == [1, 0, 1, 0]
        assert len(server.scope("b").faults) == 1


async def fetch(method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Any:
    response = await Http1Fetch()(HttpRequest(method, url, headers, body))
    data = b"".join([chunk async for chunk in response.chunks()])
    return response, data


@pytest.mark.parametrize("lets_in", [True, False])
async def test_pages_are_let_in_only_when_told(lets_in: bool) -> None:
    asked = {"origin": "http://page.example", "access-control-request-method": "POST"}
    with FakeProvider(cors=lets_in) as server:
        preflight, _ = await fetch("OPTIONS", f"{server.base_url()}/chat/completions", asked)
        answer, _ = await fetch("GET", f"{server.base_url()}/models", {"origin": "http://page.example"})

    allowed = preflight.headers.get("access-control-allow-headers", "")
    assert (preflight.status, "x-api-key" in allowed, "accept" in allowed.split(", ")) == (
        (204, True, True) if lets_in else (405, False, False)
    )
    assert answer.headers.get("access-control-allow-origin") == ("http://page.example" if lets_in else None)


def test_the_program_is_scripted_over_http_and_ends_on_a_signal() -> None:
    async def ask(address: str) -> tuple[str, Any]:
        script = {"replies": [{"parts": [{"text": "Scripted."}]}], "faults": [None, {"kind": "empty"}], "scope": "s"}
        await fetch("POST", f"{address}/-/script", {}, json.dumps(script).encode())
        model = ModelReference("anthropic", "fake", base_url=f"{address}/~s/anthropic/v1")
        result = await Agent(model=model).run("?", host=make_host())
        _, seen = await fetch("GET", f"{address}/-/seen/s", {})
        return result.text, json.loads(seen)

    words = [sys.executable, "-m", "tests.fake_provider", "--seconds", "30"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        text, seen = asyncio.run(ask(process.stdout.readline().strip()))
        process.send_signal(signal.SIGTERM)
        code = process.wait(10)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()

    assert (text, code) == ("Scripted.", 0)
    assert [request["format"] for request in seen["requests"]] == ["anthropic"]


def test_the_program_ends_with_its_parent() -> None:
    code = (
        "import subprocess, sys; words = [sys.executable, '-m', 'tests.fake_provider', '--seconds', '30']; "
        "p = subprocess.Popen(words, stdout=subprocess.PIPE); "
        "print(p.pid, p.stdout.readline().decode().strip(), flush=True)"
    )
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=20)
    pid = int(done.stdout.split()[0])
    deadline = time.monotonic() + 10

    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert not is_running(pid)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"  # nobody may be there to bury it


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "enum": ["soft", "hard"]}, "soft"),
        ({"anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "number"}, "minItems": 2}]}, [1.5, 1.5]),
        ({"type": "STRING", "maxLength": 2}, "eg"),
        ({"type": ["null", "integer"], "exclusiveMinimum": 4, "multipleOf": 5}, 5),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"const": 7}}}, 7),
        ({"allOf": [{"type": "object"}, {"properties": {"a": {"type": "null"}}}]}, {"a": None}),
    ],
    ids=["enum", "union", "capitals", "limits", "reference", "all of"],
)
def test_values_fit(schema: Mapping[str, Any], value: Any) -> None:
    assert fit(schema) == value


def test_a_schema_in_the_instructions_is_kept_to() -> None:
    asked = Question(system=f"Be brief {{really}}. Answer in JSON that fits: {json.dumps(SCHEMA)}", text="How long?")

    assert reply_to(asked) == Answer.of('{"minutes": 1, "done": true}')


async def test_faults_by_chance_are_the_same_for_the_same_seed() -> None:
    async def outcomes(seed: int) -> list[str]:
        with FakeProvider(fault_rate=0.5, seed=seed) as server:
            found = []
            for _ in range(12):
                options = {"timeout_seconds": 0.3, "max_attempts": 1}
                model = create_model(ModelReference("openai", "fake", server.base_url(), options=options), make_host())
                try:
                    async with aclosing(model.stream(ModelRequest((Message.user("?"),)))) as stream:  # type: ignore[type-var]
                        ends = [delta async for delta in stream if isinstance(delta, Finish)]
                    found.append(ends[0].finish_reason)
                except Exception as error:
                    found.append(type(error).__name__)
            return found

    first = await outcomes(3)

    assert first == await outcomes(3)
    assert len(set(first)) > 1
