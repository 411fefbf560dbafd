"""What hatchling puts into the wheel `limpet-site`: the commands, and the built site as their assets."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "limpet_site"
COMMANDS = ("server.py", "site_command.py", "site_folder.py")
PAGE = ("sw.js", "icon.svg")
FOLDERS = ("assets", "ort", "pyodide", "python")
HEAD = '"""The commands `site` and `dev` of `python -m limpet`, and what the pages that they make are made of."""\n'


class SiteHook(BuildHookInterface):  # type: ignore[type-arg]  # its parameter is hatchling's own affair
    """Puts the commands beside a copy of `build/site`, without the demo and its models."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files. Raises `FileNotFoundError` when the site was not built."""
        root = Path(__file__).resolve().parents[2]
        included = build_data["force_include"]
        self._folder = tempfile.TemporaryDirectory(prefix="limpet-site-")
        head = Path(self._folder.name, "__init__.py")
        head.write_text(HEAD, "utf-8", newline="\n")
        included[str(head)] = f"{PACKAGE}/__init__.py"
        for name in COMMANDS:
            included[str(root / "web" / "tooling" / name)] = f"{PACKAGE}/{name}"
        site = root / "build" / "site"
        if not (site / "limpet.js").is_file():
            raise FileNotFoundError(f"{site} is not built: python3 build.py all")
        wanted = [*(site / name for name in PAGE), *site.glob("*.js")]
        wanted += [path for folder in FOLDERS for path in sorted((site / folder).rglob("*")) if path.is_file()]
        for path in wanted:
            if path.suffix != ".map" and path.name != "ask.js":
                included[str(path)] = f"{PACKAGE}/assets/{path.relative_to(site).as_posix()}"
        compressed = Path(os.environ.get("LIMPET_COMPRESSED", os.devnull))
        for path in sorted(compressed.rglob("*.br")):
            included[str(path)] = f"{PACKAGE}/assets/{path.relative_to(compressed).as_posix()}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the folder."""
        self._folder.cleanup()
