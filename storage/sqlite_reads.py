"""Reading the log on SQLite: one range scan for each party, merged by id without a sort, a whole page in one row.

sqlite3 gives the interpreter lock away around each step of a statement. A page that comes as one JSON text is one step,
not five hundred, and msgspec turns it into rows faster than the driver would.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from protocol.activity import Activity
from storage.contract import Conversation, Range

COLUMNS = "id, type, sender, receiver, call_time, message, message_id, created_at_ms"
MAX_BRANCHES = 16
"""Parties in one statement; somebody with more is read in several and merged by id in memory (heapq.merge)."""
_OF_ROW = "type, sender, receiver, call_time, message, message_id, created_at_ms"
_PAGE = "SELECT '[' || ifnull(group_concat(json_array({columns})), '') || ']' FROM ({select})"
_BY_IDS = f"SELECT {COLUMNS} FROM activity WHERE id IN (SELECT value FROM json_each(?))"
_rows = msgspec.json.Decoder(list[Activity])
_MAX_UNREAD = 1_000


def read(connection: sqlite3.Connection, wanted: Range, unindexed: Sequence[int]) -> list[Activity]:
    """One range. ``unindexed``: the ids of this range that the index may not have yet (ascending)."""
    found = _indexed(connection, wanted)
    missing = _missing(found, wanted, unindexed) if unindexed else []
    if not missing:
        return found
    found += page(connection, _BY_IDS, (msgspec.json.encode(missing).decode(),))
    found.sort(key=lambda activity: activity.id, reverse=wanted.newest_first)
    return found[: wanted.limit]


def _missing(found: Sequence[Activity], wanted: Range, unindexed: Sequence[int]) -> list[int]:
    """The ids that belong to the page and are not among what was found, at most a page of them."""
    have = {activity.id for activity in found}
    missing = [id for id in unindexed if id not in have]
    if len(found) == wanted.limit:
        last = found[-1].id
        missing = [id for id in missing if (id > last) is wanted.newest_first]
    return missing[-wanted.limit :] if wanted.newest_first else missing[: wanted.limit]


def _indexed(connection: sqlite3.Connection, wanted: Range) -> list[Activity]:
    if wanted.with_party is None:
        return _of_parties(connection, wanted, wanted.parties)
    if wanted.with_party in wanted.parties:
        return _of_parties(connection, wanted, (wanted.with_party,))
    return _of_conversations(connection, wanted, wanted.with_party)


def _of_parties(connection: sqlite3.Connection, wanted: Range, parties: tuple[int, ...]) -> list[Activity]:
    chunks = [parties[i : i + MAX_BRANCHES] for i in range(0, len(parties), MAX_BRANCHES)]
    only = wanted._replace(parties=parties)
    return _merged(
        [
            page(connection, by_party(len(chunk), len(parties), wanted.newest_first), by_party_binds(only, chunk))
            for chunk in chunks
        ],
        wanted,
    )


def _of_conversations(connection: sqlite3.Connection, wanted: Range, other: int) -> list[Activity]:
    pairs = [(min(mine, other), max(mine, other)) for mine in wanted.parties]
    found = (
        connection.execute("SELECT id FROM conversation WHERE low = ? AND high = ?", pair).fetchone() for pair in pairs
    )
    numbers = [row[0] for row in found if row]
    pages = []
    for i in range(0, len(numbers), MAX_BRANCHES):
        chunk = numbers[i : i + MAX_BRANCHES]
        binds = [value for number in chunk for value in (number, wanted.after, wanted.before)]
        pages.append(page(connection, by_conversation(len(chunk), wanted.newest_first), [*binds, wanted.limit]))
    return _merged(pages, wanted)


def page(connection: sqlite3.Connection, select: str, binds: Iterable[int | str]) -> list[Activity]:
    """The rows of a select of :data:`COLUMNS`."""
    [text] = connection.execute(_PAGE.format(columns=COLUMNS, select=select), tuple(binds)).fetchone()
    return _rows.decode(text)


def _merged(pages: list[list[Activity]], wanted: Range) -> list[Activity]:
    if len(pages) == 1:
        return pages[0]
    merged = heapq.merge(*pages, key=lambda activity: activity.id, reverse=wanted.newest_first)
    return list(merged)[: wanted.limit]


# --- the statements ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def by_party(parties: int, mine: int, newest_first: bool) -> str:
    """SQL for some of a person's parties, of ``mine`` in all.

    What both sides of are the person's is taken where it was sent from, so nothing comes twice. Each branch is a range
    of the index in id order, and SQLite merges the branches of a UNION ALL that are.
    """
    once = f" AND (sender = i.party OR sender NOT IN ({', '.join('?' * mine)}))" if mine > 1 else ""
    one = f"""SELECT i.activity AS id, {_OF_ROW} FROM party_activity AS i CROSS JOIN activity ON id = i.activity
              WHERE i.party = ? AND i.activity > ? AND i.activity < ?{once}"""
    return _in_order([one] * parties, newest_first)


def by_party_binds(wanted: Range, parties: Sequence[int]) -> list[int]:
    """The parameters that go with :func:`by_party`; ``wanted.parties`` are all of the person's."""
    mine = wanted.parties if len(wanted.parties) > 1 else ()
    binds = [value for party in parties for value in (party, wanted.after, wanted.before, *mine)]
    return [*binds, wanted.limit]


@lru_cache(maxsize=256)
def by_conversation(conversations: int, newest_first: bool) -> str:
    """SQL for some conversations; binds: (conversation, after, before) each, then the limit."""
    one = f"""SELECT i.activity AS id, {_OF_ROW} FROM conversation_activity AS i CROSS JOIN activity ON id = i.activity
              WHERE i.conversation = ? AND i.activity > ? AND i.activity < ?"""
    return _in_order([one] * conversations, newest_first)


def _in_order(branches: Sequence[str], newest_first: bool) -> str:
    return f"{' UNION ALL '.join(branches)} ORDER BY id {'DESC' if newest_first else 'ASC'} LIMIT ?"


# --- conversations ----------------------------------------------------------------------------------------------------


def conversations(connection: sqlite3.Connection, parties: Sequence[int], limit: int) -> list[Conversation]:
    """The conversations of these parties, the one with the newest activity first; all of it must be indexed."""
    found: list[tuple[int, int, int, int]] = []
    for mine in parties:
        sql = """
            SELECT (SELECT max(activity) FROM conversation_activity WHERE conversation = c.id), c.id, c.other
            FROM (SELECT id, high AS other FROM conversation WHERE low = ?1
                  UNION SELECT id, low FROM conversation WHERE high = ?1) c"""
        rows = connection.execute(sql, (mine,)).fetchall()
        found += [(last, number, mine, other) for last, number, other in rows if last is not None]
    newest = heapq.nlargest(limit, found)
    return [_conversation(connection, *row) for row in newest]


def _conversation(connection: sqlite3.Connection, last: int, number: int, mine: int, other: int) -> Conversation:
    row = connection.execute(f"SELECT {COLUMNS} FROM activity WHERE id = ?", (last,)).fetchone()
    sql = """
        SELECT count(*) FROM (
            SELECT 1 FROM conversation_activity AS i CROSS JOIN activity ON id = i.activity
            WHERE i.conversation = ?1 AND type = 0 AND sender <> ?2 AND message IS NOT NULL
            AND i.activity > ifnull((SELECT about FROM read_mark WHERE conversation = ?1 AND party = ?2), 0)
            LIMIT ?3)"""
    [unread] = connection.execute(sql, (number, mine, _MAX_UNREAD)).fetchone()
    return Conversation(mine, other, Activity(*row), unread)
