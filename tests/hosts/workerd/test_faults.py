"""Each fault many times (`LIMPET_LONG=1`: a hundred): nothing told is lost, nothing is told twice, nothing hangs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from typing import Any, TypeVar

import pytest

from tests.fake_server import FakeServer

from .conftest import Serve
from .serving import LONG, PROMPT_SECONDS, Edge, chat

pytestmark = pytest.mark.timeout(300)
TIMES = 100 if LONG else 10
AT_ONCE = 5
T = TypeVar("T")
Told = list[tuple[int | None, Any]]
"""Events with their numbers."""


def many(work: Callable[[int], T], times: int = TIMES, at_once: int = AT_ONCE) -> list[T]:
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(work, range(times)))


def journal(edge: Edge, id: str, after: int = 0) -> Told:
    return edge.ask("GET", f"/conversations/{id}/stream?after={after}").events


def read_some(edge: Edge, id: str, words: int, **more: object) -> tuple[Told, int]:
    """Begin a run as one client, follow it as another, and leave both after some words; gives what was told."""
    told: Told = []
    with edge.stream("POST", "/chat", chat(id, "go on", **more)) as stream:
        before = int(stream.headers["x-limpet-last-event-id"])
        with edge.stream("GET", f"/conversations/{id}/stream?after={before}") as follower:
            for event in follower.events():
                told.append(event)
                if sum(data["type"] == "text_delta" for _, data in told) >= words:
                    break
    return told, before


def assert_whole(events: Told, ends: Sequence[str]) -> None:
    """A journal has its numbers without gaps, and each run its own, one beginning and one end."""
    assert [id for id, _ in events] == list(range(1, len(events) + 1))
    runs: dict[str, list[Any]] = {}
    for _, data in events:
        runs.setdefault(data["run_id"], []).append(data)
    for run in runs.values():
        assert [data["id"] for data in run] == list(range(len(run)))
        assert [data["type"] for data in run].count("run_start") == 1
    assert [run[-1].get("finish_reason", run[-1]["type"]) for run in runs.values()] == ends


@pytest.fixture(scope="module")
def slow(serve: Serve) -> tuple[Edge, FakeServer]:
    return serve("slow:" + "word " * 60)


def test_a_client_leaves_in_the_middle(slow: tuple[Edge, FakeServer]) -> None:
    edge, provider = slow

    def leave(number: int) -> float:
        id = f"leave{number}"
        told, _ = read_some(edge, id, 1 + number % 3)
        left_at = time.monotonic()
        events = journal(edge, id)  # ends when the run does
        assert events[: len(told)] == told
        assert_whole(events, ["cancelled"])
        return time.monotonic() - left_at

    seconds = many(leave)

    assert max(seconds) < PROMPT_SECONDS
    provider.wait_for_close(TIMES)


def test_the_provider_breaks_off(serve: Serve) -> None:
    edge, _ = serve("cut:one two three four")

    def break_off(number: int) -> None:
        answer = edge.chat(f"cut{number}", "go on")
        events = journal(edge, f"cut{number}")
        assert_whole(events, ["run_error"])
        said = "".join(data["text"] for _, data in events if data["type"] == "text_delta")
        assert said == "one two three four"
        assert answer.events[-2][1]["type"] == "error"
        history = edge.ask("GET", f"/conversations/cut{number}").json["messages"]
        assert history[-1]["parts"][0]["text"] == said

    many(break_off)


def test_two_clients_speak_in_one_conversation(serve: Serve) -> None:
    edge, _ = serve('tool:add:{"a": 2, "b": 3}')

    def speak(number: int) -> None:
        answers = many(lambda client: edge.chat(f"two{number}", f"I am {client}"), 2, 2)
        events = journal(edge, f"two{number}")
        assert_whole(events, ["stop", "stop"])
        assert [answer.events[-2][1]["finishReason"] for answer in answers] == ["stop", "stop"]
        history = edge.ask("GET", f"/conversations/two{number}").json["messages"]
        assert [message["role"] for message in history] == ["user", "assistant", "tool", "assistant"] * 2
        said = {message["parts"][0]["text"] for message in history if message["role"] == "user"}
        assert said == {"I am 0", "I am 1"}

    many(speak)


@pytest.mark.timeout(900)
def test_workerd_is_killed_in_the_middle(serve: Serve) -> None:
    words = " ".join(["word"] * 9)
    edge, _ = serve(f"slow:{words}")

    def begin(id: str, told: Told) -> None:
        # The end comes between two events, or within one.
        with suppress(OSError, HTTPException):
            with edge.stream("POST", "/chat", chat(id, "go on", background=True)) as stream:
                before = int(stream.headers["x-limpet-last-event-id"])
            with edge.stream("GET", f"/conversations/{id}/stream?after={before}") as follower:
                told.extend(follower.events())

    broken = 0
    for crash in range(2 * TIMES // AT_ONCE):
        told: dict[str, Told] = {f"crash{crash}-{number}": [] for number in range(AT_ONCE)}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for id, seen in told.items():
                pool.submit(begin, id, seen)
            while min(map(len, told.values())) <= crash % 10:
                time.sleep(0.01)
            edge.server.kill()
        edge.start()

        for id, seen in told.items():
            last = seen[-1][0] or 0
            rest = journal(edge, id, last)
            everything = journal(edge, id)
            assert everything == seen + rest
            assert_whole(everything, ["stop"])
            history = edge.ask("GET", f"/conversations/{id}").json["messages"]
            assert [message["role"] for message in history] == ["user", "assistant"]
            assert [message["parts"][0]["text"] for message in history] == ["go on", words]
            broken += seen[-1][1]["type"] != "run_end"
        if broken >= TIMES:
            break
    assert broken >= TIMES


def test_a_tool_that_may_have_run_is_not_run_again(serve: Serve) -> None:
    edge, _ = serve('tool:launch:{"seconds": 30}')
    with (
        edge.stream("POST", "/chat", chat("rocket", "go", background=True)) as stream,
        edge.stream("GET", "/conversations/rocket/stream?after=0") as follower,
    ):
        assert stream.status == 200
        last = next(id for id, data in follower.events() if data["type"] == "tool_call_end")
        # The tool is begun as soon as this is on disk.
        time.sleep(0.3)
        edge.crash()
    rest = journal(edge, "rocket", last or 0)

    results = [data for _, data in rest if data["type"] == "tool_result"]
    assert [(result["is_error"], result["content"].split(";")[0]) for result in results] == [
        (True, "this call was running when the run was moved")
    ]
    assert rest[-1][1]["type"] == "run_end"
