"""The activities of phone calls: corrects a call that was recorded as missed and was not.

Twilio's callbacks come in any order, so a call may first be recorded as missed. The activity's id, place and time stay;
only the outcome is corrected, and only from missed to connected.
"""

from __future__ import annotations

from protocol.activity import Activity, ActivityType
from storage.amendments import COUNT
from storage.database import Database, Lane

_COLUMNS = "id, type, sender, receiver, call_time, NULL, message_id, created_at_ms"


async def connect(
    database: Database, author: int, key: str, connected: ActivityType, call_time: int
) -> Activity | None:
    """Change the missed call that this author recorded under this idempotency key to a connected one.

    None if there is none, or it was not missed.
    """
    missed = ActivityType.incoming_call_missed if connected.author_is_receiver else ActivityType.outgoing_call_missed
    async with database.transaction(Lane.LOG) as transaction:
        rows = await transaction.fetch(
            f"""UPDATE activity SET type = ?, call_time = ?
                WHERE author = ? AND idempotency_key = ? AND type = ? RETURNING {_COLUMNS}""",
            int(connected),
            call_time,
            author,
            # The only column of the log that the dialects store differently.
            key.encode() if database.dialect == "postgresql" else key,
            int(missed),
        )
        if rows:
            await transaction.execute(COUNT)
    return Activity(*rows[0]) if rows else None
