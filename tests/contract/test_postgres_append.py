"""Several nodes append to one log, and lose their connections at the worst moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from protocol.activity import ActivityType
from storage.contract import Posting, Range, Refusal, Stored
from storage.errors import OutcomeUnknown, StorageError, StorageUnavailable
from storage.postgresql.database import PostgresDatabase
from storage.postgresql.log import PostgresActivityLog
from tests.harness.postgresql import a_log, chat, opened, until, waiting_for
from tests.harness.postings import ALICE, BOB
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy

# No commit succeeds any more: the disk is full.
FULL = """
    CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON log_writer FOR EACH ROW EXECUTE FUNCTION full_disk();"""
# Commits of this text take half a second: long enough to lose the connection meanwhile.
SLOW = """
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON activity DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.message = 'slow') EXECUTE FUNCTION slow();"""


def call(text: str | None = "slow") -> Posting:
    """An activity that nothing would recognise as a repeat."""
    return Posting(ActivityType.outgoing_call_missed, ALICE, BOB, ALICE, None, text, None, 0)


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    """A node whose connections stay whole."""
    async with opened(postgres_url) as database:
        async with database.connection() as connection:
            await connection.execute(SLOW)
        yield database


@pytest.fixture
async def proxy(postgres_server: PostgresServer) -> AsyncIterator[Proxy]:
    async with Proxy(postgres_server.port) as running:
        yield running


@pytest.fixture
async def log(postgres: PostgresDatabase, postgres_url: str, proxy: Proxy) -> AsyncIterator[PostgresActivityLog]:
    """A node whose connections lead through the proxy."""
    address, _, name = postgres_url.rpartition("/")
    async with a_log(f"{address.rpartition(':')[0]}:{proxy.port}/{name}") as found:
        yield found


async def stored(database: PostgresDatabase) -> list[int]:
    return [number for (number,) in await database.fetch("SELECT id FROM activity ORDER BY id")]


async def test_a_commit_whose_answer_was_lost_is_found(
    log: PostgresActivityLog, postgres: PostgresDatabase, proxy: Proxy
) -> None:
    await log.append([call(None)])
    appending = asyncio.create_task(log.append([call(), call(None)]))
    await waiting_for(postgres, "wait_event = 'PgSleep'")
    proxy.cut(server_side=False)
    commit = await appending
    assert (commit.previous_head, commit.head) == (1, 3)
    assert [isinstance(each, Stored) and each.activity.id for each in commit.results] == [2, 3]
    assert await stored(postgres) == [1, 2, 3]
    assert (await log.append([call(None)])).head == 4


async def test_a_batch_that_was_rolled_back_is_known_to_be_lost(
    log: PostgresActivityLog, postgres: PostgresDatabase
) -> None:
    appending = asyncio.create_task(log.append([call()]))
    await waiting_for(postgres, "wait_event = 'PgSleep'")
    await postgres.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event = 'PgSleep'"
    )
    with pytest.raises(StorageUnavailable, match="nothing was stored") as raised:
        await appending
    assert not isinstance(raised.value, OutcomeUnknown)
    assert await stored(postgres) == []
    assert (await log.append([call(None)])).head == 1


async def test_a_statement_that_is_still_under_way_comes_too_late(
    log: PostgresActivityLog, postgres: PostgresDatabase, proxy: Proxy
) -> None:
    await log.append([call(None)])
    async with postgres.connection() as holder:
        await holder.execute("BEGIN")
        await holder.execute("SELECT head FROM log FOR UPDATE")
        appending = asyncio.create_task(log.append([call(None)]))
        await waiting_for(postgres, "wait_event_type = 'Lock'")
        proxy.cut(server_side=False)
        with pytest.raises(StorageUnavailable, match="nothing was stored"):
            await appending
        await holder.execute("COMMIT")
    # The server goes on with the statement whose client is gone; it must find that its number was passed.
    await until(postgres, "SELECT head = 2 FROM log")
    assert await stored(postgres) == [1]
    assert (await log.append([call(None)])).head == 3


async def test_while_the_database_is_away_the_outcome_stays_open(
    log: PostgresActivityLog, postgres: PostgresDatabase, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.postgresql.append.RESOLVE_SECONDS", 0.2)
    appending = asyncio.create_task(log.append([call()]))
    await waiting_for(postgres, "wait_event = 'PgSleep'")
    proxy.refusing = True
    proxy.cut(server_side=False)
    with pytest.raises(OutcomeUnknown, match="send it again unchanged"):
        await appending
    with pytest.raises(StorageUnavailable):
        await log.append([call(None)])
    proxy.refusing = False
    while True:
        try:
            commit = await log.append([call(None)])
            break
        except StorageUnavailable:
            await asyncio.sleep(0.02)
    assert (commit.previous_head, commit.head) == (1, 2)
    assert await stored(postgres) == [1, 2]


async def test_repeats_from_several_nodes_are_stored_once(postgres: PostgresDatabase, postgres_url: str) -> None:
    async with a_log(postgres_url) as one, a_log(postgres_url) as other, a_log(postgres_url) as third:
        batch = [chat(number) for number in range(1, 31)]
        commits = await asyncio.gather(one.append(batch[:20]), other.append(batch[10:]), third.append(batch[5:15]))
        results = [result for commit in commits for result in commit.results]
        assert all(isinstance(result, Stored) for result in results)
        by_message = {
            result.activity.message_id: result.activity.id for result in results if isinstance(result, Stored)
        }
        assert len(by_message) == 30
        assert sorted(by_message.values()) == await stored(postgres)
        for result in results:
            assert isinstance(result, Stored)
            assert by_message[result.activity.message_id] == result.activity.id


async def test_an_empty_batch_is_a_commit_also_just_after_a_repeat(
    postgres: PostgresDatabase, postgres_url: str
) -> None:
    """A node that can only read must not find itself ready."""
    async with a_log(postgres_url) as log:
        await log.append([chat(1)])
        await log.append([chat(1)])
        assert await log.append([]) == (1, 1, [])
        async with postgres.connection() as connection:
            await connection.execute(FULL)
        with pytest.raises(StorageError, match="no space left"):
            await log.append([])


async def test_what_one_node_clears_is_gone_from_the_others_memory(
    postgres: PostgresDatabase, postgres_url: str
) -> None:
    async with a_log(postgres_url) as one, a_log(postgres_url) as other:
        await one.append([chat(1)])
        await other.clear(ALICE)
        await one.append([chat(2)])
        assert [row.party for row in (await other.conversations([BOB], 10)).rows] == [ALICE]
        [page] = await other.read([Range((BOB,), with_party=ALICE)])
        assert [activity.id for activity in page.rows] == [2]


async def test_a_reaction_to_a_message_of_the_same_moment(postgres: PostgresDatabase, postgres_url: str) -> None:
    async with a_log(postgres_url) as log:
        first = chat(1)
        reaction = first._replace(type=ActivityType.chat_reaction_emoji, sender=BOB, receiver=ALICE, author=BOB)
        commit = await log.append([reaction, first, reaction, first])
        assert commit.results[0] is Refusal.MESSAGE_NOT_FOUND
        assert [isinstance(each, Stored) and (each.activity.id, each.duplicate) for each in commit.results[1:]] == [
            (1, False),
            (2, False),
            (1, True),
        ]
        assert (commit.previous_head, commit.head) == (0, 2)
        assert await postgres.fetch("SELECT id, about FROM activity ORDER BY id") == [(1, None), (2, 1)]
