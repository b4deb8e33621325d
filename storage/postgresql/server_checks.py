"""Checks whether Buzz can use a PostgreSQL server, before a pool of connections to it is opened.

Some products understand PostgreSQL's protocol, but their advisory locks do nothing. On them, transactions of several
nodes would not exclude one another, and nobody would notice. So the locks are tried, on two connections. The same
connections show whether a connection pooler is in between, and whether prepared statements survive in it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import structlog

from storage.errors import StorageError, StorageUnavailable
from storage.postgresql.connections import Connection, address, connect_once, is_pooled
from storage.postgresql.errors import DRIVER_ERRORS, connect_error, translated
from storage.postgresql.transactions import LOCK_CLASS

OLDEST_VERSION: Final = 14
_FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
_WITHOUT_LOCKS: Final = ("CockroachDB",)
"""What ``version()`` says of products whose advisory locks are known to do nothing."""
_TRIES: Final = 10
_PID: Final = "SELECT pg_backend_pid()"
_TAKE: Final = f"""
    SELECT pg_advisory_xact_lock({LOCK_CLASS}, $1::integer), pg_advisory_xact_lock_shared({LOCK_CLASS}, $2::integer)"""
_TRY: Final = f"""
    SELECT pg_try_advisory_xact_lock({LOCK_CLASS}, $1::integer),
        pg_try_advisory_xact_lock_shared({LOCK_CLASS}, $1::integer),
        pg_try_advisory_xact_lock({LOCK_CLASS}, $2::integer),
        pg_try_advisory_xact_lock_shared({LOCK_CLASS}, $2::integer)"""
_WHILE_TAKEN: Final = (False, False, False, True)
_WHILE_FREE: Final = (True, True, True, True)
_NO_SUCH_FUNCTION: Final = ("0A000", "42883")
_NO_SUCH_STATEMENT: Final = "26000"
_logger = structlog.get_logger("postgres")


async def examine(url: str) -> bool:
    """Return whether the server is reached over a connection pooler.

    Raises StorageError if Buzz can't use the server, or the pooler; it says why and what to change.
    """
    where = address(url)
    _check_files(url)
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(_connected(url, where))
        with translated():
            product = await _product(one)
            _check_product(one, product, where)
            await _check_settings(one, where)
            pooled = await is_pooled(one)
        other = await stack.enter_async_context(_connected(url, where))
        with _second_connection(pooled, where), translated():
            if pooled:
                await _check_pooler(one, other, where)
            await _check_locks(one, other, product, where)
    return pooled


@asynccontextmanager
async def _connected(url: str, where: str) -> AsyncIterator[Connection]:
    try:
        connection = await connect_once(url)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise connect_error(error, where) from error
    except (OSError, ValueError, TypeError, KeyError, AssertionError) as error:
        raise connect_error(error, where) from error
    try:
        yield connection
    finally:
        connection.terminate()


def _check_files(url: str) -> None:
    """Check that the files named in the URL exist, because the driver's own error names no file."""
    for name, value in parse_qsl(urlsplit(url).query):
        if name in _FILES and not os.access(value, os.R_OK):
            raise StorageError(f"database_url: {name} names {value}, which can't be read")


async def _product(connection: Connection) -> str:
    """Return what the server says it is; the number of its version is known even if it does not answer."""
    try:
        return str(await connection.fetchval("SELECT version()"))
    except DRIVER_ERRORS:
        return "unknown"


def _check_product(connection: Connection, product: str, where: str) -> None:
    for name in _WITHOUT_LOCKS:
        if name in product:
            raise _without_locks(where, product, "they do nothing there")
    version = connection.get_server_version()
    if version.major < OLDEST_VERSION:
        raise StorageError(
            f"PostgreSQL at {where} is version {version.major}; Buzz needs {OLDEST_VERSION} or later"
            f" (it says it is {_short(product)})"
        )


async def _check_settings(connection: Connection, where: str) -> None:
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding not in ("UTF8", "UTF-8"):
        raise StorageError(f"the database at {where} has the encoding {encoding}; create it with ENCODING 'UTF8'")
    if await connection.fetchval("SHOW fsync") != "on":
        _logger.warning("fsync is off: a power failure loses acknowledged activities", where=where)


# --- advisory locks ---------------------------------------------------------------------------------------------------


async def _check_locks(one: Connection, other: Connection, product: str, where: str) -> None:
    """Take a lock on one connection, and see that another gets it only when it is free again."""
    keys = [2**30 + secrets.randbelow(2**30) for _ in range(2)]
    try:
        async with _transaction(one):
            await one.fetchrow(_TAKE, *keys)
            while_taken = tuple(await other.fetchrow(_TRY, *keys))
        while_free = tuple(await other.fetchrow(_TRY, *keys))
    except asyncpg.PostgresError as error:
        if error.sqlstate in _NO_SUCH_FUNCTION:
            raise _without_locks(where, product, f"{error}") from error
        raise
    if while_taken != _WHILE_TAKEN:
        raise _without_locks(where, product, "a second connection got a lock that the first one had")
    if while_free != _WHILE_FREE:
        raise _without_locks(where, product, "a lock that nobody had was refused")


def _without_locks(where: str, product: str, reason: str) -> StorageError:
    return StorageError(
        f"the database at {where} can't be used: Buzz needs PostgreSQL's advisory locks, which keep the writes of"
        f" several nodes in order ({reason}; it says it is {_short(product)}). Use PostgreSQL {OLDEST_VERSION} or later"
    )


def _short(product: str) -> str:
    """Return the beginning of what ``version()`` said, on one line."""
    return " ".join(product.split())[:80]


# --- poolers ----------------------------------------------------------------------------------------------------------


async def _check_pooler(one: Connection, other: Connection, where: str) -> None:
    """Check that a prepared statement survives when the pooler gives its connection another one to the server.

    While ``other`` holds the connection that ``one`` has just used, ``one`` gets another one, if the pooler changes
    connections at all: with pooling by session it does not.
    """
    try:
        for _ in range(_TRIES):
            before = await one.fetchval(_PID)
            async with _transaction(other):
                await other.fetchval(_PID)
                after = await one.fetchval(_PID)
            if before != after:
                break
    except asyncpg.PostgresError as error:
        raise _pooler_error(error, where) from error
    _logger.info("connection pooler", where=where, pools="sessions" if before == after else "transactions")


def _pooler_error(error: asyncpg.PostgresError, where: str) -> StorageError:
    opening = f"the connection pooler at {where} can't be used:"
    if error.sqlstate == _NO_SUCH_STATEMENT:
        return StorageError(
            f"{opening} it pools transactions and loses prepared statements. With PgBouncer 1.21 or later, set"
            " max_prepared_statements to 200 or more; with an earlier one set pool_mode = session, or connect to"
            " PostgreSQL directly"
        )
    if "statement pooling" in str(error):
        return StorageError(f"{opening} it allows no transactions: set pool_mode to transaction or session")
    return connect_error(error, where)


@contextmanager
def _second_connection(pooled: bool, where: str) -> Iterator[None]:
    """Name what is missing if the pooler lets the second connection wait."""
    try:
        yield
    except StorageUnavailable as error:
        if pooled and isinstance(error.__cause__, TimeoutError):
            raise StorageUnavailable(
                f"the connection pooler at {where} has no second connection to the server: raise default_pool_size"
            ) from error
        raise


@asynccontextmanager
async def _transaction(connection: Connection) -> AsyncIterator[None]:
    await connection.execute("BEGIN")
    yield
    await connection.execute("ROLLBACK")
