"""Long histories, written directly into the SQLite file: ten million activities in minutes instead of hours.

The indexes are dropped, SQLite itself makes the rows (a recursive query and `randomblob`), and the indexes are built
again from their own text, each by one sort. Nothing is synced before the end: an incomplete file is made again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from storage.sqlite import index as sqlite_index
from storage.sqlite import message_keys
from storage.sqlite.connection import DriverConnection, connect

DATABASE_NAME = "buzz.db"
_ROWS_A_STATEMENT = 500_000
_FIRST_AT_MS = 1_700_000_000_000

# Parties and conversations by row number n. Everybody: people 1..p in turn write to a neighbour, the neighbour of the
# next round being another. One person: person 1 and one of p - 1 others, the two taking turns.
_PARTIES = {
    "everybody": ("1 + n % :people", "1 + (n + 1 + n / :people % 20) % :people"),
    "one person": ("iif(n % 2, 1, 2 + n % (:people - 1))", "iif(n % 2, 2 + n % (:people - 1), 1)"),
}
_FILL = """
    WITH RECURSIVE numbers(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last),
    parties(n, sender, receiver) AS (SELECT n, {sender}, {receiver} FROM numbers)
    INSERT INTO activity (id, type, sender, receiver, conversation, author, message, message_id, created_at_ms)
    SELECT n, 0, sender, receiver, min(sender, receiver) * 1000000 + max(sender, receiver), sender,
           hex(randomblob(150)), printf('b0221111-0000-4000-8000-%012x', n), {first_at_ms} + n
    FROM parties"""
_CONVERSATIONS = """
    INSERT INTO conversation (id, low, high)
    SELECT conversation, min(sender, receiver), max(sender, receiver) FROM activity GROUP BY conversation"""


@dataclass(frozen=True, slots=True)
class History:
    """`activities` chat messages of 300 bytes.

    `between` says who wrote them: "everybody", or "one person" (person 1, who is a party to every one of them).
    """

    activities: int
    people: int
    between: str = "everybody"


def store(history: History, data_dir: Path) -> None:
    """Write the history into a data directory whose schema exists and whose log is empty."""
    connection = connect(data_dir / DATABASE_NAME)
    try:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -1000000")
        _fill(connection, history)
        connection.execute("UPDATE log SET head = ?", (history.activities,))
        sqlite_index.advance(connection, history.activities)
        message_keys.advance(connection, history.activities)
        connection.execute("PRAGMA analysis_limit = 1000")
        connection.execute("ANALYZE")
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _fill(connection: DriverConnection, history: History) -> None:
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'activity' AND sql IS NOT NULL"
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f'DROP INDEX "{name}"')
    sender, receiver = _PARTIES[history.between]
    statement = _FILL.format(sender=sender, receiver=receiver, first_at_ms=_FIRST_AT_MS)
    for first in range(1, history.activities + 1, _ROWS_A_STATEMENT):
        last = min(first + _ROWS_A_STATEMENT - 1, history.activities)
        connection.execute(statement, {"first": first, "last": last, "people": history.people})
    connection.execute(_CONVERSATIONS)
    for _, sql in indexes:
        connection.execute(sql)
