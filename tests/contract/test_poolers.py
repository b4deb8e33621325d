"""A connection pooler in front of PostgreSQL, the real PgBouncer: what works, and what is refused by name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from server.config.settings import Settings
from server.services.operator.doctor import examine_storage
from storage.accounts import AccountStore
from storage.contract import Stored
from storage.data_dir import DATABASE_NAME
from storage.database import Lane
from storage.errors import StorageError, StorageUnavailable
from storage.migrate import migrate
from storage.opening import open_storage
from storage.postgresql.database import PostgresDatabase
from storage.postgresql.log import PostgresActivityLog
from storage.promote import promote
from tests.harness.postgresql import a_log, chat, opened, until
from tests.harness.programs import newer_pgbouncer, program
from tests.servers.pgbouncer import PgBouncer, pgbouncer
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy

NOW = 1_700_000_000_000
_SLEEPS = "datname = current_database() AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE '%sleep(100)%'"


@pytest.fixture(params=["sessions", "sessions, older PgBouncer", "transactions", "transactions, in turn"])
def pooler(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> Iterator[PgBouncer]:
    older = "older" in request.param
    options = {
        "pool_mode": "session" if "sessions" in request.param else "transaction",
        "server_round_robin": int("in turn" in request.param),
    }
    chosen = program("pgbouncer") if older else newer_pgbouncer()
    with pgbouncer(chosen, postgres_server.port, **options) as running:
        yield running


@pytest.fixture
def transactions(postgres_server: PostgresServer) -> Iterator[PgBouncer]:
    with pgbouncer(newer_pgbouncer(), postgres_server.port, pool_mode="transaction") as running:
        yield running


class TestWhatWorks:
    async def test_everything_that_a_node_does(self, pooler: PgBouncer, empty_postgres_url: str) -> None:
        url = pooler.url(empty_postgres_url)
        async with opened(url) as database, a_log(url) as log:
            assert database.pooled
            await migrate(database)
            first = await log.append([chat(1), chat(2)])
            again = await log.append([chat(2), chat(3)])
            assert [each.activity.id for each in again.results if isinstance(each, Stored)] == [2, 3]
            assert (first.head, again.head) == (2, 3)
            assert [each.id for each in (await log.tail(0, 10)).rows] == [1, 2, 3]
            assert await AccountStore(database).revoke(person_id=1, revoked_at_ms=NOW, expires_at_ms=NOW + 1)
            for lane in Lane:
                async with database.transaction(lane) as transaction:
                    await transaction.execute("UPDATE privacy_head SET updated_at_ms = ?", lane.value)
            await asyncio.gather(*(database.ping() for _ in range(20)))

    async def test_ids_become_visible_in_order(self, pooler: PgBouncer, postgres_url: str) -> None:
        url = pooler.url(postgres_url)
        async with AsyncExitStack() as stack:
            logs = [await stack.enter_async_context(a_log(url)) for _ in range(3)]
            reader = await stack.enter_async_context(a_log(url))
            seen, done = [0], asyncio.Event()

            async def follow() -> None:
                while not done.is_set():
                    seen.extend(each.id for each in (await reader.tail(seen[-1], 1_000)).rows)

            async def write(number: int) -> None:
                for step in range(60):
                    await logs[number].append([chat(1_000 * number + step)])

            following = asyncio.create_task(follow())
            await asyncio.gather(*map(write, range(3)))
            done.set()
            await following
            seen.extend(each.id for each in (await reader.tail(seen[-1], 1_000)).rows)
            assert seen == list(range(181))

    async def test_a_promotion(self, pooler: PgBouncer, empty_postgres_url: str, tmp_path: Path) -> None:
        async with open_storage(tmp_path, None) as (lite, log):
            await migrate(lite)
            await log.append([chat(1), chat(2)])
        url = pooler.url(empty_postgres_url)
        done = await promote(tmp_path / DATABASE_NAME, url, lambda table, copied, total: None)
        assert done.head_id == 2
        async with a_log(url) as log:
            assert [each.id for each in (await log.tail(0, 10)).rows] == [1, 2]

    async def test_no_setting_of_buzz_stays_on_the_servers_connections(
        self, transactions: PgBouncer, postgres_url: str
    ) -> None:
        async with opened(transactions.url(postgres_url)) as database:
            await AccountStore(database).revoke(person_id=1, revoked_at_ms=NOW, expires_at_ms=NOW + 1)
            async with database.transaction() as transaction:
                await transaction.execute("UPDATE privacy_head SET updated_at_ms = 1")
            connection = await asyncpg.connect(transactions.url(postgres_url))
            try:
                shown = [
                    await connection.fetchval(f"SHOW {name}")
                    for name in ("idle_in_transaction_session_timeout", "statement_timeout", "jit")
                ]
            finally:
                await connection.close()
            assert shown == ["0", "0", "on"]

    async def test_the_doctor_sees_the_commits_settings_and_names_what_is_lost(
        self, transactions: PgBouncer, empty_postgres_url: str
    ) -> None:
        name = empty_postgres_url.rpartition("/")[2]
        await _answer(empty_postgres_url, f"ALTER DATABASE {name} SET synchronous_commit = off")
        async with opened(transactions.url(empty_postgres_url)) as database:
            await migrate(database)
            found = await examine_storage(Settings(), database, PostgresActivityLog(database))
        details = {each.check: each.detail for each in found}
        assert "run ALTER ROLE … SET jit = off" in details["postgresql"]
        assert details["durability"].startswith("fsync is off")  # the tests' own server; nothing else


class TestTimeLimits:
    async def test_the_server_takes_a_lane_from_a_node_that_is_silent(
        self, pooler: PgBouncer, postgres_url: str
    ) -> None:
        url = pooler.url(postgres_url)
        async with opened(url) as node, opened(url) as other:

            async def write_late() -> None:
                async with other.transaction() as silent:
                    await silent.execute("UPDATE privacy_head SET updated_at_ms = 0")
                    async with node.transaction() as transaction:
                        await transaction.execute("UPDATE privacy_head SET updated_at_ms = 1")
                    await silent.execute("UPDATE privacy_head SET updated_at_ms = 0")

            with pytest.raises(StorageUnavailable):
                await write_late()
            assert await node.fetch("SELECT updated_at_ms FROM privacy_head") == [(1,)]

    async def test_a_statement_that_takes_too_long_ends_on_the_server_too(
        self, pooler: PgBouncer, postgres_url: str
    ) -> None:
        async with opened(pooler.url(postgres_url)) as database, opened(postgres_url) as beside:
            with pytest.raises(StorageUnavailable):
                await database.execute("UPDATE privacy_head SET updated_at_ms = 1 FROM pg_sleep(100)", seconds=1)
            await until(beside, f"SELECT count(*) = 0 FROM pg_stat_activity WHERE {_SLEEPS}")
            await database.ping()


class TestWhatIsRefused:
    @pytest.mark.parametrize("newer", [False, True])
    async def test_pooled_transactions_without_prepared_statements(
        self, postgres_server: PostgresServer, postgres_url: str, newer: bool
    ) -> None:
        chosen = newer_pgbouncer() if newer else program("pgbouncer")
        options = {"max_prepared_statements": 0} if newer else {}
        with (
            pgbouncer(chosen, postgres_server.port, pool_mode="transaction", **options) as pooler,
            pytest.raises(StorageError, match=r"PgBouncer 1\.21 or later, set max_prepared_statements"),
        ):
            await PostgresDatabase.open(pooler.url(postgres_url))

    async def test_pooled_statements(self, postgres_server: PostgresServer, postgres_url: str) -> None:
        with (
            pgbouncer(newer_pgbouncer(), postgres_server.port, pool_mode="statement") as pooler,
            pytest.raises(StorageError, match="it allows no transactions: set pool_mode"),
        ):
            await PostgresDatabase.open(pooler.url(postgres_url))

    @pytest.mark.parametrize("pool_mode", ["session", "transaction"])
    async def test_a_pool_of_one_connection(
        self, postgres_server: PostgresServer, postgres_url: str, pool_mode: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("storage.postgresql.connections.CONNECT_SECONDS", 0.5)
        options = {"pool_mode": pool_mode, "default_pool_size": 1}
        with (
            pgbouncer(newer_pgbouncer(), postgres_server.port, **options) as pooler,
            pytest.raises(StorageUnavailable, match="raise default_pool_size"),
        ):
            await PostgresDatabase.open(pooler.url(postgres_url))

    async def test_a_startup_parameter_in_the_address(self, transactions: PgBouncer, postgres_url: str) -> None:
        with pytest.raises(StorageError, match="unsupported startup parameter: jit; set it for the role"):
            await PostgresDatabase.open(f"{transactions.url(postgres_url)}?jit=off")

    async def test_a_pooler_that_comes_later(self, postgres_server: PostgresServer, postgres_url: str) -> None:
        """Without its settings a connection must not be used, even if the pooler ignores what it does not know."""
        ignored = (
            "jit,idle_in_transaction_session_timeout,tcp_keepalives_idle,tcp_keepalives_interval,tcp_keepalives_count,"
            "tcp_user_timeout,client_connection_check_interval"
        )
        options = {"pool_mode": "transaction", "ignore_startup_parameters": ignored}
        with pgbouncer(newer_pgbouncer(), postgres_server.port, **options) as pooler:
            async with Proxy(postgres_server.port) as proxy:
                url = postgres_url.replace(str(postgres_server.port), str(proxy.port))
                async with opened(url) as database:
                    await database.ping()
                    proxy.lead_to(pooler.port)
                    proxy.cut()
                    with pytest.raises(StorageUnavailable, match="start this node again"):
                        await database.ping()


# --- the disk ---------------------------------------------------------------------------------------------------------

Write = Callable[[str], Awaitable[None]]


async def _append(url: str) -> None:
    async with a_log(url) as log:
        await log.append([chat(1)])


async def _single_statement(url: str) -> None:
    async with opened(url) as database:
        await AccountStore(database).revoke(person_id=1, revoked_at_ms=NOW, expires_at_ms=NOW + 1)


async def _transaction(url: str) -> None:
    async with opened(url) as database, database.transaction() as transaction:
        await transaction.execute("UPDATE privacy_head SET updated_at_ms = 77")


WRITES: dict[str, tuple[Write, str]] = {
    "an append": (_append, "SELECT head = 1 FROM log"),
    "a statement of its own": (_single_statement, "SELECT count(*) = 1 FROM revocation"),
    "a transaction": (_transaction, "SELECT updated_at_ms = 77 FROM privacy_head"),
}


async def test_commits_are_on_disk_whatever_the_servers_default_is() -> None:
    """The server does not write its log to disk by itself here, and everything that is only in memory is lost."""
    server = PostgresServer({"synchronous_commit": "off", "wal_writer_delay": "10s"})
    try:
        server.start()
        with pgbouncer(newer_pgbouncer(), server.port, pool_mode="transaction") as pooler:
            url = pooler.url(server.url())
            async with opened(url) as database:
                await migrate(database)
            for what, (write, kept) in WRITES.items():
                await write(url)
                server.crash()
                server.start()
                assert await _answer(server.url(), kept), what
            await _answer(url, "UPDATE privacy_head SET updated_at_ms = 99")
            server.crash()
            server.start()
            assert await _answer(server.url(), "SELECT updated_at_ms = 77 FROM privacy_head"), "others' are not"
    finally:
        server.close()


async def _answer(url: str, sql: str) -> object:
    """Ask over a connection of its own, as another program."""
    deadline = time.monotonic() + 20
    while True:
        try:
            connection = await asyncpg.connect(url, statement_cache_size=0)
        except (asyncpg.PostgresError, OSError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)
            continue
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()
