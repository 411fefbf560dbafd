"""Write the folder that any web server can serve: a page around one agent, which works offline after one load.

Only the standard library, and nothing of the build: the wheel `limpet-site` carries this file with the assets, so that
`python -m limpet site` does what `build.py site` does. An agent's file is read as text here and never run.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Models = Literal["include", "download"]
"""Whether the folder has the agent's local models, or the page fetches them from `models_url`."""

Start = Literal["snapshot", "files"]
"""Whether Python starts from a snapshot, which is soonest, or on any line from files, which are fewest bytes."""

CSP = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; "
    "img-src 'self' data:; manifest-src 'self'; connect-src 'self' https: http://127.0.0.1:* http://localhost:*; "
    "base-uri 'none'; form-action 'none'"
)
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1, interactive-widget=resizes-content">
<meta http-equiv="Content-Security-Policy" content="{csp}">
<title>{title}</title>
<link rel="manifest" href="manifest.webmanifest"><link rel="icon" href="icon.svg">
<link rel="stylesheet" href="{folder}/style.css">
<script type="module" src="{folder}/limpet.js" integrity="{integrity}"></script>
<main><h1>{title}</h1><limpet-chat src="agent.py" offline{attributes}></limpet-chat></main>
</html>
"""
STYLE = """\
html, body { height: 100%; margin: 0; }
main { height: 100dvh; }
h1 { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
"""
HEADERS = """\
/*
  Cross-Origin-Opener-Policy: same-origin
  Cross-Origin-Embedder-Policy: credentialless
  X-Content-Type-Options: nosniff
  Referrer-Policy: no-referrer
/{folder}/*
  Cache-Control: public, max-age=31536000, immutable
"""
LOCAL_MODEL = re.compile(r"""["']local:([\w.-]+)["']""")
MADE_OF = {"assistant": ("needle", "smollm2")}
"""The local models that are made of others, unless the agent's file says of which."""

SNAPSHOT = re.compile(r"python/(?:snapshot\.bin|empty\.zip)")
FILES = re.compile(r"python/(?:stdlib\.zip|limpet-.*\.whl)")
"""What a start on a slow line asks for in place of the snapshot."""
LATER = re.compile(
    r"pyodide/python_stdlib\.zip|python/.*\.whl|ai-sdk\.js|assets/tool-worker\.js|sw\..*|sw-files\.json|_headers"
)
FOR_MODELS = re.compile(r"ort/.*|assets/inference-worker\.js")
COMPRESSED = (".br", ".gz")
LEAST_BYTES = 1000
WORTH = 0.98


class SiteError(Exception):
    """The site can't be made; the text is for whoever asked for it."""


@dataclass(frozen=True, slots=True)
class SiteFile:
    """A file of a site. `wire_bytes` is what it costs on its way, as well compressed as it lies there."""

    path: str
    """Without the folder that is named by the hash."""
    size_bytes: int
    gzip_bytes: int
    wire_bytes: int

    @property
    def when(self) -> Literal["start", "snapshot", "files", "model", "models", "later"]:
        """Say when a page asks for it.

        At each start; at one from the snapshot, or from files; for the first local model; when something needs it.
        """
        if self.path.startswith("models/"):
            return "models"
        if SNAPSHOT.fullmatch(self.path):
            return "snapshot"
        if FILES.fullmatch(self.path):
            return "files"
        if LATER.fullmatch(self.path):
            return "later"
        return "model" if FOR_MODELS.fullmatch(self.path) else "start"


def write_site(
    assets: Path,
    agent: Path,
    out: Path,
    *,
    models: Models = "include",
    models_url: str = "",
    models_dir: Path | None = None,
    title: str = "",
    page: Path | None = None,
    start: Start = "snapshot",
    compressed: Path | None = None,
) -> Sequence[SiteFile]:
    """Make the site in `out`, which must be empty or an older site. Gives its files.

    With `compressed`, a folder with brotli forms of the assets (`NAME.br`), each file gets its compressed forms beside
    it, for servers that send such files: those that are in the folder, and gzip. `page` is put in the place of ours, as
    it is; it finds `limpet.js`, `agent.py` and `style.css` beside itself. Models are taken from `models_dir`, or
    from the assets. Raises `SiteError`.
    """
    try:
        source = agent.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise SiteError(f"the agent file {str(agent)!r} can't be read: {error}") from error
    names = local_models(source)
    _empty(out)
    files = dict(runtime_files(assets, is_local=bool(names)))
    folder = f"files-{_version(files, start)}"
    for path, origin in files.items():
        _copy(origin, out / folder / path)
    if start == "files":
        # A page takes an empty one for none, without an error in its console.
        (out / folder / "python" / "snapshot.bin").write_bytes(b"")
    (out / folder / "style.css").write_text(STYLE, "utf-8")
    _copy(assets / "icon.svg", out / "icon.svg")
    if page is not None:
        (out / "style.css").write_text(STYLE, "utf-8")
    (out / "agent.py").write_text(source, "utf-8", newline="\n")
    (out / "limpet.js").write_text(f'export * from "./{folder}/limpet.js";\n', "utf-8")
    if models == "include":
        for name in names:
            _copy_model((models_dir or assets / "models") / name, out / "models" / name)
    title = title or agent.stem.replace("_", " ")
    attributes = f' models-url="{html.escape(models_url)}"' if models_url else ""
    ours = PAGE.format(
        csp=CSP,
        title=html.escape(title),
        folder=folder,
        integrity=_integrity(out / folder / "limpet.js"),
        attributes=attributes,
    )
    (out / "index.html").write_text(ours if page is None else _read_page(page), "utf-8", newline="\n")
    (out / "manifest.webmanifest").write_text(json.dumps(_manifest(title), indent=1), "utf-8")
    (out / "_headers").write_text(HEADERS.format(folder=folder), "utf-8")
    _write_worker(assets / "sw.js", out)
    if compressed is not None:
        _compress(out, folder, compressed)
    return list(_files(out, folder))


def local_models(source: str) -> list[str]:
    """Give the local models that the text of an agent's file names."""
    return sorted({part for name in LOCAL_MODEL.findall(source) for part in MADE_OF.get(name, (name,))})


def _empty(out: Path) -> None:
    """Remove an older site; anything else in the folder is not ours to remove."""
    if out.exists() and any(out.iterdir()) and not (out / "sw-files.json").is_file():
        raise SiteError(f"{str(out)!r} has files in it and is no site of Limpet's; name another folder")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)


def runtime_files(assets: Path, *, is_local: bool) -> Iterator[tuple[str, Path]]:
    """Give the files that a site has whatever its agent is, by their paths in it."""
    for name in ("limpet.js", "ai-sdk.js"):
        yield name, assets / name
    for folder in ("assets", "pyodide", "python", *(("ort",) if is_local else ())):
        for path in sorted((assets / folder).rglob("*")):
            is_ours = path.suffix not in (".map", *COMPRESSED) and path.name != "ask.js"
            is_needed = is_local or path.name != "inference-worker.js"
            if path.is_file() and is_ours and is_needed:
                yield path.relative_to(assets).as_posix(), path


def _read_page(page: Path) -> str:
    try:
        return page.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise SiteError(f"the page {str(page)!r} can't be read: {error}") from error


def _version(files: Mapping[str, Path], start: Start) -> str:
    lines = [f"{path} {_sha256(origin)}" for path, origin in files.items()]
    return hashlib.sha256("\n".join([*lines, STYLE, start]).encode()).hexdigest()[:12]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _integrity(path: Path) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise SiteError(f"the file {source} is missing from Limpet's assets")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _copy_model(source: Path, target: Path) -> None:
    if not (source / "model.json").is_file():
        raise SiteError(
            f"the local model {source.name!r} is not in {str(source.parent)!r}; name the folder that has it with "
            "--models-dir, or leave it out with --models download"
        )
    for path in sorted(source.rglob("*")):
        if path.is_file():
            _copy(path, target / path.relative_to(source))


def _manifest(title: str) -> dict[str, object]:
    icon = {"src": "icon.svg", "sizes": "any", "type": "image/svg+xml"}
    return {
        "name": title,
        "short_name": title[:12],
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "icons": [icon],
    }


def _write_worker(script: Path, out: Path) -> None:
    """Write the service worker and the list of what it keeps.

    A browser looks for a new one by comparing the script, so the version stands in it.
    """
    kept = [path for path in sorted(out.rglob("*")) if path.is_file() and "models" not in path.relative_to(out).parts]
    files = {path.relative_to(out).as_posix(): _integrity(path) for path in kept if path.name != "_headers"}
    version = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]
    # A later visit starts from the snapshot, which is kept.
    later = {name: files.pop(name) for name in [*files] if name.endswith("/python/stdlib.zip")}
    listing = {"version": version, "files": files, "later": later}
    (out / "sw-files.json").write_text(json.dumps(listing, indent=1), "utf-8")
    text = re.sub(r"\n//# sourceMappingURL=.*", "", script.read_text("utf-8"))
    (out / "sw.js").write_text(text.replace("LIMPET_SITE_VERSION", version), "utf-8", newline="\n")


def _compress(out: Path, folder: str, compressed: Path) -> None:
    """Write the compressed forms beside the files."""
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out)
        if not path.is_file() or name.parts[0] == "models" or path.stat().st_size < LEAST_BYTES:
            continue
        if name.parts[0] == folder:
            brotli = compressed / f"{name.relative_to(folder).as_posix()}.br"
            if brotli.is_file():
                shutil.copyfile(brotli, f"{path}.br")
        data = path.read_bytes()
        packed = gzip.compress(data, 9, mtime=0)
        if len(packed) < len(data) * WORTH:
            Path(f"{path}.gz").write_bytes(packed)


def _files(out: Path, folder: str) -> Iterator[SiteFile]:
    for path in sorted(out.rglob("*")):
        if path.is_file() and path.suffix not in COMPRESSED:
            name = path.relative_to(out)
            forms = [path, *(form for suffix in COMPRESSED if (form := Path(f"{path}{suffix}")).is_file())]
            sizes = {form.suffix: form.stat().st_size for form in forms}
            whole = sizes[path.suffix]
            inner = name.relative_to(folder) if name.parts[0] == folder else name
            yield SiteFile(inner.as_posix(), whole, sizes.get(".gz", whole), min(sizes.values()))
