"""The commands of `build.py`, run inside `build/venv`: each makes what it needs and then does its work."""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from . import arguments, checks, compressed, docs, edge, models, packages, recipe, site_command, site_folder, steps
from .progress import BuildError, exit_with, say
from .server import serve

ROOT = Path(__file__).resolve().parents[2]
NEEDED_BY_HOST: Mapping[str, Sequence[str]] = {
    "browser": ("site",),
    "node": ("site",),
    "cpython": ("needle",),
}
"""The steps of the recipe on which `ask` stands."""


def make(*names: str) -> None:
    """Make steps of the recipe, as far as they are not made."""
    steps.ensure(ROOT, recipe.STEPS, names)


def run(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    started = time.monotonic()
    make("site")
    port = options.port if options.port is not None else _free_port(arguments.DEFAULT_PORT)
    overrides = {} if options.agent is None else {"/agent.py": options.agent.resolve()}
    try:
        with serve(
            ROOT / "build" / "site", port=port, is_isolated=not options.no_isolation, overrides=overrides
        ) as server:
            say(f"ready after {time.monotonic() - started:.1f} s; Ctrl-C ends it")
            print(f"Limpet is at {server.url}", flush=True)
            if options.browser_open:
                webbrowser.open(server.url)
            while True:
                time.sleep(3600)
    except OSError as error:
        raise BuildError(f"cannot serve at port {port}: {error.strerror}. Name another with --port") from error


def _free_port(wanted: int) -> int:
    """The wanted port when it is free, else 0, for which the system picks one."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return 0 if probe.connect_ex(("127.0.0.1", wanted)) == 0 else wanted


def bench(options: argparse.Namespace) -> int:
    """Measure; what is measured has its own command line."""
    words = [word for word in options.rest if word != "--"]
    if options.local_call:
        make("site")
        module = "tests.bench.local_call"
    elif options.local:
        make("stdlib", "page-wheel", "smollm2", "minilm")
        module = "tests.bench.local"
    elif options.edge_load or options.edge_start:
        make("wheel", "workers-sdk", "edge-parts")
        module = "tests.bench.edge_load" if options.edge_load else "tests.bench.edge_start"
    elif options.start or options.stops:
        make("site", *(["smollm2"] if options.stops else []))
        module = "tests.bench.start" if options.start else "tests.bench.stops"
    elif options.parse:
        make("npm", "stdlib")
        module = "tests.bench.parse_speed"
    elif options.pool:
        make("site")
        module = "tests.bench.tool_pool"
    elif options.loop:
        make("site")
        module = "tests.bench.loop"
    elif options.sessions:
        make("npm", "stdlib")
        module = "tests.bench.sessions"
    else:
        make("needle", *(["npm"] if {"--compare", "node", "--host=node"} & set(words) else []))
        module = "tests.bench.accuracy"
    return subprocess.run([sys.executable, "-m", module, *words], cwd=ROOT, check=False).returncode


def _making(*names: str) -> Callable[[argparse.Namespace], int]:
    def command(_: argparse.Namespace) -> int:
        make(*names)
        return 0

    return command


def all_(_: argparse.Namespace) -> int:
    """Make everything there is: the wheels into `dist/`, the site, and the package for npm."""
    make("wheel", "site-wheel", "npm-package")
    packages.publish(ROOT)
    return 0


def models_(options: argparse.Namespace) -> int:
    """Make local models, or fetch one."""
    if options.source is None:
        make(*(options.ids or recipe.MODELS))
        return 0
    (name,) = options.ids
    url = options.source or models.download_url(ROOT, name)
    steps.accept(ROOT, recipe.STEPS, name, lambda: models.download(ROOT, name, url))
    return 0


def ask(options: argparse.Namespace) -> int:
    """One turn of an agent on one of the hosts."""
    named = (options.model or "").partition("local:")[2]
    made_of = site_folder.MADE_OF.get(named, (named,))
    make(*(name for name in made_of if name in recipe.MODELS), *NEEDED_BY_HOST[options.host])
    # In a process of its own: it imports `limpet`, and a runtime that is broken half-way must not keep anybody from
    # building and checking it.
    return subprocess.run([sys.executable, "-m", "tooling.ask", *sys.argv[1:]], check=False).returncode


def edge_(options: argparse.Namespace) -> int:
    """Make a project for Cloudflare Workers, or serve one."""
    make("wheel", "workers-sdk", *(["edge-parts"] if options.serve else []), *edge.needed(ROOT, options))
    return edge.edge(ROOT, options)


def site_(options: argparse.Namespace) -> int:
    """Make `build/site`, or the site of an agent."""
    words = [word for word in options.site_words if word != "--"]
    return _page(["site", *words]) if words else _making("site")(options)


def dev(options: argparse.Namespace) -> int:
    """Serve a page around an agent until Ctrl-C."""
    folder = [] if options.models_dir is None else ["--models-dir", str(options.models_dir)]
    return _page(["dev", str(options.agent), "--port", str(options.port), *folder])


def _page(words: Sequence[str]) -> int:
    """Do what `python -m limpet` would do with these words, with the assets of this build and the agent's models."""
    agents = [Path(word) for word in words if word.endswith(".py") and Path(word).is_file()]
    named = [name for agent in agents for name in site_folder.local_models(agent.read_text("utf-8"))]
    is_compressed = words[0] == "site" and agents and "--no-compression" not in words
    last = ("compressed",) if is_compressed else ("site",)
    make(*sorted({name for name in named if name in recipe.MODELS}), *last)
    return site_command.main(words, ROOT / "build" / "site", "build.py", ROOT / compressed.FOLDER)


def docs_(options: argparse.Namespace) -> int:
    """Make the documentation; serve it, or run its live examples in a browser."""
    make("docs")
    if options.serve:
        return docs.serve_docs(ROOT, options.port)
    print(f"{ROOT / docs.FOLDER}: any web server can serve it")
    return checks.test(ROOT, ["tests/pages/test_docs_site.py"])


def generate(_: argparse.Namespace) -> int:
    """Write what is generated: `wire.ts`, and the tables of the documents."""
    make("wire")
    # In a process of its own: it imports `limpet`, which may be broken half-way.
    words = [sys.executable, "-m", "tooling.docs_tables", str(ROOT)]
    return subprocess.run(words, cwd=ROOT, check=False).returncode


def check(_: argparse.Namespace) -> int:
    """Linters, types and generated files."""
    make("npm")
    return checks.run(ROOT, checks.CHECKS)


def test(options: argparse.Namespace) -> int:
    """Everything that can fail."""
    make("minilm", "smollm2", "site", "npm-package", "pyodide-wheels")
    return checks.test(ROOT, options.pytest)


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "run": run,
    "ask": ask,
    "edge": edge_,
    "test": test,
    "check": check,
    "bench": bench,
    "docs": docs_,
    "generate": generate,
    "models": models_,
    "site": site_,
    "dev": dev,
    "all": all_,
}


def main() -> int:
    """Run the command that the command line names. Gives the exit code."""
    options = arguments.parse(sys.argv[1:])
    return COMMANDS[options.command](options)


if __name__ == "__main__":
    exit_with(main)
