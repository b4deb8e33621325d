"""The loop of a worker for rows that become due: it does the due work, then waits for the next row or a wake-up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from storage.errors import StorageError

POLL_SECONDS: Final = 30.0
"""The longest time between two polls: another node may have written what is due."""

_RETRY_SECONDS: Final = 1.0

_logger = structlog.get_logger("due work")


class DueWork:
    """Runs due work. ``do_next`` does the oldest due work (False: none); ``next_due_ms``: when the next is due.

    Both may raise StorageError: then they are called again a second later.
    """

    def __init__(
        self,
        do_next: Callable[[], Awaitable[bool]],
        next_due_ms: Callable[[int], Awaitable[int | None]],
        now_ms: Callable[[], int],
    ) -> None:
        self._do_next = do_next
        self._next_due_ms = next_due_ms
        self._now_ms = now_ms
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Check at once for due work."""
        self._news.set()

    async def run(self) -> None:
        """Do the due work, one after another, until cancelled."""
        while True:
            self._news.clear()
            try:
                while await self._do_next():
                    pass
                wait = await self._seconds_to_next()
            except StorageError as error:
                _logger.warning("storage does not answer now", reason=str(error))
                wait = _RETRY_SECONDS
            try:
                async with asyncio.timeout(min(POLL_SECONDS, wait)):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _seconds_to_next(self) -> float:
        now_ms = self._now_ms()
        due_at_ms = await self._next_due_ms(now_ms)
        return POLL_SECONDS if due_at_ms is None else (due_at_ms - now_ms) / 1000
