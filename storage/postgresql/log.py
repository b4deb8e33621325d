"""The activity log on PostgreSQL, for any number of nodes at once (``storage.contract.ActivityLog``)."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Sequence

from protocol.activity import Activity
from protocol.validation import MAX_ID
from storage import amendments
from storage.contract import PAGE_BYTES, Commit, Conversation, LogState, Page, Posting, Range
from storage.database import Lane
from storage.pages import merged
from storage.postgresql.append import Appender
from storage.postgresql.connections import Connection
from storage.postgresql.database import PostgresDatabase
from storage.postgresql.reads import (
    CONVERSATIONS,
    TAIL,
    activity,
    conversation_pages,
    pages,
    pages_binds,
)

MAX_BRANCHES = 16
"""Parties in one statement; somebody with more is read in several and merged by id in memory."""
MAX_CONVERSATIONS = 4
"""Conversations with one other party that are read together; a page of each is in memory before they are merged."""
MAX_UNREAD = 1_000


class PostgresActivityLog:
    """The log of one database. Each process has one of these and appends one batch at a time."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._appender = Appender(database)

    async def state(self) -> LogState:
        [row] = await self._database.fetch(amendments.STATE)
        return LogState(*row)

    async def append(self, batch: Sequence[Posting]) -> Commit:
        return await self._appender.append(batch)

    async def read(self, ranges: Sequence[Range]) -> list[Page[Activity]]:
        return await self._database.read(lambda c: _read(c, ranges))

    async def tail(self, after: int, limit: int, max_bytes: int = PAGE_BYTES) -> Page[Activity]:
        rows = await self._database.read(lambda c: c.fetch(TAIL, after, limit, max_bytes))
        return Page([activity(*row[:-1]) for row in rows], bool(rows) and rows[-1][-1])

    async def conversations(
        self, parties: Sequence[int], limit: int, before: int = MAX_ID, max_bytes: int = PAGE_BYTES
    ) -> Page[Conversation]:
        binds = list(parties), limit, MAX_UNREAD, before, max_bytes
        rows = await self._database.read(lambda c: c.fetch(CONVERSATIONS, *binds))
        found = [Conversation(row[0], row[1], activity(*row[4:-1]), row[2], row[3]) for row in rows]
        return Page(found, bool(rows) and rows[-1][-1])

    async def clear(self, party: int) -> str:
        async with self._database.transaction(Lane.LOG) as transaction:
            # The log's lock first, so that nothing is appended to what is being deleted.
            epoch = secrets.token_hex(8)
            await transaction.execute("UPDATE log SET epoch = ?", epoch)
            mine = "SELECT id FROM conversation WHERE low = ? UNION ALL SELECT id FROM conversation WHERE high = ?"
            await transaction.execute("DELETE FROM activity WHERE sender = ?", party)
            await transaction.execute("DELETE FROM activity WHERE receiver = ?", party)
            await transaction.execute(f"DELETE FROM read_mark WHERE conversation IN ({mine})", party, party)
            await transaction.execute("DELETE FROM conversation WHERE low = ? OR high = ?", party, party)
        return epoch

    async def erase(self, party: int) -> int:
        async with self._database.transaction(Lane.LOG) as transaction:
            mine = "(sender = ? OR (receiver = ? AND author = ?))"
            emptied = await transaction.execute(amendments.ERASE.format(rows=mine), party, party, party)
            keys = await transaction.execute(amendments.ERASE_KEYS, party)
            if emptied or keys:
                await transaction.execute(amendments.COUNT)
        return emptied

    async def erase_before(self, created_before_ms: int, now_ms: int, limit: int) -> int:
        return await amendments.empty_older(self._database, created_before_ms, now_ms, limit)

    async def renew_epoch(self) -> str:
        epoch = secrets.token_hex(8)
        await self._database.execute("UPDATE log SET epoch = ?", epoch)
        return epoch

    async def close(self) -> None:
        """Release the writer's connection. Call it before the database is closed."""
        await self._appender.close()


async def _read(connection: Connection, ranges: Sequence[Range]) -> list[Page[Activity]]:
    """Read all the ranges, those of the same shape in one statement."""
    found: list[Page[Activity]] = [Page([], more=False)] * len(ranges)
    shapes: dict[tuple[int, bool], list[tuple[int, Range]]] = defaultdict(list)
    for position, wanted in enumerate(ranges):
        if wanted.with_party is not None and wanted.with_party not in wanted.parties:
            found[position] = await _conversations(connection, wanted, wanted.with_party)
            continue
        parties = wanted.parties if wanted.with_party is None else (wanted.with_party,)
        if len(parties) > MAX_BRANCHES:
            found[position] = await _many_parties(connection, wanted)
        else:
            shapes[len(parties), wanted.newest_first].append((position, wanted._replace(parties=parties)))
    for (count, newest_first), asked in shapes.items():
        binds = pages_binds([wanted for _, wanted in asked])
        read = await _pages(connection, pages(count, newest_first), binds, len(asked))
        for (position, _), page in zip(asked, read, strict=True):
            found[position] = page
    return found


async def _pages(connection: Connection, sql: str, binds: list[list[int]], count: int) -> list[Page[Activity]]:
    """Return the pages of a statement for many requests: its rows begin with the request's number, from 1."""
    found: list[list[Activity]] = [[] for _ in range(count)]
    more = [False] * count
    for row in await connection.fetch(sql, *binds):
        found[row[0] - 1].append(activity(*row[1:-1]))
        more[row[0] - 1] = row[-1]
    return list(map(Page, found, more))


async def _many_parties(connection: Connection, wanted: Range) -> Page[Activity]:
    """Read the range of a person in more companies than one statement allows: in parts, merged by id."""
    whole: list[Page[Activity]] = []
    for start in range(0, len(wanted.parties), MAX_BRANCHES):
        part = wanted._replace(parties=wanted.parties[start : start + MAX_BRANCHES])
        sql = pages(len(part.parties), wanted.newest_first, part=True)
        whole += await _pages(connection, sql, [*pages_binds([part]), list(wanted.parties)], 1)
        whole = [merged(whole, wanted)]
    return whole[0]


async def _conversations(connection: Connection, wanted: Range, other: int) -> Page[Activity]:
    """Read the activities with one other party: one conversation for each of the reader's own parties."""
    whole: list[Page[Activity]] = []
    for start in range(0, len(wanted.parties), MAX_CONVERSATIONS):
        mine = wanted.parties[start : start + MAX_CONVERSATIONS]
        asked = [
            (min(each, other), max(each, other), wanted.after, wanted.before, wanted.limit, wanted.max_bytes)
            for each in mine
        ]
        binds = [list(column) for column in zip(*asked, strict=True)]
        whole += await _pages(connection, conversation_pages(wanted.newest_first), binds, len(mine))
        whole = [merged(whole, wanted)]
    return whole[0]
