"""What a wire format must carry beside the scenarios of every model: each is a recording of that name, or a named skip.

The recording itself says delta by delta what comes out. Here stands what all formats have in common: that a picture is
sent, that sources and probabilities come through, that tokens are counted the same way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import pytest

from limpet.messages import ImagePart, Message, TextPart
from limpet.model import Delta, Finish, ModelRequest
from tests.suites.model_suite import ANSWER, ERRAND, QUESTION, SYSTEM, TEN_MINUTES
from tests.suites.stream_grammar import assert_stream, parts_of

PICTURE = "iVBORw0KGgo="
LOOK = ModelRequest(
    (
        SYSTEM,
        Message("user", (TextPart("How long do these take?"), ImagePart(media_type="image/png", data=PICTURE))),
    )
)


@dataclass(frozen=True)
class Exchange:
    """What was sent, and what came out."""

    body: str
    deltas: Sequence[Delta]

    @property
    def finish(self) -> Finish:
        finish = self.deltas[-1]
        assert isinstance(finish, Finish)
        return finish

    @property
    def text(self) -> str:
        return "".join(getattr(part, "text", "") for part in parts_of(self.deltas))

    @property
    def metadata(self) -> str:
        """All metadata of the parts and of the end, as JSON."""
        found = [asdict(delta).get("provider_metadata") for delta in self.deltas]
        return json.dumps([metadata for metadata in found if metadata is not None])


def check_complete_answer(exchange: Exchange) -> None:
    call = exchange.deltas[-2]
    assert getattr(call, "name", None) == TEN_MINUTES.name
    assert json.loads(getattr(call, "arguments", "")) == json.loads(TEN_MINUTES.arguments)
    assert exchange.finish.finish_reason == "tool_calls"


def check_image_in(exchange: Exchange) -> None:
    assert PICTURE in exchange.body
    assert exchange.text == ANSWER


def check_citations(exchange: Exchange) -> None:
    assert "https://example.com/eggs" in exchange.metadata
    assert exchange.text.endswith(ANSWER)


def check_log_probabilities(exchange: Exchange) -> None:
    assert "-0.25" in exchange.metadata
    assert "-0.5" in exchange.metadata, "only one event's probabilities are kept"
    assert exchange.text == ANSWER


def check_cached_tokens(exchange: Exchange) -> None:
    usage = exchange.finish.usage
    assert (usage.input_tokens, usage.cached_tokens) == (90, 64)


def check_reasoning_tokens(exchange: Exchange) -> None:
    usage = exchange.finish.usage
    assert (usage.output_tokens, usage.reasoning_tokens) == (42, 32)


@dataclass(frozen=True)
class FormatScenario:
    """One thing that formats carry; `recording` is the name of the exchange that shows it."""

    name: str
    check: Callable[[Exchange], None]
    request: ModelRequest = QUESTION
    recording: str = ""


FORMAT_SCENARIOS = (
    FormatScenario("complete_answer", check_complete_answer, ERRAND),
    FormatScenario("image_in", check_image_in, LOOK),
    FormatScenario("citations", check_citations),
    FormatScenario("log_probabilities", check_log_probabilities),
    FormatScenario("cached_tokens", check_cached_tokens, recording="usage_in_full"),
    FormatScenario("reasoning_tokens", check_reasoning_tokens, recording="usage_in_full"),
)

ASKS_FOR_PROBABILITIES: Mapping[str, Mapping[str, object]] = {
    "openai_compatible": {"logprobs": True, "top_logprobs": 1},
    "openai_responses": {
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "top_logprobs": 1,
    },
    "gemini": {"generationConfig": {"responseLogprobs": True, "logprobs": 1}},
    "ollama": {"logprobs": True, "top_logprobs": 1},
    "cohere": {"logprobs": True},
    "workers_ai": {"logprobs": True, "top_logprobs": 1},
}
"""How each format asks for log-probabilities, by `ModelRequest.extra`."""


def check_exchange(scenario: FormatScenario, exchange: Exchange | None, skips: Mapping[str, str]) -> None:
    """Check a scenario, or skip it by name; one that passes although it is skipped fails. None: not recorded."""
    reason = skips.get(scenario.name)
    if reason is None:
        assert exchange is not None, f"there is no recording of {scenario.name}"
        assert_stream(exchange.deltas, is_whole=True)
        scenario.check(exchange)
        return
    if exchange is None:
        pytest.skip(reason)
    try:
        scenario.check(exchange)
    except AssertionError:
        pytest.skip(reason)
    pytest.fail(f"{scenario.name} passes now; it is skipped because {reason!r}")
