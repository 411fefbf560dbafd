"""The standard library of an interpreter that was restored from a snapshot: its files come when one is imported.

A snapshot holds the modules that were imported when it was made, and no files. The first import of another module has
JavaScript fetch the archive, at once and while everything waits: an import can't wait for a promise.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module, invalidate_caches


class LateLibrary:
    """A finder that finds nothing: it fetches the archive in which the finders behind it then look."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> None:
        """Fetch the archive when a module of the standard library is asked for."""
        if name.partition(".")[0] not in sys.stdlib_module_names or self not in sys.meta_path:
            return
        sys.meta_path.remove(self)
        # Pyodide's name for the worker's globals; a snapshot must not hold one of its objects.
        import_module("js").limpetLateLibrary()
        sys.path_importer_cache.clear()
        invalidate_caches()
