"""Recordings that Twilio holds and that are still to be fetched: a small queue, leased like webhook lanes."""

from __future__ import annotations

from typing import NamedTuple

from storage.database import Reader, Transaction


class Fetch(NamedTuple):
    """An order to fetch one request's recording. ``failures``: how often it was tried in vain."""

    request_id: str
    recording_sid: str
    failures: int


async def order(transaction: Transaction, request_id: str, recording_sid: str, now_ms: int) -> bool:
    """Order a recording to be fetched; False if that was ordered already."""
    rows = await transaction.execute(
        """INSERT INTO recording_fetch (request_id, recording_sid, failures, due_at_ms, lease, lease_until_ms)
           VALUES (?, ?, 0, ?, NULL, 0) ON CONFLICT (request_id) DO NOTHING""",
        request_id,
        recording_sid,
        now_ms,
    )
    return rows > 0


async def lease(transaction: Transaction, lease: str, now_ms: int, until_ms: int) -> Fetch | None:
    """Take the order that has been due longest; None if none is due."""
    due = await transaction.fetch(
        """SELECT request_id FROM recording_fetch WHERE due_at_ms <= ? AND lease_until_ms <= ?
           ORDER BY due_at_ms, request_id LIMIT 4""",
        now_ms,
        now_ms,
    )
    for (request_id,) in due:
        rows = await transaction.fetch(
            """UPDATE recording_fetch SET lease = ?, lease_until_ms = ?
               WHERE request_id = ? AND due_at_ms <= ? AND lease_until_ms <= ?
               RETURNING request_id, recording_sid, failures""",
            lease,
            until_ms,
            request_id,
            now_ms,
            now_ms,
        )
        if rows:
            return Fetch(*rows[0])
    return None


async def postpone(transaction: Transaction, lease: str, due_at_ms: int) -> bool:
    """Give an order back after a failure, to be tried again then; False if the lease was lost."""
    rows = await transaction.execute(
        """UPDATE recording_fetch SET lease = NULL, lease_until_ms = 0, failures = failures + 1, due_at_ms = ?
           WHERE lease = ?""",
        due_at_ms,
        lease,
    )
    return rows > 0


async def finish(transaction: Transaction, lease: str) -> bool:
    """The order is done with, well or not; False if the lease was lost."""
    return await transaction.execute("DELETE FROM recording_fetch WHERE lease = ?", lease) > 0


async def reclaim(transaction: Transaction) -> int:
    """Take every lease back; returns how many. Right only where no other process can be at work on this database."""
    return await transaction.execute(
        "UPDATE recording_fetch SET lease = NULL, lease_until_ms = 0 WHERE lease IS NOT NULL"
    )


async def next_due_ms(reader: Reader, now_ms: int) -> int | None:
    """When the next order falls due that is not due yet; None if there is none."""
    ((due_at_ms,),) = await reader.fetch("SELECT MIN(due_at_ms) FROM recording_fetch WHERE due_at_ms > ?", now_ms)
    found: int | None = due_at_ms
    return found
