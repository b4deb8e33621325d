"""Tasks that live as long as a block, and whose failure is nobody's secret."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any


@asynccontextmanager
async def running(name: str, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a task until the block ends. Should it fail before, the failure ends the node: nobody limps on without it."""
    task = asyncio.create_task(work, name=name)
    owner = asyncio.current_task()
    task.add_done_callback(lambda done: owner.cancel() if owner and not done.cancelled() and done.exception() else None)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
