"""A node of a PostgreSQL cluster is frozen or disconnected at the worst moment: no other node waits for it for long.

"Silent" is a transaction whose node sends no next statement, or a connection on which a proxy forwards nothing. The
tests show that the other nodes continue while the node is still silent; row 18 of the drills measures how soon.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from storage.accounts import AccountStore
from storage.contract import Stored
from storage.database import Lane
from storage.directory.keys import Encryption, KeyStore
from storage.errors import OutcomeUnknown, StorageUnavailable
from storage.postgresql import append as postgresql_append
from storage.postgresql.database import PostgresDatabase
from storage.telephony.numbers import NumberStore
from tests.harness.postgresql import a_log, chat, eventually, opened, waiting_for
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy

NOW = 1_700_000_000_000
_OTHERS = "datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture
async def node(postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    """A healthy node."""
    async with opened(postgres_url) as database:
        yield database


@pytest.fixture
async def other(postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    """The node that stops responding."""
    async with opened(postgres_url) as database:
        yield database


@pytest.fixture
async def proxy(postgres_server: PostgresServer) -> AsyncIterator[Proxy]:
    async with Proxy(postgres_server.port) as running:
        yield running


@asynccontextmanager
async def through(proxy: Proxy, url: str, **more: Any) -> AsyncIterator[PostgresDatabase]:
    """A node whose connections lead through the proxy."""
    address, _, name = url.rpartition("/")
    database = await PostgresDatabase.open(f"{address.rpartition(':')[0]}:{proxy.port}/{name}", **more)
    try:
        yield database
    finally:
        await database.close()


async def publish(database: PostgresDatabase, lane: Lane = Lane.SUBJECTS) -> None:
    """Any transaction of several statements."""
    async with database.transaction(lane) as transaction:
        await transaction.fetch("SELECT version FROM revocation_counter")
        await transaction.execute("UPDATE privacy_head SET updated_at_ms = updated_at_ms + 1")


@asynccontextmanager
async def silent(database: PostgresDatabase, lane: Lane = Lane.SUBJECTS) -> AsyncIterator[asyncio.Task[None]]:
    """An open transaction that sends nothing more until the block ends, and then tries to continue."""
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        async with database.transaction(lane) as transaction:
            await transaction.execute("UPDATE privacy_head SET updated_at_ms = 0")
            under_way.set()
            await go_on.wait()
            await transaction.execute("UPDATE privacy_head SET updated_at_ms = 0")

    writing = asyncio.create_task(write())
    await under_way.wait()
    try:
        yield writing
    finally:
        go_on.set()
        await asyncio.gather(writing, return_exceptions=True)


class TestLocks:
    @pytest.mark.parametrize("lane", [Lane.SUBJECTS, Lane.DIRECTORY, Lane.LOG])
    async def test_the_server_takes_them_away(
        self, node: PostgresDatabase, other: PostgresDatabase, lane: Lane
    ) -> None:
        before = await node.fetch("SELECT updated_at_ms FROM privacy_head")
        async with silent(other, lane) as writing:
            await publish(node, lane)
            assert not writing.done()
        with pytest.raises(StorageUnavailable):
            await writing
        assert await node.fetch("SELECT updated_at_ms FROM privacy_head") == [(before[0][0] + 1,)]
        await publish(other, lane)

    @pytest.mark.parametrize("lane", [Lane.SUBJECTS, Lane.DIRECTORY, Lane.LOG, Lane.SCHEMA])
    async def test_those_of_an_exchange_that_was_not_finished_are_taken_away_by_who_waits(
        self, node: PostgresDatabase, other: PostgresDatabase, lane: Lane
    ) -> None:
        with pytest.raises(StorageUnavailable):
            await _publish_beside_a_prepared_statement(node, other, lane)
        await publish(other, lane)

    async def test_a_schema_step_as_well(self, node: PostgresDatabase, other: PostgresDatabase) -> None:
        async with silent(other, Lane.SCHEMA):
            await publish(node)

    async def test_a_node_holds_or_awaits_one_of_a_lane_however_much_it_does(
        self, node: PostgresDatabase, other: PostgresDatabase
    ) -> None:
        async with silent(other):
            more = [asyncio.create_task(publish(other)) for _ in range(20)]
            await asyncio.sleep(0)
            [(sessions,)] = await node.fetch(
                f"SELECT count(*) FROM pg_stat_activity WHERE {_OTHERS} AND xact_start > '-infinity'"
            )
            assert sessions == 1
        await asyncio.gather(*more)

    async def test_what_a_long_write_sent_only_in_part_holds_nothing(
        self, node: PostgresDatabase, proxy: Proxy, postgres_url: str
    ) -> None:
        # The proxy may stop between the parts of a piece: then the server waits for the rest.
        await _publish_beside_a_stopped_write(node, proxy, postgres_url)
        assert await node.fetch("SELECT count(*) FROM webhook_token") == [(0,)]

    async def test_an_import_is_in_nobodys_way_but_the_directorys(
        self, node: PostgresDatabase, other: PostgresDatabase
    ) -> None:
        async with other.transaction(Lane.DIRECTORY) as importing:
            await importing.execute("UPDATE privacy_head SET updated_at_ms = updated_at_ms")
            async with node.transaction() as transaction:
                await transaction.fetch("SELECT 1")
            taking = asyncio.create_task(NumberStore(node).take(1, NOW))
            await waiting_for(other, "wait_event = 'advisory'")
        assert await taking is None


async def _publish_beside_a_prepared_statement(node: PostgresDatabase, other: PostgresDatabase, lane: Lane) -> None:
    """Prepare a statement, write at another node, and go on. Raises StorageUnavailable if the transaction was ended."""
    async with other.transaction(lane) as transaction:
        # The driver asks for the statement's types, and sends nothing more. The server waits for the values.
        await transaction._connection.prepare("SELECT version FROM revocation_counter")
        await publish(node, Lane.SUBJECTS if lane is Lane.SCHEMA else lane)
        await transaction.fetch("SELECT 1")


async def _publish_beside_a_stopped_write(node: PostgresDatabase, proxy: Proxy, url: str) -> None:
    """Stop a long write half-way and write at another node."""
    async with through(proxy, url) as cut_off:
        writing = asyncio.create_task(_write_much(cut_off))
        await waiting_for(node, "query LIKE 'INSERT INTO webhook_token%'")
        proxy.hold()
        try:
            await publish(node)
            assert not writing.done()
        finally:
            proxy.cut()
            with pytest.raises(StorageUnavailable):
                await writing
        proxy.flow()


async def _write_much(database: PostgresDatabase) -> None:
    rows = [(1, f"token {number:0100}", NOW) for number in range(100_000)]
    async with database.transaction() as transaction:
        sql = "INSERT INTO webhook_token (source_id, random_token, seen_at_ms) VALUES (?, ?, ?)"
        await transaction.execute_many(sql, rows)


class TestRevocations:
    async def test_they_and_encryption_data_wait_in_no_queue(self, node: PostgresDatabase) -> None:
        async with node.connection() as holder, holder.transaction():
            for lane in Lane:
                await holder.execute(f"SELECT pg_advisory_xact_lock(1115847290, {lane.value})")
            accounts = AccountStore(node)
            first = await accounts.revoke(person_id=1, revoked_at_ms=NOW, expires_at_ms=NOW + 1)
            second = await accounts.revoke(token_id="t", revoked_at_ms=NOW, expires_at_ms=NOW + 1)
            await KeyStore(node).put_encryption(1, Encryption("hash", "id", NOW))
            assert await accounts.revocations_after(0, NOW) == [first, second]

    async def test_versions_become_visible_in_order(self, node: PostgresDatabase, other: PostgresDatabase) -> None:
        stores = [AccountStore(node), AccountStore(other)]
        seen, done = [0], asyncio.Event()

        async def follow() -> None:
            while not done.is_set():
                seen.extend(each.version for each in await stores[0].revocations_after(seen[-1], NOW))

        following = asyncio.create_task(follow())
        revoking = (
            store.revoke(person_id=person, revoked_at_ms=NOW, expires_at_ms=NOW + 1)
            for person in range(1, 101)
            for store in stores
        )
        await asyncio.gather(*revoking)
        done.set()
        await following
        seen.extend(each.version for each in await stores[0].revocations_after(seen[-1], NOW))
        assert seen == list(range(201))


class TestTheLog:
    async def test_a_batch_with_repeats_holds_nothing_between_its_look_and_its_write(
        self, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with a_log(postgres_url) as one, a_log(postgres_url) as another:
            await one.append([chat(1)])
            looked, go_on = _pause_after(monkeypatch, "look_up")
            appending = asyncio.create_task(one.append([chat(1), chat(2), chat(3)]))
            await looked.wait()
            # The other node writes, and of the same messages too: what was seen before that is no longer so.
            monkeypatch.undo()
            meanwhile = await another.append([chat(4), chat(2)])
            go_on.set()
            commit = await appending
        stored = [(r.activity.id, r.duplicate) for r in commit.results if isinstance(r, Stored)]
        assert (meanwhile.previous_head, meanwhile.head) == (1, 3)
        assert stored == [(1, True), (3, True), (4, False)]
        assert (commit.previous_head, commit.head) == (3, 4)


def _pause_after(monkeypatch: pytest.MonkeyPatch, name: str) -> tuple[asyncio.Event, asyncio.Event]:
    """Let the first call of a function of the appender end and then wait, as if its node had frozen there."""
    whole: Callable[..., Awaitable[Any]] = getattr(postgresql_append, name)
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def paused(*arguments: Any) -> Any:
        found = await whole(*arguments)
        reached.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(postgresql_append, name, paused)
    return reached, go_on


# A commit takes half a second: long enough to lose the connection meanwhile.
_SLOW = """
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON webhook_token DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION slow();"""


class TestLostConnections:
    async def test_one_that_is_lost_inside_a_transaction_is_a_store_that_is_unavailable(
        self, node: PostgresDatabase
    ) -> None:
        for _ in range(3):
            with pytest.raises(StorageUnavailable):
                await _lose_the_connection(node)
        await publish(node)

    async def test_a_commit_whose_answer_was_lost_is_found(
        self, node: PostgresDatabase, proxy: Proxy, postgres_url: str
    ) -> None:
        async with through(proxy, postgres_url) as cut_off, node.connection() as connection:
            await connection.execute(_SLOW)
            writing = asyncio.create_task(_remember(cut_off))
            await waiting_for(node, "wait_event = 'PgSleep'")
            proxy.cut(server_side=False)
            await writing
            assert await node.fetch("SELECT random_token FROM webhook_token") == [("kept",)]

    async def test_a_commit_that_never_came_is_known_to_be_none(
        self, node: PostgresDatabase, proxy: Proxy, postgres_url: str
    ) -> None:
        async with through(proxy, postgres_url) as cut_off:
            with pytest.raises(StorageUnavailable, match="nothing was stored") as raised:
                await _commit_into_silence(cut_off, proxy)
            assert not isinstance(raised.value, OutcomeUnknown)
        assert await node.fetch("SELECT count(*) FROM webhook_token") == [(0,)]

    async def test_on_one_that_answers_nothing_every_statement_ends(
        self, proxy: Proxy, postgres_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("storage.postgresql.database.CONNECT_SECONDS", 0.3)
        async with through(proxy, postgres_url, statement_seconds=0.3) as cut_off:
            await asyncio.gather(*(cut_off.ping() for _ in range(3)))
            proxy.hold()
            reading = cut_off.fetch("SELECT 1")
            writing = cut_off.execute("UPDATE log SET head = head", seconds=0.3)
            read, written = await asyncio.gather(reading, writing, return_exceptions=True)
            assert isinstance(read, StorageUnavailable)
            assert isinstance(written, StorageUnavailable)
            proxy.flow()
            await eventually(cut_off.ping)

    @pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this kernel has no such option")
    async def test_the_kernel_ends_those_whose_way_is_cut(self, node: PostgresDatabase) -> None:
        async with node.connection() as connection:
            ours = connection._transport.get_extra_info("socket")
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 3_000
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


async def _lose_the_connection(database: PostgresDatabase) -> None:
    async with database.transaction() as transaction:
        await transaction.execute("SELECT pg_terminate_backend(pg_backend_pid())")


async def _remember(database: PostgresDatabase) -> None:
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO webhook_token VALUES (1, 'kept', 0)")


async def _commit_into_silence(database: PostgresDatabase, proxy: Proxy) -> None:
    async with database.transaction() as transaction:
        await transaction.execute("INSERT INTO webhook_token VALUES (1, 'lost', 0)")
        proxy.hold()
        asyncio.get_running_loop().call_soon(_cut_and_flow, proxy)


def _cut_and_flow(proxy: Proxy) -> None:
    proxy.cut()
    proxy.flow()
