"""The command line of `build.py`, read before anything is built, so that a mistake costs nothing.

Only the standard library: `build.py` uses this file before its virtual environment stands.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from . import site_command
from .models import RECIPES

DEFAULT_PORT = 8765
ASK_LIMIT_SECONDS = 300.0
BENCHES = (
    *("accuracy", "local", "local_call", "parse", "loop", "sessions", "pool", "edge_load", "edge_start"),
    *("start", "stops"),
)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the arguments. Leaves with code 2 and a message when they cannot be used."""
    parser = argparse.ArgumentParser(prog="build.py", description="Build, run and test Limpet.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="build what is missing and serve the page"))
    _add_ask(commands.add_parser("ask", help="one turn of an agent, each event a line"))
    _add_edge(commands.add_parser("edge", help="make a project for Cloudflare Workers, or serve one here"))
    commands.add_parser("check", help="linters and types only")
    test = commands.add_parser("test", help="linters, types and every test")
    test.add_argument("pytest", nargs="*", metavar="ARG", help="for pytest; then only pytest runs (write -- before)")
    bench = commands.add_parser("bench", help="measure; more options are for the benchmark itself")
    bench.add_argument("--accuracy", action="store_true", help="the local model on the evaluation set")
    bench.add_argument("--local-call", action="store_true", help="a warm local call: Chromium beside onnxruntime")
    bench.add_argument("--local", action="store_true", help="local models beside transformers.js and wllama")
    bench.add_argument("--parse", action="store_true", help="reading a stream: ours beside the official SDKs")
    bench.add_argument("--loop", action="store_true", help="a run of the loop: ours beside pydantic-ai, openai-agents")
    bench.add_argument("--sessions", action="store_true", help="many sessions in one interpreter")
    bench.add_argument("--pool", action="store_true", help="tools in workers of a page")
    bench.add_argument("--edge-load", action="store_true", help="the gateway on workerd beside LiteLLM's proxy")
    bench.add_argument("--edge-start", action="store_true", help="sizes at the edge, imports and cold starts")
    bench.add_argument("--start", action="store_true", help="how soon a page is ready, beside Pyodide and a framework")
    bench.add_argument("--stops", action="store_true", help="from Stop to silence, and that nothing is left")
    commands.add_parser("generate", help="write the generated sources: web/src/generated/wire.ts")
    _add_models(commands.add_parser("models", help="make the local models into build/models, or fetch one"))
    _add_site(commands.add_parser("site", help="a folder that any web server can serve; without words, build/site"))
    site_command.add_dev(commands.add_parser("dev", help="serve a page around an agent, and take it anew when saved"))
    docs = commands.add_parser("docs", help="make the documentation in build/docs")
    docs.add_argument("--serve", action="store_true", help="serve it on 127.0.0.1")
    docs.add_argument("--port", type=_port, default=0, help="default: a free one")
    commands.add_parser("all", help="the wheel into dist/, and the site")
    clean = commands.add_parser("clean", help="remove what was built")
    clean.add_argument("--everything", action="store_true", help="the virtual environment and downloads too")
    options, rest = parser.parse_known_args(words)
    if rest and options.command != "bench":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest  # for the benchmark itself
    if options.command == "bench" and sum(getattr(options, name) for name in BENCHES) != 1:
        parser.error("bench: say what to measure: " + ", ".join(f"--{name.replace('_', '-')}" for name in BENCHES))
    if options.command == "models":
        unknown = [name for name in options.ids if name not in RECIPES]
        if unknown:
            parser.error(f"models: there is no model {unknown[0]!r}; there are {', '.join(RECIPES)}")
        if options.source is not None and len(options.ids) != 1:
            parser.error("models: --from is the folder of one model; name that one")
    if options.command == "ask" and not options.prompt.strip():
        parser.error("ask: the prompt is empty")
    agent: Path | None = getattr(options, "agent", None)
    if agent is not None and not agent.is_file():
        parser.error(f"--agent: there is no file {str(agent)!r}")
    return options


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--port", type=_port, default=None, help=f"default {DEFAULT_PORT}, or a free one when that is taken"
    )
    parser.add_argument("--agent", type=Path, metavar="FILE", help="an agent file (default: examples/kitchen.py)")
    parser.add_argument("--no-isolation", action="store_true", help="serve without COOP and COEP: one thread")
    opening = parser.add_mutually_exclusive_group()
    opening.add_argument("--browser-open", action="store_true", help="open the page in the default browser")
    opening.add_argument("--no-browser-open", action="store_true", help="only print the address (default)")


def _add_site(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site_words", nargs=argparse.REMAINDER, metavar="AGENT.py --out DIR", help="see site -h")


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID", help=f"which (default: all): {', '.join(RECIPES)}")
    parser.add_argument(
        "--from",
        dest="source",
        nargs="?",
        const="",
        type=_url,
        metavar="URL",
        help="fetch one from this folder on a server, or without a URL from where models/manifest.json says",
    )


def _add_ask(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("prompt", metavar="PROMPT")
    parser.add_argument("--json", action="store_true", help="one JSON event a line")
    parser.add_argument("--host", choices=("browser", "node", "cpython"), default="browser", help="default: browser")
    parser.add_argument("--agent", type=Path, metavar="FILE", help="an agent file (default: examples/kitchen.py)")
    parser.add_argument("--model", metavar="NAME", help="the remote model: provider:name, or a name with --base-url")
    parser.add_argument("--base-url", type=_url, metavar="URL", help="where the remote model is served")
    parser.add_argument("--api-key-env", metavar="NAME", help="the environment variable that holds the remote's key")
    parser.add_argument("--show-browser", action="store_true", help="browser host: with a window")
    parser.add_argument("--no-isolation", action="store_true", help="browser host: without COOP and COEP, one thread")
    parser.add_argument("--time-limit", type=_seconds, default=ASK_LIMIT_SECONDS, metavar="SECONDS")


def _add_edge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("agent_file", nargs="?", type=_file, metavar="AGENT.py", help="default: examples/kitchen.py")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the project's folder (default: build/edge)")
    parser.add_argument("--serve", action="store_true", help="serve the project on 127.0.0.1 with plain workerd")
    parser.add_argument("--port", type=_port, default=None, help="default 8787, or a free one when that is taken")
    parser.add_argument("--model", metavar="NAME", help="the remote model: provider:name, or a name with --base-url")
    parser.add_argument("--base-url", type=_url, metavar="URL", help="where the remote model is served")
    parser.add_argument("--api-key-env", metavar="NAME", help="the environment variable that holds the remote's key")


def _file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text!r}")
    return Path(text)


def _port(text: str) -> int:
    port = int(text) if text.isdigit() else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return port


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"a URL begins with http:// or https://, this does not: {text!r}")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"a time limit is a number of seconds above 0, not {text!r}")
    return seconds
