"""An agent file is run and its mistakes are told; a remote that the user set replaces the file's own."""

from __future__ import annotations

import pytest

from limpet import Agent, ConfigurationError, ModelReference
from limpet.entrypoints.agent_file import REMOTE_KEY_NAME, load_agent, remote_secrets, with_remote
from limpet.providers.scripted import ScriptedModel
from limpet.wire import RemoteSettingsWire

KITCHEN = '''
from __future__ import annotations

from dataclasses import dataclass

from limpet import Agent, tool

@dataclass
class Timer:
    minutes: int

@tool
def set_timer(timer: Timer) -> str:
    """Set a kitchen timer."""
    return f"timer set for {timer.minutes} minutes"

agent = Agent(model=["local:needle", "openai:gpt-5-mini"], tools=[set_timer], name="kitchen")
'''


def test_the_global_agent_is_taken() -> None:
    agent = load_agent(KITCHEN, "kitchen.py")

    assert agent.name == "kitchen"
    assert [tool.spec.name for tool in agent.tools] == ["set_timer"]
    assert agent.tools[0].parse('{"timer": {"minutes": 3}}')["timer"].minutes == 3  # type: ignore[attr-defined]


def test_a_file_may_make_a_second_agent_beside_it() -> None:
    source = (
        "from limpet import Agent\nagent = Agent(model='a:b', name='one')\nother = Agent(model='a:b', name='two')\n"
    )

    assert load_agent(source, "two.py").name == "one"


def test_the_only_agent_may_have_any_name() -> None:
    source = "from limpet import Agent\ncook = Agent(model='a:b', name='cook')\nalias = cook\n"

    assert load_agent(source, "cook.py").name == "cook"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param("x = 1\ndef broken(:\n", r"a\.py, line 2: ", id="syntax"),
        pytest.param("x = 1\n\n1 / 0\n", r"a\.py, line 3: ZeroDivisionError: division by zero", id="an exception"),
        pytest.param("import sys\nsys.exit(5)\n", r"a\.py, line 2: SystemExit: 5", id="an exit"),
        pytest.param("import nowhere_to_be_found\n", r"a\.py, line 1: ModuleNotFoundError", id="an import"),
        pytest.param(
            "from limpet import Agent\nagent = Agent(model='needle')\n", r"a\.py, line 2: .*provider:name", id="ours"
        ),
        pytest.param("x = 1\n", r"a\.py makes no agent", id="no agent"),
        pytest.param(
            "from limpet import Agent\na = Agent(model='a:b')\nb = Agent(model='a:b')\n",
            r"a\.py makes 2 agents; call the one to be run 'agent'",
            id="two agents",
        ),
        pytest.param("agent = 'needle'\n", "makes no agent", id="something else"),
        pytest.param("\0", r"a\.py", id="a nul"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_line(source: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_agent(source, "a.py")


# --- the user's remote ------------------------------------------------------------------------------------------

LOCAL = ModelReference("local", "needle")
FILE = ModelReference("openai", "gpt-5-mini")


def models_with(remote: RemoteSettingsWire | None, *models: object) -> tuple[object, ...]:
    return with_remote(Agent(model=models or (LOCAL, FILE)), remote).models  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("remote", "reference"),
    [
        ({"model": "openrouter:m/n"}, ModelReference("openrouter", "m/n")),
        (
            {"model": "ollama:llama3:8b", "base_url": "http://127.0.0.1:1/v1"},
            ModelReference("ollama", "llama3:8b", base_url="http://127.0.0.1:1/v1"),
        ),
        (
            {"model": "llama3", "base_url": "http://127.0.0.1:1/v1"},
            ModelReference("openai_compatible", "llama3", base_url="http://127.0.0.1:1/v1"),
        ),
        (
            {"model": "llama3:8b", "base_url": "http://127.0.0.1:1/v1"},
            ModelReference("openai_compatible", "llama3:8b", base_url="http://127.0.0.1:1/v1"),
        ),
        ({"model": "openai:x", "api_key": "k"}, ModelReference("openai", "x", key_name=REMOTE_KEY_NAME)),
        ({"model": "openai:x", "api_key": "", "base_url": ""}, ModelReference("openai", "x")),
    ],
    ids=str,
)
def test_the_remote_is_replaced_and_the_local_model_stays(
    remote: RemoteSettingsWire, reference: ModelReference
) -> None:
    assert models_with(remote) == (LOCAL, reference)


def test_without_a_remote_the_agent_stays_as_it_is() -> None:
    assert models_with(None) == (LOCAL, FILE)


def test_a_remote_is_added_where_there_was_none() -> None:
    assert models_with({"model": "openai:x"}, LOCAL) == (LOCAL, ModelReference("openai", "x"))


def test_a_remote_takes_the_first_ones_place() -> None:
    second = ModelReference("openrouter", "other")

    assert models_with({"model": "openai:x"}, FILE, LOCAL, second) == (ModelReference("openai", "x"), LOCAL)


def test_a_local_model_that_was_named_is_asked_alone() -> None:
    assert models_with({"model": "local:smollm2"}) == (ModelReference("local", "smollm2"),)


def test_models_that_are_objects_are_local_when_they_say_so() -> None:
    here, there = ScriptedModel([], is_local=True), ScriptedModel([])

    assert models_with({"model": "openai:x"}, here, there) == (here, ModelReference("openai", "x"))


def test_an_address_and_a_key_alone_go_to_the_files_remote() -> None:
    remote: RemoteSettingsWire = {"model": "", "base_url": "http://127.0.0.1:1/v1", "api_key": "k"}

    assert models_with(remote) == (
        LOCAL,
        ModelReference("openai", "gpt-5-mini", base_url="http://127.0.0.1:1/v1", key_name=REMOTE_KEY_NAME),
    )


def test_a_bare_name_needs_an_address() -> None:
    with pytest.raises(ConfigurationError, match="provider:name"):
        models_with({"model": "llama3"})


def test_all_else_of_the_agent_stays() -> None:
    agent = with_remote(load_agent(KITCHEN, "kitchen.py"), {"model": "openai:x"})

    assert (agent.name, len(agent.tools)) == ("kitchen", 1)


def test_the_key_is_in_the_secrets_only() -> None:
    remote: RemoteSettingsWire = {"model": "openai:x", "api_key": "swordfish"}

    assert remote_secrets(remote) == {REMOTE_KEY_NAME: "swordfish"}
    assert remote_secrets({"model": "openai:x"}) == remote_secrets(None) == {}
    assert "swordfish" not in repr(with_remote(Agent(model=FILE), remote))
