"""The legal deadlines over all companies: which privacy requests are due, and which are late."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import NamedTuple

from protocol.privacy_request import (
    CONFIRMATION_BUSINESS_DAYS,
    DEADLINE_DAYS,
    EXTENDED_DEADLINE_DAYS,
    OPT_OUT_BUSINESS_DAYS,
    PrivacyRequest,
    in_time_since,
    utc_date,
)
from storage.database import Database
from storage.privacy import deadlines
from storage.privacy.deadlines import Cutoffs, DueCounts, Which
from storage.privacy.rows import day_number


class Due(NamedTuple):
    """One page of requests as of ``today`` (UTC), and how many there are of each kind in all.

    ``total``: how many there are of the kind that was asked for.
    """

    today: date
    counts: DueCounts
    requests: list[PrivacyRequest]
    total: int


class PrivacyDeadlines:
    """Lists the requests that are due, for the operator."""

    def __init__(self, database: Database, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._now_ms = now_ms

    async def due(self, which: Which, offset: int, limit: int) -> Due:
        """Return one page, the earliest deadline first. Raises StorageUnavailable."""
        today = utc_date(self._now_ms())
        cut = cutoffs(today)
        counts = await deadlines.due_counts(self._database, cut)
        found = await deadlines.due(self._database, which, cut, offset, limit)
        return Due(today, counts, found, getattr(counts, which.value))


def cutoffs(today: date) -> Cutoffs:
    """Return the days before which requests arrived that are late today. A deadline's day counts to its end, in UTC."""
    return Cutoffs(
        answer=day_number(today - timedelta(days=DEADLINE_DAYS)),
        extended_answer=day_number(today - timedelta(days=EXTENDED_DEADLINE_DAYS)),
        confirmation=day_number(in_time_since(today, CONFIRMATION_BUSINESS_DAYS)),
        opt_out=day_number(in_time_since(today, OPT_OUT_BUSINESS_DAYS)),
    )
