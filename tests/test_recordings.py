"""Every recording: what we send is asserted, and what we make of the answer, fed whole, by line and by byte."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from limpet.errors import ModelError
from limpet.events import TextDelta
from limpet.model import Delta, ModelReference, ModelRequest
from limpet.providers import create_model
from tests.fakes.fetch import FakeFetch
from tests.fakes.host import make_host
from tests.recordings import FEEDINGS, FOLDER, Feeding, Recording, delta_to_json, find_recordings, number_ids
from tests.recordings.conversations import CONVERSATIONS
from tests.suites.format_suite import (
    ASKS_FOR_PROBABILITIES,
    FORMAT_SCENARIOS,
    Exchange,
    FormatScenario,
    check_exchange,
)
from tests.suites.model_suite import ERRAND, QUESTION, SCENARIOS, Prepared, Scenario, run_scenario, scenario_id
from tests.suites.stream_grammar import assert_stream

MODELS = {
    "openai": ModelReference("openai", "gpt-5-mini"),
    "openai_compatible": ModelReference("openai_compatible", "qwen3-8b", base_url="http://127.0.0.1:8000/v1"),
    "ollama": ModelReference("ollama", "qwen3:8b"),
    "openrouter": ModelReference("openrouter", "anthropic/claude-sonnet-4"),
    "openai_responses": ModelReference("openai", "gpt-5-mini", options={"api": "responses"}),
    "azure": ModelReference("azure", "my-deployment", options={"resource": "kitchen", "api_version": "2024-10-21"}),
    "anthropic": ModelReference("anthropic", "claude-sonnet-4-5"),
    "cohere": ModelReference("cohere", "command-a-03-2025"),
    "bedrock": ModelReference("bedrock", "amazon.nova-lite-v1:0", options={"region": "eu-central-1"}),
    "workers_ai": ModelReference("workers_ai", "@cf/meta/llama-3.3-70b-instruct-fp8-fast"),
    "gemini": ModelReference("gemini", "gemini-3-flash-preview"),
    "vertex": ModelReference("vertex", "gemini-2.5-flash", options={"project": "kitchen", "location": "us-central1"}),
    "vertex_claude": ModelReference("vertex", "claude-sonnet-4-5@20250929", options={"project": "kitchen"}),
}
"""The model that each folder's recordings were made with; a folder is a provider, or a provider and a variant."""
FORMATS: dict[str, dict[str, str]] = {
    "openai_compatible": {},
    "openai_responses": {},
    "anthropic": {"log_probabilities": "Anthropic tells no probabilities"},
    "gemini": {
        "arguments_in_many_deltas": "the arguments come whole, with their call",
        "arguments_empty": "the arguments are an object, never a text",
    },
    "ollama": {
        "refusal": "Ollama's models refuse in plain words only",
        "citations": "Ollama looks nothing up",
        "cached_tokens": "Ollama counts what it has read, not what it kept",
        "reasoning_tokens": "Ollama counts thoughts with the answer",
    },
    "cohere": {
        "refusal": "no reason to finish of Cohere's version 2 tells a refusal",
        "reasoning_tokens": "Cohere counts thoughts with the answer",
    },
    "bedrock": {
        "log_probabilities": "Converse tells no probabilities",
        "reasoning_tokens": "Converse counts thoughts with the answer",
    },
    "workers_ai": {
        "refusal": "models of Workers AI refuse in plain words only",
        "citations": "Workers AI looks nothing up",
    },
}
"""One folder for each wire format, which must pass all scenarios of both suites; those that it can't be in, and why."""
SECRETS = {
    "OPENAI_API_KEY": "KEY",
    "OPENROUTER_API_KEY": "KEY",
    "OPENAI_COMPATIBLE_API_KEY": "KEY",
    "AZURE_OPENAI_API_KEY": "KEY",
    "ANTHROPIC_API_KEY": "KEY",
    "GEMINI_API_KEY": "KEY",
    "GOOGLE_ACCESS_TOKEN": "KEY",
    "COHERE_API_KEY": "KEY",
    "AWS_BEARER_TOKEN_BEDROCK": "KEY",
    "CLOUDFLARE_API_TOKEN": "KEY",
    "CLOUDFLARE_ACCOUNT_ID": "ACCOUNT",
}
REQUESTS = {
    **{scenario.name: scenario.request for scenario in SCENARIOS},
    **{scenario.name: scenario.request for scenario in FORMAT_SCENARIOS},
    "calls_without_index_or_id": ERRAND,
    **CONVERSATIONS,
}
"""What is asked, by the name of the recording; the plain question where nothing is said."""
PROVIDERS = tuple(MODELS)
RECORDINGS = [recording for provider in PROVIDERS for recording in find_recordings(provider)]
BY_NAME = {(recording.provider, recording.name): recording for recording in RECORDINGS}


def make_fetch(
    recording: Recording,
    feeding: Feeding | Sequence[int],
    *,
    check: bool = True,
    change: Callable[[bytes], bytes] = bytes,
) -> FakeFetch:
    expected = recording.request if check else None
    return FakeFetch(*((expected, response) for response in recording.responses(feeding, change)))


def make_model(recording: Recording, fetch: FakeFetch, options: Mapping[str, object] | None = None) -> Any:
    ids = number_ids()
    host = replace(make_host(fetch=fetch, secrets=SECRETS), new_id=lambda: next(ids))
    reference = MODELS[recording.provider]
    # Word for word the answers would stand twice in what is expected.
    return create_model(replace(reference, options={**reference.options, "raw_events": False, **(options or {})}), host)


def request_for(recording: Recording) -> ModelRequest:
    """Give what is asked in a recording."""
    request: ModelRequest = REQUESTS.get(recording.name, QUESTION)
    is_about_probabilities = recording.name == "log_probabilities"
    return replace(request, extra=ASKS_FOR_PROBABILITIES[recording.provider]) if is_about_probabilities else request


async def record(
    recording: Recording,
    feeding: Feeding | Sequence[int],
    *,
    check: bool = True,
    change: Callable[[bytes], bytes] = bytes,
    options: Mapping[str, object] | None = None,
) -> tuple[list[Any], FakeFetch]:
    """Play a recording, `change`d before it is cut; give what came out, as JSON, and the fetch that was used."""
    fetch = make_fetch(recording, feeding, check=check, change=change)
    model = make_model(recording, fetch, options or {})
    request = request_for(recording)
    deltas: list[Delta] = []
    error: list[Any] = []
    async with asyncio.timeout(20):
        try:
            async with aclosing(model.stream(request)) as stream:
                async for delta in stream:
                    deltas.append(delta)
                    if recording.name.endswith("_half_way") and isinstance(delta, TextDelta):
                        break
        except ModelError as failure:
            error = [{"type": "error", "name": type(failure).__name__, "message": failure.message}]
    assert_stream(deltas, is_whole=not error and not recording.name.endswith("_half_way"))
    return [delta_to_json(delta) for delta in deltas] + error, fetch


@pytest.mark.parametrize("feeding", FEEDINGS)
@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: f"{recording.provider}-{recording.name}")
async def test_recording_gives_the_expected_deltas(recording: Recording, feeding: Feeding) -> None:
    result, fetch = await record(recording, feeding)

    assert result == recording.expected
    fetch.assert_done()


@pytest.mark.parametrize("feeding", FEEDINGS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=scenario_id)
@pytest.mark.parametrize("folder", FORMATS)
async def test_model_suite_every_format(folder: str, scenario: Scenario, feeding: Feeding) -> None:
    async def prepare(scenario: Scenario) -> Prepared:
        recording = BY_NAME[folder, scenario.name]
        fetch = make_fetch(recording, feeding)
        return Prepared(make_model(recording, fetch), lambda: all(response.is_closed for response in fetch.responses))

    await run_scenario(scenario, prepare, skips=FORMATS[folder])


@pytest.mark.parametrize("scenario", FORMAT_SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("folder", FORMATS)
async def test_format_suite(folder: str, scenario: FormatScenario) -> None:
    recording = BY_NAME.get((folder, scenario.recording or scenario.name))
    exchange = None
    if recording is not None:
        fetch = make_fetch(recording, "by byte")
        model = make_model(recording, fetch)
        async with asyncio.timeout(20), aclosing(model.stream(request_for(recording))) as stream:
            deltas = [delta async for delta in stream]
        exchange = Exchange((fetch.sent[0].body or b"").decode(), deltas)

    check_exchange(scenario, exchange, FORMATS[folder])


OTHERS = [
    (folder, scenario)
    for folder in MODELS
    for scenario in SCENARIOS
    if folder not in FORMATS and (folder, scenario.name) in BY_NAME
]


@pytest.mark.parametrize(
    ("folder", "scenario"), OTHERS, ids=[f"{folder}-{scenario.name}" for folder, scenario in OTHERS]
)
async def test_model_suite_other_providers(folder: str, scenario: Scenario) -> None:
    async def prepare(scenario: Scenario) -> Prepared:
        recording = BY_NAME[folder, scenario.name]
        return Prepared(make_model(recording, make_fetch(recording, "by byte")))

    await run_scenario(scenario, prepare)


def test_each_provider_has_recordings() -> None:
    folders = {path.name for path in FOLDER.iterdir() if path.is_dir() and not path.name.startswith("__")}

    assert {recording.provider for recording in RECORDINGS} == set(MODELS) == folders


@pytest.mark.parametrize("folder", FORMATS)
def test_each_format_has_every_scenario(folder: str) -> None:
    recorded = {name for provider, name in BY_NAME if provider == folder}

    assert {scenario.name for scenario in SCENARIOS} - set(FORMATS[folder]) <= recorded


KEY_SHAPES = re.compile(
    rb"\b(sk|pk|rk|gsk|xai|hf|ghp|key)[-_][A-Za-z0-9_-]{12,}|AIza[\w-]{20,}|Bearer (?!KEY\b)\S+", re.IGNORECASE
)


def test_no_recording_holds_a_key() -> None:
    files = [path for path in FOLDER.rglob("*") if path.is_file() and path.suffix in (".json", ".txt")]

    found = [path.relative_to(FOLDER) for path in files if KEY_SHAPES.search(path.read_bytes())]

    assert len(files) >= 3 * len(RECORDINGS)
    assert found == []


@pytest.mark.parametrize(
    "text", [b"sk-proj-0123456789abcdef", b'"authorization": "Bearer eyJhbGciOi"', b"AIzaSyA-0123456789_abcdefgh"]
)
def test_the_search_for_keys_knows_one(text: bytes) -> None:
    assert KEY_SHAPES.search(text) is not None
