"""How an answer goes out over a connection, whole or with a fault."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from .faults import Fault, Framing
from .formats import Frames
from .record import SeenConnection

_PAGE = b"<!doctype html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>"
_FOREVER = 3600.0
# A reset takes away what the client has not read yet; this lets it read what was sent before.
_BEFORE_RESET_SECONDS = 0.03


class Sender:
    """Sends one response over one connection. `common` are headers of every response."""

    def __init__(self, writer: asyncio.StreamWriter, seen: SeenConnection, common: Mapping[str, str]) -> None:
        self._writer = writer
        self._seen = seen
        self._common = common
        # Then `drain` waits until the system has everything.
        writer.transport.set_write_buffer_limits(0)

    async def whole(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send a response in one piece."""
        length = {} if status == 204 else {"content-length": str(len(body))}
        await self._write(self._head(status, {**length, **(headers or {})}) + body)

    async def stream(self, frames: Frames, content_type: str, framing: Framing = "chunked") -> None:
        """Send a streamed answer, frame by frame."""
        await self._stream(frames.frames, content_type, framing)

    async def fail(self, fault: Fault, frames: Frames, content_type: str, garbage: bytes, error: bytes) -> None:
        """Send an answer, or what the fault leaves of it."""
        if fault.kind in _BEFORE_HEAD:
            await self._fail_before_head(fault)
        elif fault.kind == "status":
            after = {} if fault.retry_after is None else {"retry-after": f"{fault.retry_after:g}"}
            await self.whole(fault.status, error, {"content-type": "application/json", **after})
        elif fault.kind == "html":
            await self.whole(200, _PAGE, {"content-type": "text/html"})
        elif fault.kind == "empty":
            await self._stream((), content_type, fault.framing)
        elif fault.kind in ("length_too_long", "length_too_short"):
            await self._lie(fault, frames, content_type)
        elif fault.kind in ("slow_head", "slow_frames", "drip", "huge_event", "invalid_utf8"):
            await self._go_slowly(fault, frames, content_type)
        else:
            await self._break_off(fault, frames, content_type, garbage)

    async def _fail_before_head(self, fault: Fault) -> None:
        match fault.kind:
            case "reset_before_head":
                self._reset()
            case "no_http":
                await self._write(b"220 mail.example.com ESMTP\r\n\r\n")
            case "silent_head":
                await asyncio.sleep(_FOREVER)

    async def _lie(self, fault: Fault, frames: Frames, content_type: str) -> None:
        body = b"".join(frames.frames)
        told = len(body) + 100 if fault.kind == "length_too_long" else sum(map(len, fault.cut(frames)))
        await self._write(self._head(200, {"content-type": content_type, "content-length": str(told)}) + body)

    async def _go_slowly(self, fault: Fault, frames: Frames, content_type: str) -> None:
        if fault.kind == "slow_head":
            await asyncio.sleep(fault.seconds)
        if fault.kind == "drip":
            for byte in self._head(200, {"content-type": content_type}) + b"".join(frames.frames):
                await self._write(bytes((byte,)))
                await asyncio.sleep(0)
            return
        pause = fault.seconds if fault.kind == "slow_frames" else 0.0
        await self._stream(frames.frames, content_type, fault.framing, pause)

    async def _break_off(self, fault: Fault, frames: Frames, content_type: str, garbage: bytes) -> None:
        kept = fault.cut(frames)
        if fault.kind == "garbage":
            await self._stream((*kept, garbage, *frames.frames[frames.end :]), content_type, fault.framing)
            return
        # A body that ends where its length says, or whose last chunk has come, is no clean end; one without either is.
        framing: Framing = "chunked" if fault.kind == "bad_chunk" else fault.framing
        framing = "close" if framing == "length" else framing
        is_clean = fault.kind in ("close_in_body", "close_in_frame", "cut_after_the_end")
        await self._stream(kept, content_type, framing, is_ended=is_clean)
        match fault.kind:
            case "reset_in_body" | "reset_in_frame":
                await asyncio.sleep(_BEFORE_RESET_SECONDS)
                self._reset()
            case "bad_chunk":
                await self._write(b"xyz\r\nhello\r\n")
            case "half_close":
                self._writer.write_eof()
                await asyncio.sleep(_FOREVER)
            case "silent_body":
                await asyncio.sleep(_FOREVER)

    # --- bytes ---

    async def _stream(
        self,
        pieces: Sequence[bytes],
        content_type: str,
        framing: Framing,
        pause_seconds: float = 0.0,
        *,
        is_ended: bool = True,
    ) -> None:
        headers = {"content-type": content_type}
        if framing == "chunked":
            headers["transfer-encoding"] = "chunked"
        elif framing == "length":
            headers["content-length"] = str(sum(map(len, pieces)))
        await self._write(self._head(200, headers))
        last = b"0\r\n\r\n" if framing == "chunked" and is_ended else b""
        for number, piece in enumerate(pieces, 1):
            if pause_seconds:
                await asyncio.sleep(pause_seconds)
            wrapped = b"%x\r\n%s\r\n" % (len(piece), piece) if framing == "chunked" else piece
            # In one with the last piece: a client that has read the end mark closes without waiting for more.
            await self._write(wrapped + last if number == len(pieces) else wrapped)
        if not pieces:
            await self._write(last)

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Told"
        lines = [f"HTTP/1.1 {status} {phrase}", "connection: close"]
        lines += [f"{name}: {value}" for name, value in {**self._common, **headers}.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    async def _write(self, data: bytes) -> None:
        if not data:
            return
        self._writer.write(data)
        await self._writer.drain()
        self._seen.sent_bytes += len(data)

    def _reset(self) -> None:
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


_BEFORE_HEAD = ("reset_before_head", "close_before_head", "no_http", "silent_head")
