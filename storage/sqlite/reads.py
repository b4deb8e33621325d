"""Reading the log on SQLite: one range scan for each party, merged by id without a sort, a whole page in one row.

apsw releases the interpreter lock around each step of a statement. A page that is returned as one JSON text is one
step, not five hundred, and msgspec decodes it faster than the driver reads rows.

A page is bounded in bytes: large messages are left out of that text, which only has their sizes. When the end of the
page is known, those before it are read together, unescaped, if there are any.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from protocol.activity import Activity
from storage.contract import ROW_BYTES, Conversation, Page, Range
from storage.pages import fitting, size_of
from storage.sqlite.connection import DriverConnection

COLUMNS = "id, type, sender, receiver, call_time, message, message_id, created_at_ms"
MAX_BRANCHES = 16
"""Parties in one statement; somebody with more is read in several and merged by id in memory (heapq.merge)."""
SMALL_BYTES = 1_024
"""A message up to this size comes with its row."""
_OF_ROW = "type, sender, receiver, call_time, message, message_id, created_at_ms"
_BYTES = "length(CAST(message AS BLOB))"  # octet_length() came with SQLite 3.43; length() of a text counts characters
_LARGE = f"{_BYTES} > {SMALL_BYTES}"
_SMALL = f"id, type, sender, receiver, call_time, iif({_LARGE}, NULL, message), message_id, created_at_ms"
_LIGHT = f"""
    SELECT '[' || ifnull(group_concat(json_array({_SMALL})), '') || ']',
           '[' || ifnull(group_concat(iif({_LARGE}, json_array(id, {_BYTES}), NULL)), '') || ']'
    FROM ({{select}})"""
_BODIES = f"""
    SELECT '[' || ifnull(group_concat(json_array(id, {_BYTES})), '') || ']', CAST(group_concat(message, '') AS BLOB)
    FROM activity WHERE id IN (SELECT value FROM json_each(?)) AND message IS NOT NULL"""
_BY_IDS = f"SELECT {COLUMNS} FROM activity WHERE id IN (SELECT value FROM json_each(?))"
_TAIL = f"SELECT {COLUMNS} FROM activity WHERE id > ? ORDER BY id LIMIT ?"
_rows = msgspec.json.Decoder(list[Activity])
_sizes = msgspec.json.Decoder(list[tuple[int, int]])
_MAX_UNREAD = 1_000

LeftOut = dict[int, int]
"""The bytes of the messages that are not in their rows, by id."""


def read(connection: DriverConnection, wanted: Range, unindexed: Sequence[int]) -> Page[Activity]:
    """One range. ``unindexed``: the ids of this range that the index may not have yet (ascending)."""
    left_out: LeftOut = {}
    asked = wanted._replace(limit=_most_rows(wanted.limit, wanted.max_bytes) + 1)  # one row more: is there more?
    found = _indexed(connection, asked, left_out)
    missing = _missing(found, asked, unindexed) if unindexed else []
    if missing:
        found += _light(connection, _BY_IDS, (_json(missing),), left_out)
        found.sort(key=lambda activity: activity.id, reverse=wanted.newest_first)
    return _page(connection, found, left_out, asked.limit - 1, wanted.max_bytes)


def tail(connection: DriverConnection, after: int, limit: int, max_bytes: int) -> Page[Activity]:
    """Read the activities of all parties newer than ``after``."""
    left_out: LeftOut = {}
    most = _most_rows(limit, max_bytes)
    found = _light(connection, _TAIL, (after, most + 1), left_out)
    return _page(connection, found, left_out, most, max_bytes)


def _most_rows(limit: int, max_bytes: int) -> int:
    """Return how many rows with small messages always fit the budget: only large ones have to be counted."""
    return max(1, min(limit, max_bytes // (SMALL_BYTES + ROW_BYTES)))


def _missing(found: Sequence[Activity], wanted: Range, unindexed: Sequence[int]) -> list[int]:
    """Return the ids that belong to the page and were not found yet, at most a page of them."""
    have = {activity.id for activity in found}
    missing = [id for id in unindexed if id not in have]
    if len(found) == wanted.limit:
        last = found[-1].id
        missing = [id for id in missing if (id > last) is wanted.newest_first]
    return missing[-wanted.limit :] if wanted.newest_first else missing[: wanted.limit]


def _indexed(connection: DriverConnection, wanted: Range, left_out: LeftOut) -> list[Activity]:
    if wanted.with_party is None:
        return _of_parties(connection, wanted, wanted.parties, left_out)
    if wanted.with_party in wanted.parties:
        return _of_parties(connection, wanted, (wanted.with_party,), left_out)
    return _of_conversations(connection, wanted, wanted.with_party, left_out)


def _of_parties(
    connection: DriverConnection, wanted: Range, parties: tuple[int, ...], left_out: LeftOut
) -> list[Activity]:
    chunks = [parties[i : i + MAX_BRANCHES] for i in range(0, len(parties), MAX_BRANCHES)]
    only = wanted._replace(parties=parties)
    return _merged(
        [
            _light(
                connection,
                by_party(len(chunk), len(parties), wanted.newest_first),
                by_party_binds(only, chunk),
                left_out,
            )
            for chunk in chunks
        ],
        wanted,
    )


def _of_conversations(connection: DriverConnection, wanted: Range, other: int, left_out: LeftOut) -> list[Activity]:
    pairs = [(min(mine, other), max(mine, other)) for mine in wanted.parties]
    found = (
        connection.execute("SELECT id FROM conversation WHERE low = ? AND high = ?", pair).fetchone() for pair in pairs
    )
    numbers = [row[0] for row in found if row]
    pages = []
    for i in range(0, len(numbers), MAX_BRANCHES):
        chunk = numbers[i : i + MAX_BRANCHES]
        binds = [value for number in chunk for value in (number, wanted.after, wanted.before)]
        select = by_conversation(len(chunk), wanted.newest_first)
        pages.append(_light(connection, select, [*binds, wanted.limit], left_out))
    return _merged(pages, wanted)


def _merged(pages: list[list[Activity]], wanted: Range) -> list[Activity]:
    if len(pages) == 1:
        return pages[0]
    merged = heapq.merge(*pages, key=lambda activity: activity.id, reverse=wanted.newest_first)
    return list(merged)[: wanted.limit]


# --- rows, light and whole --------------------------------------------------------------------------------------------


def _light(connection: DriverConnection, select: str, binds: Iterable[int | str], left_out: LeftOut) -> list[Activity]:
    """Return the rows of a select of :data:`COLUMNS`, with the ids of their large messages put into ``left_out``."""
    rows, sizes = connection.execute(_LIGHT.format(select=select), tuple(binds)).fetchone()
    left_out.update(_sizes.decode(sizes))
    return _rows.decode(rows)


def _page(
    connection: DriverConnection, found: list[Activity], left_out: LeftOut, limit: int, max_bytes: int
) -> Page[Activity]:
    """Return the page that begins with these light rows, each with its message."""
    kept = found[:limit]
    if left_out:
        sizes = (ROW_BYTES + left_out[row.id] if row.id in left_out else size_of(row) for row in kept)
        kept = kept[: fitting(sizes, max_bytes)]
        kept = _whole(connection, kept, left_out)
    return Page(kept, len(kept) < len(found))


def _whole(connection: DriverConnection, rows: Sequence[Activity], left_out: LeftOut) -> list[Activity]:
    """Return the rows with the messages that were left out. One that was erased meanwhile has none."""
    bodies = _bodies(connection, [row.id for row in rows if row.id in left_out])
    replace = msgspec.structs.replace
    return [replace(row, message=bodies.get(row.id)) if row.id in left_out else row for row in rows]


def _bodies(connection: DriverConnection, ids: Sequence[int]) -> dict[int, str]:
    """Read messages by id, in one step: all of them joined, and the end of each one."""
    sizes, joined = connection.execute(_BODIES, (_json(ids),)).fetchone()
    bodies: dict[int, str] = {}
    start = 0
    for id, size in _sizes.decode(sizes):
        bodies[id] = joined[start : start + size].decode()
        start += size
    return bodies


def _json(ids: Sequence[int]) -> str:
    return msgspec.json.encode(ids).decode()


# --- the statements ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def by_party(parties: int, mine: int, newest_first: bool) -> str:
    """Return SQL for some of a person's parties, of ``mine`` in all.

    An activity between two of the person's own parties is returned for its sender only, so no row is returned twice.
    Each branch is a range of the index in id order, so SQLite can merge the branches of the UNION ALL.
    """
    once = f" AND (sender = i.party OR sender NOT IN ({', '.join('?' * mine)}))" if mine > 1 else ""
    one = f"""SELECT i.activity AS id, {_OF_ROW} FROM party_activity AS i CROSS JOIN activity ON id = i.activity
              WHERE i.party = ? AND i.activity > ? AND i.activity < ?{once}"""
    return _in_order([one] * parties, newest_first)


def by_party_binds(wanted: Range, parties: Sequence[int]) -> list[int]:
    """Return the parameters that go with :func:`by_party`; ``wanted.parties`` are all of the person's."""
    mine = wanted.parties if len(wanted.parties) > 1 else ()
    binds = [value for party in parties for value in (party, wanted.after, wanted.before, *mine)]
    return [*binds, wanted.limit]


@lru_cache(maxsize=256)
def by_conversation(conversations: int, newest_first: bool) -> str:
    """Return SQL for some conversations; binds: (conversation, after, before) each, then the limit."""
    one = f"""SELECT i.activity AS id, {_OF_ROW} FROM conversation_activity AS i CROSS JOIN activity ON id = i.activity
              WHERE i.conversation = ? AND i.activity > ? AND i.activity < ?"""
    return _in_order([one] * conversations, newest_first)


def _in_order(branches: Sequence[str], newest_first: bool) -> str:
    return f"{' UNION ALL '.join(branches)} ORDER BY id {'DESC' if newest_first else 'ASC'} LIMIT ?"


# --- conversations ----------------------------------------------------------------------------------------------------


def conversations(
    connection: DriverConnection, parties: Sequence[int], limit: int, before: int, max_bytes: int
) -> Page[Conversation]:
    """Return the conversations of these parties, the one with the newest activity first; all of it must be indexed."""
    found: list[tuple[int, int, int, int]] = []
    for mine in parties:
        sql = """
            SELECT last, id, other FROM (
                SELECT (SELECT max(activity) FROM conversation_activity WHERE conversation = c.id) AS last, id, other
                FROM (SELECT id, high AS other FROM conversation WHERE low = ?1
                      UNION SELECT id, low FROM conversation WHERE high = ?1) c)
            WHERE last < ?2 ORDER BY last DESC LIMIT ?3"""
        rows = connection.execute(sql, (mine, before, limit + 2)).fetchall()
        found += [(last, number, mine, other) for last, number, other in rows]
    newest = heapq.nlargest(limit + 2, found)
    kept: list[Conversation] = []
    size = 0
    for row in newest:
        if (len(kept) >= limit or size >= max_bytes) and row[0] != kept[-1].last.id:
            return Page(kept, more=True)
        kept.append(_conversation(connection, *row))
        size += size_of(kept[-1].last)
    return Page(kept, more=False)


def _conversation(connection: DriverConnection, last: int, number: int, mine: int, other: int) -> Conversation:
    row = connection.execute(f"SELECT {COLUMNS} FROM activity WHERE id = ?", (last,)).fetchone()
    sql = """
        SELECT count(*) FROM (
            SELECT 1 FROM conversation_activity AS i CROSS JOIN activity ON id = i.activity
            WHERE i.conversation = ?1 AND type = 0 AND sender <> ?2 AND message IS NOT NULL
            AND i.activity > ifnull((SELECT about FROM read_mark WHERE conversation = ?1 AND party = ?2), 0)
            LIMIT ?3)"""
    [unread] = connection.execute(sql, (number, mine, _MAX_UNREAD)).fetchone()
    read = connection.execute(
        "SELECT about FROM read_mark WHERE conversation = ? AND party = ?", (number, other)
    ).fetchone()
    return Conversation(mine, other, Activity(*row), unread, read[0] if read else 0)
