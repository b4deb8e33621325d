"""The copies that Twilio holds of privacy requests, and the leased queue of those to delete there.

A row is inserted when Twilio reports a recording or a transcription, and deleted when Twilio has deleted it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from storage.bulk import marks
from storage.database import Reader, Transaction
from storage.leases import LeaseQueue

_AT_ONCE: Final = 0
"""The time at which those fall due that are to be deleted now: before every other, whatever a clock says."""


class Copy(NamedTuple):
    """A copy that is to be deleted. ``sid`` is Twilio's id of it; ``failures``: the number of failed attempts."""

    sid: str
    failures: int


COPIES: Final = LeaseQueue("twilio_copy", ("sid",), ("sid", "failures"), Copy)
"""Those that are to be deleted. One is finished when Twilio has it no more."""


async def note(transaction: Transaction, sid: str, request_id: str, *, unwanted: bool) -> None:
    """Record a copy that Twilio holds of a request. ``unwanted``: delete it, because the request is already erased."""
    await transaction.execute(
        """INSERT INTO twilio_copy (sid, request_id, due_at_ms, failures, lease, lease_until_ms)
           VALUES (?, ?, ?, 0, NULL, 0) ON CONFLICT (sid) DO NOTHING""",
        sid,
        request_id,
        _AT_ONCE if unwanted else None,
    )


async def delete_all(transaction: Transaction, request_ids: Sequence[str]) -> None:
    """Queue the deletion of all copies that Twilio holds of these requests."""
    await transaction.execute(
        f"UPDATE twilio_copy SET due_at_ms = ? WHERE request_id IN ({marks(request_ids)}) AND due_at_ms IS NULL",
        _AT_ONCE,
        *request_ids,
    )


async def waiting(reader: Reader) -> int:
    """Return how many copies are to be deleted."""
    ((count,),) = await reader.fetch("SELECT COUNT(*) FROM twilio_copy WHERE due_at_ms IS NOT NULL")
    return int(count)
