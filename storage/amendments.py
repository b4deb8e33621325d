"""Changes to stored activities: emptying them by age or because their author is erased, and counting the changes.

Every change is counted in its own transaction (``storage.contract.LogState``). Emptied activities keep their row, its
parties and its time. Emptying by age removes only the text. The message id and the idempotency key stay with the row:
without them a late repeat would be stored, and pushed, as new. Erasure removes those as well, as they are personal
data.
"""

from __future__ import annotations

from typing import Final

from storage.database import Database, Lane

STATE: Final = "SELECT epoch, head, version FROM log CROSS JOIN log_amendment"
"""The columns of ``storage.contract.LogState``."""
COUNT: Final = "UPDATE log_amendment SET version = version + 1"
"""To be the last statement of its transaction: who else amends waits for it from here to the commit."""

_TEXT: Final = "message = NULL"
_KEY: Final = "idempotency_key = NULL, idempotency_hash = NULL"

ERASE: Final = f"""
    UPDATE activity SET {_TEXT}, message_id = NULL, {_KEY}
    WHERE {{rows}} AND (message IS NOT NULL OR message_id IS NOT NULL OR idempotency_key IS NOT NULL)"""
"""``rows`` says which are the party's: it is the sender, or the receiver who recorded a call that came in."""
ERASE_KEYS: Final = f"UPDATE activity SET {_KEY} WHERE author = ? AND idempotency_key IS NOT NULL"
"""What a person wrote for a company is the company's, but the key it was sent with is the person's."""

_EMPTY: Final = f"UPDATE activity SET {_TEXT} WHERE id = ?"
DUE: Final = """
    SELECT id FROM activity WHERE message IS NOT NULL AND created_at_ms < ? ORDER BY created_at_ms LIMIT ?"""
"""What is older than a time, the oldest first: parameters are that time and how many at most."""
_FIRST_AHEAD: Final = "SELECT min(id) FROM activity WHERE message IS NOT NULL AND created_at_ms > ?"
_NEXT: Final = "SELECT id, created_at_ms FROM activity WHERE id > ? AND created_at_ms <= ? ORDER BY id LIMIT 1"
_AHEAD: Final = "SELECT id FROM activity WHERE message IS NOT NULL AND created_at_ms > ? AND id < ? LIMIT ?"


async def empty_older(database: Database, created_before_ms: int, now_ms: int, limit: int) -> int:
    """Empty the text of at most ``limit`` activities created before that; returns how many.

    The search is a read, so it does not block writers.
    """
    due = [id for (id,) in await database.fetch(DUE, created_before_ms, limit)]
    due = due or await _due_though_ahead(database, created_before_ms, now_ms, limit)
    if due:
        async with database.transaction(Lane.LOG) as transaction:
            await transaction.execute_many(_EMPTY, [(id,) for id in due])
            await transaction.execute(COUNT)
    return len(due)


async def _due_though_ahead(database: Database, created_before_ms: int, now_ms: int, limit: int) -> list[int]:
    """Return the old ids whose time lies in the future because a clock was fast.

    Such an id is old if the activity stored right after it is. Otherwise times and ids rise together, so the first run
    of such ids is enough.
    """
    [(first,)] = await database.fetch(_FIRST_AHEAD, now_ms)
    after = await database.fetch(_NEXT, first, now_ms) if first is not None else []
    if not after or after[0][1] >= created_before_ms:
        return []
    return [id for (id,) in await database.fetch(_AHEAD, now_ms, after[0][0], limit)]
