"""An agent file: Python that makes an `Agent`; and the remote model that a user may set for it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType

from ..agent import Agent
from ..errors import AgentError, ConfigurationError
from ..model import Model, ModelReference
from ..providers import PROVIDERS
from ..wire import RemoteSettingsWire

REMOTE_KEY_NAME = "LIMPET_REMOTE_API_KEY"
"""The name by which the remote that a user set asks the host for its key."""


def load_agent(source: str, name: str) -> Agent:
    """Run an agent file and give its global `agent`, or else the only `Agent` among its globals.

    `name` is the file's, for what is said of mistakes. Raises `ConfigurationError` saying what is wrong in which line.
    """
    return find_agent(run_file(source, name), name)


def run_file(source: str, name: str) -> Mapping[str, object]:
    """Run an agent file and give its globals. Raises `ConfigurationError` saying what is wrong in which line."""
    try:
        code = compile(source, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        what = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ConfigurationError(f"{name}{where}: {what}") from error
    module = ModuleType("limpet_agent_file")
    module.__file__ = name
    # Dataclasses and type hints look for the module of a class by its name.
    sys.modules[module.__name__] = module
    try:
        exec(code, module.__dict__)
    except (Exception, SystemExit) as error:  # whatever the user's file raises is the user's mistake, told as such
        text = error.message if isinstance(error, AgentError) else f"{type(error).__name__}: {error}"
        raise ConfigurationError(f"{name}{_line_in(name, error)}: {text}") from error
    return module.__dict__


def find_agent(names: Mapping[str, object], file_name: str) -> Agent:
    """Give the global `agent` of an agent file, or the only `Agent` there. Raises `ConfigurationError`."""
    agent = names.get("agent")
    if isinstance(agent, Agent):
        return agent
    agents = {id(value): value for value in names.values() if isinstance(value, Agent)}
    if len(agents) == 1:
        return next(iter(agents.values()))
    many = f"makes {len(agents)} agents; call the one to be run 'agent'"
    none = "makes no agent; write agent = Agent(model=...)"
    raise ConfigurationError(f"{file_name} {many if agents else none}")


def _line_in(name: str, error: BaseException) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
    return f", line {lines[-1]}" if lines else ""


def with_remote(agent: Agent, remote: RemoteSettingsWire | None) -> Agent:
    """Give the agent with the remote that a user set in place of its own; its local models stay where they are.

    A local model that a user named is asked in place of all of them. `remote["model"]` is `provider:name`; with a
    `base_url`, what doesn't begin with a known provider is a name there, spoken to as `openai_compatible`. Without a
    model, the address and the key go to the agent's own remotes. The host that the agent then runs on must give
    `remote_secrets`. Raises `ConfigurationError`.
    """
    if remote is None:
        return agent
    if remote["model"]:
        chosen = _set(_parse(remote["model"], has_base_url="base_url" in remote), remote)
        if _is_local(chosen):
            return replace(agent, model=chosen)
        models = agent.models
        place = next((index for index, model in enumerate(models) if not _is_local(model)), len(models))
        kept = [model for model in models if _is_local(model)]
        return replace(agent, model=(*kept[:place], chosen, *kept[place:]))
    own = [
        _set(model, remote) if isinstance(model, ModelReference) and not _is_local(model) else model
        for model in agent.models
    ]
    return replace(agent, model=tuple(own))


def remote_secrets(remote: RemoteSettingsWire | None) -> dict[str, str]:
    """Give what the host's `secret` must know beside its own keys for a remote that a user set."""
    key = remote.get("api_key") if remote is not None else None
    return {REMOTE_KEY_NAME: key} if key else {}


def _parse(text: str, *, has_base_url: bool) -> ModelReference:
    if has_base_url and text.partition(":")[0] not in PROVIDERS:
        return ModelReference("openai_compatible", text)
    return ModelReference.parse(text)


def _set(reference: ModelReference, remote: RemoteSettingsWire) -> ModelReference:
    if remote.get("base_url"):
        reference = replace(reference, base_url=remote["base_url"])
    if remote.get("api_key"):
        reference = replace(reference, key_name=REMOTE_KEY_NAME)
    return reference


def _is_local(model: ModelReference | Model) -> bool:
    return model.provider == "local" if isinstance(model, ModelReference) else model.info.is_local
