"""Recordings that Twilio holds and that are still to be fetched: a small queue, leased like webhook lanes."""

from __future__ import annotations

from typing import Final, NamedTuple

from storage.database import Transaction
from storage.leases import LeaseQueue


class Fetch(NamedTuple):
    """An order to fetch one request's recording. ``failures``: the number of failed attempts."""

    request_id: str
    recording_sid: str
    failures: int


FETCHES: Final = LeaseQueue("recording_fetch", ("request_id",), ("request_id", "recording_sid", "failures"), Fetch)
"""The orders. One that is done with, well or not, is finished."""


async def order(transaction: Transaction, request_id: str, recording_sid: str, now_ms: int) -> bool:
    """Queue the fetch of a recording; False if it is already queued."""
    rows = await transaction.execute(
        """INSERT INTO recording_fetch (request_id, recording_sid, failures, due_at_ms, lease, lease_until_ms)
           VALUES (?, ?, 0, ?, NULL, 0) ON CONFLICT (request_id) DO NOTHING""",
        request_id,
        recording_sid,
        now_ms,
    )
    return rows > 0
