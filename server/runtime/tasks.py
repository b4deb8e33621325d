"""Background tasks, each with a name and an owner that waits for its end.

- :func:`running`: a task that lives as long as a block.
- :class:`OnDemand`: one that runs while there is something to do.
- :class:`Tasks`: any number of them, each of which ends by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

_logger = structlog.get_logger("tasks")


@asynccontextmanager
async def running(name: str, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a task until the block ends. If it fails before, the failure ends the block, and so the node."""
    task = asyncio.create_task(work, name=name)
    owner = asyncio.current_task()
    task.add_done_callback(lambda done: owner.cancel() if owner and not done.cancelled() and done.exception() else None)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class OnDemand:
    """A task that begins when there is something to do and ends when it is done; there is one at a time."""

    def __init__(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """``work()`` does everything that waits, also what comes meanwhile."""
        self._name = name
        self._work = work
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Begin, unless the task runs: then it finds what is to be done."""
        if self._task is None:
            self._task = _started(self._name, self._run())

    async def finish(self) -> None:
        """Wait until nothing is left to do."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            await self._work()
        finally:
            # In the step in which the work ended: whoever wakes it after that begins a new task.
            self._task = None


class Tasks:
    """Tasks that begin one by one and end by themselves. A failure is logged."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task."""
        task = _started(name, work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self) -> None:
        """Wait for the tasks that are under way."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def cancel(self, after_seconds: float = 0) -> None:
        """Give the tasks under way this long to end, then cancel the rest and wait for their ends."""
        if self._tasks and after_seconds > 0:
            await asyncio.wait(self._tasks, timeout=after_seconds)
        for task in self._tasks:
            task.cancel()
        await self.finish()


def _started(name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_see)
    return task


def _see(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _logger.error("task failed", task=task.get_name(), exc_info=error)
