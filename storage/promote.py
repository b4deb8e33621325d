"""Copies a SQLite database to PostgreSQL: all rows with their ids, in one transaction, checked before the commit.

Clients keep their cursors: ids, head and epoch are the same afterwards. A rehearsal does the same and rolls it back.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from storage.errors import StorageError
from storage.migrate import migrate, steps
from storage.postgresql.connections import Connection
from storage.postgresql.database import PostgresDatabase
from storage.postgresql.dialect import NO_NUL
from storage.postgresql.durable import FOR_TRANSACTION
from storage.postgresql.errors import translated
from storage.postgresql.transactions import commit, roll_back
from storage.sqlite import connection as sqlite

CHUNK_ROWS: Final = 5_000
_STATEMENT_SECONDS: Final = 24 * 3_600.0
_NOT_COPIED: Final = ("schema_step", "party_activity", "conversation_activity", "message_key", "log_index")
_INTO: Final = re.compile(r"^INSERT INTO (\w+)", re.MULTILINE)

Progress = Callable[[str, int, int], None]
"""Called with a table's name, the rows copied of it, and how many it has."""


@dataclass(frozen=True)
class Promoted:
    """What was copied: rows by table, and the log's state."""

    rows: dict[str, int]
    epoch: str
    head_id: int


class _Column(NamedTuple):
    name: str
    kind: str


async def promote(source: Path, url: str, progress: Progress, *, rehearse: bool = False) -> Promoted:
    """Copy the SQLite database into an empty PostgreSQL database.

    With ``rehearse`` everything is copied and checked, and then rolled back; only the empty schema stays. Raises
    StorageError with the reason; then nothing was copied.
    """
    database = await PostgresDatabase.open(url, statement_seconds=_STATEMENT_SECONDS)
    try:
        await migrate(database)
        with closing(_open_source(source)) as lite:
            async with database.connection() as connection:
                with translated():
                    await connection.execute(f"BEGIN; SELECT {FOR_TRANSACTION}")
                try:
                    done = await _copy_all(lite, connection, progress)
                except BaseException:
                    await roll_back(connection)
                    raise
                if rehearse:
                    await roll_back(connection)
                    return done
                await commit(connection)
                with translated():
                    await connection.execute("ANALYZE")
        return done
    finally:
        await database.close()


def _open_source(path: Path) -> sqlite.DriverConnection:
    """Open the database as it is at this moment, however long the copy takes (one read transaction)."""
    if not path.exists():
        raise StorageError(f"There is no database at {path}.")
    try:
        connection = sqlite.connect(path, read_only=True, timeout_seconds=10)
        connection.execute("BEGIN")
        have = {number for (number,) in connection.execute("SELECT number FROM schema_step")}
    except sqlite.Error as error:
        raise StorageError(f"{path} is not a Buzz database: {error}") from error
    if have != {step.number for step in steps("sqlite")}:
        connection.close()
        raise StorageError("The SQLite database is of another release: run `run.py migrate` on it first.")
    return connection


async def _copy_all(lite: sqlite.DriverConnection, connection: Connection, progress: Progress) -> Promoted:
    tables = await _tables(lite, connection)
    with translated():
        # No other process reads or writes the target meanwhile.
        await connection.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
        if await connection.fetchval("SELECT head FROM log"):
            raise StorageError("The target database is not empty (it has a log): use an empty database.")
        await _check_empty(connection, tables)
        rows = {name: await _copy(lite, connection, name, columns, progress) for name, columns in tables.items()}
        await _continue_counting(connection)
        await _check(lite, connection, rows)
        epoch, head = await connection.fetchrow("SELECT epoch, head FROM log")
    return Promoted(rows, epoch, head)


async def _tables(lite: sqlite.DriverConnection, connection: Connection) -> dict[str, list[_Column]]:
    """Return the tables to copy with the target's columns, in the order of their foreign keys."""
    found = lite.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
    )
    tables: dict[str, list[_Column]] = {}
    for (name,) in found.fetchall():
        if name not in _NOT_COPIED:
            ours = {row[1] for row in lite.execute(f"PRAGMA table_info({name})")}
            with translated():
                theirs = [_Column(*row) for row in await connection.fetch(_COLUMNS, name)]
            if not ours <= {column.name for column in theirs}:
                raise StorageError(f"The target's table {name} has other columns: both must be of the same release.")
            tables[name] = [column for column in theirs if column.name in ours]
    return tables


async def _check_empty(connection: Connection, tables: dict[str, list[_Column]]) -> None:
    """Refuse a target that is in use; the initial rows of a fresh schema (counters) are replaced."""
    brought = {name for step in steps("postgresql") for name in _INTO.findall("\n".join(step.statements))}
    for name in reversed(tables):
        if name in brought:
            await connection.execute(f"DELETE FROM {name}")
        elif await connection.fetchval(f"SELECT EXISTS (SELECT FROM {name})"):
            raise StorageError(f"The target database is not empty ({name} has rows): use an empty database.")


async def _copy(
    lite: sqlite.DriverConnection, connection: Connection, name: str, columns: Sequence[_Column], progress: Progress
) -> int:
    names = [column.name for column in columns]
    [total] = lite.execute(f"SELECT count(*) FROM {name}").fetchone()
    copied = 0

    async def records() -> AsyncIterator[tuple[Any, ...]]:
        nonlocal copied
        cursor = lite.execute(f"SELECT {', '.join(names)} FROM {name}")
        while chunk := await asyncio.to_thread(list, islice(cursor, CHUNK_ROWS)):
            for row in chunk:
                yield tuple(map(_fitting, columns, row))
            copied += len(chunk)
            progress(name, copied, total)

    await connection.copy_records_to_table(name, records=records(), columns=names)
    return copied


def _fitting(column: _Column, value: Any) -> Any:
    """Convert a value of SQLite to the type of the target's column."""
    if value is None:
        return None
    if column.kind == "boolean":
        return bool(value)
    if isinstance(value, str):
        return value.encode() if column.kind == "bytea" else value.translate(NO_NUL)
    return value


async def _continue_counting(connection: Connection) -> None:
    """Set identity columns to continue after the highest number that was copied."""
    for table, column in await connection.fetch(_COUNTED):
        await connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'),"
            f" (SELECT coalesce(max({column}), 0) + 1 FROM {table}), false)"
        )


async def _check(lite: sqlite.DriverConnection, connection: Connection, rows: dict[str, int]) -> None:
    for name, copied in rows.items():
        there = await connection.fetchval(f"SELECT count(*) FROM {name}")
        if there != copied:
            raise StorageError(f"{name}: {copied:,} rows were copied and {there:,} are there. Nothing was promoted.")
    sums = [(what, *[f"SELECT {columns} FROM {table}"] * 2) for what, (table, columns) in _SUMS.items()]
    bytes_here, bytes_there = (f"SELECT coalesce(sum(length({text})), 0) FROM activity" for text in _BYTES)
    for what, ours, theirs in (*sums, ("The messages' bytes", bytes_here, bytes_there)):
        here, there = tuple(lite.execute(ours).fetchone()), tuple(await connection.fetchrow(theirs))
        if here != there:
            raise StorageError(f"{what}: {here} here, {there} there. Nothing was promoted.")


_COLUMNS: Final = """
    SELECT column_name, data_type FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"""
_COUNTED: Final = """
    SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema = current_schema() AND is_identity = 'YES'"""
_SUMS: Final = {
    "The activities": (
        "activity",
        "count(*), coalesce(max(id), 0), coalesce(sum(id % 1000003), 0), coalesce(sum(sender % 1000003), 0),"
        " coalesce(sum(receiver % 1000003), 0), coalesce(sum(conversation % 1000003), 0)",
    ),
    "The conversations": (
        "conversation",
        "count(*), coalesce(sum(id % 1000003), 0), coalesce(sum(low % 1000003), 0), coalesce(sum(high % 1000003), 0)",
    ),
    "How far conversations were read": ("read_mark", "count(*), coalesce(sum(about % 1000003), 0)"),
    "The log's epoch and head": ("log", "epoch, head"),
}
"""What must be the same on both sides: as ``(table, columns)``, in SQL that both take."""
_BYTES: Final = ("CAST(message AS BLOB)", "message")
