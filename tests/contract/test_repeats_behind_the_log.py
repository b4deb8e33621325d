"""SQLite's table of message ids follows the log: whatever it has reached, a repeat is answered as by a unique index."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.activity import ActivityType
from storage.contract import Posting, Range, Refusal, Result, Stored
from storage.errors import StorageConflict, StorageError
from storage.log_rules import Known, decide
from storage.sqlite import message_keys
from storage.sqlite.connection import DriverConnection
from storage.sqlite.database import SqliteDatabase
from storage.sqlite.log import SqliteActivityLog
from tests.harness.sqlite import migrated_sqlite

ALICE, BOB, ACME = 1, 2, -9
IDS = tuple(f"00000000-0000-4000-8000-{number:012}" for number in range(6))
KINDS = (ActivityType.chat_message, ActivityType.chat_reaction_emoji)
postings = st.builds(
    lambda kind, sides, author, message_id: posting(kind, sides, author, message_id),
    st.sampled_from((ActivityType.chat_message,) * 3 + KINDS),
    st.sampled_from(((ALICE, BOB), (BOB, ALICE), (ACME, ALICE), (ALICE, ACME))),
    st.sampled_from((3, 4)),
    st.sampled_from(IDS),
)
steps = st.lists(
    st.lists(postings, min_size=1, max_size=6).map(lambda batch: ("append", batch))
    | st.tuples(st.sampled_from(("reopen", "index", "rolled back", "erase", "clear")), st.just([])),
    max_size=10,
)


def posting(kind: ActivityType, sides: tuple[int, int], author: int, message_id: str) -> Posting:
    sender, receiver = sides
    # A person writes as themselves; for a company one of its members does.
    return Posting(kind, sender, receiver, sender if sender > 0 else author, None, "x", message_id, 1_720_000_000_000)


def message(message_id: str = IDS[0], sides: tuple[int, int] = (ALICE, BOB)) -> Posting:
    return posting(ActivityType.chat_message, sides, 3, message_id)


class PlainLog:
    """What the log should answer: everything that is stored is looked at, by the rules alone."""

    def __init__(self) -> None:
        self.known = Known.nothing()
        self.head = 0

    def append(self, batch: list[Posting]) -> list[Result]:
        decided = decide(batch, self.known)
        results = decided.results_after(self.head)
        self.known = self._without_new()
        for each, result in zip(batch, results, strict=True):
            if isinstance(result, Stored) and not result.duplicate:
                self.known.add(each, result.activity)
        self.head += len(decided.kept)
        return results

    def forget(self, gone: int, *, also_received: bool) -> None:
        """Without what a party sent; ``also_received``: and what it got."""
        old, self.known = self.known, Known.nothing()
        for (author, _), activity in old.by_message.items():
            if activity.sender != gone and not (also_received and activity.receiver == gone):
                self.known.add_message(author, activity)

    def _without_new(self) -> Known:
        """Deciding has added the new ones under numbers that are not theirs."""
        kept = Known.nothing()
        for (author, _), activity in self.known.by_message.items():
            if activity.id > 0:
                kept.add_message(author, activity)
        return kept


@pytest.mark.parametrize("messages_every", [1, 4, 1_000])
@given(plan=steps)
@settings(max_examples=25)
def test_answers_are_those_of_the_rules_alone(messages_every: int, plan: list[tuple[str, list[Posting]]]) -> None:
    asyncio.run(_follow(plan, messages_every))


async def _follow(plan: list[tuple[str, list[Posting]]], messages_every: int) -> None:
    def opened() -> SqliteActivityLog:
        return SqliteActivityLog(database, 4, commits_a_step=1, messages_every=messages_every)

    with tempfile.TemporaryDirectory() as folder:
        database = await migrated_sqlite(Path(folder) / "buzz.db")
        try:
            log, plain = opened(), PlainLog()
            for name, batch in [*plan, ("append", [message(id) for id in IDS])]:
                if name == "append":
                    assert (await log.append(batch)).results == plain.append(batch)
                elif name == "reopen":
                    await log.close()
                    log = opened()
                else:
                    await _between_commits(name, log, plain, database)
            await log.close()
        finally:
            await database.close()


async def _between_commits(name: str, log: SqliteActivityLog, plain: PlainLog, database: SqliteDatabase) -> None:
    if name == "index":
        await database.write(lambda c: message_keys.advance(c, plain.head))
    elif name == "erase":
        await log.erase(ALICE)
        plain.forget(ALICE, also_received=False)
    elif name == "clear":
        await log.clear(BOB)
        plain.forget(BOB, also_received=True)
    else:
        await _rolled_back(log, database, [message(id) for id in IDS])


async def _rolled_back(log: SqliteActivityLog, database: SqliteDatabase, batch: list[Posting]) -> None:
    """The disk fails at the last moment, and nobody learns of it (the caller was cancelled)."""

    def fails(connection: DriverConnection) -> None:
        log._appender.append(connection, batch)
        raise apsw.IOError("disk I/O error")

    with pytest.raises(StorageError):
        await database.write(fails)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = await migrated_sqlite(tmp_path / "buzz.db")
    yield opened
    await opened.close()


async def keys(database: SqliteDatabase) -> int:
    [(count,)] = await database.fetch("SELECT count(*) FROM message_key")
    return int(count)


async def test_a_commit_between_steps_writes_no_message_id(database: SqliteDatabase) -> None:
    """What it is for: a commit's pages do not grow with the number of its authors."""
    log = SqliteActivityLog(database, messages_every=4)
    seen = []
    for number in range(5):
        await log.append([message(f"{number}")])
        await log.close()
        seen.append(await keys(database))
    assert seen == [0, 0, 0, 4, 4]


async def test_a_log_that_is_opened_again_knows_what_is_not_indexed(database: SqliteDatabase) -> None:
    await SqliteActivityLog(database).append([message(IDS[0]), message(IDS[1])])
    assert await keys(database) == 0
    [repeat, other] = (await SqliteActivityLog(database).append([message(IDS[1]), message(IDS[2])])).results
    assert isinstance(repeat, Stored)
    assert (repeat.activity.id, repeat.duplicate) == (2, True)
    assert isinstance(other, Stored)
    assert (other.activity.id, other.duplicate) == (3, False)


async def test_a_repeat_within_a_batch_is_found(database: SqliteDatabase) -> None:
    log = SqliteActivityLog(database)
    results = (await log.append([message(), message(), message(sides=(ALICE, ACME))])).results
    assert [isinstance(each, Stored) and each.duplicate for each in results] == [False, True, False]
    assert results[2] is Refusal.MESSAGE_ID_REUSED


@pytest.mark.parametrize("indexed", [False, True])
async def test_an_erased_message_id_can_be_used_again(database: SqliteDatabase, indexed: bool) -> None:
    log = SqliteActivityLog(database)
    await log.append([message(), message(IDS[1], (BOB, ALICE))])
    if indexed:
        await database.write(lambda c: message_keys.advance(c, 2))
    assert await log.erase(ALICE) == 1
    assert await keys(database) == 1, "of Bob's, nothing is forgotten"
    again, of_bob = (await log.append([message(), message(IDS[1], (BOB, ALICE))])).results
    assert isinstance(again, Stored)
    assert (again.activity.id, again.duplicate) == (3, False)
    assert isinstance(of_bob, Stored)
    assert (of_bob.activity.id, of_bob.duplicate) == (2, True)


async def test_nothing_of_an_erased_person_is_left_in_the_table(database: SqliteDatabase) -> None:
    log = SqliteActivityLog(database)
    await log.append([message(id) for id in IDS])
    await log.erase(ALICE)
    assert await database.fetch("SELECT * FROM message_key") == []


async def test_more_than_one_statement_takes_are_one_batch(database: SqliteDatabase) -> None:
    log = SqliteActivityLog(database)
    first = [message(f"{number}") for number in range(700)]
    assert (await log.append(first)).head == 700
    # The repeat is in the last statement: what the others have stored is rolled back with it.
    second = [*(message(f"{number}") for number in range(1_000, 1_600)), first[350]]
    commit = await log.append(second)
    assert commit.head == 1_300
    last = commit.results[-1]
    assert isinstance(last, Stored)
    assert (last.activity.id, last.duplicate) == (351, True)
    await database.write(lambda c: message_keys.advance(c, 1_300))
    assert (await log.append([*first, *second])).head == 1_300, "found in the table as well"
    [page] = await log.read([Range((ALICE,), limit=2_000)])
    assert len({activity.message_id for activity in page.rows}) == len(page.rows)


async def test_what_another_log_of_the_process_has_stored_is_known(database: SqliteDatabase) -> None:
    """What is in memory is compared with the head of the database, not with what this log has stored itself."""
    one, other = SqliteActivityLog(database), SqliteActivityLog(database)
    await one.append([message(IDS[0])])
    await other.append([message(IDS[1])])
    [repeat] = (await one.append([message(IDS[1])])).results
    assert isinstance(repeat, Stored)
    assert (repeat.activity.id, repeat.duplicate) == (2, True)


async def test_a_message_that_the_table_refuses_is_not_called_stored(database: SqliteDatabase) -> None:
    """The table names an activity that is not there, as after damage: a sender must not be told that it is stored."""
    log = SqliteActivityLog(database)
    await log.append([message(IDS[0])])
    row = (ALICE, IDS[1], 99)
    await database.write(lambda c: c.execute("INSERT INTO message_key VALUES (?, ?, ?)", row))
    with pytest.raises(StorageConflict):
        await log.append([message(IDS[2]), message(IDS[1])])
    assert (await log.state()).head == 1
    assert (await log.append([message(IDS[2])])).head == 2
    await log.close()


async def test_a_cleared_conversation_leaves_no_index_rows(database: SqliteDatabase) -> None:
    log = SqliteActivityLog(database)
    await log.append([message(), message(IDS[1], (BOB, ALICE)), message(IDS[2], (BOB, ACME))])
    await log.clear(ALICE)
    rows = await database.fetch("SELECT party, activity FROM party_activity ORDER BY party")
    assert [tuple(row) for row in rows] == [(ACME, 3), (BOB, 3)]
    await log.close()
