"""Appends to the log on PostgreSQL: one statement for a whole batch, in one short critical section.

The statement takes the lock on the ``log`` row, assigns ids, inserts, and commits. The next writer waits for that lock
until the commit is visible, so ids become visible in order. A batch with a repeat in it, or with an activity that
refers to another one in the batch, violates a constraint, is rolled back, and takes the slow path: what is already
stored of it is read, ``storage/log_rules.py`` decides it, and the new part is stored by the same one statement. So the
lock is never held over a round trip, and a node that freezes or loses its connection, at whatever moment, never blocks
other writers.

A commit whose outcome is unknown is resolved by a query. Every batch of a writer has a number, stored with it. After
the connection was lost the writer claims a higher number. If the batch is stored, the claim fails and the batch's ids
are read. If the claim succeeds, the batch is not stored and never will be, because its number is now too low, even if
the server is still working on it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import structlog

from protocol.activity import ActivityType
from storage.contract import Commit, Posting
from storage.errors import OutcomeUnknown, StorageConflict, StorageError, StorageUnavailable
from storage.log_rules import ABOUT, all_new, decide
from storage.postgresql.connections import Connection, is_open
from storage.postgresql.database import PostgresDatabase
from storage.postgresql.durable import FOR_TRANSACTION
from storage.postgresql.errors import committing, translated
from storage.postgresql.slow_path import key_bytes, look_up

APPEND_SECONDS = 5.0
"""Longest wait for a batch; other nodes' batches go before it. After that the writer looks whether it is stored."""
RESOLVE_SECONDS = 5.0
"""How long a batch of unknown outcome is looked for before its senders are told that it is unknown."""
SLOW_PATH_SECONDS = 1.0
"""After a batch that took the slow path the next ones take it at once: under many repeats nothing is tried in vain."""
_CONVERSATIONS_REMEMBERED = 100_000
_logger = structlog.get_logger("postgres")


class _Batch(NamedTuple):
    """Postings with all that their rows need: conversation numbers, and (where known) what each refers to."""

    postings: Sequence[Posting]
    conversations: Sequence[int]
    about: Sequence[int | None]

    def only(self, positions: Sequence[int], about: Sequence[int | None]) -> _Batch:
        """Return the postings at these positions, and what they refer to: an id, or -n for the n-th of them."""
        return _Batch([self.postings[at] for at in positions], [self.conversations[at] for at in positions], about)


class _NewEpoch(Exception):
    """The log's epoch has changed: cached values about the log may be stale."""


class Appender:
    """The only writer of this process. It stores one batch at a time."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._writer = secrets.token_hex(8)
        self._number = 0
        self._epoch: str | None = None
        self._conversations: dict[tuple[int, int], int] = {}
        self._connection: Connection | None = None
        self._in_doubt: int | None = None
        self._slow_until = 0.0

    async def append(self, postings: Sequence[Posting]) -> Commit:
        """Store a batch as ``ActivityLog.append`` does.

        Raises OutcomeUnknown if its outcome stays unknown for RESOLVE_SECONDS.
        """
        if self._in_doubt is not None:
            await self._resolve(self._in_doubt, until=0)
        while True:
            try:
                return await self._append(postings)
            except _NewEpoch:
                self._forget()

    async def close(self) -> None:
        """Release the connection."""
        await self._release()

    def _forget(self) -> None:
        self._epoch = None
        self._conversations.clear()

    async def _append(self, postings: Sequence[Posting]) -> Commit:
        connection = await self._connected()
        conversations = await self._numbers(connection, postings)
        batch = _Batch(postings, conversations, [None] * len(postings))
        try:
            # An empty batch must be a commit too; the slow path would skip it.
            if not postings or time.monotonic() >= self._slow_until:
                try:
                    return await self._at_once(connection, batch)
                except StorageConflict:
                    self._slow_until = time.monotonic() + SLOW_PATH_SECONDS
            return await self._slowly(connection, batch)
        except (StorageError, asyncio.CancelledError) as error:
            await self._release(error)
            raise

    # --- the two ways of storing a batch ------------------------------------------------------------------------

    async def _at_once(self, connection: Connection, batch: _Batch) -> Commit:
        """Store the batch in one statement: the usual case, in which everything is new."""
        previous = await self._store(connection, batch)
        return Commit(previous, previous + len(batch.postings), all_new(batch.postings, previous))

    async def _slowly(self, connection: Connection, batch: _Batch) -> Commit:
        """Read what is stored, decide each posting, store the new ones; again if another node stored one meanwhile."""
        refused: list[int] | None = None
        while True:
            with translated():
                head = await connection.fetchval(_HEAD, timeout=APPEND_SECONDS)
                decided = decide(batch.postings, await look_up(connection, batch.postings, APPEND_SECONDS))
            if not decided.kept:
                return Commit(head, head, decided.results_after(head))
            try:
                previous = await self._store(connection, batch.only(decided.kept, decided.about))
            except StorageConflict:
                if decided.kept == refused:
                    raise  # this reading already included what refused it, so it is no repeat
                refused = decided.kept
            else:
                return Commit(previous, previous + len(decided.kept), decided.results_after(previous))

    async def _store(self, connection: Connection, batch: _Batch) -> int:
        """Run the statement, which is its own transaction; returns the head before it."""
        statement = _STORE_ABOUT if any(posting.type in ABOUT for posting in batch.postings) else _STORE
        self._number += 1
        arguments = (self._writer, self._number, len(batch.postings), self._epoch, *_columns(batch))
        try:
            with committing():
                previous = await connection.fetchval(statement, *arguments, timeout=APPEND_SECONDS)
        except OutcomeUnknown as error:
            return await self._resolved(error)
        if previous is None:
            raise _NewEpoch
        return int(previous)

    # --- unknown outcomes ---------------------------------------------------------------------------------------

    async def _resolved(self, error: OutcomeUnknown) -> int:
        """Return the head before the batch that was just sent. Raises StorageUnavailable if it is not stored."""
        await self._release(error)
        self._in_doubt = self._number
        _logger.warning("commit outcome unknown", reason=str(error))
        previous = await self._resolve(self._number, until=time.monotonic() + RESOLVE_SECONDS)
        if previous is None:
            raise StorageUnavailable("the connection was lost before the commit: nothing was stored") from error
        return previous

    async def _resolve(self, number: int, until: float) -> int | None:
        """Return the head before batch ``number`` if it was committed; None if it was not and never will be."""
        wait = 0.05
        while True:
            try:
                return await self._look(number)
            except StorageUnavailable as error:
                if time.monotonic() + wait > until:
                    raise OutcomeUnknown(
                        "the database is not there to say whether the last batch was stored; send it again unchanged"
                    ) from error
            await asyncio.sleep(wait)
            wait = min(2 * wait, 0.5)

    async def _look(self, number: int) -> int | None:
        async with self._database.connection() as connection:
            with translated():
                fenced = await connection.fetchval(_FENCE, self._writer, number, number + 1, timeout=APPEND_SECONDS)
                previous: int | None = None
                if fenced is None:
                    previous = await connection.fetchval(_OUTCOME, self._writer, number, timeout=APPEND_SECONDS)
        self._in_doubt = None
        self._number = number + 1
        _logger.info("commit outcome found", stored=previous is not None)
        return previous

    # --- what a batch needs -------------------------------------------------------------------------------------

    async def _connected(self) -> Connection:
        """Return this writer's connection, with the log's epoch read; a new one if it was lost."""
        if self._connection is not None and not is_open(self._connection):
            await self._release()
        if self._connection is None:
            self._connection = await self._database.acquire()
        if self._epoch is None:
            try:
                with translated():
                    self._epoch = await self._connection.fetchval("SELECT epoch FROM log", timeout=APPEND_SECONDS)
            except StorageError as error:
                await self._release(error)
                raise
        return self._connection

    async def _release(self, error: BaseException | None = None) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._database.release(connection, error)

    async def _numbers(self, connection: Connection, postings: Sequence[Posting]) -> list[int]:
        """Return each posting's conversation number; new conversations are inserted first, outside the log's lock."""
        sides = [(each.sender, each.receiver) for each in postings]
        pairs = [(one, other) if one <= other else (other, one) for one, other in sides]
        while missing := [pair for pair in dict.fromkeys(pairs) if pair not in self._conversations]:
            if len(self._conversations) + len(missing) > _CONVERSATIONS_REMEMBERED:
                self._conversations.clear()
                missing = list(dict.fromkeys(pairs))
            lows, highs = [low for low, _ in missing], [high for _, high in missing]
            try:
                with translated():
                    rows = await connection.fetch(_CONVERSE, lows, highs, timeout=APPEND_SECONDS)
            except StorageError as error:
                await self._release(error)
                raise
            # The statement does not see a conversation that another node inserts at this moment: then it runs again.
            self._conversations.update({(low, high): number for number, low, high in rows})
        return [self._conversations[pair] for pair in pairs]


def _columns(batch: _Batch) -> list[list[Any]]:
    columns = zip(*batch.postings, strict=True) if batch.postings else [()] * len(Posting._fields)
    types, senders, receivers, authors, call_times, messages, message_ids, times, keys, hashes = columns
    return [
        list(types),
        list(senders),
        list(receivers),
        list(batch.conversations),
        list(authors),
        list(call_times),
        [None if message is None else message.encode() for message in messages],
        list(message_ids),
        list(batch.about),
        list(times),
        [key_bytes(key) for key in keys],
        list(hashes),
    ]


_HEAD = "SELECT head FROM log"

# "A message between the same two": the other side's own first, then one's own, as on SQLite.
_FIND = """coalesce(given.about, {}, {}, {}, {})""".format(
    *(
        f"""(SELECT a.id FROM activity AS a WHERE a.type = 0 AND a.message_id = given.message_id
             AND a.sender = given.{sender} AND a.receiver = given.{receiver} AND {written_by})"""
        for sender, receiver in (("receiver", "sender"), ("sender", "receiver"))
        for written_by in (f"a.author = given.{sender}", "a.sender < 0 LIMIT 1")
    )
)


def _statement(about: str, marks: str) -> str:
    return f"""
    WITH given AS (
        SELECT * FROM unnest(
            $5::smallint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::integer[], $11::bytea[],
            $12::text[], $13::bigint[], $14::bigint[], $15::bytea[], $16::bytea[]
        ) WITH ORDINALITY AS given (type, sender, receiver, conversation, author, call_time, message, message_id,
            about, created_at_ms, idempotency_key, idempotency_hash, number)
    ), taken AS (
        UPDATE log SET head = head + $3::bigint WHERE epoch = $4 AND {FOR_TRANSACTION} IS NOT NULL
        RETURNING head - $3 AS previous
    ), mine AS (
        INSERT INTO log_writer (writer, batch, previous_head, used_at_ms)
        SELECT $1, $2::bigint, previous, (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM taken
        ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch, previous_head = excluded.previous_head,
            used_at_ms = excluded.used_at_ms WHERE log_writer.batch < excluded.batch
        RETURNING previous_head AS previous
    ), added AS (
        INSERT INTO activity (id, type, sender, receiver, conversation, author, call_time, message, message_id, about,
                              created_at_ms, idempotency_key, idempotency_hash)
        SELECT mine.previous + given.number, given.type, given.sender, given.receiver, given.conversation, given.author,
            given.call_time, given.message, given.message_id, {about}, given.created_at_ms, given.idempotency_key,
            given.idempotency_hash
        FROM mine CROSS JOIN given
        RETURNING type, sender, conversation, about
    ){marks}
    SELECT previous FROM mine"""


_MARKS = f"""
    , marked AS (
        INSERT INTO read_mark (conversation, party, about)
        SELECT conversation, sender, max(about) FROM added WHERE type = {ActivityType.chat_read_indicator.value}
        GROUP BY conversation, sender
        ON CONFLICT (conversation, party) DO UPDATE SET about = greatest(read_mark.about, excluded.about)
    )"""
_STORE = _statement("given.about", "")
_STORE_ABOUT = _statement(
    f"""CASE WHEN given.type NOT IN ({", ".join(str(kind.value) for kind in sorted(ABOUT))}) THEN NULL
        WHEN given.about < 0 THEN mine.previous - given.about ELSE {_FIND} END""",
    _MARKS,
)

_CONVERSE = f"""
    WITH wanted AS (SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS wanted (low, high)),
    made AS (
        INSERT INTO conversation (low, high)
        SELECT low, high FROM wanted, (SELECT {FOR_TRANSACTION} AS mode) AS durable WHERE durable.mode IS NOT NULL
        ON CONFLICT DO NOTHING
        RETURNING id, low, high
    )
    SELECT id, low, high FROM made
    UNION ALL SELECT id, low, high FROM wanted JOIN conversation USING (low, high)"""

_FENCE = f"""
    INSERT INTO log_writer (writer, batch, previous_head, used_at_ms)
    SELECT $1, $3::bigint, 0, 0 WHERE {FOR_TRANSACTION} IS NOT NULL
    ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch WHERE log_writer.batch < $2::bigint RETURNING batch"""
_OUTCOME = "SELECT previous_head FROM log_writer WHERE writer = $1 AND batch = $2"
