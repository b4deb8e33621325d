"""SQLite files with the current schema and no data: migrated once for the process, then copied for each test.

A migration takes fifty milliseconds of the processor and as many writes to the disk as it has steps. What migrations do
is tested in `tests/contract/test_schema.py`, on files of their own.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from storage.migrate import migrate
from storage.sqlite.connection import connect
from storage.sqlite.database import READERS, SqliteDatabase

_NEW_EPOCH: Final = "UPDATE log SET epoch = lower(hex(randomblob(8)))"
_migrated: list[bytes] = []
"""The file's content, once a test has asked for it."""


async def migrated_file(path: Path) -> Path:
    """Create a file with the current schema and an epoch of its own, and the folders above it. Returns its path."""
    if not _migrated:
        _migrated.append(await _made())
    _copy(_migrated[0], path)
    return path


async def migrated_sqlite(path: Path, readers: int = READERS) -> SqliteDatabase:
    """Create such a file and open it."""
    return await SqliteDatabase.open(await migrated_file(path), readers)


def _copy(content: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(_NEW_EPOCH)


async def _made() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "buzz.db"
        database = await SqliteDatabase.open(path)
        try:
            await migrate(database)
        finally:
            await database.close()
        return path.read_bytes()
