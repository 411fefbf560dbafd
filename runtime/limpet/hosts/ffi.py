"""The border to JavaScript under Pyodide; the one file that knows proxies.

What crosses is JSON text, bytes or numbers, never an object of ours. JSON text is written as ASCII: that is the fast
path of Pyodide's string conversion, and a lone surrogate survives it.
- Waiting: `wait` for a promise, `finish` for a job (`web/src/job.ts`) that is to end when we stop waiting for it.
  Never `async for` over a JavaScript stream: a cancellation inside it loses the next promise (Pyodide 314.0.7).
- Calling back: `keep` a Python function for JavaScript to call, and `release` it. A bare function dies after one call.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import js  # type: ignore[import-not-found]  # only Pyodide has these
from pyodide.ffi import JsException, create_proxy, to_js  # type: ignore[import-not-found]

Foreign = Any
"""A value of JavaScript's; the modules that get one say with a `Protocol` what they expect of it."""


class ForeignError(Exception):
    """JavaScript threw. `name` is the error's name (or its `kind`, where it has one), `message` its text.

    `details` are the numbers that come with a `kind`.
    """

    def __init__(self, name: str, message: str, details: Mapping[str, object] | None = None) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message
        self.details = details or {}


class JsJob(Protocol):
    """Work in JavaScript which can be stopped."""

    @property
    def promise(self) -> Foreign: ...

    def abort(self) -> None: ...


class Kept:
    """A Python function that JavaScript may call until `release`."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.proxy: Foreign = create_proxy(function)
        self._is_released = False

    def release(self) -> None:
        """Give it back; harmless when called twice. JavaScript must not call it any more."""
        if not self._is_released:
            self._is_released = True
            self.proxy.destroy()


def keep(function: Callable[..., object]) -> Kept:
    """Make a function callable from JavaScript for longer than one call."""
    return Kept(function)


async def wait(promise: Foreign) -> Foreign:
    """Wait for a promise. Raises `ForeignError`. When cancelled, the work behind the promise goes on."""
    try:
        return await promise
    except JsException as error:
        raise _translate(error) from None


def call(function: Foreign, *arguments: object) -> Foreign:
    """Call a function that gives its answer at once. Raises `ForeignError`."""
    try:
        return function(*arguments)
    except JsException as error:
        raise _translate(error) from None


async def finish(job: JsJob) -> Foreign:
    """Wait for a job, and stop it when we are cancelled. Raises `ForeignError`."""
    try:
        return await wait(job.promise)
    finally:
        job.abort()


async def start(job: JsJob) -> Foreign:
    """Wait for the first answer of a job that then goes on; it is stopped if this fails or is cancelled."""
    is_started = False
    try:
        answer = await wait(job.promise)
        is_started = True
        return answer
    finally:
        if not is_started:
            job.abort()


class Pump:
    """JavaScript pours a stream into a Python callable: a piece each, then None, or the `ForeignError` that ended it.

    A piece costs 8 to 14 us in Pyodide 314.0.7, awaiting it 30 to 50. After `abort` nothing is called any more, and the
    stream is cancelled.
    """

    def __init__(self, stream: Foreign, receive: Callable[[bytes | ForeignError | None], object]) -> None:
        self._receive: Callable[[bytes | ForeignError | None], object] | None = receive
        self._stop = js.AbortController.new()
        self._write = keep(lambda chunk, _: self._give(to_bytes(chunk)))
        sink = js.WritableStream.new(to_object({"write": self._write.proxy}))
        stream.pipeTo(sink, to_object({"signal": self._stop.signal})).then(
            lambda _: self._end(None), lambda error: self._end(_translate(error))
        )

    def abort(self) -> None:
        """Cancel the stream; harmless after the end and when called twice."""
        self._receive = None
        self._stop.abort()

    def _give(self, piece: bytes | ForeignError | None) -> None:
        if self._receive is not None:
            self._receive(piece)

    def _end(self, error: ForeignError | None) -> None:
        # Only now is it sure that JavaScript does not call it again.
        self._write.release()
        self._give(error)


def to_object(fields: Mapping[str, object]) -> Foreign:
    """Make a JavaScript object."""
    return to_js(fields, dict_converter=js.Object.fromEntries)


def from_json(text: str) -> Foreign:
    """Make the JavaScript value that a JSON text stands for."""
    return js.JSON.parse(text)


def to_json(value: Foreign) -> str:
    """Write a JavaScript value as JSON."""
    return str(js.JSON.stringify(value))


def to_bytes(value: Foreign) -> bytes:
    """Copy a `Uint8Array`."""
    return bytes(value.to_bytes())


def from_bytes(value: bytes) -> Foreign:
    """Copy bytes into a `Uint8Array`."""
    return to_js(value)


def to_ints(value: Foreign) -> list[int]:
    """Copy an `Int32Array`."""
    return list(value.to_py().tolist())


def to_floats(value: Foreign) -> list[float]:
    """Copy a `Float32Array`."""
    return list(value.to_py().tolist())


def from_ints(values: Sequence[int]) -> Foreign:
    """Copy numbers into an `Int32Array`."""
    return to_js(array("i", values))


def _translate(error: Foreign) -> ForeignError:
    kind = getattr(error, "kind", None)
    message = str(getattr(error, "message", ""))
    if not isinstance(kind, str):
        return ForeignError(str(getattr(error, "name", "Error")), message)
    details = json.loads(to_json(getattr(error, "details", None)) if hasattr(error, "details") else "{}")
    return ForeignError(kind, message, details)
