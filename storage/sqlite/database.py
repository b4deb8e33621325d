"""SQLite: one connection writes and checkpoints, a few only read.

The connections are apsw's (``storage/sqlite/connection.py``), each in the thread that aiosqlite gives it. Readers are
``query_only`` and never checkpoint; only the writer does: it knows when no commit waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import aiosqlite

from storage.database import Lane, Row, Value
from storage.errors import StorageConflict, StorageError, StorageUnavailable
from storage.sqlite import connection as driver
from storage.sqlite.connection import DriverConnection

T = TypeVar("T")
READERS = 3
"""Connections that only read, unless the opener says another number."""

_CACHE_KIB = 65_536
_READER_CACHE_KIB = 4_096
"""A long scan fills a reader's cache and never comes back to it; the system caches the file anyway."""
_ANALYSIS_LIMIT = 1_000
"""Rows of each index that the planner's statistics look at. With a limit SQLite keeps no samples of them (table
``sqlite_stat4``): a sample is a copy of a row's key, such as a phone number, which an erasure would not reach."""
_CHECKPOINT_PAGES = 16_000
"""The WAL goes back into the database file by itself after 64 MB; the log asks for it earlier, between commits."""


class SqliteConnection(aiosqlite.Connection):
    """aiosqlite's connection with one more method: it runs a whole function in one call to its thread."""

    async def run(self, function: Callable[[DriverConnection], T]) -> T:
        """Run ``function(connection)`` in the connection's thread; driver errors are raised as storage errors."""
        with _translated():
            result: T = await self._execute(function, self._conn)  # type: ignore[no-untyped-call]
            return result

    def send(self, function: Callable[[DriverConnection], None]) -> asyncio.Future[None]:
        """Queue ``function(connection)`` for the thread at once: it runs, in order, even if the caller is cancelled."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((future, partial(function, cast(DriverConnection, self._conn))))
        return future


@contextmanager
def _translated() -> Any:
    try:
        yield
    except driver.CONFLICTS as error:
        raise StorageConflict(str(error)) from error
    except driver.FAILURES as error:
        raise StorageUnavailable(f"SQLite: {error}") from error
    except driver.Error as error:
        raise StorageError(f"SQLite: {error}") from error


class SqliteTransaction:
    """Statements on the writing connection between BEGIN and COMMIT."""

    def __init__(self, connection: SqliteConnection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *parameters: Value) -> list[Row]:
        return await self._connection.run(lambda c: c.execute(sql, parameters).fetchall())

    async def execute(self, sql: str, *parameters: Value) -> int:
        return await self._connection.run(lambda c: _changed(c, sql, parameters))

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        await self._connection.run(lambda c: _all(c, sql, rows))


class SqliteDatabase:
    """One SQLite file."""

    dialect: Literal["sqlite"] = "sqlite"

    def __init__(self, writer: SqliteConnection, readers: Sequence[SqliteConnection], stack: AsyncExitStack) -> None:
        self._writer = writer
        self._readers: asyncio.Queue[SqliteConnection] = asyncio.Queue()
        for reader in readers:
            self._readers.put_nowait(reader)
        self._writing = asyncio.Lock()
        self._stack = stack

    @classmethod
    async def open(cls, path: Path, readers: int = READERS) -> SqliteDatabase:
        """Open (or create) the file. Raises StorageUnavailable if it can't be opened or is no database."""
        async with AsyncExitStack() as stack:
            writer = await stack.enter_async_context(_connection(path, _WRITER_PRAGMAS))
            reading = [await stack.enter_async_context(_connection(path, _READER_PRAGMAS)) for _ in range(readers)]
            return cls(writer, reading, stack.pop_all())

    async def fetch(self, sql: str, *parameters: Value) -> list[Row]:
        return await self.read(lambda c: c.execute(sql, parameters).fetchall())

    async def read(self, function: Callable[[DriverConnection], T]) -> T:
        """Run ``function`` on a reading connection, in one call to its thread."""
        reader = await self._readers.get()
        try:
            return await reader.run(function)
        finally:
            self._readers.put_nowait(reader)

    async def write(self, function: Callable[[DriverConnection], T]) -> T:
        """Run ``function`` as one durable transaction, in one call to the writer's thread."""
        async with self._writing:
            return await self._writer.run(lambda c: _in_transaction(c, function))

    async def execute(self, sql: str, *parameters: Value) -> int:
        return await self.write(lambda c: _changed(c, sql, parameters))

    async def returning(self, sql: str, *parameters: Value) -> list[Row]:
        return await self.write(lambda c: c.execute(sql, parameters).fetchall())

    @asynccontextmanager
    async def transaction(self, lane: Lane = Lane.SUBJECTS) -> AsyncIterator[SqliteTransaction]:
        async with self._writing:
            try:
                await self._writer.run(lambda c: c.execute("BEGIN IMMEDIATE"))
                yield SqliteTransaction(self._writer)
            except BaseException:
                # Not as a task: if it were cancelled before it begins, the transaction would stay open for ever.
                with _translated():
                    await asyncio.shield(self._writer.send(_rollback))
                raise
            await self._writer.run(_commit)

    async def ping(self) -> None:
        await self.fetch("SELECT 1")

    async def checkpoint(self) -> bool:
        """Checkpoint the WAL and truncate it, so that no old data is left in it. False if a reader prevented it."""
        async with self._writing:
            [(busy, _, _)] = await self._writer.run(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        return not busy

    async def fold(self, least_pages: int = 0) -> None:
        """Checkpoint what no reader needs of the WAL, if it has so many pages; the file is not truncated."""
        async with self._writing:
            await self._writer.run(lambda c: _fold(c, least_pages))

    async def close(self) -> None:
        """Checkpoint the WAL, refresh the planner's statistics, close every connection and end its thread."""
        async with self._writing:
            try:
                await self._writer.run(_retire)
            finally:
                await self._stack.aclose()


_WRITER_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    f"PRAGMA cache_size=-{_CACHE_KIB}",
    f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}",
    "PRAGMA secure_delete=ON",
    "PRAGMA temp_store=MEMORY",
    f"PRAGMA analysis_limit={_ANALYSIS_LIMIT}",
)
_READER_PRAGMAS = ("PRAGMA wal_autocheckpoint=0", f"PRAGMA cache_size=-{_READER_CACHE_KIB}", "PRAGMA query_only=ON")


@asynccontextmanager
async def _connection(path: Path, pragmas: Sequence[str]) -> AsyncIterator[SqliteConnection]:
    # aiosqlite's type names the standard library's connection; it calls nothing of it but ``close``.
    connection = SqliteConnection(cast(Any, partial(driver.connect, path)), iter_chunk_size=1)
    # A thread that is waiting for work must never keep the process from ending.
    connection._thread.daemon = True  # noqa: SLF001 - aiosqlite has no option for it
    try:
        with _translated():
            await connection
    except BaseException:
        await asyncio.to_thread(connection._thread.join)  # noqa: SLF001 - aiosqlite ends the thread and does not wait
        raise
    try:
        await connection.run(lambda c: [c.execute(pragma).fetchall() for pragma in pragmas])
        yield connection
    finally:
        await connection.close()


def _changed(connection: DriverConnection, sql: str, parameters: Sequence[Value]) -> int:
    connection.execute(sql, parameters)
    return connection.changes()


def _all(connection: DriverConnection, sql: str, rows: Sequence[Sequence[Value]]) -> None:
    connection.executemany(sql, rows)


def _in_transaction(connection: DriverConnection, function: Callable[[DriverConnection], T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = function(connection)
        connection.execute("COMMIT")
    except BaseException:
        _rollback(connection)
        raise
    return result


def _commit(connection: DriverConnection) -> None:
    try:
        connection.execute("COMMIT")
    except BaseException:
        _rollback(connection)
        raise


def _rollback(connection: DriverConnection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _fold(connection: DriverConnection, least_pages: int) -> None:
    # NOOP only tells how many pages the WAL has, and how many of them are in the database file already.
    _, pages, folded = connection.execute("PRAGMA wal_checkpoint(NOOP)").fetchone()
    if pages - folded >= least_pages:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _retire(connection: DriverConnection) -> None:
    connection.execute("PRAGMA optimize")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
