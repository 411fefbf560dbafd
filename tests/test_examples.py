"""The example programs, run as a user runs them, against the fake provider instead of the services they name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fake_provider.answers import Answer, Call
from tests.fake_provider.faults import Fault
from tests.fake_provider.server import FakeProvider

ROOT = Path(__file__).resolve().parents[1]
LIMIT_SECONDS = 30
KEYS = ("OPENAI", "ANTHROPIC", "GEMINI", "GROQ")


def run_example(name: str, server: FakeProvider, *words: str, **settings: str) -> list[str]:
    """Run one of the programs, with these environment variables beside its own; give the lines it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    for provider in KEYS:
        environment[f"{provider}_API_KEY"] = "a-key"
        environment[f"{provider}_BASE_URL"] = server.base_url(provider.lower())
    environment |= {"PYTHONPATH": str(ROOT / "runtime"), **settings}
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / f"{name}.py"), *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.fixture
def server() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


def test_chat_remembers_its_first_turn(server: FakeProvider) -> None:
    server.replies.extend([Answer.of("A snail that clings."), Answer.of("Snail.")])

    lines = run_example("chat", server, "What is a limpet?")

    assert lines == ["> What is a limpet?", "A snail that clings.", "> Say that in one word.", "Snail."]
    said = [message["content"] for message in server.requests[1].json["messages"]]
    assert said == ["You are brief.", "What is a limpet?", "A snail that clings.", "Say that in one word."]


def test_tools_are_called_and_a_person_is_asked(server: FakeProvider) -> None:
    server.replies.extend(
        [
            Answer.of(Call("stock", '{"item": "leek"}')),
            Answer.of(Call("order", '{"item": "leek", "count": 7}')),
            Answer.of("Now there are ten."),
        ]
    )

    lines = run_example("tools", server)

    assert lines == [
        "stock: 3",
        'approved: order {"item": "leek", "count": 7}',
        "order: ordered 7",
        "Now there are ten.",
    ]


def test_a_structured_answer_grows_until_it_is_a_value(server: FakeProvider) -> None:
    recipe = {"title": "Leek soup", "course": "starter", "steps": [{"text": "Cut.", "minutes": 5}, {"text": "Boil."}]}
    server.replies.extend([Answer.of(json.dumps(recipe))])

    *partial, last = run_example("structured", server, "leek soup")

    assert last == "Leek soup: 2 steps, 5 minutes"
    assert len(partial) > 2
    assert partial[-1] == str(recipe)


def test_a_second_model_helps_when_the_first_is_slow_or_away(server: FakeProvider) -> None:
    # Slow: the hedge wins. Away: no retry is waited for, the next model is asked. Well again: the first answers.
    server.replies.extend([Answer.of("A snail."), Answer.of("On rocks."), Answer.of("Algae.")])
    server.faults.extend([Fault("silent_head"), None, Fault("status", status=404), None])

    lines = run_example("reliable", server)

    assert lines[:-1] == [
        "> What is a limpet?",
        "[groq:openai/gpt-oss-20b -> openai:gpt-5-nano: unavailable]",
        "A snail.",
        "> Where does it live?",
        "[groq:openai/gpt-oss-20b -> openai:gpt-5-mini: unavailable]",
        "On rocks.",
        "> What does it eat?",
        "Algae.",
    ]
    assert re.fullmatch(r"\d+ tokens for \$0\.0\d* of \$0\.05", lines[-1])


def test_embeddings_find_the_sentence_itself(server: FakeProvider) -> None:
    lines = run_example("embeddings", server, "The chef makes a soup of leeks.")

    assert lines[0] == "+1.000 The chef makes a soup of leeks."
    assert len(lines) == 3


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="onnxruntime is not installed")
def test_an_assistant_without_its_models_leaves_all_but_small_talk_to_the_remote_one(
    server: FakeProvider, tmp_path: Path
) -> None:
    server.replies.extend([Answer.of(Call("set_timer", '{"minutes": 10}')), Answer.of("It runs.")])

    lines = run_example("assistant", server, "hello", "ten minutes for the eggs", LIMPET_MODELS=str(tmp_path))

    assert lines == [
        "> hello",
        "[local:assistant]",
        "Hello! What can I do for you?",
        "> ten minutes for the eggs",
        "[local:assistant -> openai:gpt-5-mini: unavailable]",
        "[openai:gpt-5-mini]",
        "set_timer: timer set for 10 minutes",
        "[openai:gpt-5-mini]",
        "It runs.",
    ]


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="onnxruntime is not installed")
def test_an_assistant_calls_its_tool_and_asks_the_remote_model_for_facts(server: FakeProvider) -> None:
    models = Path(os.environ.get("LIMPET_BUILD") or ROOT / "build") / "models"
    if not all(models.joinpath(name, "model.json").is_file() for name in ("needle", "smollm2")):
        pytest.skip("the models needle and smollm2 are not built: python3 build.py models needle smollm2")
    server.replies.extend([Answer.of("Leonardo da Vinci.")])
    questions = ("ten minutes for the eggs", "who painted the Mona Lisa?")

    *call, asked, turned, who, said = run_example("assistant", server, *questions, LIMPET_MODELS=str(models))

    assert [re.sub(r"\d+%", "..%", line) for line in call[:3]] == [
        "> ten minutes for the eggs",
        "[local:assistant, ..% sure]",
        "set_timer: timer set for 10 minutes (eggs)",
    ]
    assert re.fullmatch(r".*\b(10|ten) minutes\b.*", call[-1])
    assert [asked, turned, who, said] == [
        "> who painted the Mona Lisa?",
        "[local:assistant -> openai:gpt-5-mini: low_confidence]",
        "[openai:gpt-5-mini]",
        "Leonardo da Vinci.",
    ]


def test_every_example_is_tested() -> None:
    programs = {path.stem for path in (ROOT / "examples").glob("*.py")}

    assert programs == {"chat", "tools", "structured", "reliable", "embeddings", "kitchen", "assistant"}
