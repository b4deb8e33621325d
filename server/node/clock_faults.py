"""Corrects stored times that a fast clock wrote, so that work does not wait for times too far in the future."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from server.services.privacy import recordings, twilio_deletions
from server.services.retention import repeatedly
from server.webhooks import queue
from server.webhooks.admin import MAX_OVERLAP_SECONDS
from storage import ahead
from storage.database import Database

_logger = structlog.get_logger("clock")


class ClockFaults:
    """Checks at start and every ten minutes.

    ``retry_seconds``: the waits before a webhook's attempts. ``wake`` wakes the workers that wait for such times.
    """

    def __init__(
        self,
        database: Database,
        retry_seconds: Sequence[float],
        wake: Callable[[], None],
        now_ms: Callable[[], int],
    ) -> None:
        self._database = database
        self._wake = wake
        self._now_ms = now_ms
        self._limits = ahead.limits(
            retry_ms=round(max(retry_seconds, default=0) * 1000),
            fetch_ms=round(max(recordings.RETRY_SECONDS) * 1000),
            delete_ms=round(max(twilio_deletions.RETRY_SECONDS) * 1000),
            lease_ms=max(recordings.LEASE_MS, twilio_deletions.LEASE_MS, queue.LEASE_MS),
            overlap_ms=MAX_OVERLAP_SECONDS * 1000,
        )

    async def run(self) -> None:
        """Sweep every ten minutes until cancelled."""
        await repeatedly(self.sweep)

    async def sweep(self) -> int:
        """Set back every time that lies too far in the future; returns how many. Raises StorageError."""
        found = await ahead.bring_back(self._database, self._limits, self._now_ms())
        if found:
            _logger.warning("moved back times that were too far in the future", rows=found)
            self._wake()
        return sum(found.values())
