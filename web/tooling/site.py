"""Put together `build/site`: what a web server has to serve, and nothing else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .packages import PAGE_WHEELS
from .progress import BuildError, say, size

PYODIDE_FILES = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm")
ORT_FILES = ("ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
DEMO_AGENT = "examples/kitchen.py"


def assemble(root: Path) -> None:
    """Make the site beside the old one and swap the two. Large files are hard links, not copies."""
    build, modules = root / "build", root / "web" / "node_modules"
    fresh, stale = build / "site.new", build / "site.old"
    for folder in (fresh, stale):
        shutil.rmtree(folder, ignore_errors=True)
    add_tree(root / "web" / "site", fresh)
    add_tree(build / "web" / "site", fresh)
    for name in PYODIDE_FILES:
        add_file(modules / "pyodide" / name, fresh / "pyodide" / name)
    add_file(build / "python" / "python_stdlib.zip", fresh / "pyodide" / "python_stdlib.zip")
    for name in ORT_FILES:
        add_file(modules / "onnxruntime-web" / "dist" / name, fresh / "ort" / name)
    for name in ("pyodide-lock.json", "snapshot.bin", "stdlib.zip", "empty.zip", *PAGE_WHEELS):
        add_file(build / "python" / name, fresh / "python" / name)
    for model in sorted((build / "models").iterdir()):
        if (model / "model.json").is_file():
            add_tree(model, fresh / "models" / model.name)
    add_file(root / DEMO_AGENT, fresh / "agent.py")
    site = build / "site"
    if site.exists():
        site.rename(stale)
    fresh.rename(site)
    shutil.rmtree(stale, ignore_errors=True)
    _report(site)


def add_tree(source: Path, target: Path) -> None:
    """Put all files of a folder into another one, as `add_file` does. Raises `BuildError` when it is missing."""
    if not source.is_dir():
        raise BuildError(f"the folder {source} is missing")
    for path in sorted(source.rglob("*")):
        if path.is_file():
            add_file(path, target / path.relative_to(source))


def add_file(source: Path, target: Path) -> None:
    """Put a file in place as a hard link, or a copy where there are none. Raises `BuildError` when it is missing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise BuildError(f"the file {source} is missing") from None
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _report(site: Path) -> None:
    for folder in sorted(path for path in site.iterdir() if path.is_dir()):
        total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        say(f"  {folder.name + '/':<9} {size(total)}")
