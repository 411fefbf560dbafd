"""Work that goes on beside one reader, and the one inbox into which all of it reports.

The reader waits nowhere else, so stopping the inbox stops the reader wherever it is, and each job is a task that can
be cancelled. Knows nothing of runs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from .errors import ModelUnavailableError
from .fallback import close_stream

Item = TypeVar("Item")
T = TypeVar("T")
Job = asyncio.Task[object]

# How long a stopped job may take to let go of what it holds. One that takes longer is left behind.
_GRACE_SECONDS = 0.5
# So long may a stream that never waits keep the reader from reading, and from cancelling. Letting others go on after
# each item would be simpler, but costs 0.1 to 1.5 ms each time in Pyodide 314.
_SLICE_SECONDS = 0.01
# So much may lie unread before a stream has to wait: a slow reader must not make the inbox grow without end.
_MOST_UNREAD = 512


class Stopped(Exception):
    """Leaves what the reader was doing, because it was told to stop. Never leaves the loop."""


class Jobs(Generic[Item]):
    """The jobs of one reader. What they put into the inbox, and they themselves when they end, comes in that order."""

    # A process holds as many of these as it holds runs: what is seldom needed is made when it is.
    __slots__ = ("_beside", "_items", "_jobs", "_room", "_waiter", "is_stopped")

    def __init__(self) -> None:
        self._items: deque[Item | Job] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Event | None = None
        self._jobs: set[Job] = set()
        self._beside: set[asyncio.Future[None]] | None = None
        self.is_stopped = False
        """Whether the reader was told to stop."""

    @property
    def has_unread(self) -> bool:
        """Whether something is in the inbox."""
        return bool(self._items)

    def put(self, item: Item | Job) -> None:
        """Put something into the inbox."""
        self._items.append(item)
        self._wake()

    async def get(self) -> Item | Job:
        """Wait for the next item. Raises `Stopped`, also when there is one."""
        while not self.is_stopped:
            if self._items:
                if self._room is not None and len(self._items) <= _MOST_UNREAD:
                    self._room.set()
                return self._items.popleft()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        raise Stopped

    def spawn(self, work: Coroutine[object, object, object], done: Callable[[Job], None] | None = None) -> Job:
        """Begin a job; when it ends it goes into the inbox, or to `done`."""
        job: Job = asyncio.get_running_loop().create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        job.add_done_callback(_look)
        job.add_done_callback(done or self.put)
        return job

    def read(self, stream: AsyncIterator[Item], is_last: Callable[[Item], bool]) -> Job:
        """Begin to read a stream into the inbox; it is closed after the last item, and when the job is cancelled."""
        return self.spawn(self._read(stream, is_last))

    async def do(self, work: Coroutine[object, object, T]) -> T:
        """Wait for one piece of work while nothing else is of interest. Raises `Stopped` and what the work raises."""
        job = self.spawn(work)
        while await self.get() is not job:
            pass
        return result_of(job)  # type: ignore[return-value]  # it is the job of `work`

    async def beside(self, work: Awaitable[T]) -> T:
        """Wait for a piece of work while the inbox fills. Raises `Stopped` and what the work raises."""
        job: asyncio.Future[T] = asyncio.ensure_future(work)
        if isinstance(job, asyncio.Task):
            self._jobs.add(job)
            job.add_done_callback(self._jobs.discard)
        job.add_done_callback(_look)
        waiter = asyncio.get_running_loop().create_future()
        job.add_done_callback(lambda _: _wake(waiter))
        if self._beside is None:
            self._beside = set()
        self._beside.add(waiter)
        if self.is_stopped:
            _wake(waiter)
        try:
            await waiter
        finally:
            self._beside.discard(waiter)
            if not job.done():
                job.cancel()
        if self.is_stopped:
            raise Stopped
        return job.result()

    async def drop(self, job: Job) -> None:
        """Stop one job, wait until it has let go of what it holds, and forget what is in the inbox."""
        job.remove_done_callback(self.put)
        job.cancel()
        await asyncio.wait({job}, timeout=_GRACE_SECONDS)
        self._items.clear()

    def stop(self) -> None:
        """Tell the reader and all jobs to stop at once; does not wait for them."""
        self.is_stopped = True
        self._wake()
        for waiter in self._beside or ():
            _wake(waiter)
        for job in self._jobs:
            job.cancel()

    async def release(self) -> None:
        """Stop all jobs and wait until they have let go of what they hold."""
        jobs = list(self._jobs)
        for job in jobs:
            job.cancel()
        if jobs:
            await asyncio.wait(jobs, timeout=_GRACE_SECONDS)

    async def _read(self, stream: AsyncIterator[Item], is_last: Callable[[Item], bool]) -> None:
        now = asyncio.get_running_loop().time
        since = now()
        try:
            async for item in stream:
                is_ahead = self.has_unread
                self.put(item)
                if is_last(item):
                    break
                if len(self._items) >= _MOST_UNREAD:
                    self._room = self._room or asyncio.Event()
                    self._room.clear()
                    await self._room.wait()
                    since = now()
                elif not is_ahead:
                    since = now()
                elif now() - since > _SLICE_SECONDS:
                    await asyncio.sleep(0)
                    since = now()
        finally:
            await close_stream(stream)

    def _wake(self) -> None:
        if self._waiter is not None:
            _wake(self._waiter)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def result_of(job: Job) -> object:
    """Give what an ended job gave. Raises what it raised."""
    if job.cancelled():
        raise ModelUnavailableError("the work was cancelled by somebody else")
    return job.result()


def _look(job: asyncio.Future[Any]) -> None:
    # asyncio complains of an exception that nobody looked at, and a stopped reader looks at none.
    if not job.cancelled():
        job.exception()
