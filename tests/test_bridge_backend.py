"""Local models in a page, as Python sees them: what JavaScript says, turned into our values and errors."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib import import_module
from typing import Any

import pytest

from limpet.errors import ContextLengthError, ModelTooBigError, ModelUnavailableError

pytestmark = pytest.mark.skipif(sys.platform != "emscripten", reason="the bridge is JavaScript's")

MODELS_URL = "https://site.test/models/"
PROFILE = {
    "execution_provider": "wasm",
    "threads": 2,
    "cores": 8,
    "is_isolated": True,
    "has_simd": True,
    "gpu": {"name": "google swiftshader", "is_fallback": True},
    "memory": {"device_bytes": 8e9, "allocation_bytes": 2e9, "budget_bytes": 1_500_000_000},
    "speeds": [
        {"execution_provider": "wasm", "threads": 1, "tokens_per_second": 100.5},
        {"execution_provider": "wasm", "threads": 2, "tokens_per_second": 180},
        {"execution_provider": "webgpu", "threads": 2, "tokens_per_second": 90},
    ],
}

BRIDGE = """(answers, asked) => {
    const note = (method, url) => { asked.push(`${method} ${url}`); return answers[method]; };
    const promise = (answer) => typeof answer === "object"
        ? Promise.reject(Object.assign(new Error(answer.message), answer))
        : Promise.resolve(answer);
    const job = (answer) => ({ promise: promise(answer), abort() {} });
    const load = (method) => (url, ...rest) => {
        const answer = note(method, url);
        rest.at(-1)("download", "model.onnx", 1, 2);
        return job(answer);
    };
    return {
        availability: (url) => promise(note("availability", url)),
        describe: (url) => promise(note("describe", url)),
        load: load("load"),
        download: load("download"),
        remove: (url) => promise(note("remove", url)),
        list: () => promise(note("list", "")),
        storage: () => promise(note("storage", "")),
        device: () => promise(note("device", "")),
    };
}"""


def make_backend(**answers: object) -> tuple[Any, Any]:
    js = import_module("pyodide.code").run_js(BRIDGE)
    to_js = import_module("pyodide.ffi").to_js
    asked = import_module("js").Array.new()
    given = to_js(answers, dict_converter=import_module("js").Object.fromEntries)
    backend_class = import_module("limpet.hosts.browser").BridgeBackend
    return backend_class(js(given, asked), MODELS_URL, allow_download=False, threads=None), asked


async def test_a_download_tells_its_progress_and_loads_nothing() -> None:
    backend, asked = make_backend(download=None)
    seen: list[tuple[object, ...]] = []

    await backend.download("tiny", lambda *step: seen.append(step))

    assert seen == [("download", "model.onnx", 1, 2)]
    assert asked.to_py() == [f"download {MODELS_URL}tiny/"]


@pytest.mark.parametrize("method", ["load", "download"])
async def test_a_model_that_does_not_fit_says_the_numbers(method: str) -> None:
    too_big = {
        "kind": "too_big",
        "message": "tiny needs 300 MB of memory, this device gives 200 MB",
        "details": {"needed": 300_000_000, "available": 200_000_000},
    }
    backend, _ = make_backend(**{method: too_big})

    with pytest.raises(ModelTooBigError) as caught:
        await getattr(backend, method)("tiny", lambda *_: None)

    error = caught.value
    assert error.message == "local:tiny: tiny needs 300 MB of memory, this device gives 200 MB"
    assert (error.resource, error.needed_bytes, error.available_bytes) == ("memory", 300_000_000, 200_000_000)
    assert (error.provider, error.model, error.is_retryable) == ("local", "tiny", False)


async def test_more_tokens_than_the_context_are_told_as_such() -> None:
    too_long = {"kind": "too_long", "message": "41 tokens do not fit into the context of 40", "details": {}}
    backend, _ = make_backend(load=too_long)

    with pytest.raises(ContextLengthError, match="local:tiny: 41 tokens do not fit into the context of 40"):
        await backend.load("tiny", lambda *_: None)


@pytest.mark.parametrize(("details", "available"), [({"needed": 5, "available": 3}, 3), ({"needed": 5}, None)])
async def test_a_full_store_says_the_numbers_it_knows(details: dict[str, int], available: int | None) -> None:
    quota = {"kind": "quota", "message": "0.0 MB are needed in the store", "details": details}
    backend, _ = make_backend(download=quota)

    with pytest.raises(ModelTooBigError, match="free some space for this site") as caught:
        await backend.download("tiny", lambda *_: None)

    assert (caught.value.resource, caught.value.needed_bytes) == ("storage", 5)
    assert caught.value.available_bytes == available


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("out_of_memory", "there is not enough memory for it; close other tabs"),
        ("quota", "there is not enough room for it"),
        ("device_lost", "it failed in the runtime (device_lost)"),
    ],
)
async def test_other_failures_are_told_in_words(kind: str, says: str) -> None:
    backend, _ = make_backend(load={"kind": kind, "message": "m", "details": {}})

    with pytest.raises(ModelUnavailableError) as caught:
        await backend.load("tiny", lambda *_: None)

    assert type(caught.value) is ModelUnavailableError
    assert says in caught.value.message


async def test_the_models_of_this_site_are_listed() -> None:
    model = {"id": "x", "size_bytes": 30, "stored_bytes": 20, "is_complete": False, "used_at": 1500}
    models = [{**model, "url": f"{MODELS_URL}tiny/"}, {**model, "url": "https://site.test/others/needle/"}]
    backend, _ = make_backend(list=json.dumps(models))

    assert await backend.cached() == [
        {"model_id": "tiny", "size_bytes": 30, "stored_bytes": 20, "is_complete": False, "used_at": 1.5}
    ]


async def test_a_device_is_told_in_few_words() -> None:
    backend, _ = make_backend(device=json.dumps(PROFILE))

    assert await backend.device() == {
        "execution_provider": "wasm",
        "threads": 2,
        "cores": 8,
        "is_isolated": True,
        "has_simd": True,
        "gpu": None,
        "memory_bytes": 1_500_000_000,
        "probe_tokens_per_second": 180,
    }
    real = {**PROFILE, "gpu": {"name": "nvidia ampere", "is_fallback": False}, "speeds": []}
    device = await make_backend(device=json.dumps(real))[0].device()
    assert (device["gpu"], device["probe_tokens_per_second"]) == ("nvidia ampere", None)
    assert await make_backend(device="null")[0].device() is None


async def test_a_model_that_is_deleted_is_opened_anew() -> None:
    backend, asked = make_backend(remove=None)

    await backend.delete("tiny")

    assert asked.to_py() == [f"remove {MODELS_URL}tiny/"]


async def test_the_worker_answers_for_the_models_of_its_device() -> None:
    storage = {"store": "memory", "usage_bytes": None, "quota_bytes": None, "is_persisted": False}
    failure = {"kind": "closed", "message": "m", "details": {}}
    backend, _ = make_backend(list="[]", storage=json.dumps(storage), device="null", remove=failure)
    worker_module = import_module("limpet.entrypoints.web_worker")
    reports: list[dict[str, Any]] = []
    is_answered = asyncio.Event()

    def post(report: str) -> None:
        reports.append(json.loads(report))
        if len(reports) == 3:
            is_answered.set()

    worker = worker_module.WebWorker(object(), post, {})
    started = type("Started", (), {"inference": backend})()
    worker._started.set_result(started)

    for command in ({"type": "models"}, {"type": "device"}, {"type": "delete_model", "model_id": "tiny"}):
        worker.receive(json.dumps({"request_id": command["type"], **command}))
    await asyncio.wait_for(is_answered.wait(), 10)

    failed = {
        "name": "ModelUnavailableError",
        "message": "local:tiny: it failed in the runtime (closed)",
        "is_retryable": True,
    }
    assert sorted(reports, key=lambda report: str(report["request_id"])) == [
        {"type": "done", "request_id": "delete_model", "error": failed},
        {"type": "device", "request_id": "device", "device": None},
        {"type": "models", "request_id": "models", "models": [], "storage": storage},
    ]
