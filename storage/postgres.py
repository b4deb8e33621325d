"""PostgreSQL: a pool of connections under the contract of ``storage/database.py``.

Writing transactions of the subject stores run one at a time, behind an advisory lock that goes with their commit: the
stores are written once for both databases, and on SQLite there is one writer as well. What must scale beyond that (the
log) has its own way, see ``storage/postgres_log.py``.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import structlog

from storage.database import Row, Value
from storage.errors import StorageConflict, StorageError, StorageUnavailable
from storage.postgres_errors import READ_ONLY, ConnectionLost, at_the_door, committing, translated
from storage.postgres_sql import changed_rows, for_each, numbered, storable

T = TypeVar("T")

OLDEST_VERSION = 14
CONNECT_SECONDS = 5.0
STATEMENT_SECONDS = 30.0
"""Longest wait for one statement of a request. Schema steps and copies have none."""
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
_BACKOFF_SECONDS = (0.05, 2.0)
"""Between two tries to connect to a server that is down: from, up to. Meanwhile whoever asks is refused at once."""
_BEGIN_ALONE = "BEGIN; SELECT pg_advisory_xact_lock(1115847290, 1)"  # 0x42757A7A, "Buzz"
_SESSION = {
    "application_name": "buzz",
    "jit": "off",
    # A node that vanishes must not keep the log's lock: the server notices within seconds and ends its transaction.
    "idle_in_transaction_session_timeout": "30s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20s",
    "client_connection_check_interval": "5s",
}
_DURABLE = """
    SELECT set_config('synchronous_commit', CASE WHEN mode IN ('off', 'local') THEN 'on' ELSE mode END, false)
    FROM current_setting('synchronous_commit') AS mode"""
_log = structlog.get_logger("postgres")

Connection = Any
"""An asyncpg connection; the driver has no types."""


class PostgresTransaction:
    """Statements on one connection between BEGIN and COMMIT."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def fetch(self, sql: str, *parameters: Value) -> list[Row]:
        with translated():
            return rows(await self._connection.fetch(numbered(sql), *storable(parameters)))

    async def execute(self, sql: str, *parameters: Value) -> int:
        with translated():
            return changed_rows(await self._connection.execute(numbered(sql), *storable(parameters)))

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        with translated():
            await self._connection.executemany(numbered(sql), [storable(row) for row in rows])


class PostgresDatabase:
    """One PostgreSQL database. Connections are made when they are needed, and again when they were lost."""

    dialect: Literal["postgresql"] = "postgresql"

    def __init__(self, pool: Any, where: str) -> None:
        self._pool = pool
        self._where = where
        self._backoff = _Backoff()

    @classmethod
    async def open(cls, url: str, connections: int = 10) -> PostgresDatabase:
        """Connect and check that this server will do. Raises StorageError that says what to change.

        ``connections``: how many this process has at most.
        """
        where = address(url)
        await _checked(url, where)
        pool = await asyncpg.create_pool(
            url,
            min_size=0,
            max_size=connections,
            timeout=CONNECT_SECONDS,
            statement_cache_size=512,
            max_cached_statement_lifetime=0,
            server_settings=_SESSION,
            target_session_attrs="read-write",
            connection_class=_Connection,
            connect=_connect,
        )
        return cls(pool, where)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection from the pool. Raises StorageUnavailable if there is none to be had."""
        connection = await self.acquire()
        try:
            yield connection
        except BaseException as error:
            await self.release(connection, error)
            raise
        await self.release(connection)

    async def read(self, function: Callable[[Connection], Awaitable[T]]) -> T:
        """Run reads on a connection; once more on a new one if the first turns out to be lost."""
        try:
            return await self._read_once(function)
        except ConnectionLost:
            # Where one was cut the others were as well, whether they know it yet or not.
            await self._pool.expire_connections()
            return await self._read_once(function)

    async def fetch(self, sql: str, *parameters: Value) -> list[Row]:
        statement, values = numbered(sql), storable(parameters)
        return rows(await self.read(lambda c: c.fetch(statement, *values, timeout=STATEMENT_SECONDS)))

    async def fetch_each(self, sql: str, parameters: Sequence[Sequence[Value]]) -> list[list[Row]]:
        if len(parameters) <= 1:
            return [await self.fetch(sql, *each) for each in parameters]
        found: list[list[Row]] = [[] for _ in parameters]
        for number, *row in await self.read(lambda c: _fetch_each(c, sql, parameters)):
            found[number - 1].append(tuple(row))
        return found

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresTransaction]:
        async with self._begun() as connection:
            try:
                yield PostgresTransaction(connection)
            except BaseException:
                await roll_back(connection)
                raise
            await commit(connection)

    async def ping(self) -> None:
        await self.fetch("SELECT 1")

    async def close(self) -> None:
        """Give connections a moment to be given back, then close them all."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._pool.close()
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._pool.terminate()

    async def acquire(self) -> Connection:
        """A connection to keep for a while; give it back with :meth:`release`. Raises StorageUnavailable."""
        self._backoff.check(self._where)
        try:
            connection = await self._pool.acquire(timeout=CONNECT_SECONDS)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            # TimeoutError is an OSError: nothing answered, or every connection is in use for too long.
            refused = at_the_door(error, self._where)
            self._backoff.failed(str(refused))
            raise StorageUnavailable(str(refused)) from error
        self._backoff.succeeded(self._where)
        return connection

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator[Connection]:
        """A connection with a transaction begun: on a new one if the first turns out to be lost."""
        connection = await self.acquire()
        try:
            try:
                await self._begin(connection)
            except ConnectionLost as error:
                await self.release(connection, error)
                await self._pool.expire_connections()
                connection = await self.acquire()
                await self._begin(connection)
            yield connection
        except BaseException as error:
            await self.release(connection, error)
            raise
        await self.release(connection)

    @staticmethod
    async def _begin(connection: Connection) -> None:
        with translated():
            await connection.execute(_BEGIN_ALONE)

    async def _read_once(self, function: Callable[[Connection], Awaitable[T]]) -> T:
        with translated():
            async with self.connection() as connection:
                return await function(connection)

    async def release(self, connection: Connection, error: BaseException | None = None) -> None:
        """Give a connection back; after an error that leaves it in doubt it is not used again."""
        if error is not None and _in_doubt(error) and is_open(connection):
            connection.terminate()
        await self._pool.release(connection, timeout=CONNECT_SECONDS)


def is_open(connection: Connection) -> bool:
    """Whether a connection that was acquired earlier can still be used."""
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        return False  # it was lost, and the pool has taken it back already


def _in_doubt(error: BaseException) -> bool:
    """It timed out or was cancelled half-way, or the server there is no longer the primary."""
    causes = (error, error.__cause__)
    halfway = any(isinstance(each, TimeoutError | asyncio.CancelledError) for each in causes)
    return halfway or any(getattr(each, "sqlstate", None) == READ_ONLY for each in causes)


async def commit(connection: Connection) -> None:
    """End a transaction well. Raises OutcomeUnknown, StorageConflict, StorageUnavailable."""
    with committing():
        status = await connection.execute("COMMIT", timeout=STATEMENT_SECONDS)
    if status != "COMMIT":
        raise StorageConflict("a statement of the transaction had failed: it was rolled back as a whole")


async def roll_back(connection: Connection) -> None:
    """Undo a transaction; a connection that can't even do that is dropped, which undoes it as well."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await connection.execute("ROLLBACK")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        connection.terminate()
    except asyncio.CancelledError:
        connection.terminate()
        raise


def rows(records: Sequence[Any]) -> list[Row]:
    """asyncpg's records as plain tuples."""
    return list(map(tuple, records))


def address(url: str) -> str:
    """``host:port/database`` of a URL: what may be shown, without user and password."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2] or 'localhost'}{parts.path}"


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """Nothing here changes a session's settings, so there is nothing to reset: one round trip less at each release."""

    __slots__ = ()

    def get_reset_query(self) -> str:
        return ""


async def _connect(*arguments: Any, **options: Any) -> Connection:
    """As ``asyncpg.connect``, to its end: when that is cancelled half-way it leaves an exception that nobody takes."""
    connecting = asyncio.create_task(_durable(*arguments, **options), name="postgres: connect")
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        await asyncio.wait([connecting])
        if not connecting.cancelled() and connecting.exception() is None:
            connecting.result().terminate()
        raise


async def _durable(*arguments: Any, **options: Any) -> Connection:
    """Connect, and have each commit wait for the disk for as long as the connection lives.

    The server's, the database's and the role's defaults may say otherwise, or be changed to later; a session's own
    setting goes before all of them. Whatever is stronger than "on" stays as the operator has set it.
    """
    connection = await asyncpg.connect(*arguments, **options)
    try:
        await connection.execute(_DURABLE, timeout=CONNECT_SECONDS)
    except BaseException:
        connection.terminate()
        raise
    return connection


class _Backoff:
    """Who asks while a server is down is refused at once; a try to connect is made at growing intervals."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._next_try = 0.0
        self._reason = ""

    def check(self, where: str) -> None:
        if self._seconds and time.monotonic() < self._next_try:
            raise StorageUnavailable(self._reason or f"PostgreSQL at {where} can't be reached")

    def failed(self, reason: str) -> None:
        if not self._seconds:
            _log.error("database lost", reason=reason)
        self._reason = reason
        self._seconds = min(max(self._seconds * 2, _BACKOFF_SECONDS[0]), _BACKOFF_SECONDS[1])
        self._next_try = time.monotonic() + self._seconds

    def succeeded(self, where: str) -> None:
        if self._seconds:
            self._seconds = 0.0
            _log.info("database back", where=where)


async def _fetch_each(connection: Connection, sql: str, parameters: Sequence[Sequence[Value]]) -> list[Any]:
    prepared = await connection.prepare(numbered(sql))
    types = tuple(kind.name for kind in prepared.get_parameters())
    columns = [storable(column) for column in zip(*parameters, strict=True)]
    found: list[Any] = await connection.fetch(for_each(sql, types), *columns, timeout=STATEMENT_SECONDS)
    return found


async def _checked(url: str, where: str) -> None:
    """Connect once and look whether this server will do."""
    _check_files(url)
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS, target_session_attrs="read-write")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise at_the_door(error, where) from error
    except (OSError, ValueError, TypeError, KeyError, AssertionError) as error:
        raise at_the_door(error, where) from error
    try:
        with translated():
            await _check(connection, where)
    finally:
        connection.terminate()


def _check_files(url: str) -> None:
    """What the URL names has to be there: what the driver says of it names no file."""
    for name, value in parse_qsl(urlsplit(url).query):
        if name in _FILES and not os.access(value, os.R_OK):
            raise StorageError(f"database_url: {name} names {value}, which can't be read")


async def _check(connection: Connection, where: str) -> None:
    version = connection.get_server_version()
    if version.major < OLDEST_VERSION:
        raise StorageError(f"PostgreSQL at {where} is version {version.major}; Buzz needs {OLDEST_VERSION} or later")
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding not in ("UTF8", "UTF-8"):
        raise StorageError(f"the database at {where} has the encoding {encoding}; create it with ENCODING 'UTF8'")
    if await connection.fetchval("SHOW fsync") != "on":
        _log.warning("fsync is off: what this server acknowledges is lost in a power cut", where=where)
