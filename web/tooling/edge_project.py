"""Make a project for Cloudflare's Python Workers from an agent file: the folder that `wrangler deploy` uploads.

    DIR/wrangler.jsonc    bindings, flags, variables
    DIR/src/              entry.py, and the agent file as agent.py
    DIR/python_modules/   our wheels and Cloudflare's SDK, unpacked: what `pywrangler sync` would vendor

`wrangler.jsonc` is the user's once it is there; all else is written anew.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

from .packages import WHEELS
from .progress import BuildError, run_logged, say, size

SDK = "workers-runtime-sdk==1.9.5"
SDK_FOLDER = "build/cache/workers-sdk"
PLATFORM, PYTHON = "pyemscripten_2026_0_wasm32", "3.14"
DOWNLOAD_LIMIT_SECONDS = 120.0
TEMPLATE = "web/edge"


def download_sdk(root: Path) -> None:
    """Fetch the wheel of Cloudflare's SDK for Python Workers. Raises `BuildError`."""
    target = root / SDK_FOLDER
    shutil.rmtree(target, ignore_errors=True)
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--platform", PLATFORM, "--python-version", PYTHON]
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input", *options]
    run_logged(
        [*command, "--dest", target, SDK],
        log=root / "build" / "log" / "workers-sdk.log",
        cwd=root,
        time_limit_seconds=DOWNLOAD_LIMIT_SECONDS,
    )


def make_project(root: Path, agent: Path, out: Path) -> None:
    """Write the project. Raises `BuildError` when the agent file is not Python, or the folder is somebody's else."""
    try:
        source = agent.read_bytes()
        compile(source, str(agent), "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError) as error:
        raise BuildError(f"the agent file {agent}: {error}") from error
    if out.exists() and any(out.iterdir()) and not (out / "wrangler.jsonc").exists():
        raise BuildError(f"{out} is no project of ours: there is no wrangler.jsonc in it, and it is not empty")
    template = root / TEMPLATE
    for name in ("src", "python_modules"):
        shutil.rmtree(out / name, ignore_errors=True)
    (out / "src").mkdir(parents=True)
    shutil.copyfile(template / "src" / "entry.py", out / "src" / "entry.py")
    (out / "src" / "agent.py").write_bytes(source)
    if not (out / "wrangler.jsonc").exists():
        shutil.copyfile(template / "wrangler.jsonc", out / "wrangler.jsonc")
    _vendor(root, out / "python_modules")
    check_project(out)
    files = [path for path in out.rglob("*") if path.is_file()]
    say(f"{out}: {len(files)} files, {size(sum(path.stat().st_size for path in files))}")


def _vendor(root: Path, target: Path) -> None:
    """Unpack the wheels; what no host at the edge imports is left out."""
    wheels = [root / "build" / "wheel" / name for name in WHEELS]
    wheels += sorted((root / SDK_FOLDER).glob("*.whl"))
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if not name.endswith((".pyi", "/RECORD")):
                    archive.extract(name, target)
    # By this file wrangler knows that the folder holds packages.
    (target / "pyvenv.cfg").touch()


def read_config(project: Path) -> dict[str, Any]:
    """Read `wrangler.jsonc`. Raises `BuildError`."""
    path = project / "wrangler.jsonc"
    try:
        config: dict[str, Any] = json.loads(without_comments(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise BuildError(f"{path} cannot be read: {error}") from error
    return config


def without_comments(text: str) -> str:
    """Take the comments and the last commas out of JSONC.

    >>> without_comments('{"a": "//", /* b */ "c": [1, 2,], // d')
    '{"a": "//",  "c": [1, 2], '
    """
    kept = re.sub(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', lambda match: match[1] or "", text, flags=re.DOTALL)
    return re.sub(r'("(?:\\.|[^"\\])*")|,(?=\s*[\]}])', lambda match: match[1] or "", kept)


def class_names(config: dict[str, Any]) -> list[str]:
    """Give the classes of Durable Objects that a configuration names."""
    return [binding["class_name"] for binding in config.get("durable_objects", {}).get("bindings", [])]


def check_project(project: Path) -> None:
    """Look at what `wrangler deploy --dry-run` does not: that all is Python, and each class exists."""
    config = read_config(project)
    entry = project / config["main"]
    for path in [*(project / "src").rglob("*.py"), *(project / "python_modules").rglob("*.py")]:
        try:
            compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            raise BuildError(f"{path} is no Python: {error}") from error
    source = entry.read_text("utf-8")
    missing = [name for name in (*class_names(config), "Default") if not re.search(rf"^class {name}\b", source, re.M)]
    if missing:
        raise BuildError(f"{entry} has no class {', '.join(missing)}, which wrangler.jsonc names")
    migrated = {name for step in config.get("migrations", []) for name in step.get("new_sqlite_classes", [])}
    if forgotten := sorted(set(class_names(config)) - migrated):
        raise BuildError(f"wrangler.jsonc needs a migration with new_sqlite_classes of {', '.join(forgotten)}")
