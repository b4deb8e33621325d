"""Backups of a running node's SQLite database, in a folder of the data directory."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from protocol.errors import ApiError, ErrorCode
from storage.data_dir import BACKUP_FOLDER, DATABASE_NAME
from storage.database import Database
from storage.sqlite import files as sqlite_files


class Backup(msgspec.Struct, frozen=True):
    """One backup."""

    name: str
    """The file's name in the folder `backups` of the data directory."""
    bytes: int
    """Its size."""


class Backups:
    """Makes backups. The API accepts no path, so that a client can't choose where files are written."""

    def __init__(self, data_dir: Path, database: Database) -> None:
        self._data_dir = data_dir
        self._database = database

    async def make(self) -> Backup:
        """Copy the database as it is now, while it is in use. Raises ApiError(conflict), StorageError."""
        if self._database.dialect != "sqlite":
            raise ApiError(ErrorCode.CONFLICT, "Conflict: the database is PostgreSQL: back it up with pg_dump.")
        name = f"buzz-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}.db"
        return Backup(name, await asyncio.to_thread(self._copy, name))

    def _copy(self, name: str) -> int:
        folder = self._data_dir / BACKUP_FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        return sqlite_files.copy(self._data_dir / DATABASE_NAME, folder / name)
