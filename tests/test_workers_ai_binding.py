"""Workers AI over a Worker's binding: its recordings again, with streams and responses of a real JavaScript engine."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from limpet.errors import AuthenticationError, FetchError, ModelUnavailableError, RateLimitError
from limpet.events import TextDelta
from limpet.host import HttpRequest, HttpResponse
from limpet.model import Delta, Finish
from limpet.protocols.workers_ai import BINDING_URL
from limpet.providers import create_model
from tests.fakes.fetch import FakeResponse
from tests.fakes.host import make_host, refuse_fetch
from tests.recordings import FEEDINGS, Feeding, Recording
from tests.suites.model_suite import ANSWER, QUESTION, SCENARIOS, Prepared, Scenario, run_scenario, scenario_id
from tests.test_recordings import FORMATS, MODELS, REQUESTS

pytestmark = pytest.mark.skipif(sys.platform != "emscripten", reason="a binding is a JavaScript object")

REFERENCE = MODELS["workers_ai"]
ANSWER_WITH = """
(status, headers, pieces, hangs) => {
  const answer = { isCancelled: false };
  const body = new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      if (!hangs) controller.close();
    },
    cancel() { answer.isCancelled = true; },
  });
  answer.response = new Response(body, { status, headers: JSON.parse(headers) });
  return answer;
}
"""
REJECT_WITH = """
(name, message) => { const error = new Error(message); error.name = name; return Promise.reject(error); }
"""


class FakeAi:
    """`env.AI`: answers with what it was given, as a response or, like older ones, as a stream."""

    def __init__(self, *answers: FakeResponse, gives: str = "response") -> None:
        self._answers = list(answers)
        self._gives = gives
        self.asked: list[tuple[str, Any, Any]] = []
        self.made: list[Any] = []

    def run(self, model: str, inputs: Any, options: Any) -> Any:
        import js  # type: ignore[import-not-found]
        from pyodide.code import run_js  # type: ignore[import-not-found]
        from pyodide.ffi import to_js  # type: ignore[import-not-found]

        self.asked.append((model, inputs.to_py(), options.to_py()))
        answer = self._answers.pop(0)
        pieces = [piece for piece in answer.pieces if isinstance(piece, bytes)]
        hangs = len(pieces) < len(answer.pieces)
        made = run_js(ANSWER_WITH)(answer.status, json.dumps(dict(answer.headers)), to_js(pieces), hangs)
        self.made.append(made)
        return js.Promise.resolve(made.response if self._gives == "response" else made.response.body)


class GivenAi:
    """`env.AI` that gives a certain promise."""

    def __init__(self, promise: Any) -> None:
        self._promise = promise

    def run(self, model: str, inputs: Any, options: Any) -> Any:
        return self._promise


def make_model(ai: Any, **options: object) -> Any:
    from limpet.hosts.workers_ai_binding import WorkersAIFetch

    fetch = WorkersAIFetch(ai, base_url=BINDING_URL, elsewhere=refuse_fetch)
    host = make_host(fetch=fetch, base_urls={"workers_ai": BINDING_URL})
    return create_model(replace(REFERENCE, options=options), host)


async def ask(model: Any) -> list[Delta]:
    async with asyncio.timeout(20):
        return [delta async for delta in model.stream(QUESTION)]


@pytest.mark.parametrize("feeding", FEEDINGS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=scenario_id)
async def test_model_suite_over_the_binding(scenario: Scenario, feeding: Feeding) -> None:
    async def prepare(scenario: Scenario) -> Prepared:
        return Prepared(make_model(FakeAi(*Recording("workers_ai", scenario.name).responses(feeding))))

    await run_scenario(scenario, prepare, skips=FORMATS["workers_ai"])


async def test_the_binding_is_asked_as_the_rest_interface_is_and_without_a_key() -> None:
    recording = Recording("workers_ai", "two_tool_calls")
    ai = FakeAi(*recording.responses("whole"))

    async for _ in make_model(ai).stream(REQUESTS["two_tool_calls"]):
        pass

    assert ai.asked == [(REFERENCE.name, recording.request.json, {"returnRawResponse": True})]
    assert make_model(ai).info.is_configured


async def test_an_older_binding_gives_the_bare_stream() -> None:
    deltas = await ask(make_model(FakeAi(*Recording("workers_ai", "plain_text").responses("by line"), gives="stream")))

    assert "".join(delta.text for delta in deltas if isinstance(delta, TextDelta)) == ANSWER


async def test_a_complete_answer_is_an_object_without_an_envelope() -> None:
    import js
    from pyodide.code import run_js

    usage = {"prompt_tokens": 21, "completion_tokens": 6}
    answer = run_js(f"({json.dumps({'response': ANSWER, 'usage': usage})})")

    deltas = await ask(make_model(GivenAi(js.Promise.resolve(answer))))

    assert TextDelta("text-0", ANSWER) in deltas
    assert isinstance(deltas[-1], Finish)
    assert (deltas[-1].finish_reason, deltas[-1].usage.output_tokens) == ("stop", 6)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("5007: No such model @cf/x or task", ModelUnavailableError),
        ("3036: You have used up your daily free allocation", RateLimitError),
        ("3023: Service unavailable for account", AuthenticationError),
        ("upstream connect error", ModelUnavailableError),
    ],
)
async def test_what_the_binding_throws_has_the_class_of_its_code(message: str, error: type[Exception]) -> None:
    from pyodide.code import run_js

    model = make_model(GivenAi(run_js(REJECT_WITH)("InferenceUpstreamError", message)), max_attempts=1)

    with pytest.raises(error) as caught:
        await ask(model)

    assert type(caught.value) is error


async def test_closing_the_stream_cancels_that_of_the_binding() -> None:
    ai = FakeAi(*Recording("workers_ai", "closed_half_way").responses("whole"))

    async with asyncio.timeout(20), aclosing(make_model(ai).stream(QUESTION)) as stream:
        async for delta in stream:
            if isinstance(delta, TextDelta):
                break
    await asyncio.sleep(0.01)  # JavaScript has to have its turn

    assert ai.made[0].isCancelled


async def test_a_binding_that_is_silent_is_given_up() -> None:
    from pyodide.code import run_js

    never = run_js("new Promise(() => undefined)")
    hanging = FakeAi(*Recording("workers_ai", "closed_half_way").responses("whole"))

    with pytest.raises(ModelUnavailableError, match="silent"):
        await ask(make_model(GivenAi(never), timeout_seconds=0.02, max_attempts=1))
    with pytest.raises(ModelUnavailableError, match="silent"):
        await ask(make_model(hanging, timeout_seconds=0.02, max_attempts=1))


async def test_an_answer_that_comes_after_it_was_given_up_is_cancelled() -> None:
    from pyodide.code import run_js

    made = run_js(ANSWER_WITH)(200, "{}", run_js("[]"), True)
    pending = run_js(
        "(() => { let give; const promise = new Promise((it) => { give = it; }); return { promise, give }; })()"
    )

    with pytest.raises(ModelUnavailableError, match="silent"):
        await ask(make_model(GivenAi(pending.promise), timeout_seconds=0.02, max_attempts=1))
    pending.give(made.response)
    await asyncio.sleep(0.01)  # JavaScript has to have its turn

    assert made.isCancelled


async def test_other_addresses_are_asked_elsewhere() -> None:
    from limpet.hosts.workers_ai_binding import WorkersAIFetch

    async def elsewhere(request: HttpRequest, /) -> HttpResponse:
        raise FetchError(request.url, kind="offline")

    fetch = WorkersAIFetch(FakeAi(), base_url=BINDING_URL, elsewhere=elsewhere)

    with pytest.raises(FetchError, match=r"https://example\.com/run/x"):
        await fetch(HttpRequest("POST", "https://example.com/run/x"))
