"""The activity log on PostgreSQL, for any number of nodes at once (``storage.contract.ActivityLog``)."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Sequence
from heapq import merge
from typing import Any

from protocol.activity import Activity
from storage import amendments, emptying
from storage.contract import Commit, Conversation, LogState, Posting, Range
from storage.postgres import STATEMENT_SECONDS, Connection, PostgresDatabase
from storage.postgres_append import Appender
from storage.postgres_reads import (
    CONVERSATIONS,
    PARTNERS,
    TAIL,
    activities,
    conversation_pages,
    pages,
    pages_binds,
)

MAX_BRANCHES = 16
"""Parties in one statement; somebody with more is read in several and merged by id in memory."""
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

    async def read(self, ranges: Sequence[Range]) -> list[list[Activity]]:
        return await self._database.read(lambda c: _read(c, ranges))

    async def tail(self, after: int, limit: int) -> list[Activity]:
        return await self._database.read(lambda c: _tail(c, after, limit))

    async def conversations(self, parties: Sequence[int], limit: int) -> list[Conversation]:
        rows = await self._database.read(lambda c: c.fetch(CONVERSATIONS, list(parties), limit, MAX_UNREAD))
        last = activities(rows, 3)
        return [Conversation(row[0], row[1], each, row[2]) for row, each in zip(rows, last, strict=True)]

    async def partners(self, party: int) -> list[int]:
        rows = await self._database.read(lambda c: c.fetch(PARTNERS, party))
        return [key for (key,) in rows]

    async def clear(self, party: int) -> str:
        async with self._database.transaction() as transaction:
            # The log's lock first: nothing is appended to what is being deleted.
            epoch = secrets.token_hex(8)
            await transaction.execute("UPDATE log SET epoch = ?", epoch)
            mine = "SELECT id FROM conversation WHERE low = ? UNION ALL SELECT id FROM conversation WHERE high = ?"
            await transaction.execute("DELETE FROM activity WHERE sender = ?", party)
            await transaction.execute("DELETE FROM activity WHERE receiver = ?", party)
            await transaction.execute(f"DELETE FROM read_mark WHERE conversation IN ({mine})", party, party)
            await transaction.execute("DELETE FROM conversation WHERE low = ? OR high = ?", party, party)
        return epoch

    async def erase(self, party: int) -> int:
        async with self._database.transaction() as transaction:
            mine = "(sender = ? OR (receiver = ? AND author = ?))"
            emptied = await transaction.execute(emptying.ERASE.format(rows=mine), party, party, party)
            keys = await transaction.execute(emptying.ERASE_KEYS, party)
            if emptied or keys:
                await transaction.execute(amendments.COUNT)
        return emptied

    async def erase_before(self, created_before_ms: int, now_ms: int, limit: int) -> int:
        return await emptying.empty_older(self._database, created_before_ms, now_ms, limit)

    async def renew_epoch(self) -> str:
        epoch = secrets.token_hex(8)
        async with self._database.transaction() as transaction:
            await transaction.execute("UPDATE log SET epoch = ?", epoch)
        return epoch

    async def close(self) -> None:
        """Give the writer's connection back; before the database is closed."""
        await self._appender.close()


async def _read(connection: Connection, ranges: Sequence[Range]) -> list[list[Activity]]:
    """All the ranges, those of the same shape in one statement."""
    found: list[list[Activity]] = [[] for _ in ranges]
    shapes: dict[tuple[int, bool], list[tuple[int, Range]]] = defaultdict(list)
    between: dict[bool, list[tuple[int, Range]]] = defaultdict(list)
    for position, wanted in enumerate(ranges):
        if wanted.with_party is not None and wanted.with_party not in wanted.parties:
            between[wanted.newest_first].append((position, wanted))
            continue
        parties = wanted.parties if wanted.with_party is None else (wanted.with_party,)
        if len(parties) > MAX_BRANCHES:
            found[position] = await _many_parties(connection, wanted)
        else:
            shapes[len(parties), wanted.newest_first].append((position, wanted._replace(parties=parties)))
    for (count, newest_first), asked in shapes.items():
        binds = pages_binds([wanted for _, wanted in asked])
        await _hand_out(connection, pages(count, newest_first), binds, [position for position, _ in asked], found)
    for newest_first, asked in between.items():
        await _conversations(connection, newest_first, asked, found)
    return found


async def _hand_out(
    connection: Connection, sql: str, binds: list[list[int]], positions: Sequence[int], found: list[list[Activity]]
) -> None:
    rows = await connection.fetch(sql, *binds, timeout=STATEMENT_SECONDS)
    for row, activity in zip(rows, activities(rows, 1), strict=True):
        found[positions[row[0] - 1]].append(activity)


async def _many_parties(connection: Connection, wanted: Range) -> list[Activity]:
    """Somebody in more companies than one statement takes: read in parts, merged by id."""
    parts: list[list[Activity]] = []
    for start in range(0, len(wanted.parties), MAX_BRANCHES):
        part = wanted._replace(parties=wanted.parties[start : start + MAX_BRANCHES])
        sql = pages(len(part.parties), wanted.newest_first, part=True)
        found: list[list[Activity]] = [[]]
        await _hand_out(connection, sql, [*pages_binds([part]), list(wanted.parties)], [0], found)
        parts += found
    merged = merge(*parts, key=lambda activity: activity.id, reverse=wanted.newest_first)
    return list(merged)[: wanted.limit]


async def _conversations(
    connection: Connection, newest_first: bool, asked: Sequence[tuple[int, Range]], found: list[list[Activity]]
) -> None:
    """Pages of activity with one other party: one conversation for each of the asker's own parties."""
    pairs = [
        (position, min(mine, wanted.with_party), max(mine, wanted.with_party), wanted)
        for position, wanted in asked
        if wanted.with_party is not None
        for mine in wanted.parties
    ]
    pieces: list[list[Activity]] = [[] for _ in pairs]
    binds = [
        [low for _, low, _, _ in pairs],
        [high for _, _, high, _ in pairs],
        [wanted.after for *_, wanted in pairs],
        [wanted.before for *_, wanted in pairs],
        [wanted.limit for *_, wanted in pairs],
    ]
    await _hand_out(connection, conversation_pages(newest_first), binds, range(len(pairs)), pieces)
    for position, wanted in asked:
        mine = [piece for (each, *_), piece in zip(pairs, pieces, strict=True) if each == position]
        merged = merge(*mine, key=lambda activity: activity.id, reverse=newest_first)
        found[position] = list(merged)[: wanted.limit]


async def _tail(connection: Connection, after: int, limit: int) -> list[Activity]:
    rows: list[Any] = await connection.fetch(TAIL, after, limit, timeout=STATEMENT_SECONDS)
    return activities(rows)
