"""What Twilio holds of privacy requests, and what of it is to be deleted there: a queue, leased like recording_fetch.

A row is made when Twilio tells of a recording or a transcription, and deleted when Twilio has deleted it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from storage.database import Reader, Transaction

_AT_ONCE: Final = 0
"""The time at which those fall due that are to be deleted now: before every other, whatever a clock says."""


class Copy(NamedTuple):
    """One that is to be deleted. ``sid`` is Twilio's name for it; ``failures``: how often it was tried in vain."""

    sid: str
    failures: int


async def note(transaction: Transaction, sid: str, request_id: str, *, unwanted: bool) -> None:
    """Note that Twilio holds this of a request. ``unwanted``: the request is erased already, so it is deleted."""
    await transaction.execute(
        """INSERT INTO twilio_copy (sid, request_id, due_at_ms, failures, lease, lease_until_ms)
           VALUES (?, ?, ?, 0, NULL, 0) ON CONFLICT (sid) DO NOTHING""",
        sid,
        request_id,
        _AT_ONCE if unwanted else None,
    )


async def delete_all(transaction: Transaction, request_ids: Sequence[str]) -> None:
    """Have everything deleted that Twilio holds of these requests."""
    marks = ", ".join("?" * len(request_ids))
    await transaction.execute(
        f"UPDATE twilio_copy SET due_at_ms = ? WHERE request_id IN ({marks}) AND due_at_ms IS NULL",
        _AT_ONCE,
        *request_ids,
    )


async def lease(transaction: Transaction, lease: str, now_ms: int, until_ms: int) -> Copy | None:
    """Take the one that has been due longest; None if none is due."""
    due = await transaction.fetch(
        """SELECT sid FROM twilio_copy WHERE due_at_ms <= ? AND lease_until_ms <= ? ORDER BY due_at_ms, sid LIMIT 4""",
        now_ms,
        now_ms,
    )
    for (sid,) in due:
        rows = await transaction.fetch(
            """UPDATE twilio_copy SET lease = ?, lease_until_ms = ?
               WHERE sid = ? AND due_at_ms <= ? AND lease_until_ms <= ? RETURNING sid, failures""",
            lease,
            until_ms,
            sid,
            now_ms,
            now_ms,
        )
        if rows:
            return Copy(*rows[0])
    return None


async def postpone(transaction: Transaction, lease: str, due_at_ms: int) -> bool:
    """Give one back after a failure, to be tried again then; False if the lease was lost."""
    rows = await transaction.execute(
        """UPDATE twilio_copy SET lease = NULL, lease_until_ms = 0, failures = failures + 1, due_at_ms = ?
           WHERE lease = ?""",
        due_at_ms,
        lease,
    )
    return rows > 0


async def finish(transaction: Transaction, lease: str) -> bool:
    """Twilio has it no more; False if the lease was lost."""
    return await transaction.execute("DELETE FROM twilio_copy WHERE lease = ?", lease) > 0


async def reclaim(transaction: Transaction) -> int:
    """Take every lease back; returns how many. Right only where no other process can be at work on this database."""
    return await transaction.execute("UPDATE twilio_copy SET lease = NULL, lease_until_ms = 0 WHERE lease IS NOT NULL")


async def next_due_ms(reader: Reader, now_ms: int) -> int | None:
    """When the next one falls due that is not due yet; None if there is none."""
    ((due_at_ms,),) = await reader.fetch("SELECT MIN(due_at_ms) FROM twilio_copy WHERE due_at_ms > ?", now_ms)
    found: int | None = due_at_ms
    return found


async def waiting(reader: Reader) -> int:
    """How many are to be deleted."""
    ((count,),) = await reader.fetch("SELECT COUNT(*) FROM twilio_copy WHERE due_at_ms IS NOT NULL")
    return int(count)
