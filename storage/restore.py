"""Restores a backup: it is checked, migrated and given a new epoch before it is put in place.

PostgreSQL is restored with its own programs; then only its log needs to begin a new history.
"""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from storage.accounts import AccountStore
from storage.contract import ActivityLog
from storage.data_dir import DATABASE_NAME
from storage.database import Database
from storage.errors import StorageError
from storage.migrate import migrate
from storage.push.registrations import PushStore
from storage.sqlite import files as sqlite_files
from storage.sqlite.database import SqliteDatabase
from storage.sqlite.log import SqliteActivityLog


class NewHistory(NamedTuple):
    """The log's new epoch, its newest id, and how many devices had confirmed a later id that is lost."""

    epoch: str
    head_id: int
    devices_set_back: int


class Restored(NamedTuple):
    """The restored database. ``previous``: where the replaced database is kept; None if there was none."""

    epoch: str
    head_id: int
    devices_set_back: int
    previous: Path | None


class Held(NamedTuple):
    """What a database file contains, so that operators can tell files apart."""

    head_id: int


def held(path: Path) -> Held | None:
    """Return what this file contains; None if it does not exist. Raises StorageError if it is no database of Buzz."""
    if not path.is_file():
        return None
    with sqlite_files.read_only(path) as connection:
        [head_id] = connection.execute("SELECT head FROM log").fetchone()
    return Held(head_id)


async def restore(source: Path, data_dir: Path) -> Restored:
    """Make a backup the database of a data directory that the caller holds.

    Raises StorageError if the backup is damaged or no database of Buzz, SchemaTooNew if a newer release made it. If
    anything is raised, the present database stays in place.
    """
    await asyncio.to_thread(_check, source)
    path = data_dir / DATABASE_NAME
    with tempfile.TemporaryDirectory(prefix=".restoring-", dir=data_dir) as folder:
        fresh = Path(folder) / DATABASE_NAME
        await asyncio.to_thread(sqlite_files.copy, source, fresh)
        history = await _begin_in_file(fresh)
        aside = path.with_name(f"{path.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
        previous = aside if path.exists() else None
        await asyncio.to_thread(sqlite_files.put_in_place, fresh, path, aside)
    return Restored(*history, previous)


async def begin_new_history(database: Database, log: ActivityLog) -> NewHistory:
    """Migrate a database that was put back to an earlier time, and renew the epoch, so that clients catch up from 0.

    What devices have received and what they were pushed is lowered to the log's head: later ids are given out again.
    Raises SchemaTooNew, StorageError.
    """
    await migrate(database)
    epoch = await log.renew_epoch()
    head_id = (await log.state()).head
    await PushStore(database).clamp(head_id)
    return NewHistory(epoch, head_id, await AccountStore(database).clamp_received(head_id))


def _check(source: Path) -> None:
    if not source.is_file():
        raise StorageError(f"There is no file {source}.")
    found = sqlite_files.faults(source)
    if found:
        raise StorageError(f"{source} is damaged, nothing was changed: {found[0]}")
    with sqlite_files.read_only(source) as connection:
        sql = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('schema_step', 'log', 'activity')"
        [tables] = connection.execute(sql).fetchone()
    if tables != 3:
        raise StorageError(f"{source} is not a backup of Buzz: it lacks the tables of the log.")


async def _begin_in_file(path: Path) -> NewHistory:
    database = await SqliteDatabase.open(path)
    try:
        return await begin_new_history(database, SqliteActivityLog(database))
    finally:
        await database.close()
