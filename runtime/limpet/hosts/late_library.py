"""The standard library of a page's interpreter: what a start does without comes when it is imported.

A snapshot holds the modules that were imported when it was made, and no files; a start from files gets an archive of
the same modules. The first import of another one has JavaScript fetch the whole archive, at once and while everything
waits: an import can't wait for a promise.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from importlib import import_module, invalidate_caches
from importlib.machinery import ModuleSpec, PathFinder


class LateLibrary:
    """The last of the finders: what nobody found may be in the archive, which has modules of these names."""

    def __init__(self, names: Collection[str]) -> None:
        # Many a module asks for one that this platform doesn't have, and does without it.
        self._names = names

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Fetch the archive when a module of it is asked for, and look there."""
        if name.partition(".")[0] not in self._names or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        # Pyodide's name for the worker's globals; a snapshot must not hold one of its objects.
        import_module("js").limpetLateLibrary()
        invalidate_caches()
        sys.path_importer_cache.clear()
        return PathFinder.find_spec(name, path)


def offer(names: Collection[str] = ()) -> None:
    """Let imports find the whole library from now on; without `names` they are in the archive of a start from files."""
    sys.meta_path.append(LateLibrary(names or import_module("late_names").NAMES))
