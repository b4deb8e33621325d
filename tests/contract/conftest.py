"""The stores under test, on every backend: each contract test runs once on each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.contract import ActivityLog
from storage.database import Database
from storage.migrate import migrate
from storage.postgresql.database import PostgresDatabase
from storage.postgresql.log import PostgresActivityLog
from storage.sqlite.database import SqliteDatabase
from storage.sqlite.log import SqliteActivityLog
from tests.servers.fixtures import migrated_database


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A fresh, migrated database."""
    opened: Database
    if request.param == "sqlite":
        opened = await SqliteDatabase.open(tmp_path / "buzz.db")
        try:
            await migrate(opened)
            yield opened
        finally:
            await opened.close()
        return
    async with migrated_database(request.getfixturevalue("postgres_server")) as url:
        opened = await PostgresDatabase.open(url)
        try:
            yield opened
        finally:
            await opened.close()


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
