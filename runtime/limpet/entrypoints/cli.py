"""The terminal: `python -m limpet ask AGENT.py PROMPT`, and how an event looks to a person.

`site` and `dev` come with the wheel `limpet-site`, which has what a page is made of.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO, assert_never

from ..agent import Agent
from ..errors import AgentError, ConfigurationError, ToolError
from ..events import Approval, event_to_wire
from ..host import Host, InferenceBackend
from ..hosts.cpython import create_host
from ..run import Run
from ..stores.file import FileStorage
from ..stores.memory import MemoryStorage
from ..wire import EventWire, RemoteSettingsWire, UsageWire
from .agent_file import load_agent, remote_secrets, with_remote

ANSWERED, FAILED, BAD_USAGE = 0, 1, 2
_CONVERSATION = "terminal"
_WITH_SITE = ("site", "dev")


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; without `words` it is that of this process. Gives the exit code.

    That is 0 after `run_end`, 1 after `run_error`, 2 when the command, the agent file or a setting is wrong.
    """
    words = sys.argv[1:] if words is None else words
    if words and words[0] in _WITH_SITE:
        return _site(words)
    options = _parser().parse_args(words)
    if isinstance(sys.stdout, TextIOWrapper):
        # A terminal that can't show a letter shows its number.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        agent, host = _set_up(options)
        return asyncio.run(_ask(agent, host, options))
    except ConfigurationError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return BAD_USAGE
    except BrokenPipeError:  # whoever read our lines has seen enough; Python would complain of it once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _site(words: Sequence[str]) -> int:
    if find_spec("limpet_site") is None:
        print(f"error: {words[0]} needs the package limpet-site: pip install limpet[site]", file=sys.stderr)
        return BAD_USAGE
    # Late, because it is no dependency of ours.
    return int(import_module("limpet_site.site_command").main(words))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m limpet",
        description="Run an agent on this machine.",
        epilog="With limpet[site] also: site (a static page around an agent), dev (the same, served here).",
    )
    ask = parser.add_subparsers(dest="command", required=True).add_parser(
        "ask", help="take one prompt through an agent"
    )
    ask.add_argument("agent", metavar="AGENT.py", help="a Python file that makes an Agent")
    ask.add_argument("prompt", metavar="PROMPT", help="what to ask; - reads it from standard input")
    ask.add_argument("--json", action="store_true", help="print each event as one line of JSON")
    ask.add_argument("--model", metavar="PROVIDER:NAME", help="the remote model, in place of the agent's own")
    ask.add_argument("--base-url", metavar="URL", help="the address of the remote model's server")
    ask.add_argument("--api-key-env", metavar="NAME", help="the environment variable that holds the remote's key")
    ask.add_argument("--models-dir", metavar="DIR", type=Path, help="where the local models are")
    ask.add_argument("--storage", metavar="DIR", type=Path, help="keep the conversation in this folder")
    return parser


def _set_up(options: argparse.Namespace) -> tuple[Agent, Host]:
    path = Path(options.agent)
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"the agent file {str(path)!r} can't be read: {what}") from error
    remote = _remote(options)
    agent = with_remote(load_agent(source, str(path)), remote)
    host = create_host(
        storage=MemoryStorage() if options.storage is None else FileStorage(options.storage),
        inference=None if options.models_dir is None else _inference(options.models_dir),
        secrets={**os.environ, **remote_secrets(remote)},
    )
    return agent, host


def _remote(options: argparse.Namespace) -> RemoteSettingsWire | None:
    if options.model is None and options.base_url is None and options.api_key_env is None:
        return None
    remote: RemoteSettingsWire = {"model": options.model or ""}
    if options.base_url is not None:
        remote["base_url"] = options.base_url
    if options.api_key_env is not None:
        key = os.environ.get(options.api_key_env)
        if not key:
            raise ConfigurationError(f"--api-key-env: the environment variable {options.api_key_env!r} is not set")
        remote["api_key"] = key
    return remote


def _inference(models_dir: Path) -> InferenceBackend:
    if find_spec("onnxruntime") is None:
        raise ConfigurationError("--models-dir: local models need the package onnxruntime (pip install onnxruntime)")
    # Late, because onnxruntime is no dependency of ours and is needed for local models only.
    backend: InferenceBackend = import_module("limpet.hosts.onnx_session").OnnxBackend(models_dir)
    return backend


async def _ask(agent: Agent, host: Host, options: argparse.Namespace) -> int:
    conversation_id = None if options.storage is None else _CONVERSATION
    approve = _ask_person if sys.stdin.isatty() else None
    prompt = sys.stdin.read() if options.prompt == "-" else options.prompt
    run = agent.run(prompt, host=host, conversation_id=conversation_id, approve=approve)
    with suppress(NotImplementedError):  # Windows has no signal handlers on its loop; there Ctrl-C is an exception
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, run.cancel)
    return await _print_events(run, sys.stdout, as_json=options.json)


async def _print_events(run: Run, out: TextIO, *, as_json: bool) -> int:
    told: set[str] = set()
    try:
        async for event in run:
            wire = event_to_wire(event, id=run.next_event_id - 1, run_id=run.run_id)
            line = json.dumps(wire) if as_json else render_event(wire)
            print(line, file=out, flush=True)
            for call_id, error in run.failures.items():
                if call_id not in told and not isinstance(error, ToolError):
                    traceback.print_exception(error)
                told.add(call_id)
    except AgentError:  # was told as the last event
        return FAILED
    except BrokenPipeError:
        await run.close()
        raise
    except Exception:  # a mistake in ours or in a model's code: the event doesn't tell its text, the log does
        traceback.print_exc()
        return FAILED
    return ANSWERED


async def _ask_person(approval: Approval) -> bool:
    """Ask at the terminal; in a thread that nobody waits for at the end, since reading a line can't be stopped."""
    loop = asyncio.get_running_loop()
    answer = loop.create_future()

    def tell(text: str) -> None:
        if not answer.done():
            answer.set_result(text)

    def read() -> None:
        text = sys.stdin.readline()
        with suppress(RuntimeError):  # the loop is closed when the run was stopped in the meantime
            loop.call_soon_threadsafe(tell, text)

    print(f"run {approval.name} {_line(approval.arguments)}? [y/N] ", end="", file=sys.stderr, flush=True)
    threading.Thread(target=read, daemon=True).start()
    text: str = await answer
    return text.strip().lower() in ("y", "yes")


def render_event(event: EventWire) -> str:
    r"""Give an event as one line for a person; what could move the cursor is written as an escape.

    >>> render_event({"type": "text_delta", "id": 3, "run_id": "r", "part_id": "0", "text": "two\nlines"})
    'text_delta       two\\nlines'
    """
    text = _line(_describe(event))
    return f"{event['type']:<16} {text}" if text else event["type"]


def _describe(event: EventWire) -> str:
    match event["type"]:
        case "run_start":
            return ", ".join(event["models"])
        case "turn_start":
            return str(event["turn"])
        case "progress":
            size = "" if event["status"] == "ready" else _progress(event["loaded"], event["total"])
            return f"{event['model']} {event['status']} {event['file']}{size}".rstrip()
        case "retry":
            return (
                f"{event['model']} again in {event['delay_seconds']:.1f} s (attempt {event['attempt']}, "
                f"{event['reason']}): {event['message']}"
            )
        case "fallback":
            return f"{event['from_model']} -> {event['to_model']} ({event['reason']}): {event['message']}"
        case "model_start":
            confidence = event["confidence"]
            return event["model"] + ("" if confidence is None else f" (confidence {confidence:.2f})")
        case "text_start" | "text_end" | "reasoning_start" | "reasoning_end":
            return ""
        case "text_delta" | "reasoning_delta":
            return event["text"]
        case "tool_call_start":
            return event["name"]
        case "tool_call_delta":
            return event["arguments"]
        case "tool_call_end" | "approval":
            return f"{event['name']} {event['arguments']}"
        case "tool_progress":
            return _content(event["content"])
        case "tool_result":
            return f"{event['name']}{' failed' if event['is_error'] else ''}: {_content(event['content'])}"
        case "output_update":
            return f"{'whole' if event['is_whole'] else 'so far'}: {_content(event['value'])}"
        case "hook_action":
            why = f": {event['reason']}" if event["reason"] else ""
            return f"{event['hook']} {event['action']} in {event['point']}{why}"
        case "turn_reset":
            return f"{event['turn']}: {event['message']}"
        case "turn_end":
            return f"{event['turn']} {event['model']} {event['finish_reason']}, {_tokens(event['usage'])}"
        case "run_end":
            turns = "1 turn" if event["turns"] == 1 else f"{event['turns']} turns"
            return f"{event['finish_reason']}, {turns}, {_tokens(event['usage'])}"
        case "run_error":
            return f"{event['name']}: {event['message']}"
        case _:
            assert_never(event)


def _progress(loaded: int, total: int) -> str:
    if total:
        return f" {_size(loaded)} of {_size(total)}"
    return f" {_size(loaded)}" if loaded else ""


def _size(size_bytes: int) -> str:
    if size_bytes < 100_000:
        return f"{size_bytes / 1e3:.1f} kB"
    return f"{size_bytes / 1e6:.1f} MB"


def _tokens(usage: UsageWire) -> str:
    return f"{usage['input_tokens']} tokens in, {usage['output_tokens']} out"


def _content(content: object) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def _line(text: str) -> str:
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
