"""HTTP/1.1 over asyncio's streams: one request, one connection, an answer that is read as it arrives.

`http.client` would need a thread for each request, and a thread can't be stopped; here a cancelled request closes its
socket at once. Neither proxies nor redirects nor compression: an API needs none, and each is a way to send a key
to the wrong place. Format: RFC 9112.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from urllib.parse import quote, urlsplit

from ..errors import ConfigurationError, FetchError
from ..host import HttpRequest

_HEAD_BYTES = 256 * 1024
_PIECE_BYTES = 64 * 1024
_NO_NETWORK = frozenset({errno.ENETUNREACH, errno.ENETDOWN})


class Http1Fetch:
    """The `Fetch` of CPython. Keeps nothing between requests but the certificates that it trusts."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls

    async def __call__(self, request: HttpRequest, /) -> Http1Response:
        """Send a request and wait for status and headers. Raises `FetchError`; cancelling it closes the socket."""
        url = urlsplit(request.url)
        try:
            port = url.port or (443 if url.scheme == "https" else 80)
        except ValueError as error:
            raise ConfigurationError("the port in a request's URL must be a number below 65536") from error
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ConfigurationError("a request needs a URL that begins with 'http://' or 'https://' and names a host")
        connection = _Connection(f"{url.hostname}:{port}", request.timeout_seconds)
        is_open = False
        try:
            await connection.open(url.hostname, port, self._context(url.scheme))
            target = quote(url.path or "/", safe="/%:@!$&'()*+,;=~-._") + (f"?{url.query}" if url.query else "")
            await connection.send(_render_head(request, url.netloc.rpartition("@")[2], target), request.body or b"")
            response = await connection.read_head()
            is_open = True
            return response
        finally:
            if not is_open:
                await connection.close()

    def _context(self, scheme: str) -> ssl.SSLContext | None:
        if scheme == "http":
            return None
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


class Http1Response:
    """An answer whose body still arrives; see `host.HttpResponse`."""

    def __init__(self, connection: _Connection, status: int, headers: Mapping[str, str]) -> None:
        self._connection = connection
        self.status = status
        self.headers = headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. Raises `FetchError`."""
        try:
            if "chunked" in self.headers.get("transfer-encoding", "").lower():
                pieces = self._connection.read_chunked()
            elif self.status in (204, 304):
                return
            else:
                pieces = self._connection.read_body(_length(self.headers))
            # A generator that is merely dropped is closed by a task of the loop's, which may outlive all else.
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the socket, at once."""
        await self._connection.close()


class _Connection:
    """One socket; each wait on it is limited to the silence that the request allows."""

    def __init__(self, address: str, timeout_seconds: float) -> None:
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._reader = asyncio.StreamReader()
        self._writer: asyncio.StreamWriter | None = None

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        with self._translated():
            async with asyncio.timeout(self._timeout_seconds):
                self._reader, self._writer = await asyncio.open_connection(
                    host, port, ssl=tls, limit=_HEAD_BYTES, happy_eyeballs_delay=0.25
                )

    async def send(self, head: bytes, body: bytes) -> None:
        if self._writer is None:
            return
        with self._translated():
            self._writer.write(head + body)
            async with asyncio.timeout(self._timeout_seconds):
                await self._writer.drain()

    async def read_head(self) -> Http1Response:
        while True:
            lines = (await self._read_until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            version, _, rest = lines[0].partition(" ")
            if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
                raise FetchError(f"what listens at {self._address} does not speak HTTP", kind="reset")
            status = int(rest[:3])
            if status >= 200:  # before it come remarks such as 100 Continue
                break
        fields = (line.partition(":") for line in lines[1:] if line)
        return Http1Response(self, status, {name.strip().lower(): value.strip() for name, _, value in fields})

    async def read_body(self, length: int | None) -> AsyncGenerator[bytes, None]:
        while length is None or length > 0:
            piece = await self._read(_PIECE_BYTES if length is None else min(length, _PIECE_BYTES))
            if not piece:
                if length is None or self._writer is None:
                    return
                raise self._broken_off()
            if length is not None:
                length -= len(piece)
            yield piece

    async def read_chunked(self) -> AsyncGenerator[bytes, None]:
        while True:
            line = await self._read_until(b"\r\n")
            try:
                size = int(line.partition(b";")[0].strip(), 16)
            except ValueError as error:
                raise FetchError(f"{self._address} sent a broken chunk", kind="reset") from error
            if size == 0:
                return
            async with aclosing(self.read_body(size)) as pieces:
                async for piece in pieces:
                    yield piece
            await self._read_until(b"\r\n")

    async def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        writer.transport.abort()
        # The loop drops the socket at its next turn; wait for that, so that none is left when the loop ends.
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await writer.wait_closed()

    async def _read(self, size: int) -> bytes:
        with self._translated():
            async with asyncio.timeout(self._timeout_seconds):
                return await self._reader.read(size)

    async def _read_until(self, end: bytes) -> bytes:
        with self._translated():
            async with asyncio.timeout(self._timeout_seconds):
                return await self._reader.readuntil(end)

    def _broken_off(self) -> FetchError:
        return FetchError(f"{self._address} closed the connection in the middle", kind="reset")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            text = f"{self._address} was silent for {self._timeout_seconds:g} seconds"
            raise FetchError(text, kind="timeout") from error
        except (asyncio.IncompleteReadError, ConnectionResetError, BrokenPipeError) as error:
            raise self._broken_off() from error
        except asyncio.LimitOverrunError as error:
            raise FetchError(f"what listens at {self._address} does not speak HTTP", kind="reset") from error
        except ssl.SSLError as error:
            raise FetchError(f"no safe connection to {self._address}: {error.reason}", kind="unreachable") from error
        except socket.gaierror as error:
            if error.errno == socket.EAI_AGAIN:  # no name server answers
                raise FetchError(f"there is no network to find {self._address}", kind="offline") from error
            raise FetchError(f"there is no host {self._address}", kind="unreachable") from error
        except OSError as error:
            if error.errno in _NO_NETWORK:
                raise FetchError(f"there is no network to reach {self._address}", kind="offline") from error
            raise FetchError(f"nobody answers at {self._address}", kind="unreachable") from error


def _render_head(request: HttpRequest, netloc: str, target: str) -> bytes:
    lines = [f"{request.method} {target} HTTP/1.1", f"host: {netloc}", "connection: close"]
    if request.body is not None:
        lines.append(f"content-length: {len(request.body)}")
    for name, value in request.headers.items():
        if "\r" in value or "\n" in value:
            raise ConfigurationError(f"the header {name!r} has a line break in it")
        lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None
