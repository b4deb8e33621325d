"""The settings that durability depends on, read from every open connection.

A test of what survives ``kill -9`` can't tell whether a commit waited for the disk: the system's cache survives it too.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import asyncpg
import pytest

from server.config.settings import Settings
from server.services.operator.doctor import Health, examine_storage
from storage.errors import StorageUnavailable
from storage.migrate import migrate
from storage.opening import open_storage
from storage.postgresql.database import PostgresDatabase
from storage.postgresql.log import PostgresActivityLog
from storage.sqlite.connection import DriverConnection, connect
from storage.sqlite.database import SqliteDatabase
from tests.servers.postgres import PostgresServer

T = TypeVar("T")
CONNECTIONS = 4


# --- SQLite -----------------------------------------------------------------------------------------------------------

READERS = 3
FULL, MEMORY = 2, 2  # https://sqlite.org/pragma.html#pragma_synchronous, #pragma_temp_store
WRITER = {
    "journal_mode": "wal",
    "synchronous": FULL,
    "foreign_keys": 1,
    "busy_timeout": 5_000,
    "query_only": 0,
    "wal_autocheckpoint": 16_000,
    "secure_delete": 1,
    "temp_store": MEMORY,
    "cache_size": -65_536,
    # With a limit the planner's statistics keep no copies of keys.
    "analysis_limit": 1_000,
    "locking_mode": "normal",
    "read_uncommitted": 0,
}
READER = {
    "journal_mode": "wal",
    "busy_timeout": 5_000,
    "query_only": 1,
    # A second connection that folds the WAL back can corrupt the file in SQLite before 3.51.3.
    "wal_autocheckpoint": 0,
    "cache_size": -4_096,
    "locking_mode": "normal",
    "read_uncommitted": 0,
}


@asynccontextmanager
async def sqlite(data_dir: Path) -> AsyncIterator[SqliteDatabase]:
    async with open_storage(data_dir, None) as (database, _):
        assert isinstance(database, SqliteDatabase)
        yield database


def pragmas(connection: DriverConnection, names: Sequence[str]) -> dict[str, object]:
    return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names}


async def on_every_reader(database: SqliteDatabase, function: Callable[[DriverConnection], T]) -> list[T]:
    """Each holds its connection until all have one."""
    together = threading.Barrier(READERS, timeout=30)

    def asked(connection: DriverConnection) -> T:
        together.wait()
        return function(connection)

    return await asyncio.gather(*(database.read(asked) for _ in range(READERS)))


async def test_sqlite_commits_to_the_disk_on_one_connection_and_the_others_only_read(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as database:
        written = await database.write(lambda c: c.execute("CREATE TABLE proof (one)") and pragmas(c, list(WRITER)))
        assert written == WRITER
        assert await on_every_reader(database, lambda c: pragmas(c, list(READER))) == [READER] * READERS
        async with database.transaction() as transaction:
            [(synchronous,)] = await transaction.fetch("PRAGMA synchronous")
        assert synchronous == FULL
        names = await on_every_reader(database, lambda c: c.execute("PRAGMA database_list").fetchone()[2])
        assert {Path(name).name for name in names} == {"buzz.db"}


async def test_a_reading_connection_writes_nothing(tmp_path: Path) -> None:
    async with sqlite(tmp_path) as database:
        for statement in ("CREATE TABLE proof (one)", "PRAGMA user_version = 7"):
            with pytest.raises(StorageUnavailable):
                await database.read(lambda c, statement=statement: c.execute(statement).fetchall())
        assert await database.fetch("PRAGMA user_version") == [(0,)]


async def test_sqlite_is_in_wal_mode_also_when_the_file_was_not(tmp_path: Path) -> None:
    """A backup is one file, and not in WAL mode: what opens it is as durable as before."""
    plain = connect(tmp_path / "buzz.db")
    plain.execute("PRAGMA journal_mode=DELETE")
    plain.execute("CREATE TABLE proof (one)")
    plain.close()
    for _ in range(2):
        async with sqlite(tmp_path) as database:
            assert await database.write(lambda c: pragmas(c, list(WRITER))) == WRITER


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def postgres(url: str) -> AsyncIterator[PostgresDatabase]:
    async with open_storage(Path(), url, CONNECTIONS) as (database, _):
        assert isinstance(database, PostgresDatabase)
        yield database


async def everywhere(database: PostgresDatabase, setting: str = "synchronous_commit") -> set[str]:
    """Return the value of a setting on every connection of the pool, all open at the same time."""
    async with AsyncExitStack() as stack:
        held = [await stack.enter_async_context(database.connection()) for _ in range(CONNECTIONS)]
        assert len({connection.get_server_pid() for connection in held}) == CONNECTIONS
        return {await connection.fetchval(f"SHOW {setting}") for connection in held}


async def as_operator(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement.replace("{database}", url.rpartition("/")[2]))
    finally:
        await connection.close()


async def end_all(database: PostgresDatabase, url: str) -> None:
    """End every connection as a fail-over does; the next read notices it."""
    await as_operator(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = '{database}' AND pid <> pg_backend_pid()",
    )
    await database.ping()


LAZY = {
    "the database's default": ("ALTER DATABASE {database} SET synchronous_commit = off",),
    "the database's default, local": ("ALTER DATABASE {database} SET synchronous_commit = local",),
    "the role's default": ("ALTER ROLE lazy_{database} SET synchronous_commit = off",),
    "the role's default here": ("ALTER ROLE lazy_{database} IN DATABASE {database} SET synchronous_commit = off",),
}
ROLE = ("DROP ROLE IF EXISTS lazy_{database}", "CREATE ROLE lazy_{database} LOGIN SUPERUSER")


@pytest.fixture
async def lazy_url(empty_postgres_url: str) -> AsyncIterator[str]:
    """A role of the test's own."""
    await as_operator(empty_postgres_url, *ROLE)
    database = empty_postgres_url.rpartition("/")[2]
    yield empty_postgres_url.replace("//buzz@", f"//lazy_{database}@")
    await as_operator(empty_postgres_url, "DROP OWNED BY lazy_{database}", "DROP ROLE lazy_{database}")


async def test_postgresql_waits_for_the_disk_on_every_connection(lazy_url: str) -> None:
    async with postgres(lazy_url) as database:
        assert await everywhere(database) == {"on"}
        async with database.transaction() as transaction:
            assert await transaction.fetch("SHOW synchronous_commit") == [("on",)]


@pytest.mark.parametrize("statements", LAZY.values(), ids=LAZY)
async def test_a_lazy_default_does_not_win(lazy_url: str, statements: tuple[str, ...]) -> None:
    await as_operator(lazy_url, *statements)
    async with postgres(lazy_url) as database:
        assert await everywhere(database) == {"on"}
        await end_all(database, lazy_url)
        assert await everywhere(database) == {"on"}, "made again"


@pytest.mark.parametrize("statements", LAZY.values(), ids=LAZY)
async def test_a_lazy_default_that_is_set_later_does_not_win(lazy_url: str, statements: tuple[str, ...]) -> None:
    async with postgres(lazy_url) as database:
        assert await everywhere(database) == {"on"}
        await as_operator(lazy_url, *statements)
        await end_all(database, lazy_url)
        assert await everywhere(database) == {"on"}


@pytest.mark.parametrize("query", ["synchronous_commit=off", "options=-csynchronous_commit%3Doff"])
async def test_a_lazy_address_does_not_win(lazy_url: str, query: str) -> None:
    async with postgres(f"{lazy_url}?{query}") as database:
        assert await everywhere(database) == {"on"}


async def test_what_is_stronger_stays(lazy_url: str) -> None:
    await as_operator(lazy_url, "ALTER DATABASE {database} SET synchronous_commit = remote_apply")
    async with postgres(lazy_url) as database:
        assert await everywhere(database) == {"remote_apply"}


async def test_a_lazy_configuration_that_is_reloaded_does_not_win() -> None:
    """``pg_reload_conf`` reaches connections that are open."""
    server = PostgresServer()
    try:
        server.start()
        async with postgres(server.url()) as database:
            assert await everywhere(database) == {"on"}
            await as_operator(
                server.url(),
                "ALTER SYSTEM SET synchronous_commit = off",
                "ALTER SYSTEM SET full_page_writes = off",
                "SELECT pg_reload_conf()",
            )
            await _reloaded(server.url())
            assert await everywhere(database) == {"on"}
            await end_all(database, server.url())
            assert await everywhere(database) == {"on"}
            assert await durability(database) == (Health.FAIL, "full_page_writes is off")
    finally:
        server.close()


async def test_the_doctor_names_what_a_server_gives_up(lazy_url: str) -> None:
    async with postgres(lazy_url) as database:
        assert await durability(database) == (Health.FAIL, "fsync is off")  # the tests' own server


async def durability(database: PostgresDatabase) -> tuple[Health, str]:
    await migrate(database)
    found = await examine_storage(Settings(), database, PostgresActivityLog(database))
    [finding] = [each for each in found if each.check == "durability"]
    return finding.health, finding.detail.partition(":")[0]


async def _reloaded(url: str) -> None:
    """A new connection has the new configuration."""
    async with asyncio.timeout(30):
        while True:
            connection = await asyncpg.connect(url)
            try:
                if await connection.fetchval("SHOW synchronous_commit") == "off":
                    return
            finally:
                await connection.close()
