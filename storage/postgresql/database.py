"""PostgreSQL: implements ``storage/database.py`` with a pool of connections.

A single statement is its own transaction and waits for no lane; several statements run in a lane, see
``storage/postgresql/transactions.py``. The log, which must scale further, has its own code in
``storage/postgresql/log.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar

import asyncpg
import structlog

from storage.database import Lane, Row, Value
from storage.errors import OutcomeUnknown, StorageUnavailable
from storage.postgresql.connections import CONNECT_SECONDS, Backoff, Connection, address, drop, give_back, open_pool
from storage.postgresql.dialect import changed_rows, numbered, rows, storable
from storage.postgresql.errors import ConnectionLost, committing, connect_error, translated
from storage.postgresql.server_checks import examine
from storage.postgresql.transactions import (
    SILENT_OWNERS,
    LaneLocks,
    PostgresTransaction,
    alone,
    begin,
    commit,
    resolve,
    roll_back,
)

T = TypeVar("T")

STATEMENT_SECONDS = 10.0
"""Longest wait for a statement that says nothing else: every statement has an end."""
WRITE_SECONDS = 5.0
"""Longest wait for a writing statement that is its own transaction."""
_logger = structlog.get_logger("postgres")
_STATUS = "SELECT pg_xact_status(CAST(CAST(? AS TEXT) AS xid8))"


class PostgresDatabase:
    """One PostgreSQL database. Connections are opened when they are needed, and again when they were lost."""

    dialect: Literal["postgresql"] = "postgresql"

    def __init__(self, pool: Any, where: str, *, pooled: bool) -> None:
        self.pooled = pooled
        self._pool = pool
        self._where = where
        self._backoff = Backoff()
        self._turns = LaneLocks()

    @classmethod
    async def open(
        cls, url: str, connections: int = 10, statement_seconds: float = STATEMENT_SECONDS
    ) -> PostgresDatabase:
        """Connect and check that this server is suitable. Raises StorageError that says what to change.

        ``connections``: how many this process has at most. ``statement_seconds``: the limit of a statement that has no
        other.
        """
        pooled = await examine(url)
        pool = await open_pool(url, connections, statement_seconds, pooled=pooled)
        return cls(pool, address(url), pooled=pooled)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Take a connection from the pool until the block ends. Raises StorageUnavailable if none is available."""
        connection = await self.acquire()
        try:
            yield connection
        except BaseException as error:
            await self.release(connection, error)
            raise
        await self.release(connection)

    async def read(self, function: Callable[[Connection], Awaitable[T]]) -> T:
        """Run reads on a connection; repeat them once on a new one if the first was lost."""
        try:
            return await self._read_once(function)
        except ConnectionLost:
            await self.renew()
            return await self._read_once(function)

    async def fetch(self, sql: str, *parameters: Value) -> list[Row]:
        statement, values = numbered(sql), storable(parameters)
        return rows(await self.read(lambda c: c.fetch(statement, *values)))

    async def execute(self, sql: str, *parameters: Value, seconds: float = WRITE_SECONDS) -> int:
        statement, values = numbered(sql), storable(parameters)
        return changed_rows(await self._write(lambda c: c.execute(statement, *values, timeout=seconds), seconds))

    async def returning(self, sql: str, *parameters: Value, seconds: float = WRITE_SECONDS) -> list[Row]:
        statement, values = numbered(sql), storable(parameters)
        return rows(await self._write(lambda c: c.fetch(statement, *values, timeout=seconds), seconds))

    @asynccontextmanager
    async def transaction(self, lane: Lane = Lane.SUBJECTS) -> AsyncIterator[PostgresTransaction]:
        async with self._turns.turn(lane), self._begun(lane) as (connection, transaction, number):
            try:
                yield transaction
            except BaseException:
                await roll_back(connection)
                raise
            await self._commit(connection, number)

    async def ping(self) -> None:
        await self.fetch("SELECT 1")

    async def close(self) -> None:
        """Wait briefly for connections to be released, then close them all."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._pool.close()
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._pool.terminate()

    async def acquire(self) -> Connection:
        """Return a connection, which the caller must :meth:`release`. Raises StorageUnavailable."""
        self._backoff.check(self._where)
        try:
            connection = await self._pool.acquire(timeout=CONNECT_SECONDS)
        except StorageUnavailable as error:
            self._backoff.failed(str(error))
            raise
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            # TimeoutError is an OSError: nothing answered, or every connection is in use for too long.
            refused = connect_error(error, self._where)
            self._backoff.failed(str(refused))
            raise StorageUnavailable(str(refused)) from error
        self._backoff.succeeded(self._where)
        return connection

    async def release(self, connection: Connection, error: BaseException | None = None) -> None:
        """Release a connection; after an error that leaves its state uncertain it is closed instead."""
        await give_back(self._pool, connection, error)

    async def renew(self) -> None:
        """Stop using all present connections: after one was lost, the others probably are too."""
        await self._pool.expire_connections()

    @asynccontextmanager
    async def _begun(self, lane: Lane) -> AsyncIterator[tuple[Connection, PostgresTransaction, str]]:
        """Begin a transaction on a connection, or on a new one if the first was lost."""
        connection = await self.acquire()
        try:
            try:
                transaction, number = await self._begin(connection, lane)
            except ConnectionLost as error:
                await self.release(connection, error)
                await self.renew()
                connection = await self.acquire()
                transaction, number = await self._begin(connection, lane)
            yield connection, transaction, number
        except BaseException as error:
            await self.release(connection, error)
            raise
        await self.release(connection)

    async def _begin(self, connection: Connection, lane: Lane) -> tuple[PostgresTransaction, str]:
        return await begin(connection, lane, pooled=self.pooled, end_silent_owners=self._end_silent_owners)

    async def _end_silent_owners(self) -> None:
        ended = await self.fetch(SILENT_OWNERS)
        if ended:
            _logger.warning("ended transactions of nodes that were silent", count=len(ended))

    async def _commit(self, connection: Connection, number: str) -> None:
        try:
            await commit(connection)
        except OutcomeUnknown as error:
            drop(connection)
            await self.renew()
            await resolve(error, lambda: self._status(number))

    async def _status(self, number: str) -> str | None:
        [(status,)] = await self.fetch(_STATUS, number)
        return None if status is None else str(status)

    async def _write(self, function: Callable[[Connection], Awaitable[T]], seconds: float) -> T:
        """Run a statement that commits by itself; repeat it once on a new connection if the first was lost."""
        try:
            return await self._write_once(function, seconds)
        except OutcomeUnknown:
            await self.renew()
            return await self._write_once(function, seconds)

    async def _write_once(self, function: Callable[[Connection], Awaitable[T]], seconds: float) -> T:
        with committing():
            async with self.connection() as connection:
                return await (alone(connection, seconds, function) if self.pooled else function(connection))

    async def _read_once(self, function: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            with translated():
                async with self.connection() as connection:
                    return await function(connection)
        except StorageUnavailable as error:
            if isinstance(error.__cause__, TimeoutError):
                await self.renew()
            raise
