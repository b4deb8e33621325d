"""From SQLite to PostgreSQL: everything, the same ids, all or nothing."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from protocol.activity import ActivityType
from storage.accounts import AccountStore
from storage.contract import Posting, Range, Stored
from storage.errors import StorageError
from storage.migrate import migrate
from storage.postgresql.database import PostgresDatabase
from storage.postgresql.log import PostgresActivityLog
from storage.promote import promote
from storage.sqlite.connection import connect
from storage.sqlite.database import SqliteDatabase
from storage.sqlite.log import SqliteActivityLog
from storage.telephony.numbers import NumberStore

ALICE, BOB, ACME = 1, 2, -9
EVERY_CHARACTER = "".join(map(chr, range(0x80))) + "é😀"


def chat(sender: int, receiver: int, text: str = "x", **more: object) -> Posting:
    author = ALICE if sender < 0 else sender
    plain = Posting(ActivityType.chat_message, sender, receiver, author, None, text, str(uuid.uuid4()), 5)
    return plain._replace(**more)  # type: ignore[arg-type]


FIRST = chat(ALICE, BOB, EVERY_CHARACTER, message_id=str(uuid.UUID(int=7)).upper())
KEYED = Posting(
    ActivityType.outgoing_call_connected_secure, BOB, ALICE, BOB, 60, None, None, 6, "key\udcff", b"0123456789abcdef"
)


@pytest.fixture
async def source(tmp_path: Path) -> Path:
    """A database with something of everything."""
    path = tmp_path / "buzz.db"
    database = await SqliteDatabase.open(path)
    try:
        await migrate(database)
        log = SqliteActivityLog(database)
        await log.append([FIRST, chat(BOB, ALICE), KEYED._replace(idempotency_key="key"), chat(ACME, BOB)])
        await log.append([FIRST._replace(type=ActivityType.chat_read_indicator, sender=BOB, receiver=ALICE, author=BOB,
                                         message=None)])  # fmt: skip
        await log.append([chat(ALICE, BOB) for _ in range(500)])
        await AccountStore(database).revoke(person_id=3, revoked_at_ms=1, expires_at_ms=2**50)
        await NumberStore(database).add(["+12385550100"], 1)
        async with database.transaction() as transaction:
            await transaction.execute("INSERT INTO person (id, first_name, last_name) VALUES (1, ?, 'B')", "A\x00")
            await transaction.execute("INSERT INTO contact (id, person_id, trusted) VALUES (1, 1, ?)", True)
    finally:
        await database.close()
    return path


@pytest.fixture
async def target(empty_postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    database = await PostgresDatabase.open(empty_postgres_url)
    yield database
    await database.close()


def quiet(table: str, copied: int, total: int) -> None:
    assert copied <= total


async def test_everything_is_there_with_its_ids(
    source: Path, target: PostgresDatabase, empty_postgres_url: str
) -> None:
    done = await promote(source, empty_postgres_url, quiet)
    with closing(connect(source)) as lite:
        [before] = lite.execute("SELECT epoch, head FROM log").fetchall()
    assert (done.epoch, done.head_id) == before == (done.epoch, 505)
    assert done.rows["activity"] == 505
    log = PostgresActivityLog(target)
    try:
        assert (await log.state())[:2] == before
        [page] = await log.read([Range((ALICE,), limit=3)])
        assert [(each.id, each.message) for each in page.rows] == [(1, EVERY_CHARACTER), (2, "x"), (3, None)]
        assert page.rows[0].message_id == FIRST.message_id
        repeat = (await log.append([FIRST])).results[0]
        assert isinstance(repeat, Stored)
        assert (repeat.duplicate, repeat.activity.id) == (True, 1)
        assert (await log.append([chat(BOB, 77)])).head == 506
        assert [row.party for row in (await log.conversations([BOB], 10)).rows] == [77, ALICE, ACME]
    finally:
        await log.close()
    assert (await AccountStore(target).revocations_after(0, 1))[0].person_id == 3
    assert await target.fetch("SELECT trusted FROM contact") == [(True,)]
    assert await target.fetch("SELECT first_name FROM person") == [("A\ufffd",)]


async def test_a_rehearsal_keeps_nothing_and_can_be_followed(
    source: Path, target: PostgresDatabase, empty_postgres_url: str
) -> None:
    rehearsed = await promote(source, empty_postgres_url, quiet, rehearse=True)
    assert await target.fetch("SELECT head, (SELECT count(*) FROM activity) FROM log") == [(0, 0)]
    assert await promote(source, empty_postgres_url, quiet) == rehearsed


async def test_a_target_in_use_is_refused(source: Path, target: PostgresDatabase, empty_postgres_url: str) -> None:
    await migrate(target)
    async with target.transaction() as transaction:
        await transaction.execute("INSERT INTO company (id, name) VALUES (1, 'Acme')")
    with pytest.raises(StorageError, match=r"not empty \(company has rows\)"):
        await promote(source, empty_postgres_url, quiet)
    async with target.transaction() as transaction:
        await transaction.execute("DELETE FROM company")
    await promote(source, empty_postgres_url, quiet)
    with pytest.raises(StorageError, match="not empty"):
        await promote(source, empty_postgres_url, quiet)


async def test_a_failure_in_the_middle_leaves_nothing(
    source: Path, target: PostgresDatabase, empty_postgres_url: str
) -> None:
    def fail(table: str, copied: int, total: int) -> None:
        if table == "person":
            raise StorageError("enough")

    with pytest.raises(StorageError, match="enough"):
        await promote(source, empty_postgres_url, fail)
    assert await target.fetch("SELECT count(*) FROM conversation") == [(0,)]


async def test_what_can_not_be_promoted_is_said(tmp_path: Path, source: Path, empty_postgres_url: str) -> None:
    with pytest.raises(StorageError, match="no database at"):
        await promote(tmp_path / "gone.db", empty_postgres_url, quiet)
    (tmp_path / "bad.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError, match="not a Buzz database"):
        await promote(tmp_path / "bad.db", empty_postgres_url, quiet)
    with closing(connect(source)) as lite, lite:
        lite.execute("DELETE FROM schema_step WHERE number = 7")
    with pytest.raises(StorageError, match="another release"):
        await promote(source, empty_postgres_url, quiet)
