"""Appends to the log on SQLite: a whole batch in one transaction of the writer's thread.

A batch of new activities is stored by a few statements of many rows. A batch with a repeat in it, or with a reaction to
a message that is not stored yet, is rolled back and takes the slow path: what is already stored of it is read,
``storage/log_rules.py`` decides it, and the new part is stored by the same statements.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from protocol.activity import Activity, ActivityType
from storage.contract import Commit, Posting, Result
from storage.database import Row, Value
from storage.errors import StorageConflict
from storage.log_rules import ABOUT, Known, all_new, both_ways, decide
from storage.sqlite.connection import CONFLICTS, DriverConnection
from storage.sqlite.message_keys import STORED, RecentMessages
from storage.sqlite.reads import COLUMNS

_CONVERSATIONS_REMEMBERED: Final = 100_000
_MAX_ROWS: Final = 64
"""Rows of one statement at most. The interpreter lock is released and taken back once for each statement: with one row
each, the writer waited for a busy event loop at every row. Larger statements were no faster."""


class _Refused(Exception):
    """The batch has a repeat, or an activity that refers to another one in it or to none."""


class Appender:
    """Stores batches, one at a time, within a transaction that the caller commits."""

    def __init__(self) -> None:
        self._conversations: dict[tuple[int, int], int] = {}
        self._recent = RecentMessages()

    @property
    def recent_messages(self) -> int:
        """How many chat messages the table of message ids does not have yet."""
        return len(self._recent)

    def forget(self) -> None:
        """Clear what is cached: the transaction that it is of may have been rolled back."""
        self._conversations.clear()
        self._recent.forget()

    def append(self, connection: DriverConnection, batch: Sequence[Posting]) -> Commit:
        """Store a batch as ``ActivityLog.append`` does."""
        previous, indexed = connection.execute("SELECT head, messages FROM log CROSS JOIN log_index").fetchone()
        self._recent.follow(connection, previous, indexed)
        if not batch:
            _touch(connection)
        try:
            results = self._at_once(connection, batch, previous)
            head = previous + len(batch)
        except _Refused:
            # A savepoint would work, but makes every batch at least a tenth slower: SQLite keeps a copy of each page
            # for it.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            self._conversations.clear()
            results, head = self._slowly(connection, batch, previous)
        connection.execute("UPDATE log SET head = ?", (head,))
        return Commit(previous, head, results)

    def _at_once(self, connection: DriverConnection, batch: Sequence[Posting], previous: int) -> list[Result]:
        """Store the batch at once: the usual case, without repeats, and with all references stored before."""
        if self._recent.has_repeat(batch):
            raise _Refused
        about = [self._message_about(connection, posting) if posting.type in ABOUT else None for posting in batch]
        try:
            stored = self._store(connection, previous, batch, about)
        except CONFLICTS as error:
            raise _Refused from error
        if not stored:
            raise _Refused
        return all_new(batch, previous)

    def _slowly(
        self, connection: DriverConnection, batch: Sequence[Posting], previous: int
    ) -> tuple[list[Result], int]:
        decided = decide(batch, self._look_up(connection, batch))
        kept = [batch[position] for position in decided.kept]
        if not self._store(connection, previous, kept, decided.about_after(previous)):
            raise StorageConflict("A new message has the author and the message id of a stored one.")
        return decided.results_after(previous), previous + len(kept)

    def _store(
        self, connection: DriverConnection, previous: int, batch: Sequence[Posting], about: Sequence[int | None]
    ) -> bool:
        """Store new activities; False if a message is stored already, and then only a part of the batch is stored."""
        known = self._conversations
        for first in _powers_of_two(len(batch)):
            some = batch[first.start : first.stop]
            binds: list[Value] = []
            for number, posting, message_id in zip(first, some, about[first.start : first.stop], strict=True):
                conversation = known.get((posting.sender, posting.receiver)) or self._conversation(connection, posting)
                binds += (previous + number + 1, conversation, message_id)
                binds += posting
            connection.execute(_insert(len(some)), binds)
            if connection.changes() < len(some):
                return False
        if any(about):  # most batches have only messages
            marks = [
                (self._conversation(connection, posting), posting.sender, message_id)
                for posting, message_id in zip(batch, about, strict=True)
                if posting.type == _READ
            ]
            if marks:
                connection.executemany(_MARK_READ, marks)
        self._recent.add(previous, batch)
        return True

    def _conversation(self, connection: DriverConnection, posting: Posting) -> int:
        sides = (posting.sender, posting.receiver)
        number = self._conversations.get(sides)
        if number is None:
            pair = (min(sides), max(sides))
            connection.execute("INSERT INTO conversation (low, high) VALUES (?, ?) ON CONFLICT DO NOTHING", pair)
            [number] = connection.execute("SELECT id FROM conversation WHERE low = ? AND high = ?", pair).fetchone()
            if len(self._conversations) >= _CONVERSATIONS_REMEMBERED:
                self._conversations.clear()
            self._conversations[sides] = number
        return int(number)

    def _look_up(self, connection: DriverConnection, batch: Sequence[Posting]) -> Known:
        """Read the stored repeats of these postings, and the messages that they refer to."""
        known = Known.nothing()
        for posting in batch:
            if posting.idempotency_key is not None:
                row = connection.execute(_BY_KEY, (posting.author, posting.idempotency_key)).fetchone()
                if row:
                    known.add_key(posting.author, posting.idempotency_key, Activity(*row[1:]), row[0])
            if posting.type == ActivityType.chat_message:
                row = self._message(connection, posting.author, posting.message_id, _WHOLE)
            elif posting.type in ABOUT:
                row = self._search(connection, posting, _WHOLE)
            else:
                row = None
            if row:
                known.add_message(row[0], Activity(*row[1:]))
        return known

    def _message_about(self, connection: DriverConnection, posting: Posting) -> int:
        row = self._search(connection, posting, _PARTIES)
        if row is None:
            raise _Refused
        return int(row[1])

    def _search(self, connection: DriverConnection, posting: Posting, columns: str) -> Row | None:
        """Find the stored message that a posting refers to, by the rule of ``log_rules.message_about``."""
        for sender, receiver in both_ways(posting):
            if sender > 0:
                row = self._message(connection, sender, posting.message_id, columns)
                found = row if row and (row[_SENDER], row[_RECEIVER]) == (sender, receiver) else None
            else:
                found = connection.execute(
                    f"SELECT {columns} {_OF_COMPANY}", (sender, posting.message_id, receiver)
                ).fetchone()
            if found:
                return found
        return None

    def _message(self, connection: DriverConnection, author: int, message_id: str | None, columns: str) -> Row | None:
        """Return an author's stored chat message with this message id."""
        if message_id is None:
            return None
        id = self._recent.get((author, message_id))
        where, binds = ("?", (id,)) if id is not None else (STORED, (author, message_id))
        row: Row | None = connection.execute(f"SELECT {columns} FROM activity WHERE id = {where}", binds).fetchone()
        return row


def _touch(connection: DriverConnection) -> None:
    """Change a number that has no meaning, because SQLite does not write a page that a statement leaves unchanged."""
    [number] = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {(number + 1) % 2**31}")


@lru_cache(maxsize=16)
def _insert(rows: int) -> str:
    """Return SQL that inserts so many rows, but no chat message whose author and message id are in the table.

    The columns of a row: its id, its conversation, what it is about, then those of a posting, in their order. OR
    ROLLBACK: a constraint's refusal ends the transaction, so SQLite need not keep the pages as they were.
    """
    marks = ", ".join([f"({', '.join('?' * (3 + len(Posting._fields)))})"] * rows)
    return f"""
        INSERT OR ROLLBACK INTO activity (id, conversation, about, {", ".join(Posting._fields)})
        SELECT * FROM (VALUES {marks}) AS v
        WHERE column{_TYPE} <> 0 OR NOT EXISTS (
            SELECT 1 FROM message_key WHERE author = v.column{_AUTHOR} AND message_id = v.column{_MESSAGE_ID})"""


def _powers_of_two(count: int) -> Iterator[range]:
    """Return ``range(count)`` in parts, each with a power of two of numbers."""
    start, size = 0, _MAX_ROWS
    while start < count:
        while size > count - start:
            size //= 2
        yield range(start, start + size)
        start += size


_READ: Final = ActivityType.chat_read_indicator
_TYPE, _AUTHOR, _MESSAGE_ID = (Posting._fields.index(name) + 4 for name in ("type", "author", "message_id"))
"""Places in the rows that are inserted, from 1."""
_PARTIES: Final = "author, id, type, sender, receiver"
_WHOLE: Final = f"author, {COLUMNS}"
_SENDER, _RECEIVER = 3, 4
"""Places in either of them."""
_MARK_READ: Final = """
    INSERT INTO read_mark (conversation, party, about) VALUES (?, ?, ?)
    ON CONFLICT (conversation, party) DO UPDATE SET about = max(about, excluded.about)"""
_BY_KEY: Final = f"SELECT idempotency_hash, {COLUMNS} FROM activity WHERE author = ? AND idempotency_key = ?"
_OF_COMPANY: Final = """
    FROM activity WHERE sender = ?1 AND sender < 0 AND message_id = ?2 AND type = 0 AND receiver = ?3"""
