"""The brotli form of what a site is made of: `build/compressed` has a `.br` for each file that gets smaller by it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from . import node
from .site_folder import runtime_files

FOLDER = "build/compressed"
CACHE = "build/cache/compressed"
LIMIT_SECONDS = 1200.0


def make(root: Path) -> None:
    """Compress the files of `build/site` that every site has. Raises `BuildError`."""
    fresh = root / f"{FOLDER}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    files = runtime_files(root / "build" / "site", is_local=True)
    pairs = [{"input": str(origin), "output": f"{fresh / path}.br"} for path, origin in files]
    job = json.dumps({"cache": str(root / CACHE), "files": pairs})
    node.run(root, root / "web/tooling/compress.mjs", job, log="compress", time_limit_seconds=LIMIT_SECONDS)
    shutil.rmtree(root / FOLDER, ignore_errors=True)
    fresh.rename(root / FOLDER)
