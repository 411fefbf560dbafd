"""A key is sent to its provider and is nowhere else: a planted one is looked for in all that comes out."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from limpet import Agent, AgentError, FetchError, Host, ModelReference, event_to_wire
from limpet.providers import create_model
from limpet.run import Run
from limpet.stores.memory import MemoryStorage
from tests.fakes.fetch import FakeFetch, FakeResponse
from tests.fakes.host import make_host

KEY = "sk-planted-0123456789"
ECHO = {"error": {"message": f"bad key {KEY}", "code": KEY, "type": f"type {KEY}", "param": KEY}}
GOOD = b'data: {"choices":[{"index":0,"delta":{"content":"Hello."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def body(status: int) -> FakeResponse:
    return FakeResponse([json.dumps(ECHO).encode()], status, {"www-authenticate": KEY, "retry-after": KEY})


SITUATIONS: dict[str, list[Any]] = {
    "a good answer": [FakeResponse([GOOD])],
    "a good answer after a retry": [body(503), FakeResponse([GOOD])],
    **{f"status {status}": [body(status)] * 3 for status in (302, 400, 401, 402, 403, 404, 413, 429, 500)},
    "an error within the stream": [FakeResponse([b"data: " + json.dumps(ECHO).encode() + b"\n\n"])] * 3,
    "a broken frame": [FakeResponse([f"data: {{{KEY}\n\n".encode()])],
    "a web page": [FakeResponse([f"<html>{KEY}".encode()])],
    "a broken answer": [FakeResponse([json.dumps(ECHO).encode()[:-3]])],
    **{
        f"fetch fails: {kind}": [FetchError("as the test says", kind=kind)] * 3
        for kind in ("offline", "unreachable", "cors", "timeout", "reset")
    },
}


def texts_of(error: BaseException | None) -> Iterator[str]:
    """Give all that an error and those behind it would show, whoever prints it."""
    while error is not None:
        yield from (str(error), repr(error), repr(error.args), repr(error.__dict__))
        yield "".join(traceback.format_exception(error))
        error = error.__cause__ or error.__context__


def inside(run: Run) -> str:
    """Give what stands in all of a run's own fields, as whoever looks into it would see it."""
    names = [name for name in Run.__slots__ if not name.startswith("__") and hasattr(run, name)]
    assert len(names) > 5
    return repr({name: getattr(run, name) for name in names})


@pytest.mark.parametrize("exchanges", SITUATIONS.values(), ids=SITUATIONS.keys())
async def test_the_key_is_in_the_request_and_nowhere_else(
    exchanges: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    fetch, storage = FakeFetch(*exchanges), MemoryStorage()
    host = make_host(fetch=fetch, storage=storage, secrets={"OPENAI_API_KEY": KEY})
    run = Agent(model="openai:gpt-5-mini").run("Hello.", host=host, conversation_id="c")
    seen = [json.dumps(run.dump())]

    try:
        async for event in run:
            seen += [repr(event), json.dumps(event_to_wire(event, id=0, run_id="r")), json.dumps(run.dump())]
    except AgentError as error:
        seen += texts_of(error)

    seen += [repr(run), inside(run), json.dumps(run.dump()), *capsys.readouterr()]
    seen += [repr(await storage.get(key)) for key in await storage.keys()]
    seen += [repr(request) for request in fetch.sent]
    assert fetch.sent[0].headers["authorization"] == f"Bearer {KEY}"
    assert len(seen) > 6
    assert [text for text in seen if KEY in text] == []


@pytest.mark.parametrize("key", [f"{KEY}\n{KEY}", f"{KEY} é", f"{KEY}\r\nx-header: 1", f"{KEY}\0"])
async def test_a_key_that_cannot_be_sent_is_in_no_error(key: str) -> None:
    host = make_host(fetch=FakeFetch(), secrets={"OPENAI_API_KEY": key})

    with pytest.raises(AgentError) as caught:
        await Agent(model="openai:gpt-5-mini").run("Hello.", host=host)

    assert [text for text in texts_of(caught.value) if KEY in text] == []


def test_no_object_of_ours_shows_or_keeps_the_key() -> None:
    host: Host = make_host(secrets={"OPENAI_API_KEY": KEY})

    model = create_model(ModelReference("openai", "gpt-5-mini"), host)

    assert model.info.is_configured
    assert KEY not in repr(model) + repr(model.info)
