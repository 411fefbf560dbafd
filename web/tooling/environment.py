"""The virtual environment in `build/venv`: made once, renewed when a pin in `pyproject.toml` changes.

Only the standard library: `build.py` uses this file before that environment stands. A bare Debian `python3` has no
`ensurepip`; then the system's pip, Debian's own package, or a pip fetched from the package index takes its place.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

from .lock import build_lock, write_atomically
from .progress import BuildError, run_logged, say

# Only for a machine without ensurepip; the file's hash is checked.
PIP_FILE = "pip-26.3-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
INSTALL_LIMIT_SECONDS = 1800.0
DOWNLOAD_LIMIT_SECONDS = 60.0
KEPT_BY_CLEAN = ("venv", "cache", "state/environment.json", "lock")


def venv_python(root: Path) -> Path:
    """The interpreter of `build/venv`."""
    return root / "build" / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def requirements(root: Path) -> list[str]:
    """What the environment holds: the pins of the `dev` extra."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    pins: list[str] = project["optional-dependencies"]["dev"]
    return pins


def ensure(root: Path) -> Path:
    """Give the environment's interpreter, after making or renewing the environment when that is needed.

    Raises `BuildError`, which names the package that could not be had.
    """
    key = hashlib.sha256("\n".join([str(root), *requirements(root)]).encode()).hexdigest()
    if _is_ready(root, key):
        return venv_python(root)
    with build_lock(root):
        if not _is_ready(root, key):  # another build may have made it meanwhile
            _make(root, key)
    return venv_python(root)


def clean(root: Path, *, everything: bool) -> None:
    """Remove `build` and `dist`; without `everything` the environment and the downloads stay."""
    kept = set() if everything else {root / "build" / name for name in KEPT_BY_CLEAN}
    with build_lock(root):
        for top in (root / "build", root / "dist"):
            for path in sorted(top.rglob("*"), reverse=True) if not everything else []:
                if any(path == keep or keep in path.parents for keep in kept):
                    continue
                _remove_one(path)
    for top in (root / "dist", *([root / "build", root / "web" / "node_modules"] if everything else [])):
        shutil.rmtree(top, ignore_errors=True)
    say("removed what was built" + ("" if everything else "; the environment and the downloads stay (--everything)"))


def _remove_one(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        if not any(path.iterdir()):
            path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _is_ready(root: Path, key: str) -> bool:
    try:
        stamp = json.loads((root / "build" / "state" / "environment.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return stamp == {"key": key} and venv_python(root).exists()


def _make(root: Path, key: str) -> None:
    started = time.monotonic()
    venv = root / "build" / "venv"
    log = root / "build" / "log" / "environment.log"
    if not _runs(venv_python(root)):
        say(f"virtual environment in {venv} (Python {sys.version.split()[0]})")
        shutil.rmtree(venv, ignore_errors=True)
        run_logged([sys.executable, "-m", "venv", "--without-pip", venv], log=log, cwd=root, time_limit_seconds=120)
    python = venv_python(root)
    if not _runs(python, "-m", "pip", "--version"):
        _install_pip(root, python)
    pins = requirements(root)
    say(f"{len(pins)} Python packages from the package index; the first time about 250 MB, some minutes")
    command = [
        str(python),
        *["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off"],
    ]
    try:
        run_logged(
            [*command, *pins],
            log=log,
            cwd=root,
            time_limit_seconds=INSTALL_LIMIT_SECONDS,
            on_line=_show_download,
        )
    except BuildError as error:
        raise BuildError(f"pip could not install {_culprit(log)}. {_ADVICE}\n{error}") from None
    # So that `-m tooling.main`, `-m limpet` and `-m tests.bench...` work from anywhere, without PYTHONPATH.
    folders = "".join(f"{root / name}\n" for name in ("runtime", "web", "."))
    write_atomically(_site_packages(python) / "limpet-tree.pth", folders.encode())
    write_atomically(root / "build" / "state" / "environment.json", json.dumps({"key": key}).encode())
    say(f"virtual environment ready after {time.monotonic() - started:.0f} s")


_ADVICE = (
    "Check that this machine reaches the package index (`pip config list` shows which; PIP_INDEX_URL sets another), "
    "then run the same command again: what was downloaded is kept in pip's cache."
)


def _show_download(line: str) -> None:
    match = re.match(r"\s*Downloading (\S+)(?: \(([\d.]+ [kM]B)\))?", line)
    if match and not match[1].endswith(".metadata"):
        say(f"  downloading {match[1].rsplit('/', 1)[-1]} {match[2] or ''}".rstrip())


def _culprit(log: Path) -> str:
    """The package that pip stumbled over, as far as its output tells."""
    text = log.read_text("utf-8") if log.exists() else ""
    for pattern in (r"No matching distribution found for (\S+)", r"Failed building wheel for (\S+)"):
        if match := re.search(pattern, text):
            return match[1]
    collected = re.findall(r"^\s*(?:Collecting|Downloading) (\S+)", text, re.MULTILINE)
    return collected[-1] if collected else "the first of the packages that pyproject.toml pins"


def _runs(python: Path, *words: str) -> bool:
    command = [str(python), *(words or ("-c", "pass"))]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _site_packages(python: Path) -> Path:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return Path(done.stdout.strip())


def _install_pip(root: Path, python: Path) -> None:
    """Put pip into the environment, by the first of four ways that works."""
    if _runs(python, "-m", "ensurepip", "--default-pip"):
        return
    if _runs(Path(sys.executable), "-m", "pip", "--python", str(python), "install", "pip"):
        return
    say("this Python has no ensurepip (Debian keeps it in python3-venv); fetching pip itself")
    try:
        wheel = _download_pip(root / "build" / "cache")
    except OSError as error:
        raise BuildError(
            f"this Python can make no virtual environment with pip in it, and {PIP_FILE} could not be fetched "
            f"({error}). On Debian and Ubuntu: apt-get install python3-venv. Then run the same command again."
        ) from error
    run_logged(
        [python, f"{wheel}/pip", "install", "--disable-pip-version-check", "--no-input", "--no-index", wheel],
        log=root / "build" / "log" / "pip.log",
        cwd=root,
        time_limit_seconds=120,
    )


def _download_pip(folder: Path) -> Path:
    """Fetch pip's wheel from the package index (its JSON form, PEP 691) and check it. Raises `OSError`."""
    path = folder / PIP_FILE
    if not path.exists():
        index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
        request = urllib.request.Request(index, headers={"accept": "application/vnd.pypi.simple.v1+json"})
        with urllib.request.urlopen(request, timeout=DOWNLOAD_LIMIT_SECONDS) as reply:
            files = json.load(reply)["files"]
        url = next((urljoin(index, file["url"]) for file in files if file["filename"] == PIP_FILE), None)
        if url is None:
            raise OSError(f"{index} does not list it")
        with urllib.request.urlopen(url, timeout=DOWNLOAD_LIMIT_SECONDS) as reply:
            write_atomically(path, reply.read())
    if hashlib.sha256(path.read_bytes()).hexdigest() != PIP_SHA256:
        path.unlink()
        raise OSError("its SHA-256 is not the expected one")
    return path
