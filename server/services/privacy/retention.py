"""Deletes old deliveries and completed privacy requests, a few at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
import structlog
from pydantic import Field

from protocol.activity import rfc3339
from protocol.privacy_request import MIN_RETENTION_MONTHS, months_before
from protocol.times import Time
from protocol.validation import Strict
from server.services.retention import in_batches, repeatedly
from storage.database import Database
from storage.privacy import retention

DELIVERIES_AT_ONCE: Final = 500
REQUESTS_AT_ONCE: Final = 50
"""One transaction's worth: a request has rows in eight tables, and a recording of megabytes among them."""

_DAY_MS: Final = 86_400_000
_logger = structlog.get_logger("retention")


class Purge(Strict):
    """``POST /admin/privacy-requests/purge``. ``dry_run``: report how many, and delete nothing."""

    months: Annotated[int, Field(ge=MIN_RETENTION_MONTHS, le=1_200)]
    """How long ago the last change was, at least."""
    dry_run: bool = False
    """Report how many there are, and delete nothing."""


class Purged(msgspec.Struct, frozen=True):
    """What a purge deleted, or with ``dry_run`` would delete."""

    requests: int
    """How many completed requests."""
    changed_before: Time
    """They were last changed before this time."""
    dry_run: bool
    """Whether nothing was deleted."""


class PrivacyRetention:
    """Deletes old rows. ``log_days``: how long deliveries are kept; ``months``: completed requests (None: for ever).

    Waiting and failed deliveries, and requests that are not completed, stay at any age: they still need work.
    """

    def __init__(self, database: Database, log_days: int, months: int | None, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._log_days = log_days
        self._months = months
        self._now_ms = now_ms

    async def run(self) -> None:
        """Sweep every ten minutes until cancelled."""
        await repeatedly(self.sweep)

    async def sweep(self) -> None:
        """Delete all old rows. Raises StorageError."""
        pruned = await self._prune()
        if pruned:
            _logger.info("old deliveries deleted", deliveries=pruned, older_than_days=self._log_days)
        if self._months is not None:
            await self.purge(Purge(months=self._months), "retention")

    async def purge(self, wanted: Purge, actor: str) -> Purged:
        """Delete completed requests whose last change is that many months ago, with all their data."""
        before_ms = months_before(self._now_ms(), wanted.months)
        if wanted.dry_run:
            requests = await retention.closed_requests(self._database, before_ms)
        else:
            requests = await in_batches(lambda: retention.purge_requests(self._database, before_ms, REQUESTS_AT_ONCE))
        if requests and not wanted.dry_run:
            _logger.info("old privacy requests deleted", requests=requests, months=wanted.months, actor=actor)
        return Purged(requests, rfc3339(before_ms), wanted.dry_run)

    async def _prune(self) -> int:
        before_ms = self._now_ms() - self._log_days * _DAY_MS
        await in_batches(lambda: retention.prune_attempts(self._database, before_ms, DELIVERIES_AT_ONCE))
        return await in_batches(lambda: retention.prune_deliveries(self._database, before_ms, DELIVERIES_AT_ONCE))
