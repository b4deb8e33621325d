"""The activity log on SQLite: a whole batch in one trip to the writer's thread."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Sequence
from functools import partial

import structlog

from protocol.activity import Activity, ActivityType
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
    Refusal,
    Result,
    Stored,
)
from storage.errors import StorageError
from storage.sqlite import index as sqlite_index
from storage.sqlite import reads
from storage.sqlite.database import SqliteDatabase
from storage.sqlite.index import COMMITS_A_STEP, INDEX_EVERY, Tail
from storage.sqlite.reads import COLUMNS

_INSERT = """
    INSERT INTO activity (id, type, sender, receiver, conversation, author, call_time, message, message_id, about,
                          created_at_ms, idempotency_key, idempotency_hash)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_CONVERSATIONS_REMEMBERED = 100_000
FOLD_PAGES = 8_000
"""After how many pages of commits the WAL goes back into the database file: an upper estimate, as SQLite does not say.
Each page that was written often goes back once. More at a time would be cheaper, and hold up the next commit longer."""
_log = structlog.get_logger("storage")

Key = tuple[int, int]
Row = tuple[object, ...]


class SqliteActivityLog:
    """``storage.contract.ActivityLog`` on one SQLite file."""

    def __init__(
        self, database: SqliteDatabase, index_every: int = INDEX_EVERY, commits_a_step: int = COMMITS_A_STEP
    ) -> None:
        """What one step of the index takes in at least: see ``storage/sqlite/index.py``."""
        self._database = database
        self._index_every = index_every
        self._commits_a_step = commits_a_step
        self._conversations: dict[Key, int] = {}
        self._tail: Tail | None = None
        self._pages = 0
        self._upkeep: asyncio.Task[None] | None = None
        self._reading_tail = asyncio.Lock()

    async def state(self) -> LogState:
        [row] = await self._database.fetch(amendments.STATE)
        return LogState(*row)

    async def append(self, batch: Sequence[Posting]) -> Commit:
        tail = await self._unindexed()
        try:
            commit = await self._database.write(partial(self._append, batch=batch))
        except BaseException:
            # Numbers given to new conversations may have been rolled back; whether it was committed may be unknown.
            self._conversations.clear()
            self._tail = None
            raise
        tail.add([each.activity for each in commit.results if isinstance(each, Stored) and not each.duplicate])
        self._pages += _most_pages(batch)
        index = len(tail) >= max(self._index_every, self._commits_a_step * len(batch))
        fold = self._pages >= FOLD_PAGES
        if self._upkeep is None and (index or fold):
            self._upkeep = asyncio.create_task(self._keep_up(tail if index else None, fold), name="log upkeep")
        return commit

    async def read(self, ranges: Sequence[Range]) -> list[Page[Activity]]:
        tail = await self._unindexed()
        # A step may take in some of these before the reader's thread looks: they are then found twice, and told by id.
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

    async def partners(self, party: int) -> list[int]:
        rows = await self._database.fetch(
            "SELECT high FROM conversation WHERE low = ? UNION SELECT low FROM conversation WHERE high = ?",
            party,
            party,
        )
        return [key for (key,) in rows if key != party]

    async def clear(self, party: int) -> str:
        epoch = await self._database.write(partial(_clear, party=party))
        self._conversations.clear()
        return epoch

    async def erase(self, party: int) -> int:
        return await self._database.write(partial(_erase, party=party))

    async def erase_before(self, created_before_ms: int, now_ms: int, limit: int) -> int:
        return await amendments.empty_older(self._database, created_before_ms, now_ms, limit)

    async def renew_epoch(self) -> str:
        return await self._database.write(_renew_epoch)

    async def close(self) -> None:
        """Wait for the upkeep under way; the connections are the database's."""
        while self._upkeep is not None:
            await asyncio.wait([self._upkeep])

    async def _unindexed(self) -> Tail:
        """What the index has not reached: read once, and again after a commit whose fate is not known."""
        async with self._reading_tail:
            if self._tail is None:
                self._tail = Tail(await self._database.read(sqlite_index.unindexed))
            return self._tail

    async def _keep_up(self, tail: Tail | None, fold: bool) -> None:
        """Between two commits, when the first one's answers are out: a step of the index, the WAL folded back."""
        try:
            if tail is not None:
                await self._index(tail)
            if fold:
                self._pages = 0
                await self._database.fold()
        except StorageError as error:
            # Nothing depends on it now, and the next commit asks for it again.
            _log.warning("the log's upkeep failed", reason=str(error))
        except Exception:  # noqa: BLE001 - nobody awaits this task while the log is open, so it says itself what failed
            _log.exception("the log's upkeep failed")
        finally:
            self._upkeep = None

    async def _index(self, tail: Tail) -> None:
        await self._database.write(_index_all)
        tail.clear()

    def _append(self, connection: sqlite3.Connection, batch: Sequence[Posting]) -> Commit:
        [previous] = connection.execute("SELECT head FROM log").fetchone()
        if not batch:
            _touch(connection)
        try:
            results, head = self._append_all(connection, batch, previous)
        except _NeedsCare:
            # A savepoint would do, and cost every batch a tenth and more: SQLite keeps a copy of each page for it.
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            # With it went the conversations that the batch had begun: their numbers will be given to other pairs.
            self._conversations.clear()
            results, head = self._append_each(connection, batch, previous)
        connection.execute("UPDATE log SET head = ?", (head,))
        return Commit(previous, head, results)

    def _append_all(
        self, connection: sqlite3.Connection, batch: Sequence[Posting], previous: int
    ) -> tuple[list[Result], int]:
        """The usual case: no repeats, and what is reacted to was there before. One statement stores it all."""
        rows, marks = [], []
        for number, posting in enumerate(batch, previous + 1):
            conversation, about = self._conversation(connection, posting), None
            if posting.type in _ABOUT:
                about = _find_message(connection, posting)
                if about is None:
                    raise _NeedsCare
                if posting.type == ActivityType.chat_read_indicator:
                    marks.append((conversation, posting.sender, about))
            rows.append(self._row(number, posting, conversation, about))
        try:
            connection.executemany(_INSERT, rows)
        except sqlite3.IntegrityError as error:
            raise _NeedsCare from error
        if marks:
            connection.executemany(_MARK_READ, marks)
        return [Stored(_activity(n, each), False) for n, each in enumerate(batch, previous + 1)], previous + len(batch)

    def _append_each(
        self, connection: sqlite3.Connection, batch: Sequence[Posting], previous: int
    ) -> tuple[list[Result], int]:
        results: list[Result] = []
        head = previous
        for posting in batch:
            result = self._append_one(connection, head + 1, posting)
            if isinstance(result, Stored) and not result.duplicate:
                head += 1
            results.append(result)
        return results, head

    def _append_one(self, connection: sqlite3.Connection, number: int, posting: Posting) -> Result:
        conversation = self._conversation(connection, posting)
        about = None
        if posting.type in _ABOUT:
            about = _find_message(connection, posting)
        missing = posting.type in _ABOUT and about is None
        if not missing:
            row = self._row(number, posting, conversation, about)
            if connection.execute(f"{_INSERT} ON CONFLICT DO NOTHING", row).rowcount:
                if posting.type == ActivityType.chat_read_indicator:
                    connection.execute(_MARK_READ, (conversation, posting.sender, about))
                return Stored(_activity(number, posting), False)
        # The constraint knew it, or what it is about is gone: a repeat gets its first answer either way.
        return _first_answer(connection, posting) or Refusal.MESSAGE_NOT_FOUND

    def _conversation(self, connection: sqlite3.Connection, posting: Posting) -> int:
        pair = (min(posting.sender, posting.receiver), max(posting.sender, posting.receiver))
        number = self._conversations.get(pair)
        if number is None:
            connection.execute("INSERT INTO conversation (low, high) VALUES (?, ?) ON CONFLICT DO NOTHING", pair)
            [number] = connection.execute("SELECT id FROM conversation WHERE low = ? AND high = ?", pair).fetchone()
            if len(self._conversations) >= _CONVERSATIONS_REMEMBERED:
                self._conversations.clear()
            self._conversations[pair] = number
        return number

    @staticmethod
    def _row(number: int, posting: Posting, conversation: int, about: int | None) -> Row:
        kind, sender, receiver, author, call_time, message, message_id, created_at_ms, key, digest = posting
        return (
            number, kind, sender, receiver, conversation, author, call_time, message, message_id, about,
            created_at_ms, key, digest,
        )  # fmt: skip


class _NeedsCare(Exception):
    """The batch has a repeat, or an activity about another in it or about nothing: it is gone through one by one."""


_ABOUT = frozenset({ActivityType.chat_read_indicator, ActivityType.chat_reaction_emoji})
_MARK_READ = """
    INSERT INTO read_mark (conversation, party, about) VALUES (?, ?, ?)
    ON CONFLICT (conversation, party) DO UPDATE SET about = max(about, excluded.about)"""


def _most_pages(batch: Sequence[Posting]) -> int:
    """How many pages of 4 KiB a commit wrote at most: the rows, an idempotency entry each, the heads."""
    return len(batch) + sum(len(posting.message or "") for posting in batch) // 2_048 + 4


def _activity(number: int, posting: Posting) -> Activity:
    return Activity(
        number,
        posting.type,
        posting.sender,
        posting.receiver,
        posting.call_time,
        posting.message,
        posting.message_id,
        posting.created_at_ms,
    )


def _find_message(connection: sqlite3.Connection, posting: Posting) -> int | None:
    """The id of the chat message that a reaction or read indicator is about, between the same two parties."""
    for sender, receiver in ((posting.receiver, posting.sender), (posting.sender, posting.receiver)):
        written_by = "author = ?1" if sender > 0 else "sender = ?1 AND sender < 0"
        found = connection.execute(
            f"SELECT id FROM activity WHERE {written_by} AND message_id = ?2 AND type = 0 AND sender = ?1"
            " AND receiver = ?3",
            (sender, posting.message_id, receiver),
        ).fetchone()
        if found:
            return int(found[0])
    return None


def _first_answer(connection: sqlite3.Connection, posting: Posting) -> Result | None:
    if posting.idempotency_key is not None:
        sql = f"SELECT {COLUMNS}, idempotency_hash FROM activity WHERE author = ? AND idempotency_key = ?"
        found = connection.execute(sql, (posting.author, posting.idempotency_key)).fetchone()
        if found:
            return Stored(Activity(*found[:-1]), True) if found[-1] == posting.idempotency_hash else Refusal.KEY_REUSED
    if posting.type == ActivityType.chat_message:
        sql = f"SELECT {COLUMNS} FROM activity WHERE author = ? AND message_id = ? AND type = 0"
        found = connection.execute(sql, (posting.author, posting.message_id)).fetchone()
        if found:
            first = Activity(*found)
            same = (first.sender, first.receiver) == (posting.sender, posting.receiver)
            return Stored(first, True) if same else Refusal.MESSAGE_ID_REUSED
    return None


def _index_all(connection: sqlite3.Connection) -> None:
    [head] = connection.execute("SELECT head FROM log").fetchone()
    sqlite_index.advance(connection, head)


def _touch(connection: sqlite3.Connection) -> None:
    """Change a number that means nothing: SQLite does not write what a statement leaves as it was."""
    [number] = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {(number + 1) % 2**31}")


def _clear(connection: sqlite3.Connection, party: int) -> str:
    _index_all(connection)
    gone = "SELECT activity FROM party_activity WHERE party = ?1"
    mine = "SELECT id FROM conversation WHERE low = ?1 UNION SELECT id FROM conversation WHERE high = ?1"
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


def _erase(connection: sqlite3.Connection, party: int) -> int:
    _index_all(connection)
    mine = """id IN (SELECT activity FROM party_activity WHERE party = ?1)
              AND (sender = ?1 OR (receiver = ?1 AND author = ?1))"""
    emptied = connection.execute(amendments.ERASE.format(rows=mine), (party,)).rowcount
    keys = connection.execute(amendments.ERASE_KEYS, (party,)).rowcount
    if emptied or keys:
        connection.execute(amendments.COUNT)
    return emptied


def _renew_epoch(connection: sqlite3.Connection) -> str:
    epoch = secrets.token_hex(8)
    connection.execute("UPDATE log SET epoch = ?", (epoch,))
    return epoch
