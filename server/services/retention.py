"""Retention: empties the text of old activities, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from server.live.hub import Hub
from storage.contract import ActivityLog
from storage.errors import StorageError

CHUNK: Final = 500
"""Activities emptied in one transaction: few enough not to hold up sends."""

LOOK_EVERY_SECONDS: Final = 600.0
_PAUSE_SECONDS: Final = 0.05
"""Between two batches: whoever else writes comes in between."""

_DAY_MS: Final = 86_400_000
_logger = structlog.get_logger("retention")


class Retention:
    """Empties activities older than ``days``. All but the text stays: cursors stay valid, repeats are recognised."""

    def __init__(self, log: ActivityLog, hub: Hub, days: int, now_ms: Callable[[], int]) -> None:
        self._log = log
        self._hub = hub
        self._days = days
        self._now_ms = now_ms

    async def run(self) -> None:
        """Sweep every ten minutes until cancelled."""
        await repeatedly(self.sweep)

    async def sweep(self) -> int:
        """Empty all old activities; returns how many. Raises StorageError."""
        now_ms = self._now_ms()
        total = 0
        try:
            while emptied := await self._log.erase_before(now_ms - self._days * _DAY_MS, now_ms, CHUNK):
                total += emptied
                await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            if total:
                # The cache of the live path may still have the bodies.
                self._hub.forget()
                _logger.info("old activities emptied", activities=total, older_than_days=self._days)
        return total


async def repeatedly(sweep: Callable[[], Awaitable[object]]) -> None:
    """Sweep now and every ten minutes. While storage can't be used, nothing is deleted."""
    while True:
        try:
            await sweep()
        except StorageError as error:
            _logger.warning("retention is postponed", reason=str(error))
        await asyncio.sleep(LOOK_EVERY_SECONDS)


async def in_batches(some: Callable[[], Awaitable[int]]) -> int:
    """Delete batch after batch until nothing is left, so that other writers get in between."""
    total = 0
    while done := await some():
        total += done
        await asyncio.sleep(_PAUSE_SECONDS)
    return total
