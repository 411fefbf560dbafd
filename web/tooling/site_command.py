"""`site` and `dev`: the same commands in `build.py` and in `python -m limpet`; only the standard library."""

from __future__ import annotations

import argparse
import html
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .server import serve
from .site_folder import STYLE, SiteError, SiteFile, write_site

DEV_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, interactive-widget=resizes-content">
<title>{title}</title>
<link rel="icon" href="icon.svg"><link rel="stylesheet" href="style.css">
<script type="module" src="limpet.js"></script>
<main><h1>{title}</h1><limpet-chat src="agent.py" watch></limpet-chat></main>
</html>
"""


ASSETS = Path(__file__).with_name("assets")
"""Where the wheel `limpet-site` has them."""


def main(
    words: Sequence[str], assets: Path = ASSETS, program: str = "python -m limpet", compressed: Path | None = None
) -> int:
    """Do what the command line says, with the assets in a folder, and their brotli forms in another one or beside them.

    Gives the exit code.
    """
    options = _parser(program).parse_args(words)
    if not options.agent.is_file():
        print(f"error: there is no file {str(options.agent)!r}", file=sys.stderr)
        return 2
    if options.models_dir is not None and not options.models_dir.is_dir():
        print(f"error: --models-dir: there is no folder {str(options.models_dir)!r}", file=sys.stderr)
        return 2
    try:
        if options.command == "dev":
            return _dev(options, assets)
        files = write_site(
            assets,
            options.agent,
            options.out,
            models=options.models,
            models_url=options.models_url or "",
            title=options.title or "",
            models_dir=options.models_dir,
            page=options.page,
            start=options.start,
            compressed=None if options.no_compression else compressed or assets,
        )
    except SiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(table(files)))
    print(f"{options.out}: any web server can serve it; one that sends the .br and .gz files sends what is told above")
    return 0


HEADINGS = {
    "until it is ready": ("start", "snapshot"),
    "until it is ready, on a slow line": ("start", "files"),
    "at the first local model": ("model",),
    "the models themselves": ("models",),
    "when something needs it, and kept offline": ("later",),
}
MOST_LINES = 6
SNAPSHOT_FILE = "python/snapshot.bin"


def table(files: Sequence[SiteFile]) -> Iterator[str]:
    """Give lines that say where the bytes go: as they are, as gzip, and as they are sent at best."""
    yield f"  {'kB':<44} {'raw':>9} {'gzip':>9} {'brotli':>9}"
    told: set[SiteFile] = set()
    for heading, parts in HEADINGS.items():
        group = [file for file in files if file.when in parts]
        if not group or (
            "snapshot" in parts and not any(file.path == SNAPSHOT_FILE and file.size_bytes for file in group)
        ):
            continue
        yield _line(heading, group)
        large = [file for file in sorted(group, key=lambda file: -file.wire_bytes) if file not in told][:MOST_LINES]
        for file in large:
            yield _line(f"  {file.path}", [file])
        if rest := [file for file in group if file not in large]:
            yield _line("  the same as above" if told.intersection(rest) else f"  {len(rest)} more", rest)
        told.update(group)


def _line(name: str, files: Sequence[SiteFile]) -> str:
    sums = (sum(getattr(file, size) for file in files) for size in ("size_bytes", "gzip_bytes", "wire_bytes"))
    return f"  {name:<44} " + " ".join(f"{count / 1000:9.1f}" for count in sums)


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description="A page around an agent.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_site(commands.add_parser("site", help="write a folder that any web server can serve"))
    add_dev(commands.add_parser("dev", help="serve the page here, and take the agent's file anew when it is saved"))
    return parser


def add_site(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `site`."""
    parser.add_argument("agent", type=Path, metavar="AGENT.py")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder, or one made before")
    parser.add_argument(
        "--models",
        choices=("include", "download"),
        default="include",
        help="put the agent's local models into the folder, or let the page fetch them (default: include)",
    )
    _add_models_dir(parser)
    parser.add_argument("--title", help="the page's title (default: the name of the agent's file)")
    parser.add_argument("--page", type=Path, metavar="FILE", help="a page of your own in the place of ours")
    parser.add_argument(
        "--start",
        choices=("snapshot", "files"),
        default="snapshot",
        help="from a memory snapshot, which is soonest, or from files, which are fewest bytes (default: snapshot, and "
        "files where a browser tells of a slow line)",
    )
    parser.add_argument("--no-compression", action="store_true", help="write no .br and .gz files")
    parser.add_argument("--models-url", metavar="URL", help="with --models download: the folder of the models")


def add_dev(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `dev`."""
    parser.add_argument("agent", type=Path, metavar="AGENT.py")
    _add_models_dir(parser)
    parser.add_argument("--port", type=int, default=0, help="default: a free one")


def _add_models_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--models-dir", type=Path, metavar="DIR", help="where the local models are (default: Limpet's own, if built)"
    )


def _dev(options: argparse.Namespace, assets: Path) -> int:
    agent: Path = options.agent.resolve()
    with tempfile.TemporaryDirectory(prefix="limpet-dev-") as name:
        page, style = Path(name, "index.html"), Path(name, "style.css")
        page.write_text(DEV_PAGE.format(title=html.escape(agent.stem)), "utf-8")
        style.write_text(STYLE, "utf-8")
        overrides = {"/agent.py": agent, "/": page, "/style.css": style, **_models(options.models_dir)}
        try:
            with serve(assets, port=options.port, overrides=overrides) as server:
                print(f"{agent.name} is at {server.url}; save it and the page takes it anew. Ctrl-C ends", flush=True)
                while True:
                    time.sleep(3600)
        except OSError as error:
            print(f"error: cannot serve at port {options.port}: {error.strerror}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return 0


def _models(folder: Path | None) -> Mapping[str, Path]:
    if folder is None:
        return {}
    files = (path for path in folder.rglob("*") if path.is_file())
    return {f"/models/{path.relative_to(folder).as_posix()}": path for path in files}
