"""Deletes old rows: deliveries that were made long ago, and requests that were completed long ago.

Each call deletes at most ``limit`` rows, found by an index, in one transaction of its own, so that other writers do not
wait for long. Several nodes may do it at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from storage.bulk import marks
from storage.database import Database, Transaction
from storage.privacy import twilio_copies

DONE_DELIVERIES: Final = """SELECT id FROM webhook_delivery
    WHERE status IN ('delivered', 'cancelled') AND finished_at_ms < ? ORDER BY finished_at_ms LIMIT ?"""
"""Nothing ever happens again to these. What waits or has failed may still be sent: it is never pruned."""

CLOSED_REQUESTS: Final = """SELECT id FROM privacy_request
    WHERE completed AND updated_at_ms < ? ORDER BY updated_at_ms LIMIT ?"""

_PARTS: Final = ("recording", "recording_fetch", "web_form_session", "call_session", "privacy_audit")


async def prune_deliveries(database: Database, finished_before_ms: int, limit: int) -> int:
    """Delete deliveries that were made or cancelled before that, the oldest first; returns how many."""
    found = await database.fetch(DONE_DELIVERIES, finished_before_ms, limit)
    if not found:
        return 0
    ids = [delivery_id for (delivery_id,) in found]
    async with database.transaction() as transaction:
        await transaction.execute(f"DELETE FROM webhook_attempt WHERE delivery_id IN ({marks(ids)})", *ids)
        return await transaction.execute(f"DELETE FROM webhook_delivery WHERE id IN ({marks(ids)})", *ids)


async def prune_attempts(database: Database, made_before_ms: int, limit: int) -> int:
    """Delete attempts that were made before that, the oldest first; returns how many.

    So what was sent and answered long ago also goes for a delivery that has failed, which itself stays.
    """
    return await database.execute(
        """DELETE FROM webhook_attempt WHERE (delivery_id, number) IN (
               SELECT delivery_id, number FROM webhook_attempt WHERE at_ms < ? ORDER BY at_ms LIMIT ?)""",
        made_before_ms,
        limit,
    )


async def closed_requests(database: Database, changed_before_ms: int) -> int:
    """Return how many requests are completed and were last changed before that."""
    sql = "SELECT COUNT(*) FROM privacy_request WHERE completed AND updated_at_ms < ?"
    ((count,),) = await database.fetch(sql, changed_before_ms)
    return int(count)


async def purge_requests(database: Database, changed_before_ms: int, limit: int) -> int:
    """Delete completed requests that were last changed before that, with all their rows; returns how many.

    Their sessions, recordings (also at Twilio), audit trails and deliveries are deleted with them.
    """
    found = await database.fetch(CLOSED_REQUESTS, changed_before_ms, limit)
    if not found:
        return 0
    async with database.transaction() as transaction:
        # Locked and checked again: a request that was reopened meanwhile stays.
        rows = await transaction.fetch(
            f"""UPDATE privacy_request SET revision = revision
                WHERE id IN ({marks(found)}) AND completed AND updated_at_ms < ? RETURNING id""",
            *(request_id for (request_id,) in found),
            changed_before_ms,
        )
        await _delete(transaction, [request_id for (request_id,) in rows])
    return len(rows)


async def _delete(transaction: Transaction, request_ids: Sequence[str]) -> None:
    if not request_ids:
        return
    these = f"request_id IN ({marks(request_ids)})"
    # Lanes before deliveries, as everywhere, to avoid deadlocks. A lane exists only where a delivery waits.
    await transaction.execute(
        f"""DELETE FROM webhook_lane WHERE (endpoint_id, request_id) IN (
                SELECT endpoint_id, request_id FROM webhook_delivery WHERE {these})""",
        *request_ids,
    )
    await transaction.execute(
        f"DELETE FROM webhook_attempt WHERE delivery_id IN (SELECT id FROM webhook_delivery WHERE {these})",
        *request_ids,
    )
    await twilio_copies.delete_all(transaction, request_ids)
    for table in ("webhook_delivery", *_PARTS):
        await transaction.execute(f"DELETE FROM {table} WHERE {these}", *request_ids)
    await transaction.execute(f"DELETE FROM privacy_request WHERE id IN ({marks(request_ids)})", *request_ids)
