"""Serve `build/site` on 127.0.0.1 as the page expects it: MIME types, a strict CSP, isolation for threads, ranges.

For development and for tests. Any static file server will do for real, with the same headers.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

CSP = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self' https: http://127.0.0.1:* http://localhost:*; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ISOLATION = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "credentialless"}
"""With these two a page may use SharedArrayBuffer, and ONNX Runtime more than one thread.

Not `require-corp`: it also blocks the request that tells a server which refuses this origin (CORS) from one that is
down. A browser that does not know `credentialless` runs the page on one thread.
"""

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".py": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    "": "text/plain; charset=utf-8",
}
SOCKET_LIMIT_SECONDS = 60.0
PIECE_BYTES = 1 << 18


class SiteServer(ThreadingHTTPServer):
    """A server for one folder. `overrides` maps paths such as `/agent.py` to files outside of it."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self, site: Path, *, port: int, is_isolated: bool, overrides: Mapping[str, Path], policy: str | None
    ) -> None:
        self.site = site.resolve()
        policies = {} if policy is None else {"Content-Security-Policy": policy}
        self.headers_for_all = {**policies, **(ISOLATION if is_isolated else {})}
        self.overrides = dict(overrides)
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self) -> str:
        """The address of the page, with a slash at its end."""
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def find(self, path: str) -> Path | None:
        """The file for the path of a URL; None when there is none, or when it lies outside of the site."""
        name = unquote(urlsplit(path).path)
        if name in self.overrides:
            return self.overrides[name]
        if "\0" in name or "\\" in name:
            return None
        file = self.site.joinpath(name.lstrip("/") or "index.html").resolve()
        is_inside = file == self.site or self.site in file.parents
        return file if is_inside and file.is_file() else None


@contextmanager
def serve(
    site: Path,
    *,
    port: int = 0,
    is_isolated: bool = True,
    overrides: Mapping[str, Path] | None = None,
    policy: str | None = CSP,
) -> Iterator[SiteServer]:
    """Serve a folder in a thread until the block ends; `policy` None: its pages have their own. Raises `OSError`."""
    server = SiteServer(site, port=port, is_isolated=is_isolated, overrides=overrides or {}, policy=policy)
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="site server", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    server: SiteServer
    protocol_version = "HTTP/1.1"
    timeout = SOCKET_LIMIT_SECONDS
    server_version = "limpet"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: what goes wrong is seen in the browser."""

    def _answer(self, *, with_body: bool) -> None:
        # A page of another site could reach this server under a name of its own (DNS rebinding); it is not served.
        host = re.sub(r":\d+$", "", self.headers.get("Host", ""))
        if host not in ("127.0.0.1", "localhost"):
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
            return
        file = self.server.find(self.path)
        if file is None:
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        try:
            self._send(file, with_body=with_body)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True  # the page was closed, or stopped a download

    def _send(self, file: Path, *, with_body: bool) -> None:
        with file.open("rb") as stream:
            status = file.stat()
            tag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
            if self.headers.get("If-None-Match") == tag:
                self._begin(HTTPStatus.NOT_MODIFIED, {"ETag": tag})
                return
            span = _range(self.headers.get("Range"), status.st_size)
            if self.headers.get("If-Range") not in (None, tag):
                span = (0, status.st_size)
            if span is None:
                self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"bytes */{status.st_size}")
                return
            start, end = span
            is_part = (start, end) != (0, status.st_size)
            headers = {
                "Content-Type": TYPES.get(file.suffix, "application/octet-stream"),
                "Content-Length": str(end - start),
                "Accept-Ranges": "bytes",
                "ETag": tag,
            }
            if is_part:
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{status.st_size}"
            self._begin(HTTPStatus.PARTIAL_CONTENT if is_part else HTTPStatus.OK, headers)
            if with_body:
                self._copy(stream, start, end)

    def _copy(self, stream: BinaryIO, start: int, end: int) -> None:
        stream.seek(start)
        while start < end and (piece := stream.read(min(PIECE_BYTES, end - start))):
            self.wfile.write(piece)
            start += len(piece)
        if start < end:  # the file was replaced by a shorter one: what was promised cannot be kept
            self.close_connection = True

    def _refuse(self, status: HTTPStatus, content_range: str | None = None) -> None:
        body = f"{status.value} {status.phrase}\n".encode()
        headers = {"Content-Type": TYPES[""], "Content-Length": str(len(body))}
        if content_range is not None:
            headers["Content-Range"] = content_range
        self._begin(status, headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _begin(self, status: HTTPStatus, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        # "no-cache" means: ask whether the ETag still holds. A rebuilt site is seen at the next reload.
        common = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
        resource = {"Cross-Origin-Resource-Policy": "same-origin"}
        for name, value in {**common, **resource, **self.server.headers_for_all, **headers}.items():
            self.send_header(name, value)
        self.end_headers()


def _range(header: str | None, length: int) -> tuple[int, int] | None:
    """The bytes a `Range` header asks for, as start and end; all of them without one; None if there are none such.

    Only a single range is understood; of several, the whole file is sent (RFC 9110, section 14.2, allows it).
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", (header or "").strip())
    if match is None or match[1] == match[2] == "":
        return 0, length
    if match[1] == "":
        start, end = max(0, length - int(match[2])), length
    else:
        start, end = int(match[1]), min(length, int(match[2]) + 1 if match[2] else length)
    return (start, end) if start < end else None
