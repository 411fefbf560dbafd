"""Processes that stand by for tools on CPython: another interpreter is the only one that computes beside this one.

Each is started afresh, as `multiprocessing` does by "spawn", but by a command line of ours: `multiprocessing` wants
programs to be written for it. A line of its input is a call, a line of its output an answer, or progress behind a "+".
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from ..errors import ConfigurationError, ToolError
from ..wire import Json, JsonObject
from .pool_wire import call_text, content_of

# So long a process that nobody calls is used again; it ends by itself after twice that time (`pool_worker.py`).
_FRESH_SECONDS = 30.0
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1])\n"
    "from limpet.entrypoints.pool_worker import main; main(float(sys.argv[2]))"
)


class ProcessPool:
    """At most `size` processes, by default one for each other processor and at least two.

    They are started when they are needed, and end with this one, or when nobody needs them for a minute.
    """

    def __init__(self, size: int | None = None) -> None:
        self.size = max(2, (os.cpu_count() or 1) - 1) if size is None else size
        self._idle: list[_Process] = []
        self._all: set[_Process] = set()
        self._slots: tuple[asyncio.AbstractEventLoop, asyncio.Semaphore] | None = None
        self._sources: dict[str, str] = {}
        # At the end of this process too: the set doesn't hold the pool.
        weakref.finalize(self, _end, self._all)

    async def call(
        self, function: Callable[..., Any], name: str, arguments: JsonObject, on_progress: Callable[[Json], None], /
    ) -> Json:
        """Call a tool in a process that has nothing else to do, and end the process when this is cancelled."""
        call = call_text(function, name, arguments, self._home(function, name))
        loop = asyncio.get_running_loop()
        if self._slots is None or self._slots[0] is not loop:
            self._slots = loop, asyncio.Semaphore(self.size)
        async with self._slots[1]:
            process = self._take()
            try:
                answer = await process.ask(call, name, on_progress)
            finally:
                if process.is_idle:
                    self._idle.append(process)
                else:
                    self._drop(process)
        return content_of(answer)

    def close(self) -> None:
        """End all processes; the next call starts new ones."""
        _end(self._all)
        self._idle.clear()

    def _take(self) -> _Process:
        while self._idle:
            process = self._idle.pop()
            if process.is_fresh:
                return process
            self._drop(process)
        process = _Process()
        self._all.add(process)
        return process

    def _drop(self, process: _Process) -> None:
        process.kill()
        self._all.discard(process)

    def _home(self, function: Callable[..., Any], name: str) -> Mapping[str, str]:
        """Say where another process finds a function. Raises `ConfigurationError`."""
        names = getattr(function, "__globals__", {})
        spec = names.get("__spec__")
        if spec is not None:
            return {"module": str(spec.name)}
        file = str(names.get("__file__", ""))
        try:
            # Read once: all processes are to run the same, also when somebody edits it.
            if file not in self._sources:
                self._sources[file] = Path(file).read_text("utf-8")
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"the tool {name} has pool=True, but is in no file that another process can read; put it into one"
            ) from error
        return {"file": file, "source": self._sources[file]}


class _Process:
    """One interpreter, and the thread that reads its answers."""

    def __init__(self) -> None:
        self._idle_since: float | None = None
        self._hear: Callable[[str | None], object] = lambda _: None
        words = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path), str(2 * _FRESH_SECONDS)]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
        Thread(target=self._read, daemon=True).start()

    @property
    def is_idle(self) -> bool:
        """Whether it has answered what it was asked."""
        return self._idle_since is not None

    @property
    def is_fresh(self) -> bool:
        """Whether it is there and will be for a while."""
        since = self._idle_since
        return since is not None and time.monotonic() - since < _FRESH_SECONDS and self._process.poll() is None

    async def ask(self, call: str, name: str, on_progress: Callable[[Json], None]) -> str:
        """Make a call and wait for its answer. Raises `ToolError` when the process ends without one."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()

        def hear(line: str | None) -> None:
            if answer.done():
                return
            if line is None:
                answer.set_exception(ToolError(f"{name} was broken off: its process ended"))
            elif line.startswith("+"):
                on_progress(json.loads(line[1:]))
            else:
                self._idle_since = time.monotonic()
                answer.set_result(line)

        self._idle_since = None
        self._hear = lambda line: loop.call_soon_threadsafe(hear, line)
        # A long call doesn't fit into the pipe until the process reads it.
        await asyncio.to_thread(self._send, call)
        try:
            return await answer
        finally:
            self._hear = lambda _: None

    def kill(self) -> None:
        """End it, whatever it is at."""
        self._process.kill()

    def _send(self, call: str) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended, which its reader tells
            self._process.stdin.write(call + "\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            self._tell(line)
        process.wait()
        process.stdout.close()
        with suppress(OSError):
            process.stdin.close()
        self._tell(None)

    def _tell(self, line: str | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._hear(line)


def _end(processes: set[_Process]) -> None:
    for process in processes:
        process.kill()
    processes.clear()
