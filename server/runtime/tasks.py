"""Background tasks whose failure is always noticed: those of a block, and those that start on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
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


def start(name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Start a task that ends when its work is done, and log its failure, if any.

    For workers that start when there is work: their owner keeps the task and awaits it when it closes.
    """
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_see)
    return task


def _see(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        _logger.error("task failed", task=task.get_name(), exc_info=error)
