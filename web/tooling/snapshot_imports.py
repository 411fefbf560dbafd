"""Run inside Pyodide by `snapshot.mjs`: import what a page will need, and leave nothing else behind."""


def _run() -> None:
    import gc
    import importlib
    import pathlib
    import sys
    import zipfile
    import zipimport

    from limpet.hosts import late_library

    root = pathlib.Path("/lib/python3.14/site-packages")
    importlib.invalidate_caches()
    # Of hosts other than a page, and of what starts them.
    elsewhere = (
        *("__main__", "cli", "cpython", "cloudflare", "http1", "onnx_session", "onnx_state", "file", "kv"),
        *("process_pool", "onnx_errors"),
    )
    for path in sorted(root.glob("limpet/**/*.pyc")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[-1] not in (*elsewhere, "durable_object"):
            importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    with zipfile.ZipFile("/lib/python314.zip") as library:
        late_library.offer(frozenset(name.partition("/")[0].partition(".")[0] for name in library.namelist()))
    # The methods of all dataclasses are made, and the archive that was read is not the one that comes later.
    vars(sys.modules["limpet._prepared"])["_codes"].clear()
    vars(zipimport)["_zip_directory_cache"].clear()
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    gc.collect()


_run()
del _run
