"""Opens the database: SQLite in the data directory, or PostgreSQL if an address is given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from storage.contract import ActivityLog
from storage.data_dir import DATABASE_NAME
from storage.database import Database
from storage.sqlite.database import SqliteDatabase
from storage.sqlite.log import SqliteActivityLog


@asynccontextmanager
async def open_storage(
    data_dir: Path, database_url: str | None, connections: int = 10
) -> AsyncIterator[tuple[Database, ActivityLog]]:
    """Open the database and its log, without migrating, until the block ends. Raises StorageError."""
    async with AsyncExitStack() as stack:
        database: Database
        log: ActivityLog
        if database_url is None:
            sqlite = await SqliteDatabase.open(data_dir / DATABASE_NAME)
            database, log = sqlite, SqliteActivityLog(sqlite)
        else:
            # With SQLite the driver of PostgreSQL is not imported.
            from storage.postgresql.database import PostgresDatabase
            from storage.postgresql.log import PostgresActivityLog

            postgres = await PostgresDatabase.open(database_url, connections)
            database, log = postgres, PostgresActivityLog(postgres)
        stack.push_async_callback(database.close)
        stack.push_async_callback(log.close)
        yield database, log
