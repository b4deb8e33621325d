"""Connections to PostgreSQL: connecting, the settings of a session, and detecting a lost connection."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import structlog

from storage.errors import StorageUnavailable
from storage.postgresql.durable import FOR_SESSION
from storage.postgresql.errors import DRIVER_ERRORS, READ_ONLY

CONNECT_SECONDS = 5.0
UNANSWERED_SECONDS = 3
"""A connection whose other end acknowledges nothing for so long is taken for lost, by either side's kernel."""
_BACKOFF_SECONDS = (0.05, 2.0)
"""Between two tries to connect to a server that is down: from, up to. Meanwhile whoever asks is refused at once."""
_PROGRAM = {"application_name": "buzz"}
_SESSION = {
    "jit": "off",
    # Transactions of nodes set a shorter limit for themselves (storage/postgresql/transactions.py).
    "idle_in_transaction_session_timeout": "30s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    # It also ends a statement whose answer a frozen node does not read, if the answer is larger than the buffers.
    "tcp_user_timeout": f"{UNANSWERED_SECONDS}s",
    "client_connection_check_interval": "5s",
}
_PROCESS = f"{secrets.token_hex(4)}__"
_logger = structlog.get_logger("postgres")

Connection = Any
"""An asyncpg connection; the driver has no types."""


async def open_pool(url: str, connections: int, statement_seconds: float, *, pooled: bool) -> Any:
    """Open a pool of at most so many connections, to the server itself or to a connection pooler (``pooled``)."""
    return await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=connections,
        timeout=CONNECT_SECONDS,
        command_timeout=statement_seconds,
        statement_cache_size=512,
        max_cached_statement_lifetime=0,
        server_settings=_PROGRAM if pooled else _PROGRAM | _SESSION,
        target_session_attrs="read-write",
        connection_class=_Connection,
        connect=_connect_to_pooler if pooled else _connect_to_server,
    )


async def connect_once(url: str) -> Connection:
    """Connect without a pool and without any setting of the session. Raises the driver's errors."""
    return await asyncpg.connect(
        url,
        timeout=CONNECT_SECONDS,
        command_timeout=CONNECT_SECONDS,
        target_session_attrs="read-write",
        connection_class=_Connection,
    )


async def is_pooled(connection: Connection) -> bool:
    """Return whether a pooler is in between: it gave the client another process id than the server's process has."""
    return bool(await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid())


def address(url: str) -> str:
    """Return ``host:port/database`` of a URL, without user and password, for messages."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2] or 'localhost'}{parts.path}"


def is_open(connection: Connection) -> bool:
    """Return whether a connection that was acquired earlier can still be used."""
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        return False  # it was lost, and the pool has already released it


def drop(connection: Connection) -> None:
    """Close a connection at once, in any state; does nothing if it was already lost. Never raises."""
    if is_open(connection):
        connection.terminate()


async def give_back(pool: Any, connection: Connection, error: BaseException | None) -> None:
    """Release a connection to its pool; after an error that leaves its state uncertain it is closed instead.

    Errors during the release are ignored: the work on the connection is already done.
    """
    if error is not None and _in_doubt(error):
        drop(connection)
    try:
        await pool.release(connection, timeout=CONNECT_SECONDS)
    except DRIVER_ERRORS as failure:
        _logger.warning("could not return a connection to the pool", reason=str(failure) or type(failure).__name__)
        drop(connection)


def _in_doubt(error: BaseException) -> bool:
    """Return whether the connection's state is uncertain: a timeout, a cancellation, a server no longer primary."""
    causes = (error, error.__cause__)
    halfway = any(isinstance(each, TimeoutError | asyncio.CancelledError) for each in causes)
    return halfway or any(getattr(each, "sqlstate", None) == READ_ONLY for each in causes)


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that is released without a reset, as no session setting is changed: that saves a round trip."""

    __slots__ = ()

    def get_reset_query(self) -> str:
        return ""

    def _get_unique_id(self, prefix: str) -> str:
        """Return a name that no other process uses.

        If a pooler ever gives a process the connection of another one, a prepared statement is not found there. With
        the driver's own names another statement would be found, and run.
        """
        return f"{super()._get_unique_id(prefix)}{_PROCESS}"

    async def close(self, *, timeout: float | None = None) -> None:
        """Close it, without an exception if it is lost: the pool never retrieves the exceptions of its tasks."""
        with suppress(*DRIVER_ERRORS):
            await super().close(timeout=timeout)


async def _connect_to_server(*arguments: Any, **options: Any) -> Connection:
    return await _whole(_durable(*arguments, **options))


async def _connect_to_pooler(*arguments: Any, **options: Any) -> Connection:
    return await _whole(asyncpg.connect(*arguments, **options))


async def _whole(connect: Coroutine[Any, Any, Connection]) -> Connection:
    """Connect to the end even if cancelled: otherwise the driver's exception is never retrieved."""
    connecting = asyncio.create_task(connect, name="postgres: connect")
    try:
        connection = await asyncio.shield(connecting)
    except asyncio.CancelledError:
        await asyncio.wait([connecting])
        if not connecting.cancelled() and connecting.exception() is None:
            connecting.result().terminate()
        raise
    _notice_silence(connection)
    return connection


async def _durable(*arguments: Any, **options: Any) -> Connection:
    """Connect to the server itself, and have each commit wait for the disk for as long as the connection lives."""
    connection = await asyncpg.connect(*arguments, **options)
    try:
        await connection.execute(f"SELECT {FOR_SESSION}", timeout=CONNECT_SECONDS)
        if await is_pooled(connection):
            raise StorageUnavailable("a connection pooler is now in front of PostgreSQL: start this node again")
    except BaseException:
        connection.terminate()
        raise
    return connection


def _notice_silence(connection: Connection) -> None:
    """Let the kernel end the connection when the network fails without a close from the server."""
    ours = connection._transport.get_extra_info("socket")  # noqa: SLF001 - asyncpg shows it nowhere else
    if ours is None or ours.family not in (socket.AF_INET, socket.AF_INET6) or not hasattr(socket, "TCP_USER_TIMEOUT"):
        return
    # uvloop's view of a socket takes no options: they are set through a second descriptor of the same socket.
    with socket.socket(fileno=os.dup(ours.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, UNANSWERED_SECONDS)
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_SECONDS * 1_000)


class Backoff:
    """Refuses connections at once while a server is down; attempts are made at growing intervals."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._next_try = 0.0
        self._reason = ""

    def check(self, where: str) -> None:
        """Raise StorageUnavailable while it is too early for another attempt."""
        if self._seconds and time.monotonic() < self._next_try:
            raise StorageUnavailable(self._reason or f"PostgreSQL at {where} can't be reached")

    def failed(self, reason: str) -> None:
        """Record a failed attempt: the next one waits longer."""
        if not self._seconds:
            _logger.error("database lost", reason=reason)
        self._reason = reason
        self._seconds = min(max(self._seconds * 2, _BACKOFF_SECONDS[0]), _BACKOFF_SECONDS[1])
        self._next_try = time.monotonic() + self._seconds

    def succeeded(self, where: str) -> None:
        """Record a successful attempt."""
        if self._seconds:
            self._seconds = 0.0
            _logger.info("database back", where=where)
