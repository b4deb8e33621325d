"""SQLite's index follows the log in steps: whatever a step has reached, reads are those of a plain list."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.activity import ActivityType
from storage.contract import PAGE_BYTES, Posting, Range, Stored
from storage.errors import StorageError
from storage.migrate import migrate, split
from storage.sqlite import index as sqlite_index
from storage.sqlite.connection import DriverConnection
from storage.sqlite.database import SqliteDatabase
from storage.sqlite.log import SqliteActivityLog
from tests.harness.sqlite import migrated_sqlite

PARTIES = (1, 2, 3, -9)
AUTHOR = 1
parties = st.sampled_from(PARTIES)
batches = st.lists(st.tuples(parties, parties), min_size=1, max_size=5)
ids = st.integers(0, 40)
ranges = st.builds(
    Range,
    st.lists(parties, min_size=1, max_size=4, unique=True).map(tuple),
    after=ids,
    before=ids,
    limit=st.integers(1, 12),
    with_party=st.none() | parties,
    newest_first=st.booleans(),
    max_bytes=st.just(PAGE_BYTES),
)
steps = st.lists(
    batches.map(lambda pairs: ("append", pairs))
    | st.tuples(st.just("read"), ranges)
    | st.tuples(st.sampled_from(("erase", "clear", "conversations")), parties)
    | st.tuples(st.just("reopen"), st.none()),
    max_size=20,
)


def message(sender: int, receiver: int, author: int = AUTHOR, message_id: str = "") -> Posting:
    kind = ActivityType.chat_message
    return Posting(
        kind, sender, receiver, author, None, "ciphertext", message_id or str(uuid.uuid4()), 1_720_000_000_000
    )


class PlainLog:
    """What the log should answer: a list."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int]] = []
        self.emptied: set[int] = set()
        self.head = 0

    def append(self, pairs: Sequence[tuple[int, int]]) -> None:
        for sender, receiver in pairs:
            self.head += 1
            self.rows.append((self.head, sender, receiver))

    def erase(self, party: int) -> None:
        # What the party has sent, and what it wrote itself of what it received.
        self.emptied |= {
            id for id, sender, receiver in self.rows if sender == party or (receiver == party and party == AUTHOR)
        }

    def clear(self, party: int) -> None:
        self.rows = [row for row in self.rows if party not in row[1:]]

    def read(self, wanted: Range) -> list[int]:
        found = [
            id
            for id, sender, receiver in self.rows
            if wanted.after < id < wanted.before and self._asked(wanted, sender, receiver)
        ]
        return (found[::-1] if wanted.newest_first else found)[: wanted.limit]

    def conversations(self, party: int) -> list[tuple[int, int]]:
        newest = {
            receiver if sender == party else sender: id
            for id, sender, receiver in self.rows
            if party in (sender, receiver)
        }
        return sorted(((id, other) for other, id in newest.items()), reverse=True)

    @staticmethod
    def _asked(wanted: Range, sender: int, receiver: int) -> bool:
        mine, other = set(wanted.parties), wanted.with_party
        if other is None:
            return bool(mine & {sender, receiver})
        if other in mine:
            return other in (sender, receiver)
        return other in (sender, receiver) and bool(mine & {sender, receiver})


@pytest.mark.parametrize("index_every", [1, 4, 1_000])
@given(plan=steps)
@settings(max_examples=30)
def test_reads_are_those_of_a_plain_list(index_every: int, plan: list[tuple[str, object]]) -> None:
    asyncio.run(_follow(plan, index_every))


async def _follow(plan: list[tuple[str, object]], index_every: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = await migrated_sqlite(Path(folder) / "buzz.db")
        try:
            log, model = SqliteActivityLog(database, index_every, commits_a_step=1), PlainLog()
            for name, what in plan:
                if name == "reopen":
                    await log.close()
                    log = SqliteActivityLog(database, index_every, commits_a_step=1)
                else:
                    await _one(log, model, name, what)
            for wanted in (Range((party,)) for party in PARTIES):
                await _one(log, model, "read", wanted)
            await log.close()
        finally:
            await database.close()


async def _one(log: SqliteActivityLog, model: PlainLog, name: str, what: object) -> None:
    if name == "append":
        assert isinstance(what, list)
        await log.append([message(sender, receiver) for sender, receiver in what])
        model.append(what)
    elif name == "read":
        assert isinstance(what, Range)
        [page] = await log.read([what])
        assert [activity.id for activity in page.rows] == model.read(what)
    elif name == "conversations":
        assert isinstance(what, int)
        found = await log.conversations([what], 10)
        assert [(row.last.id, row.party) for row in found.rows] == model.conversations(what)
    elif name == "clear":
        assert isinstance(what, int)
        await log.clear(what)
        model.clear(what)
    else:
        assert isinstance(what, int)
        await log.erase(what)
        model.erase(what)
        [page] = await log.read([Range((what,))])
        assert all((activity.message is None) == (activity.id in model.emptied) for activity in page.rows)


@pytest.fixture
async def database(tmp_path: Path) -> object:
    opened = await migrated_sqlite(tmp_path / "buzz.db")
    yield opened
    await opened.close()


async def test_a_step_takes_in_what_came_since_the_last(database: SqliteDatabase) -> None:
    log = SqliteActivityLog(database, index_every=4)
    seen = []
    for _ in range(6):
        await log.append([message(1, 2)])
        await log.close()
        seen.append(await database.read(sqlite_index.indexed_until))
    assert seen == [0, 0, 0, 4, 4, 4]


async def test_a_commit_between_steps_writes_no_index_entry(database: SqliteDatabase) -> None:
    """What the trailing index is for: a commit's pages do not grow with the number of people in it."""
    log = SqliteActivityLog(database)
    await log.append([message(number, number + 1) for number in range(1, 100)])
    assert await database.fetch("SELECT count(*) FROM party_activity") == [(0,)]
    assert [activity.id for activity in (await log.read([Range((5,))]))[0].rows] == [4, 5]


async def test_a_step_between_the_question_and_the_reader_shows_nothing_twice(database: SqliteDatabase) -> None:
    log = SqliteActivityLog(database, index_every=3, commits_a_step=1)
    await log.append([message(1, 2), message(2, 1)])
    # The read has asked what is not indexed; before a reader looks, a step takes all of it in.
    readers = [await database._readers.get() for _ in range(3)]
    reading = asyncio.create_task(log.read([Range((1,))]))
    await asyncio.sleep(0)
    await log.append([message(1, 3)])
    await log.close()
    assert await database.write(sqlite_index.indexed_until) == 3
    for reader in readers:
        database._readers.put_nowait(reader)
    [page] = await reading
    assert [activity.id for activity in page.rows] == [1, 2, 3]


async def test_after_a_commit_whose_fate_is_not_known_the_tail_is_read_again(database: SqliteDatabase) -> None:
    log = SqliteActivityLog(database)
    await log.append([message(1, 2)])

    def broken(connection: DriverConnection, batch: Sequence[Posting]) -> None:
        connection.execute("UPDATE log SET head = head + 0")
        raise apsw.IOError("disk I/O error")

    await log.append([message(1, 2)])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(log._appender, "append", broken)
        with pytest.raises(StorageError):
            await log.append([message(1, 2)])
    await log.append([message(2, 1)])
    assert [activity.id for activity in (await log.read([Range((1,))]))[0].rows] == [1, 2, 3]


async def test_a_file_of_the_release_before_is_indexed_by_the_step(tmp_path: Path) -> None:
    path = tmp_path / "buzz.db"
    old = await SqliteDatabase.open(path)
    await migrate(old)
    log = SqliteActivityLog(old)
    first = message(1, 2)
    await log.append([first, message(2, 2), message(-9, 1)])
    folder = Path(sqlite_index.__file__).parents[1] / "sql"
    await old.write(_undo)
    for step in ("0008_index_behind_the_log.sqlite.sql", "0028_message_key.sqlite.sql"):
        for statement in split((folder / step).read_text()):
            await old.write(lambda connection, statement=statement: connection.execute(statement))
    again = SqliteActivityLog(old)
    assert await old.fetch("SELECT party, activity FROM party_activity") == [(-9, 3), (1, 1), (1, 3), (2, 1), (2, 2)]
    assert [activity.id for activity in (await again.read([Range((2,))]))[0].rows] == [1, 2]
    assert await old.read(sqlite_index.indexed_until) == 3
    [repeat] = (await again.append([first])).results
    assert isinstance(repeat, Stored)
    assert (repeat.activity.id, repeat.duplicate) == (1, True)
    await old.close()


def _undo(connection: DriverConnection) -> None:
    for table in ("party_activity", "conversation_activity", "log_index", "message_key"):
        connection.execute(f"DROP TABLE {table}")
    connection.execute("CREATE UNIQUE INDEX activity_message ON activity (author, message_id) WHERE type = 0")
    for column in ("sender", "receiver", "conversation"):
        connection.execute(f"CREATE INDEX activity_{column} ON activity ({column})")
