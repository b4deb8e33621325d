"""Appends to the log on SQLite: a whole batch in one transaction of the writer's thread.

A batch of new activities is stored by one statement. A batch with a repeat in it, or with a reaction to a message that
is not stored yet, is rolled back and takes the slow path: what is already stored of it is read,
``storage/log_rules.py`` decides it, and the new part is stored by the same statement.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from protocol.activity import Activity, ActivityType
from storage.contract import Commit, Posting, Result
from storage.log_rules import ABOUT, Known, all_new, both_ways, decide
from storage.sqlite.reads import COLUMNS

_CONVERSATIONS_REMEMBERED: Final = 100_000


class _Refused(Exception):
    """The batch has a repeat, or an activity that refers to another one in it or to none."""


class Appender:
    """Stores batches, one at a time, within a transaction that the caller commits."""

    def __init__(self) -> None:
        self._conversations: dict[tuple[int, int], int] = {}

    def forget(self) -> None:
        """Clear the cached conversation numbers: the transaction that assigned them may have been rolled back."""
        self._conversations.clear()

    def append(self, connection: sqlite3.Connection, batch: Sequence[Posting]) -> Commit:
        """Store a batch as ``ActivityLog.append`` does."""
        [previous] = connection.execute("SELECT head FROM log").fetchone()
        if not batch:
            _touch(connection)
        try:
            results = self._at_once(connection, batch, previous)
            head = previous + len(batch)
        except _Refused:
            # A savepoint would work, but makes every batch at least a tenth slower: SQLite keeps a copy of each page
            # for it.
            connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            self.forget()
            results, head = self._slowly(connection, batch, previous)
        connection.execute("UPDATE log SET head = ?", (head,))
        return Commit(previous, head, results)

    def _at_once(self, connection: sqlite3.Connection, batch: Sequence[Posting], previous: int) -> list[Result]:
        """Store the batch in one statement: the usual case, without repeats, and with all references stored before."""
        about = [_message_about(connection, posting) if posting.type in ABOUT else None for posting in batch]
        try:
            self._store(connection, previous, batch, about)
        except sqlite3.IntegrityError as error:
            raise _Refused from error
        return all_new(batch, previous)

    def _slowly(
        self, connection: sqlite3.Connection, batch: Sequence[Posting], previous: int
    ) -> tuple[list[Result], int]:
        decided = decide(batch, _look_up(connection, batch))
        kept = [batch[position] for position in decided.kept]
        self._store(connection, previous, kept, decided.about_after(previous))
        return decided.results_after(previous), previous + len(kept)

    def _store(
        self, connection: sqlite3.Connection, previous: int, batch: Sequence[Posting], about: Sequence[int | None]
    ) -> None:
        rows, marks = [], []
        for number, (posting, message_id) in enumerate(zip(batch, about, strict=True), previous + 1):
            conversation = self._conversation(connection, posting)
            rows.append(_row(number, posting, conversation, message_id))
            if posting.type == ActivityType.chat_read_indicator:
                marks.append((conversation, posting.sender, message_id))
        connection.executemany(_INSERT, rows)
        if marks:
            connection.executemany(_MARK_READ, marks)

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


def _row(id: int, posting: Posting, conversation: int, about: int | None) -> tuple[object, ...]:
    kind, sender, receiver, author, call_time, message, message_id, created_at_ms, key, digest = posting
    return (
        id, kind, sender, receiver, conversation, author, call_time, message, message_id, about,
        created_at_ms, key, digest,
    )  # fmt: skip


def _look_up(connection: sqlite3.Connection, batch: Sequence[Posting]) -> Known:
    """Read the stored repeats of these postings, and the messages that they refer to."""
    known = Known.nothing()
    for posting in batch:
        if posting.idempotency_key is not None:
            row = connection.execute(_BY_KEY, (posting.author, posting.idempotency_key)).fetchone()
            if row:
                known.add_key(posting.author, posting.idempotency_key, Activity(*row[1:]), row[0])
        if posting.type == ActivityType.chat_message:
            row = connection.execute(_BY_MESSAGE, (posting.author, posting.message_id)).fetchone()
        elif posting.type in ABOUT:
            row = _search(connection, posting, f"author, {COLUMNS}")
        else:
            row = None
        if row:
            known.add_message(row[0], Activity(*row[1:]))
    return known


def _message_about(connection: sqlite3.Connection, posting: Posting) -> int:
    row = _search(connection, posting, "id")
    if row is None:
        raise _Refused
    return int(row[0])


def _search(connection: sqlite3.Connection, posting: Posting, columns: str) -> Sequence[int] | None:
    """Find the stored message that a posting refers to, by the rule of ``log_rules.message_about``."""
    for sender, receiver in both_ways(posting):
        written_by = "author = ?1" if sender > 0 else "sender = ?1 AND sender < 0"
        sql = f"""SELECT {columns} FROM activity
                  WHERE {written_by} AND message_id = ?2 AND type = 0 AND sender = ?1 AND receiver = ?3"""
        row: Sequence[int] | None = connection.execute(sql, (sender, posting.message_id, receiver)).fetchone()
        if row:
            return row
    return None


def _touch(connection: sqlite3.Connection) -> None:
    """Change a number that has no meaning, because SQLite does not write a page that a statement leaves unchanged."""
    [number] = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {(number + 1) % 2**31}")


_INSERT: Final = """
    INSERT INTO activity (id, type, sender, receiver, conversation, author, call_time, message, message_id, about,
                          created_at_ms, idempotency_key, idempotency_hash)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_MARK_READ: Final = """
    INSERT INTO read_mark (conversation, party, about) VALUES (?, ?, ?)
    ON CONFLICT (conversation, party) DO UPDATE SET about = max(about, excluded.about)"""
_BY_KEY: Final = f"SELECT idempotency_hash, {COLUMNS} FROM activity WHERE author = ? AND idempotency_key = ?"
_BY_MESSAGE: Final = f"SELECT author, {COLUMNS} FROM activity WHERE author = ? AND message_id = ? AND type = 0"
