"""The activity log on SQLite: a whole batch in one call to the writer's thread."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from functools import partial

import structlog

from protocol.activity import Activity
from protocol.validation import MAX_ID
from storage import amendments
from storage.contract import (
    PAGE_BYTES,
    Commit,
    Conversation,
    LogState,
    Page,
    Posting,
    Range,
    Stored,
)
from storage.errors import StorageError
from storage.sqlite import index as sqlite_index
from storage.sqlite import message_keys, reads
from storage.sqlite.append import Appender
from storage.sqlite.connection import DriverConnection
from storage.sqlite.database import SqliteDatabase
from storage.sqlite.index import COMMITS_A_STEP, INDEX_EVERY, UnindexedIds
from storage.sqlite.message_keys import MESSAGES_EVERY

FOLD_PAGES = 4_000
"""After how many pages the WAL goes back into the database file. Each page that was written often goes back once. More
at a time would be cheaper, and hold up the next commit longer."""
_logger = structlog.get_logger("storage")


class SqliteActivityLog:
    """``storage.contract.ActivityLog`` on one SQLite file."""

    def __init__(
        self,
        database: SqliteDatabase,
        index_every: int = INDEX_EVERY,
        commits_a_step: int = COMMITS_A_STEP,
        messages_every: int = MESSAGES_EVERY,
    ) -> None:
        """``index_every``: a step indexes at least so many activities; ``messages_every``: so many message ids.

        ``commits_a_step``: and at least so many times as many as the last commit had.
        """
        self._database = database
        self._index_every = index_every
        self._commits_a_step = commits_a_step
        self._messages_every = messages_every
        self._appender = Appender()
        self._tail: UnindexedIds | None = None
        self._upkeep: asyncio.Task[None] | None = None
        self._reading_tail = asyncio.Lock()

    async def state(self) -> LogState:
        [row] = await self._database.fetch(amendments.STATE)
        return LogState(*row)

    async def append(self, batch: Sequence[Posting]) -> Commit:
        tail = await self._unindexed()
        try:
            commit = await self._database.write(partial(self._appender.append, batch=batch))
        except BaseException:
            # Numbers of new conversations may have been rolled back; whether it was committed may be unknown.
            self._appender.forget()
            self._tail = None
            raise
        tail.add([each.activity for each in commit.results if isinstance(each, Stored) and not each.duplicate])
        if self._upkeep is None:
            least = self._commits_a_step * len(batch)
            index = len(tail) >= max(self._index_every, least)
            messages = self._appender.recent_messages >= max(self._messages_every, least)
            if index or messages:
                self._upkeep = asyncio.create_task(self._keep_up(tail if index else None, messages), name="log upkeep")
        return commit

    async def read(self, ranges: Sequence[Range]) -> list[Page[Activity]]:
        tail = await self._unindexed()
        # A step may index some of these before the reader's thread reads: they are then found twice, and recognised by
        # id.
        wanted = [(each, tail.within(each)) for each in ranges]
        return await self._database.read(lambda c: [reads.read(c, *each) for each in wanted])

    async def tail(self, after: int, limit: int, max_bytes: int = PAGE_BYTES) -> Page[Activity]:
        return await self._database.read(lambda c: reads.tail(c, after, limit, max_bytes))

    async def conversations(
        self, parties: Sequence[int], limit: int, before: int = MAX_ID, max_bytes: int = PAGE_BYTES
    ) -> Page[Conversation]:
        tail = await self._unindexed()
        if tail.concerns(parties):
            await self._index(tail)
        return await self._database.read(lambda c: reads.conversations(c, parties, limit, before, max_bytes))

    async def clear(self, party: int) -> str:
        epoch = await self._database.write(partial(_clear, party=party))
        self._appender.forget()
        return epoch

    async def erase(self, party: int) -> int:
        return await self._database.write(partial(_erase, party=party))

    async def erase_before(self, created_before_ms: int, now_ms: int, limit: int) -> int:
        return await amendments.empty_older(self._database, created_before_ms, now_ms, limit)

    async def renew_epoch(self) -> str:
        return await self._database.write(_renew_epoch)

    async def close(self) -> None:
        """Wait for the running upkeep; the database closes the connections."""
        while self._upkeep is not None:
            await asyncio.wait([self._upkeep])

    async def _unindexed(self) -> UnindexedIds:
        """Return what is not indexed yet: read once, and again after a commit whose outcome is unknown."""
        async with self._reading_tail:
            if self._tail is None:
                self._tail = UnindexedIds(await self._database.read(sqlite_index.unindexed))
            return self._tail

    async def _keep_up(self, tail: UnindexedIds | None, messages: bool) -> None:
        """Update the indexes and checkpoint the WAL, each between two commits, after the first one's answers."""
        try:
            if tail is not None:
                await self._index(tail)
            if messages:
                await self._database.write(_index_messages)
            await self._database.fold(FOLD_PAGES)
        except StorageError as error:
            # Nothing depends on it now, and the next commit starts it again.
            _logger.warning("the log's upkeep failed", reason=str(error))
        except Exception:  # this task is not awaited while the log is open, so it logs its own failure
            _logger.exception("the log's upkeep failed")
        finally:
            self._upkeep = None

    async def _index(self, tail: UnindexedIds) -> None:
        await self._database.write(_index_all)
        tail.clear()


def _index_all(connection: DriverConnection) -> None:
    sqlite_index.advance(connection, _head(connection))


def _index_messages(connection: DriverConnection) -> None:
    message_keys.advance(connection, _head(connection))


def _head(connection: DriverConnection) -> int:
    [head] = connection.execute("SELECT head FROM log").fetchone()
    return int(head)


def _clear(connection: DriverConnection, party: int) -> str:
    _index_all(connection)
    _index_messages(connection)
    gone = "SELECT activity FROM party_activity WHERE party = ?1"
    mine = "SELECT id FROM conversation WHERE low = ?1 UNION SELECT id FROM conversation WHERE high = ?1"
    connection.execute(message_keys.FORGET.format(rows=f"id IN ({gone})"), (party,))
    connection.execute(f"DELETE FROM activity WHERE id IN ({gone})", (party,))
    connection.execute(
        f"""DELETE FROM party_activity WHERE (party, activity) IN (
                SELECT low + high - ?1, i.activity FROM conversation AS c
                CROSS JOIN conversation_activity AS i ON i.conversation = c.id WHERE c.id IN ({mine}))""",
        (party,),
    )
    connection.execute("DELETE FROM party_activity WHERE party = ?1", (party,))
    for table in ("conversation_activity", "read_mark"):
        connection.execute(f"DELETE FROM {table} WHERE conversation IN ({mine})", (party,))
    connection.execute("DELETE FROM conversation WHERE low = ?1 OR high = ?1", (party,))
    return _renew_epoch(connection)


def _erase(connection: DriverConnection, party: int) -> int:
    _index_all(connection)
    _index_messages(connection)
    mine = """id IN (SELECT activity FROM party_activity WHERE party = ?1)
              AND (sender = ?1 OR (receiver = ?1 AND author = ?1))"""
    connection.execute(message_keys.FORGET.format(rows=mine), (party,))
    connection.execute(amendments.ERASE.format(rows=mine), (party,))
    emptied = connection.changes()
    connection.execute(amendments.ERASE_KEYS, (party,))
    keys = connection.changes()
    if emptied or keys:
        connection.execute(amendments.COUNT)
    return emptied


def _renew_epoch(connection: DriverConnection) -> str:
    epoch = secrets.token_hex(8)
    connection.execute("UPDATE log SET epoch = ?", (epoch,))
    return epoch
