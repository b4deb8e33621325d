"""The stores under test, on every backend: each contract test runs once on each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from storage.contract import ActivityLog
from storage.database import Database
from storage.postgresql.database import PostgresDatabase
from storage.postgresql.log import PostgresActivityLog
from storage.sqlite.database import SqliteDatabase
from storage.sqlite.log import SqliteActivityLog
from tests.harness.programs import newer_pgbouncer
from tests.harness.sqlite import migrated_sqlite
from tests.servers.fixtures import migrated_database
from tests.servers.pgbouncer import PgBouncer, pgbouncer
from tests.servers.postgres import PostgresServer


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with a database on both; with ``--every-backend`` also on PostgreSQL behind a pooler."""
    if "dialect" in metafunc.fixturenames:
        every = metafunc.config.getoption("--every-backend")
        metafunc.parametrize("dialect", ["sqlite", "postgresql", *(["pooled"] if every else [])])


@pytest.fixture
async def database(request: pytest.FixtureRequest, dialect: str, tmp_path: Path) -> AsyncIterator[Database]:
    """A fresh, migrated database."""
    opened: Database
    if dialect == "sqlite":
        opened = await migrated_sqlite(tmp_path / "buzz.db")
        try:
            yield opened
        finally:
            await opened.close()
        return
    async with migrated_database(request.getfixturevalue("postgres_server")) as url:
        pooler: PgBouncer | None = request.getfixturevalue("pooler_of_transactions") if dialect == "pooled" else None
        opened = await PostgresDatabase.open(url if pooler is None else pooler.url(url))
        try:
            yield opened
        finally:
            await opened.close()


@pytest.fixture(scope="session")
def pooler_of_transactions(postgres_server: PostgresServer) -> Iterator[PgBouncer]:
    """A PgBouncer that gives each transaction another of its connections."""
    options = {"pool_mode": "transaction", "server_round_robin": 1}
    with pgbouncer(newer_pgbouncer(), postgres_server.port, **options) as running:
        yield running


@pytest.fixture
async def log(database: Database) -> AsyncIterator[ActivityLog]:
    """The activity log on it."""
    opened: ActivityLog
    if isinstance(database, SqliteDatabase):
        # Its index is behind by up to two activities, so that indexed and unindexed ones are read together.
        opened = SqliteActivityLog(database, index_every=3, commits_a_step=1)
    else:
        assert isinstance(database, PostgresDatabase)
        opened = PostgresActivityLog(database)
    yield opened
    await opened.close()
