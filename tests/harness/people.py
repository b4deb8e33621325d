"""The people of the test directory, written with the real migrations and read by the real node."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import closing
from pathlib import Path

from storage.migrate import migrate
from storage.sqlite.connection import connect
from storage.sqlite.database import SqliteDatabase
from tests.harness.backend import rows, write

__all__ = ["rows", "write"]

JANE, BOB, CAROL, DAVE, EVE = 456, 7, 8, 9, 13
ACME, GLOBEX = 123, 124
NAMES = {JANE: "Jane", BOB: "Bob", CAROL: "Carol", DAVE: "Dave", EVE: "Eve"}
COMPANIES = {ACME: "Acme", GLOBEX: "Globex"}
MEMBERS = ((ACME, CAROL), (ACME, DAVE))
CROWD = range(10_001, 10_201)
"""Two hundred people more, for load."""


def database_path(data_dir: Path) -> Path:
    return data_dir / "buzz.db"


def make_directory(data_dir: Path) -> Path:
    """Create a data directory whose database is migrated and has the people above. Returns it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    # A loop of its own, even if one is running, because session fixtures use this.
    asyncio.run(_migrated(database_path(data_dir)))
    people = [*NAMES.items(), *((id, f"P{id}") for id in CROWD)]
    with closing(connect(database_path(data_dir))) as connection:
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO person (id, first_name, last_name) VALUES (?, ?, 'Smith')", people)
        connection.executemany("INSERT INTO company (id, name) VALUES (?, ?)", COMPANIES.items())
        connection.executemany("INSERT INTO member (company_id, person_id) VALUES (?, ?)", MEMBERS)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return data_dir


async def _migrated(path: Path) -> None:
    database = await SqliteDatabase.open(path)
    try:
        await migrate(database)
    finally:
        await database.close()


def copy_directory(template: Path, data_dir: Path) -> Path:
    """Create a data directory with the template's database. Much cheaper than a new database."""
    data_dir.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(database_path(template), database_path(data_dir))
    return data_dir
