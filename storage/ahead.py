"""Corrects stored times that lie too far in the future because the clock was fast when they were written.

Work that waits for such a time would wait for as long as the clock was wrong. Each kind of time (a lease, a retry, the
end of an old key) has a known maximum; later times are set back to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from storage.database import Database

CLOCKS_APART_MS: Final = 300_000
"""Clocks that are less than this apart are believed. Receivers of webhooks refuse what is further off, too."""


class Limit(NamedTuple):
    """The furthest that the times in a column can lie in the future; later ones are set to now plus this.

    ``only`` narrows the rows down to what an index finds; ``also`` is set with the time.
    """

    table: str
    column: str
    most_ms: int
    back_to_ms: int = 0
    only: str = "TRUE"
    also: str = ""


def limits(*, retry_ms: int, fetch_ms: int, delete_ms: int, lease_ms: int, overlap_ms: int) -> tuple[Limit, ...]:
    """Return the columns with times that work waits for, given the longest wait of each kind in milliseconds.

    ``retry_ms``: for a webhook's next try; ``fetch_ms``: a recording's; ``delete_ms``: a deletion's at
    Twilio; ``lease_ms``: a lease of any; ``overlap_ms``: the keys before a rotation.
    """
    return (
        Limit("webhook_delivery", "next_attempt_at_ms", retry_ms, only="status = 'pending'"),
        Limit("webhook_lane", "due_at_ms", retry_ms),
        Limit("webhook_lane", "lease_until_ms", lease_ms, also=", lease = NULL"),
        Limit("recording_fetch", "due_at_ms", fetch_ms),
        Limit("recording_fetch", "lease_until_ms", lease_ms, also=", lease = NULL"),
        Limit("twilio_copy", "due_at_ms", delete_ms),
        Limit("twilio_copy", "lease_until_ms", lease_ms, also=", lease = NULL"),
        Limit("webhook_endpoint", "previous_until_ms", overlap_ms, overlap_ms),
        Limit("webhook_source", "previous_until_ms", overlap_ms, overlap_ms),
    )


async def bring_back(database: Database, columns: Iterable[Limit], now_ms: int) -> dict[str, int]:
    """Set back the times that lie too far in the future; returns how many rows by ``table.column``.

    It reads first: usually there is nothing to correct, and then no lock is taken.
    """
    changed: dict[str, int] = {}
    for each in columns:
        latest_ms = now_ms + each.most_ms + CLOCKS_APART_MS
        where = f"WHERE {each.only} AND {each.column} > ?"
        if await database.fetch(f"SELECT 1 FROM {each.table} {where} LIMIT 1", latest_ms):
            sql = f"UPDATE {each.table} SET {each.column} = ?{each.also} {where}"
            async with database.transaction() as transaction:
                rows = await transaction.execute(sql, now_ms + each.back_to_ms, latest_ms)
            changed[f"{each.table}.{each.column}"] = rows
    return changed
