"""Updates stored match keys after an upgrade, and whenever the table of rules has changed.

A row has a key of its own only if it differs from its number. Rows are checked in pages, in order, each page in a
transaction of its own, so that other writers do not wait long for a large directory.
"""

from __future__ import annotations

from typing import Final

from protocol.match_key import own_key, rules, table_digest
from storage.database import Database, Lane, Transaction, Value
from storage.errors import StorageConflict

_PAGE: Final = 1_000
_TABLES: Final = ("phone", "buzz_number")


async def rekey(database: Database) -> int:
    """Give every stored number the match key that the table of rules gives it; returns how many were changed.

    It checks all numbers if the table has changed since the last time. Otherwise it checks only numbers without a key
    that are written in an earlier form: an older release may have stored some meanwhile. Two Buzz numbers that turn out
    to be the same line both stay; the second is compared as it is written. Raises StorageUnavailable; changes made
    until then stay.
    """
    [(digest,)] = await database.fetch("SELECT digest FROM match_key_table")
    condition, ranges = ("", ()) if digest != table_digest() else _without_key()
    changed = 0
    for table in _TABLES:
        changed += await _rekey(database, table, condition, ranges)
    if digest != table_digest():
        async with database.transaction(Lane.DIRECTORY) as transaction:
            await transaction.execute("UPDATE match_key_table SET digest = ?", table_digest())
    return changed


def _without_key() -> tuple[str, tuple[Value, ...]]:
    """Return the condition, with its parameters, for numbers that have no key and may need one."""
    ranges = sorted({rule.range for rule in rules()})
    each = "e164 >= ? AND e164 < ? AND LENGTH(e164) = ?"
    values = [value for prefix, length in ranges for value in (prefix, _after(prefix), length)]
    return f"AND match_key IS NULL AND ({' OR '.join([each] * len(ranges))})", tuple(values)


def _after(prefix: str) -> str:
    """Return the first text that sorts after everything that begins with these digits."""
    return f"{prefix[:-1]}{chr(ord(prefix[-1]) + 1)}"


async def _rekey(database: Database, table: str, condition: str, values: tuple[Value, ...]) -> int:
    select = f"SELECT DISTINCT e164, match_key FROM {table} WHERE e164 > ? {condition} ORDER BY e164 LIMIT {_PAGE}"
    after, changed = "", 0
    while rows := await database.fetch(select, after, *values):
        after = rows[-1][0]
        wrong = [e164 for e164, key in rows if key != own_key(e164)]
        changed += await _set_keys(database, table, wrong)
    return changed


async def _set_keys(database: Database, table: str, e164s: list[str]) -> int:
    if not e164s:
        return 0
    try:
        async with database.transaction(Lane.DIRECTORY) as transaction:
            return await _set(transaction, table, e164s)
    except StorageConflict:
        # Divided in halves, so that only a number that is the same line as another keeps its key.
        half = len(e164s) // 2
        parts = (e164s[:half], e164s[half:]) if half else ()
        return sum([await _set_keys(database, table, part) for part in parts])


async def _set(transaction: Transaction, table: str, e164s: list[str]) -> int:
    await transaction.execute_many(
        f"UPDATE {table} SET match_key = ? WHERE e164 = ?", [(own_key(e164), e164) for e164 in e164s]
    )
    return len(e164s)
