"""Keys, prompts and bodies stay where they belong: planted ones are looked for in all that a run tells and leaves.

The key is in the request alone; the prompt in the request and in the history besides, which the dump and the stored
conversation are for. Errors, notices, the reports of hooks, what layers keep and what is logged have neither, nor what
a server sent beside its answer.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from limpet import Agent, Event, FetchError, Hook, Skip, event_to_wire, model, tool
from limpet.events import RunError
from limpet.layers.budget import Budget
from limpet.layers.cache import Cache
from limpet.layers.circuit_breaker import CircuitBreaker
from limpet.layers.hedge import Hedge
from limpet.layers.rate_limit import RateLimit
from limpet.layers.retry import Retry
from limpet.providers.scripted import ScriptedModel, call_tool
from limpet.stores.memory import MemoryStorage
from tests.fakes.fetch import FakeFetch, FakeResponse
from tests.fakes.host import make_host
from tests.fakes.reading import read_into
from tests.providers.test_keys import inside, texts_of

KEY = "sk-planted-0123456789"
PROMPT = "planted prompt of a person"
BODY = "planted words of a server"
ECHO = f"{KEY} {PROMPT} {BODY}"
ERROR = json.dumps({"error": {"message": ECHO, "code": ECHO, "type": ECHO, "status": ECHO, "param": ECHO}, "x": ECHO})

MODELS: Mapping[str, dict[str, Any]] = {
    "openai:gpt-5-mini": {},
    "openai:gpt-5": {"api": "responses"},
    "anthropic:claude-sonnet-4-5": {},
    "gemini:gemini-2.5-flash": {},
    "vertex:gemini-2.5-flash": {"project": "kitchen"},
    "ollama:qwen3": {},
    "cohere:command-a": {},
    "bedrock:amazon.nova-lite-v1:0": {},
    "workers_ai:@cf/meta/llama-3.1-8b-instruct": {"account_id": "kitchen"},
    "mistral:mistral-small-latest": {},
}
SECRETS = dict.fromkeys(
    (
        *("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "COHERE_API_KEY", "MISTRAL_API_KEY"),
        *("GOOGLE_ACCESS_TOKEN", "CLOUDFLARE_API_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ),
    KEY,
)


def answer(text: str, status: int = 200) -> FakeResponse:
    return FakeResponse([text.encode()], status, {"www-authenticate": ECHO, "retry-after": ECHO, "x-request-id": ECHO})


SITUATIONS: dict[str, Any] = {
    **{
        f"status {status}": lambda status=status: answer(ERROR, status)
        for status in (302, 400, 401, 404, 413, 429, 500)
    },
    "an error in plain words": lambda: answer(ECHO, 400),
    "an error within the stream": lambda: answer(f"event: error\ndata: {ERROR}\n\n"),
    "an error as a line": lambda: answer(f"{ERROR}\n"),
    "a web page": lambda: answer(f"<html>{ECHO}"),
    "a broken frame": lambda: answer(f"data: {{{ECHO}\n\n"),
    "half an answer": lambda: answer(ERROR[:-3]),
    "no characters": lambda: FakeResponse([b"data: \xff", ECHO.encode(), b"\xfe\n\n"]),
    "cut off": lambda: FakeResponse([ECHO.encode(), FetchError("as the test says", kind="reset")]),
    "unreachable": lambda: FetchError("as the test says", kind="unreachable"),
}


def layers() -> list[Any]:
    return [
        Budget(max_tokens=100_000, max_cost=10, prices={"": next(iter(Budget().prices.values()))}),
        Cache(),
        Hedge(5.0),
        CircuitBreaker(1),
        RateLimit(requests_per_minute=2, tokens_per_minute=100_000, max_wait_seconds=0),
        Retry(max_attempts=2),
    ]


@dataclass
class Careful(Hook):
    """Has a look at everything and changes nothing."""

    looked: int = 0

    def before_model(self, context: Any, request: Any) -> None:
        self.looked += 1

    async def on_delta(self, context: Any, delta: Any) -> None:
        self.looked += 1

    def after_model(self, context: Any, message: Any) -> None:
        self.looked += 1


def found(texts: list[str], *secrets: str) -> list[str]:
    return [text for text in texts for secret in secrets if secret in text]


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("name", MODELS)
async def test_what_a_server_sends_instead_of_an_answer_is_told_to_nobody(
    name: str, situation: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fetch, storage = FakeFetch(*(SITUATIONS[situation]() for _ in range(9))), MemoryStorage()
    host = make_host(fetch=fetch, storage=storage, secrets=SECRETS)
    hook = Careful()
    agent = Agent(model(name, **MODELS[name]), hooks=[hook], layers=layers())
    events: list[Event] = []

    for conversation_id in "ab":  # the second finds the breaker open, or its turn taken
        run = agent.run(PROMPT, host=host, conversation_id=conversation_id)
        error = await read_into(run, events)

        assert isinstance(events[-1], RunError)
        dump, told = json.dumps(run.dump()), [repr(event) for event in events]
        told += [json.dumps(event_to_wire(event, id=0, run_id="r")) for event in events]
        told += [*texts_of(error), repr(run), repr(agent), *capsys.readouterr(), caplog.text]
        told += [repr(request) for request in fetch.sent]
        assert found(told, KEY, PROMPT, BODY) == []
        assert found([dump, inside(run)], KEY, BODY) == []
        assert PROMPT in dump
    assert hook.looked == 2
    stored = {key: repr(await storage.get(key)) for key in await storage.keys()}
    assert sorted(stored) == ["conversations/a", "conversations/b"]
    assert found(list(stored.values()), KEY, BODY) == []
    assert PROMPT.encode() in (fetch.sent[0].body or b"")


async def test_a_cache_keeps_the_answer_and_of_the_question_its_digest() -> None:
    good = b'data: {"choices":[{"index":0,"delta":{"content":"Hello."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    fetch, storage = FakeFetch(FakeResponse([good])), MemoryStorage()
    host = make_host(fetch=fetch, storage=storage, secrets=SECRETS)
    budget = Budget(max_cost=10)
    agent = Agent(model("openai:gpt-5-mini"), layers=[budget, Cache()], instructions=f"{PROMPT} {BODY}")

    results = [await agent.run(PROMPT, host=host) for _ in range(2)]

    assert [result.text for result in results] == ["Hello."] * 2
    [key] = await storage.keys("cache/")
    kept = [key, repr(await storage.get(key)), repr(budget)]
    assert "Hello." in kept[1]
    assert found(kept, KEY, PROMPT, BODY) == []


@pytest.mark.parametrize("point", ["before_model", "on_delta", "after_model", "before_tool", "after_tool"])
async def test_what_a_hook_stumbles_over_is_told_by_its_kind_alone(point: str) -> None:
    @tool
    def add(a: int) -> int:
        """Add."""
        return a

    def stumble(*values: Any) -> None:
        raise ValueError(f"{ECHO} {values}")

    hook = Careful()
    setattr(hook, point, stumble)
    scripted = ScriptedModel([call_tool("add", a=1)])
    events: list[Event] = []
    error = await read_into(Agent(scripted, [add], hooks=[hook]).run(PROMPT, host=make_host()), events)

    text = f"the hook Careful failed in {point}: ValueError"
    assert events[-1] == RunError("HookError", text)
    assert (str(error), repr(error), vars(error)) == (
        text,
        f"HookError({text!r})",
        {"message": text, "hook": "Careful"},
    )


async def test_an_answer_or_a_call_that_does_not_fit_is_told_without_its_words() -> None:
    @tool
    def add(a: int) -> int:
        """Add."""
        return a

    replies = [call_tool("add", a=BODY), f'{{"value": "{BODY}"}}', f"{BODY}: 3"]
    agent = Agent(ScriptedModel(replies), [add], output_type=int, output_mode="prompted", hooks=[Careful()])
    run = agent.run(PROMPT, host=make_host())
    events: list[Event] = []
    error = await read_into(run, events)

    assert isinstance(events[-1], RunError)
    assert events[-1].name == "OutputError"
    told = [repr(event) for event in events if event.type in ("run_error", "tool_result")]
    assert len(told) == 2
    assert found([*told, *texts_of(error), *texts_of(run.failures["add-1"])], PROMPT, BODY) == []


async def test_a_reason_that_a_hook_gives_is_told_as_it_is() -> None:
    hook = Careful()
    hook.before_model = lambda *_: Skip("we are closed")  # type: ignore[method-assign,assignment,misc]
    events: list[Event] = []

    await read_into(Agent(ScriptedModel([]), hooks=[hook]).run(PROMPT, host=make_host()), events)

    assert found([repr(event) for event in events], "we are closed") != []
    assert found([repr(event) for event in events], PROMPT) == []
