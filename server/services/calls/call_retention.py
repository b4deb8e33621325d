"""Deletes old calls, a few at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog

from server.services.retention import in_batches, repeatedly
from storage.telephony.calls import CallStore

CALLS_AT_ONCE: Final = 500
"""Rows deleted in one transaction: few enough not to hold up sends."""

_DAY_MS: Final = 86_400_000
_logger = structlog.get_logger("retention")


class CallRetention:
    """Deletes calls that are older than ``days``, and the tokens of calls that can no longer be repeated."""

    def __init__(self, calls: CallStore, days: int, now_ms: Callable[[], int]) -> None:
        self._calls = calls
        self._days = days
        self._now_ms = now_ms

    async def run(self) -> None:
        """Sweep every ten minutes until cancelled."""
        await repeatedly(self.sweep)

    async def sweep(self) -> int:
        """Delete all old calls; returns how many. Raises StorageError."""
        now_ms = self._now_ms()
        await in_batches(lambda: self._calls.forget_tokens(now_ms, CALLS_AT_ONCE))
        deleted = await in_batches(lambda: self._calls.delete_before(now_ms - self._days * _DAY_MS, CALLS_AT_ONCE))
        if deleted:
            _logger.info("old calls deleted", calls=deleted, older_than_days=self._days)
        return deleted
