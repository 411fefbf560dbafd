"""The terminal: one line an event, and an exit code that says how it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest

from limpet import __version__
from limpet.entrypoints.cli import main, render_event
from limpet.events import (
    Approval,
    Event,
    Fallback,
    HookAction,
    ModelStart,
    OutputUpdate,
    Progress,
    ReasoningDelta,
    ReasoningEnd,
    ReasoningStart,
    Retry,
    RunEnd,
    RunError,
    RunStart,
    TextDelta,
    TextEnd,
    TextStart,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    ToolProgress,
    ToolResult,
    TurnEnd,
    TurnReset,
    TurnStart,
    Usage,
    event_from_wire,
    event_to_wire,
)
from tests.fake_server import FakeServer

ROOT = Path(__file__).resolve().parent.parent
AGENT = '''
from limpet import Agent, OfflineError, tool
from limpet.providers.scripted import ScriptedModel, call_tool

@tool
def set_timer(minutes: int) -> str:
    """Set a kitchen timer."""
    return f"timer set for {minutes} minutes"

@tool
def burn() -> str:
    raise RuntimeError("the kitchen is on fire")

@tool(requires_approval=True)
def order(what: str) -> str:
    return f"{what} is on its way"

def answer(request):
    if request.messages[-1].role == "tool":
        return "Done."
    prompt = request.messages[-1].text
    replies = {
        "eggs": call_tool("set_timer", minutes=10),
        "fire": call_tool("burn"),
        "salt": call_tool("order", what="salt"),
        "down": OfflineError("there is no network"),
        "bug": KeyError("a mistake"),
    }
    return replies.get(prompt, f"{len(request.messages)} messages: {prompt}")

agent = Agent(model=ScriptedModel([answer] * 9), tools=[set_timer, burn, order])
'''


@pytest.fixture
def agent_file(tmp_path: Path) -> str:
    path = tmp_path / "agent.py"
    path.write_text(AGENT, encoding="utf-8")
    return str(path)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_each_event_is_a_line(agent_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", agent_file, "eggs"]) == 0

    assert lines(capsys) == [
        "run_start        scripted:model",
        "turn_start       1",
        "model_start      scripted:model",
        "tool_call_start  set_timer",
        'tool_call_delta  {"minutes": ',
        "tool_call_delta  10}",
        'tool_call_end    set_timer {"minutes": 10}',
        "tool_result      set_timer: timer set for 10 minutes",
        "turn_end         1 scripted:model tool_calls, 8 tokens in, 4 out",
        "turn_start       2",
        "model_start      scripted:model",
        "text_start",
        "text_delta       Done.",
        "text_end",
        "turn_end         2 scripted:model stop, 8 tokens in, 4 out",
        "run_end          stop, 2 turns, 16 tokens in, 8 out",
    ]


def test_with_json_each_line_is_an_event(agent_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", agent_file, "eggs", "--json"]) == 0

    events = [json.loads(line) for line in lines(capsys)]
    assert [event["id"] for event in events] == list(range(16))
    assert len({event["run_id"] for event in events}) == 1
    assert [event_from_wire(event).type for event in events][-1] == "run_end"


def test_a_run_that_fails_exits_with_1(agent_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", agent_file, "down"]) == 1

    assert lines(capsys)[-1] == "run_error        OfflineError: there is no network"


def test_a_mistake_is_in_the_log_and_not_in_the_event(agent_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", agent_file, "bug"]) == 1

    output = capsys.readouterr()
    assert output.out.splitlines()[-1] == "run_error        KeyError: something went wrong inside; see the log"
    assert "KeyError: 'a mistake'" in output.err


def test_what_a_tool_raised_is_in_the_log(agent_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", agent_file, "fire"]) == 0

    output = capsys.readouterr()
    assert "tool_result      burn failed: the tool failed: RuntimeError" in output.out
    assert output.err.count("RuntimeError: the kitchen is on fire") == 1
    assert "on fire" not in output.out


def test_without_a_terminal_nobody_approves(agent_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", agent_file, "salt"]) == 0

    output = "\n".join(lines(capsys))
    assert 'approval         order {"what": "salt"}' in output
    assert "order failed: this call needs a person's approval" in output


def test_a_conversation_is_kept_in_the_storage(
    agent_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--storage", str(tmp_path / "storage")]
    assert main(["ask", agent_file, "one", *words]) == 0
    assert main(["ask", agent_file, "two", *words]) == 0

    text = "".join(line.removeprefix("text_delta       ") for line in lines(capsys) if line.startswith("text_delta"))
    assert text == "1 messages: one3 messages: two"


UNSURE = """
from limpet import Agent, LowConfidenceError
from limpet.providers.scripted import ScriptedModel

unsure = LowConfidenceError("not sure enough", confidence=0.1, honest_answer="No tool fits.")
agent = Agent(model=[ScriptedModel([unsure], name="local:unsure", is_local=True), "openai:gpt-5-mini"])
"""


@pytest.fixture
def unsure_file(tmp_path: Path) -> str:
    path = tmp_path / "unsure.py"
    path.write_text(UNSURE, encoding="utf-8")
    return str(path)


def remote_words(server: FakeServer) -> list[str]:
    return ["--model", "gpt-test", "--base-url", server.base_url, "--api-key-env", "TEST_REMOTE_KEY"]


def test_the_remote_of_the_command_line_answers_when_the_local_model_is_unsure(
    unsure_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_REMOTE_KEY", "sk-swordfish")
    with FakeServer("text:The sea is wide.", key="sk-swordfish") as server:
        assert main(["ask", unsure_file, "a poem", *remote_words(server)]) == 0

        [request] = server.requests
    output = lines(capsys)
    assert output[:4] == [
        "run_start        local:unsure, openai_compatible:gpt-test",
        "turn_start       1",
        "fallback         local:unsure -> openai_compatible:gpt-test (low_confidence): not sure enough",
        "model_start      openai_compatible:gpt-test",
    ]
    assert "".join(line[17:] for line in output if line.startswith("text_delta")) == "The sea is wide."
    assert request.headers["authorization"] == "Bearer sk-swordfish"
    assert "swordfish" not in "\n".join(output)


def test_a_remote_that_is_down_fails_the_run_and_is_named(
    unsure_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_REMOTE_KEY", "sk-swordfish")
    with FakeServer("401") as server:
        assert main(["ask", unsure_file, "a poem", *remote_words(server)]) == 1

    output = capsys.readouterr()
    assert "run_error        AuthenticationError: no model could answer: local:unsure: not sure" in output.out
    assert "swordfish" not in output.out + output.err


def test_without_a_key_for_the_remote_it_ends_honestly(
    unsure_file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    assert main(["ask", unsure_file, "a poem"]) == 0

    assert lines(capsys)[2:5] == [
        "model_start      local:unsure (confidence 0.10)",
        "text_start",
        "text_delta       No tool fits.",
    ]


@pytest.mark.skipif(sys.platform in ("emscripten", "win32"), reason="needs processes and POSIX signals")
def test_an_interrupt_cancels_the_run_and_closes_the_request(unsure_file: str) -> None:
    with FakeServer("hang:Once upon a time") as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "limpet", "ask", unsure_file, "a story", *remote_words(server)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "runtime"), "TEST_REMOTE_KEY": "sk-swordfish"},
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("text_delta"):
                    break
            process.send_signal(signal.SIGINT)
            output, log = process.communicate(timeout=30)
            server.wait_for_close()
        finally:
            process.kill()
            process.wait()

    assert output.splitlines()[-1].startswith("run_end          cancelled")
    assert (process.returncode, log) == (0, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ask", "nowhere.py", "hi"], "nowhere.py"),
        (["ask", "AGENT", "hi", "--model", "llama3"], "provider:name"),
        (["ask", "AGENT", "hi", "--model", "nobody:llama3"], "no provider 'nobody'"),
        (["ask", "AGENT", "hi", "--model", "openai:x", "--api-key-env", "NOT_SET_ANYWHERE"], "NOT_SET_ANYWHERE"),
    ],
    ids=["no file", "a bare model", "an unknown provider", "no key"],
)
def test_bad_usage_exits_with_2(
    words: list[str], message: str, agent_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([agent_file if word == "AGENT" else word for word in words]) == 2

    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert message in output.err


@pytest.mark.parametrize("words", [[], ["ask"], ["answer"], ["ask", "a.py"], ["ask", "a.py", "hi", "--frobnicate"]])
def test_a_command_that_is_not_understood_exits_with_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)

    assert caught.value.code == 2


def test_a_syntax_error_is_told_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.py"
    path.write_text("x = 1\ny = = 2\n", encoding="utf-8")

    assert main(["ask", str(path), "hi"]) == 2
    assert "broken.py, line 2" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "emscripten", reason="Pyodide can't start a process")
def test_the_package_runs_as_a_program(agent_file: str) -> None:
    process = run_program(["ask", agent_file, "hi"])

    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.splitlines()[-1] == "run_end          stop, 1 turn, 8 tokens in, 4 out"


@pytest.mark.skipif(sys.platform == "emscripten", reason="Pyodide can't start a process")
def test_a_prompt_may_come_from_standard_input(agent_file: str) -> None:
    prompt = "-- a prompt\nof two lines " + "and many words " * 5_000

    process = run_program(["ask", agent_file, "-", "--json"], prompt)

    events = [json.loads(line) for line in process.stdout.splitlines()]
    text = "".join(event["text"] for event in events if event["type"] == "text_delta")
    assert (process.returncode, text) == (0, f"1 messages: {prompt}")


def run_program(words: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "limpet", *words],
        capture_output=True,
        text=True,
        input=text,
        env={**os.environ, "PYTHONPATH": str(ROOT / "runtime")},
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(sys.platform in ("emscripten", "win32"), reason="needs processes and a POSIX terminal")
@pytest.mark.parametrize(
    ("answer", "result"), [("y", "order: salt is on its way"), ("", "order failed: a person refused")]
)
def test_at_a_terminal_a_person_is_asked(agent_file: str, answer: str, result: str) -> None:
    keyboard, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "limpet", "ask", agent_file, "salt"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=terminal,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "runtime")},
    )
    try:
        os.write(keyboard, f"{answer}\n".encode())
        output, log = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
        os.close(keyboard)
        os.close(terminal)

    assert process.returncode == 0
    assert log == 'run order {"what": "salt"}? [y/N] '
    assert f"tool_result      {result}" in output


@pytest.mark.skipif(sys.platform in ("emscripten", "win32"), reason="needs processes and POSIX pipes")
def test_a_reader_that_has_seen_enough_is_no_error(agent_file: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "limpet", "ask", agent_file, "word " * 20_000],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "runtime")},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("run_start")
        process.stdout.close()
        assert process.stderr is not None
        log = process.stderr.read()
        assert (process.wait(30), log) == (1, "")
    finally:
        process.kill()
        process.wait()
        process.stderr.close()  # type: ignore[union-attr]


USAGE = Usage(8, 4)
EVENTS: list[Event] = [
    RunStart(None, ["local:needle", "openai:x"]),
    TurnStart(1),
    Progress("local:needle", "download", "model.onnx", 2_500_000, 50_000_000),
    Retry("openai:x", 2, 1.5, "rate_limited", "slow down"),
    Fallback("local:needle", "openai:x", "low_confidence", "not sure"),
    ModelStart("local:needle", 0.927),
    TextStart("0"),
    TextDelta("0", "two\nlines \x1b[2J\u202e"),
    TextEnd("0"),
    ReasoningStart("0"),
    ReasoningDelta("0", "hm"),
    ReasoningEnd("0"),
    ToolCallStart("c", "set_timer"),
    ToolCallDelta("c", "{}"),
    ToolCallEnd("c", "set_timer", "{}"),
    Approval("c", "order", "{}"),
    ToolProgress("c", {"minute": 1}),
    ToolResult("c", "order", ["grün"], is_error=True),
    OutputUpdate({"a": 1}, is_whole=False),
    HookAction("Guard", "before_tool", "skip", "not at night"),
    HookAction("Guard", "before_model", "rewrite"),
    TurnReset(1, "again"),
    TurnEnd(1, "openai:x", "stop", USAGE),
    RunEnd("stop", 1, USAGE),
    RunError("OfflineError", "no network"),
]
RENDERED = r"""
run_start        local:needle, openai:x
turn_start       1
progress         local:needle download model.onnx 2.5 MB of 50.0 MB
retry            openai:x again in 1.5 s (attempt 2, rate_limited): slow down
fallback         local:needle -> openai:x (low_confidence): not sure
model_start      local:needle (confidence 0.93)
text_start
text_delta       two\nlines \x1b[2J\u202e
text_end
reasoning_start
reasoning_delta  hm
reasoning_end
tool_call_start  set_timer
tool_call_delta  {}
tool_call_end    set_timer {}
approval         order {}
tool_progress    {"minute": 1}
tool_result      order failed: ["grün"]
output_update    so far: {"a": 1}
hook_action      Guard skip in before_tool: not at night
hook_action      Guard rewrite in before_model
turn_reset       1: again
turn_end         1 openai:x stop, 8 tokens in, 4 out
run_end          stop, 1 turn, 8 tokens in, 4 out
run_error        OfflineError: no network
"""


def test_every_event_has_its_line() -> None:
    assert [render_event(event_to_wire(event, id=0, run_id="r")) for event in EVENTS] == RENDERED.strip().splitlines()
    assert {type(event) for event in EVENTS} == set(get_args(Event))


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == __version__
