"""The HTTP surface on real workerd: chat, resuming, cancelling, approving, who may ask, and how often."""

from __future__ import annotations

import json
import time

import pytest

from tests.fake_server import FakeServer

from .conftest import Serve
from .serving import PROMPT_SECONDS, Answer, Edge, chat

pytestmark = pytest.mark.timeout(120)
KEY, OTHER_KEY, SMALL_KEY, POOR_KEY = (f"key-of-{name}-0123456789" for name in ("one", "two", "small", "poor"))
SECRET = "a secret of at least thirty-two characters"


def types(answer: Answer) -> list[str]:
    return [data if isinstance(data, str) else data["type"] for _, data in answer.events]


@pytest.fixture(scope="module")
def adding(serve: Serve) -> Edge:
    return serve('tool:add:{"a": 2, "b": 3}')[0]


@pytest.fixture(scope="module")
def slow(serve: Serve) -> tuple[Edge, FakeServer]:
    return serve("slow:" + "word " * 400)


@pytest.fixture(scope="module")
def asking(serve: Serve) -> Edge:
    return serve('tool:wipe:{"what": "disk"}')[0]


@pytest.fixture(scope="module")
def guarded(serve: Serve) -> Edge:
    keys = {
        "one": {"key": KEY},
        "two": {"key": OTHER_KEY, "scopes": ["agent"]},
        "small": {"key": SMALL_KEY, "requests_per_minute": 2},
        "poor": {"key": POOR_KEY, "tokens_per_day": 30},
    }
    gateway = {
        "models": {
            "good": ["openai_compatible:text:Good."],
            "both": ["openai_compatible:500", "openai_compatible:text:The second one."],
            "bad": ["openai_compatible:500"],
        }
    }
    return serve(
        vars={
            "LIMPET_ACCESS": "keys",
            "LIMPET_ORIGINS": "https://page.example",
            "LIMPET_GATEWAY": json.dumps(gateway),
            "LIMPET_MODEL": "openai_compatible:text:Hello.",
        },
        env={"LIMPET_KEYS": json.dumps(keys), "LIMPET_TOKEN_SECRET": SECRET},
    )[0]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_a_message_is_answered_with_a_tool_in_between(adding: Edge) -> None:
    answer = adding.chat("adding", "two and three")

    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert types(answer) == [
        *("start", "start-step", "tool-input-start"),
        *["tool-input-delta"] * 3,
        *("tool-input-available", "tool-output-available", "finish-step", "start-step", "text-start"),
        *["text-delta"] * 4,
        *("text-end", "finish-step", "finish", "[DONE]"),
    ]
    outputs = [data for _, data in answer.events if data != "[DONE]" and data["type"] == "tool-output-available"]
    assert [output["output"] for output in outputs] == [5]


def test_the_history_is_kept_and_goes_on(adding: Edge) -> None:
    first = adding.chat("kept", "one")
    before = adding.ask("GET", "/conversations/kept").json
    adding.chat("kept", "two")
    after = adding.ask("GET", "/conversations/kept").json

    assert first.status == 200
    assert [message["role"] for message in before["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert after["messages"][:4] == before["messages"]
    assert [message["role"] for message in after["messages"][4:]] == ["user", "assistant", "tool", "assistant"]
    assert (before["active_run_id"], before["approvals"]) == (None, [])
    assert after["last_event_id"] == 2 * before["last_event_id"]


def test_events_are_numbered_without_gaps_and_can_be_had_from_any(adding: Edge) -> None:
    adding.chat("numbered", "one")
    everything = adding.ask("GET", "/conversations/numbered/stream?after=0").events

    assert [id for id, _ in everything] == list(range(1, len(everything) + 1))
    assert [data["id"] for _, data in everything] == list(range(len(everything)))
    assert (everything[0][1]["type"], everything[-1][1]["type"]) == ("run_start", "run_end")
    for after in range(len(everything) + 1):
        assert adding.ask("GET", f"/conversations/numbered/stream?after={after}").events == everything[after:]


def test_a_conversation_is_forgotten(adding: Edge) -> None:
    adding.chat("forgotten", "one")
    deleted = adding.ask("DELETE", "/conversations/forgotten")
    left = adding.ask("GET", "/conversations/forgotten").json

    assert (deleted.status, deleted.body) == (204, b"")
    assert left == {"id": "forgotten", "messages": [], "last_event_id": 0, "active_run_id": None, "approvals": []}


def test_an_answer_comes_word_by_word_and_can_be_cancelled(slow: tuple[Edge, FakeServer]) -> None:
    edge, provider = slow
    closes = provider.closes
    with edge.stream("POST", "/chat", chat("cancelled", "go on")) as stream:
        events = stream.events()
        first = [event for _, event in zip(range(6), events, strict=False)]
        cancelled = edge.ask("POST", "/conversations/cancelled/cancel", {})
        seen = [data for _, data in events]

    provider.wait_for_close(closes + 1)
    assert [data[1]["type"] for data in first[:3]] == ["start", "start-step", "text-start"]
    assert cancelled.json == {"cancelled": True}
    assert seen[-2:] == [{"type": "abort", "reason": "the run was cancelled"}, "[DONE]"]
    history = edge.ask("GET", "/conversations/cancelled").json["messages"]
    assert [message["role"] for message in history] == ["user", "assistant"]
    assert history[1]["parts"][0]["text"].startswith("word word word")


def test_a_client_that_leaves_ends_its_run_within_a_second(slow: tuple[Edge, FakeServer]) -> None:
    edge, provider = slow
    closes = provider.closes
    with edge.stream("POST", "/chat", chat("left", "go on")) as stream:
        next(data for _, data in stream.events() if data["type"] == "text-delta")
    left_at = time.monotonic()

    assert provider.wait_for_close(closes + 1) - left_at < PROMPT_SECONDS
    rest = edge.ask("GET", "/conversations/left/stream?after=0").events
    assert (rest[-1][1]["type"], rest[-1][1]["finish_reason"]) == ("run_end", "cancelled")


def test_a_background_run_goes_on_without_its_client(slow: tuple[Edge, FakeServer]) -> None:
    edge, provider = slow
    closes = provider.closes
    with edge.stream("POST", "/chat", chat("background", "go on", background=True)) as stream:
        next(data for _, data in stream.events() if data["type"] == "text-delta")
    with edge.stream("GET", "/conversations/background/stream?after=0") as stream:
        words = (id for id, data in stream.events() if data["type"] == "text_delta")
        ids = [next(words) for _ in range(40)]

    assert ids == list(range(ids[0], ids[0] + 40))
    assert provider.closes == closes
    assert edge.ask("POST", "/conversations/background/cancel", {}).json == {"cancelled": True}
    provider.wait_for_close(closes + 1)


def test_a_call_waits_until_it_is_allowed(asking: Edge) -> None:
    with asking.stream("POST", "/agui", ag_ui("allowed")) as stream:
        events = []
        for _, data in stream.events():
            events.append(data)
            if data.get("name") == "limpet.approval":
                waiting = asking.ask("GET", "/conversations/allowed").json["approvals"]
                answer = {"call_id": data["value"]["call_id"], "approved": True}
                assert asking.ask("POST", "/conversations/allowed/approve", answer).json == {"approved": True}

    assert waiting == ["call_2"]
    results = [event["content"] for event in events if event["type"] == "TOOL_CALL_RESULT"]
    assert results == ["wiped disk"]
    assert events[-1]["type"] == "RUN_FINISHED"


def test_a_refused_call_is_not_made(asking: Edge) -> None:
    with asking.stream("POST", "/agui", ag_ui("refused")) as stream:
        events = []
        for _, data in stream.events():
            events.append(data)
            if data.get("name") == "limpet.approval":
                answer = {"call_id": data["value"]["call_id"], "approved": False}
                asking.ask("POST", "/conversations/refused/approve", answer)
                again = asking.ask("POST", "/conversations/refused/approve", {**answer, "approved": True})

    results = [event["content"] for event in events if event["type"] == "TOOL_CALL_RESULT"]
    assert results == ["a person refused this call; don't make it again unless asked to"]
    assert again.status in (404, 409)
    nobody = asking.ask("POST", "/conversations/refused/approve", {"call_id": "call_2", "approved": True})
    assert (nobody.status, nobody.json["error"]["code"]) == (404, "no_such_approval")


def test_an_approval_is_waited_for_across_a_crash(asking: Edge) -> None:
    with asking.stream("POST", "/agui", ag_ui("crashed")) as stream:
        last = next(id for id, data in stream.events() if data.get("name") == "limpet.approval")
        asking.crash()
    answer = {"call_id": "call_2", "approved": True}
    allowed = asking.ask("POST", "/conversations/crashed/approve", answer)
    rest = asking.ask("GET", f"/conversations/crashed/stream?after={last}").events

    assert allowed.json == {"approved": True}
    assert [id for id, _ in rest] == list(range(last + 1, last + 1 + len(rest)))
    assert rest[0][1]["content"] == "wiped disk"
    assert rest[-1][1]["type"] == "run_end"


def ag_ui(thread: str, text: str = "please") -> dict[str, object]:
    messages = [{"id": "1", "role": "user", "content": text}]
    return {"threadId": thread, "runId": f"run-{thread}", "messages": messages, "tools": [], "context": []}


# --- who may ask ---


def test_nobody_is_let_in_without_a_key(guarded: Edge) -> None:
    missing = guarded.chat("c", "hello")
    wrong = guarded.ask("POST", "/chat", chat("c", "hello"), bearer("wrong"))
    right = guarded.ask("POST", "/chat", chat("c", "hello"), bearer(KEY))

    assert (missing.status, missing.json["error"]["code"]) == (401, "no_key")
    assert missing.headers["www-authenticate"] == "Bearer"
    assert (wrong.status, wrong.json["error"]["code"]) == (401, "wrong_key")
    assert right.status == 200


def test_conversations_of_two_keys_are_two(guarded: Edge) -> None:
    guarded.ask("POST", "/chat", chat("same", "hello"), bearer(KEY))

    mine = guarded.ask("GET", "/conversations/same", None, bearer(KEY)).json
    theirs = guarded.ask("GET", "/conversations/same", None, bearer(OTHER_KEY)).json
    assert len(mine["messages"]) == 2
    assert theirs["messages"] == []


def test_a_session_token_is_for_one_user_and_one_conversation(guarded: Edge) -> None:
    wanted = {"subject": "anna", "conversation_id": "hers", "expires_in": 60}
    token = guarded.ask("POST", "/tokens", wanted, bearer(KEY)).json["token"]
    said = guarded.ask("POST", "/chat", chat("hers", "hello"), bearer(token))
    elsewhere = guarded.ask("POST", "/chat", chat("other", "hello"), bearer(token))
    forged = guarded.ask("POST", "/chat", chat("hers", "hello"), bearer(token[:-2] + "AA"))
    gateway = guarded.ask("POST", "/v1/chat/completions", completion("good"), bearer(token))
    refused = guarded.ask("POST", "/tokens", wanted, bearer(OTHER_KEY))

    assert said.status == 200
    assert (elsewhere.status, forged.status, gateway.status, refused.status) == (403, 401, 403, 403)
    assert guarded.ask("GET", "/conversations/hers", None, bearer(KEY)).json["messages"] == []


def test_only_pages_of_allowed_origins_may_ask(guarded: Edge) -> None:
    page, other = {"origin": "https://page.example"}, {"origin": "https://page.example.evil"}
    allowed = guarded.ask("OPTIONS", "/chat", None, page)
    refused = guarded.ask("OPTIONS", "/chat", None, other)
    said = guarded.ask("POST", "/chat", chat("page", "hello"), {**bearer(KEY), **page})
    wrong = guarded.ask("POST", "/chat", chat("page", "hello"), page)
    elsewhere = guarded.ask("POST", "/chat", chat("page", "hello"), {**bearer(KEY), **other})

    assert allowed.status == 204
    assert allowed.headers["access-control-allow-origin"] == "https://page.example"
    assert allowed.headers["access-control-allow-headers"] == "authorization, content-type, last-event-id"
    assert (said.status, said.headers["access-control-allow-origin"]) == (200, "https://page.example")
    assert (wrong.status, wrong.headers["access-control-allow-origin"]) == (401, "https://page.example")
    assert (refused.status, elsewhere.status) == (403, 403)
    assert "access-control-allow-origin" not in {**refused.headers, **elsewhere.headers}


def test_what_is_too_large_is_refused(guarded: Edge) -> None:
    body = guarded.ask("POST", "/chat", b" " * 1_000_001, bearer(KEY))
    headers = guarded.ask("GET", "/v1/models", None, {**bearer(KEY), "x-long": "x" * 16_384})

    assert (body.status, body.json["error"]["code"]) == (413, "too_large")
    assert (headers.status, headers.json["error"]["code"]) == (431, "headers_too_large")


def test_a_key_has_a_rate_and_a_budget(guarded: Edge) -> None:
    rated = [guarded.ask("POST", "/v1/chat/completions", completion("good"), bearer(SMALL_KEY)) for _ in range(3)]

    assert [answer.status for answer in rated] == [200, 200, 429]
    assert rated[2].json["error"]["code"] == "rate_limited"
    assert 1 <= int(rated[2].headers["retry-after"]) <= 31
    paid = [guarded.ask("POST", "/v1/chat/completions", completion("good"), bearer(POOR_KEY))]
    # An answer's tokens are counted after it, so one more may come through before the next is refused.
    while paid[-1].status == 200 and len(paid) < 6:
        paid.append(guarded.ask("POST", "/v1/chat/completions", completion("good"), bearer(POOR_KEY)))
    assert (paid[-1].status, paid[-1].json["error"]["code"]) == (429, "budget_used_up")
    assert 3 <= len(paid) <= 4


def completion(model: str, **more: object) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}


def test_the_gateway_turns_to_the_next_model_and_hides_the_upstream(guarded: Edge) -> None:
    answer = guarded.ask("POST", "/v1/chat/completions", completion("both"), bearer(KEY))
    failed = guarded.ask("POST", "/v1/chat/completions", completion("bad"), bearer(KEY))
    missing = guarded.ask("POST", "/v1/chat/completions", completion("none"), bearer(KEY))
    forbidden = guarded.ask("POST", "/v1/chat/completions", completion("good"), bearer(OTHER_KEY))

    assert answer.json["choices"][0]["message"]["content"] == "The second one."
    assert answer.json["model"] == "both"
    assert (failed.status, failed.json["error"]["message"]) == (503, "no provider could answer")
    assert (missing.status, missing.json["error"]["code"]) == (404, "model_not_found")
    assert forbidden.status == 403
    listed = guarded.ask("GET", "/v1/models", None, bearer(KEY)).json["data"]
    assert [model["id"] for model in listed] == ["worker", "good", "both", "bad"]


def test_health_and_readiness_need_no_key(guarded: Edge) -> None:
    assert guarded.ask("GET", "/health").json == {"status": "ok"}
    assert guarded.ask("GET", "/ready").json == {"status": "ready", "missing": []}
    assert guarded.ask("GET", "/openapi.json").json["openapi"] == "3.1.0"
