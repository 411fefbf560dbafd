"""A Chromium to drive: one on the path, else Playwright's own, else Debian's package when we may install it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .progress import BuildError, run_logged, say

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
DOWNLOAD_LIMIT_SECONDS = 600.0
VARIABLE = "LIMPET_BROWSER"
"""Names another browser to use, or hands ours to the tests."""


def find(root: Path) -> Path | None:
    """The browser that is there, or None."""
    wanted = os.environ.get(VARIABLE)
    for name in (wanted,) if wanted else NAMES:
        if found := shutil.which(name):
            return Path(found)
    for place in _usual_places():
        if place.is_file():
            return place
    recorded = root / "build" / "state" / "browser.txt"
    if recorded.exists() and (path := Path(recorded.read_text("utf-8"))).is_file():
        return path
    return None


def ensure(root: Path) -> Path:
    """Give a browser, installing one when there is none. Raises `BuildError` that says what to install."""
    if found := find(root):
        return found
    reasons: list[str] = []
    for way in (_install_playwright, _install_debian):
        try:
            found = way(root)
        except BuildError as error:
            reasons.append(str(error))
            continue
        recorded = root / "build" / "state" / "browser.txt"
        recorded.parent.mkdir(parents=True, exist_ok=True)
        recorded.write_text(str(found), "utf-8")
        return found
    raise BuildError(
        f"no Chromium: none of {', '.join(NAMES)} is on the path, and none could be installed. Install Chromium or "
        f"Chrome (Debian and Ubuntu: apt-get install chromium), or name one in {VARIABLE}.\n" + "\n".join(reasons)
    )


def _usual_places() -> list[Path]:
    """Where browsers are installed without being put on the path."""
    if sys.platform == "darwin":
        return [Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")]
    if sys.platform == "win32":
        folders = [os.environ.get(name, "") for name in ("ProgramFiles", "ProgramFiles(x86)", "LocalAppData")]
        return [Path(folder, r"Google\Chrome\Application\chrome.exe") for folder in folders if folder]
    return []


def _install_playwright(root: Path) -> Path:
    say("browser: none on the path; asking Playwright for its own Chromium (about 180 MB)")
    environment = {**os.environ, "PLAYWRIGHT_BROWSERS_PATH": str(root / "build" / "cache" / "browsers")}
    run_logged(
        [sys.executable, "-m", "playwright", "install", "chromium"],
        log=root / "build" / "log" / "playwright.log",
        cwd=root,
        env=environment,
        time_limit_seconds=DOWNLOAD_LIMIT_SECONDS,
    )
    names = {"linux": "chrome-linux*/chrome", "darwin": "chrome-mac*/**/MacOS/*", "win32": "chrome-win*/chrome.exe"}
    found = sorted((root / "build" / "cache" / "browsers").glob(f"chromium-*/{names.get(sys.platform, 'chrome')}"))
    if not found:
        raise BuildError("Playwright ended well but left no browser that we know how to find")
    if not _starts(found[-1]):
        raise BuildError(f"Playwright's {found[-1]} does not start here: system libraries are missing")
    return found[-1]


def _install_debian(root: Path) -> Path:
    apt = shutil.which("apt-get")
    if apt is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise BuildError("not root on a Debian system, so nothing was installed with apt-get")
    say("browser: installing Debian's chromium with apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
        run_logged(
            [apt, *words],
            log=root / "build" / "log" / f"apt-{words[0]}.log",
            cwd=root,
            env=environment,
            time_limit_seconds=DOWNLOAD_LIMIT_SECONDS,
        )
    found = shutil.which("chromium")
    if found is None:
        raise BuildError("apt-get ended well but there is no chromium on the path")
    return Path(found)


def _starts(browser: Path) -> bool:
    try:
        return subprocess.run([str(browser), "--version"], capture_output=True, check=False, timeout=30).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
