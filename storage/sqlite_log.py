"""The activity log on SQLite: a whole batch in one trip to the writer's thread, a whole page in one row.

sqlite3 gives the interpreter lock away around each step of a statement. A page that comes as one JSON text is one step,
not five hundred, and msgspec turns it into rows faster than the driver would.
"""

from __future__ import annotations

import heapq
import secrets
import sqlite3
from collections.abc import Iterable, Sequence
from functools import partial

import msgspec

from protocol.activity import Activity, ActivityType
from storage.contract import Commit, Conversation, Posting, Range, Refusal, Result, Stored
from storage.log_reads import MAX_BRANCHES, by_conversation, by_party, by_party_binds
from storage.sqlite import SqliteDatabase

_COLUMNS = "id, type, sender, receiver, call_time, message, message_id, created_at_ms"
_INSERT = """
    INSERT INTO activity (id, type, sender, receiver, conversation, author, call_time, message, message_id, about,
                          created_at_ms, idempotency_key, idempotency_hash)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_PAGE = "SELECT '[' || ifnull(group_concat(json_array({columns})), '') || ']' FROM ({select})"
_rows = msgspec.json.Decoder(list[Activity])
_CONVERSATIONS_REMEMBERED = 100_000
_MAX_UNREAD = 1_000

Key = tuple[int, int]
Row = tuple[object, ...]


class SqliteActivityLog:
    """``storage.contract.ActivityLog`` on one SQLite file."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database
        self._conversations: dict[Key, int] = {}
        self._emptied_until = 0

    async def state(self) -> tuple[str, int]:
        [(epoch, head)] = await self._database.fetch("SELECT epoch, head FROM log")
        return epoch, head

    async def append(self, batch: Sequence[Posting]) -> Commit:
        try:
            return await self._database.write(partial(self._append, batch=batch))
        except BaseException:
            # Numbers given to new conversations may have been rolled back.
            self._conversations.clear()
            raise

    async def read(self, ranges: Sequence[Range]) -> list[list[Activity]]:
        return await self._database.read(lambda c: [_read(c, wanted) for wanted in ranges])

    async def tail(self, after: int, limit: int) -> list[Activity]:
        sql = f"SELECT {_COLUMNS} FROM activity WHERE id > ? ORDER BY id LIMIT ?"
        return await self._database.read(lambda c: _page(c, sql, (after, limit)))

    async def conversations(self, parties: Sequence[int], limit: int) -> list[Conversation]:
        return await self._database.read(lambda c: _conversations(c, parties, limit))

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
        # What a person wrote for a company is the company's: `sender`, not `author`.
        sql = f"UPDATE activity SET {_EMPTY} WHERE sender = ? AND (message IS NOT NULL OR message_id IS NOT NULL)"
        return await self._database.write(lambda c: c.execute(sql, (party,)).rowcount)

    async def erase_before(self, created_before_ms: int, limit: int) -> int:
        # The search is done by a reader, from where the last one ended: the writer is not held up by it.
        search = partial(_due, before=created_before_ms, after=self._emptied_until, limit=limit)
        due = await self._database.read(search)
        if not due:
            return 0
        sql = f"UPDATE activity SET {_EMPTY} WHERE id = ?"
        await self._database.write(lambda c: c.executemany(sql, [(number,) for number in due]))
        self._emptied_until = due[-1]
        return len(due)

    async def renew_epoch(self) -> str:
        return await self._database.write(_renew_epoch)

    async def close(self) -> None:
        """Nothing is held: the connections are the database's."""

    def _append(self, connection: sqlite3.Connection, batch: Sequence[Posting]) -> Commit:
        [previous] = connection.execute("SELECT head FROM log").fetchone()
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
_EMPTY = "message = NULL, message_id = NULL, idempotency_key = NULL, idempotency_hash = NULL"
_MARK_READ = """
    INSERT INTO read_mark (conversation, party, about) VALUES (?, ?, ?)
    ON CONFLICT (conversation, party) DO UPDATE SET about = max(about, excluded.about)"""


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
        sql = f"SELECT {_COLUMNS}, idempotency_hash FROM activity WHERE author = ? AND idempotency_key = ?"
        found = connection.execute(sql, (posting.author, posting.idempotency_key)).fetchone()
        if found:
            return Stored(Activity(*found[:-1]), True) if found[-1] == posting.idempotency_hash else Refusal.KEY_REUSED
    if posting.type == ActivityType.chat_message:
        sql = f"SELECT {_COLUMNS} FROM activity WHERE author = ? AND message_id = ? AND type = 0"
        found = connection.execute(sql, (posting.author, posting.message_id)).fetchone()
        if found:
            first = Activity(*found)
            same = (first.sender, first.receiver) == (posting.sender, posting.receiver)
            return Stored(first, True) if same else Refusal.MESSAGE_ID_REUSED
    return None


def _read(connection: sqlite3.Connection, wanted: Range) -> list[Activity]:
    if wanted.with_party is None:
        return _read_parties(connection, wanted, wanted.parties)
    if wanted.with_party in wanted.parties:
        return _read_parties(connection, wanted, (wanted.with_party,))
    return _read_conversations(connection, wanted, wanted.with_party)


def _read_parties(connection: sqlite3.Connection, wanted: Range, parties: tuple[int, ...]) -> list[Activity]:
    chunks = [parties[i : i + MAX_BRANCHES] for i in range(0, len(parties), MAX_BRANCHES)]
    only = wanted._replace(parties=parties)
    pages = [
        _page(
            connection,
            by_party(_COLUMNS, len(chunk), len(parties), wanted.newest_first),
            by_party_binds(only, chunk),
        )
        for chunk in chunks
    ]
    return _merged(pages, wanted)


def _read_conversations(connection: sqlite3.Connection, wanted: Range, other: int) -> list[Activity]:
    pairs = [(min(mine, other), max(mine, other)) for mine in wanted.parties]
    found = (
        connection.execute("SELECT id FROM conversation WHERE low = ? AND high = ?", pair).fetchone() for pair in pairs
    )
    numbers = [row[0] for row in found if row]
    pages = []
    for i in range(0, len(numbers), MAX_BRANCHES):
        chunk = numbers[i : i + MAX_BRANCHES]
        binds = [value for number in chunk for value in (number, wanted.after, wanted.before)]
        pages.append(
            _page(connection, by_conversation(_COLUMNS, len(chunk), wanted.newest_first), [*binds, wanted.limit])
        )
    return _merged(pages, wanted)


def _page(connection: sqlite3.Connection, select: str, binds: Iterable[int]) -> list[Activity]:
    [text] = connection.execute(_PAGE.format(columns=_COLUMNS, select=select), tuple(binds)).fetchone()
    return _rows.decode(text)


def _merged(pages: list[list[Activity]], wanted: Range) -> list[Activity]:
    if len(pages) == 1:
        return pages[0]
    merged = heapq.merge(*pages, key=lambda activity: activity.id, reverse=wanted.newest_first)
    return list(merged)[: wanted.limit]


def _conversations(connection: sqlite3.Connection, parties: Sequence[int], limit: int) -> list[Conversation]:
    found: list[tuple[int, int, int, int]] = []
    for mine in parties:
        sql = """
            SELECT (SELECT max(a.id) FROM activity a WHERE a.conversation = c.id), c.id, c.other
            FROM (SELECT id, high AS other FROM conversation WHERE low = ?1
                  UNION SELECT id, low FROM conversation WHERE high = ?1) c"""
        rows = connection.execute(sql, (mine,)).fetchall()
        found += [(last, number, mine, other) for last, number, other in rows if last is not None]
    newest = heapq.nlargest(limit, found)
    return [_conversation_row(connection, *row) for row in newest]


def _conversation_row(connection: sqlite3.Connection, last: int, number: int, mine: int, other: int) -> Conversation:
    row = connection.execute(f"SELECT {_COLUMNS} FROM activity WHERE id = ?", (last,)).fetchone()
    sql = """
        SELECT count(*) FROM (
            SELECT 1 FROM activity WHERE conversation = ?1 AND type = 0 AND sender <> ?2
            AND id > ifnull((SELECT about FROM read_mark WHERE conversation = ?1 AND party = ?2), 0) LIMIT ?3)"""
    [unread] = connection.execute(sql, (number, mine, _MAX_UNREAD)).fetchone()
    return Conversation(mine, other, Activity(*row), unread)


def _clear(connection: sqlite3.Connection, party: int) -> str:
    for column in ("sender", "receiver"):
        connection.execute(f"DELETE FROM activity WHERE {column} = ?", (party,))
    mine = "SELECT id FROM conversation WHERE low = ?1 UNION SELECT id FROM conversation WHERE high = ?1"
    connection.execute(f"DELETE FROM read_mark WHERE conversation IN ({mine})", (party,))
    connection.execute("DELETE FROM conversation WHERE low = ?1 OR high = ?1", (party,))
    return _renew_epoch(connection)


def _due(connection: sqlite3.Connection, before: int, after: int, limit: int) -> list[int]:
    """The ids beyond ``after`` of at most ``limit`` activities with a body that are older than ``before``."""
    sql = """
        SELECT id FROM activity WHERE id > ? AND id < ? AND created_at_ms < ? AND message IS NOT NULL
        ORDER BY id LIMIT ?"""
    first = _first_since(connection, before)
    return [number for (number,) in connection.execute(sql, (after, first, before, limit))]


def _first_since(connection: sqlite3.Connection, created_ms: int) -> int:
    """The id of the first activity that is not older. Ids and times rise together but for a clock that was set back."""
    [head] = connection.execute("SELECT head FROM log").fetchone()
    low, high = 0, int(head) + 1
    sql = "SELECT id, created_at_ms FROM activity WHERE id > ? ORDER BY id LIMIT 1"
    while high - low > 1:
        middle = (low + high) // 2
        found = connection.execute(sql, (middle - 1,)).fetchone()
        if found is None or found[0] >= high or found[1] >= created_ms:
            high = middle
        else:
            low = int(found[0])
    return high


def _renew_epoch(connection: sqlite3.Connection) -> str:
    epoch = secrets.token_hex(8)
    connection.execute("UPDATE log SET epoch = ?", (epoch,))
    return epoch
