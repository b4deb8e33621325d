"""Transactions of several statements on PostgreSQL, and what happens if their node stops responding.

Only one transaction runs in a **lane** (``storage.database.Lane``) at a time; an advisory lock, released by its commit,
ensures that. The stores are written once for both databases, read first and then write, and SQLite has one writer too.
Such a lock is held over round trips, and a node that is frozen or disconnected would hold it for long. Therefore:

1. The server ends a transaction that has been idle for ``IDLE_SECONDS``, which releases its locks.
2. A node runs one transaction of a lane at a time on the server; its others wait inside the node, where they hold no
   lock. So others wait at most once for a node that is frozen.
3. Each statement has a time limit, on the server and, a second later, here.
4. Who waits for a lane ends owners that have fallen silent in the midst of an exchange, where the server's limits do
   not count: between preparing a statement and running it, for example.

After a commit without an answer the server is asked for the transaction's status by its number.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeVar

from storage.database import Lane, Row, Value
from storage.errors import OutcomeUnknown, StorageConflict, StorageError, StorageUnavailable
from storage.postgresql.connections import CONNECT_SECONDS, Connection, drop
from storage.postgresql.dialect import changed_rows, numbered, rows, storable
from storage.postgresql.durable import FOR_TRANSACTION
from storage.postgresql.errors import DRIVER_ERRORS, committing, translated

T = TypeVar("T")

IDLE_SECONDS: Final = 1
"""How long a transaction may wait for its node's next statement."""
LOOK_SECONDS: Final = 1.5
"""How long a transaction waits for its lane before it looks for a silent owner, and between two looks."""
RESOLVE_SECONDS: Final = 5.0
"""How long the outcome of a commit that got no answer is looked for."""
_SECONDS: Final = {Lane.SUBJECTS: 5, Lane.DIRECTORY: 30, Lane.LOG: 600, Lane.SCHEMA: 24 * 3_600}
"""By lane, the limit of a statement and of the wait for the lane: an import may be in the way; all that a person ever
wrote is erased by one statement; a schema step takes as long as it takes."""
_MARGIN_SECONDS: Final = 1
"""The server gives up first, and says so: then nothing is left in doubt."""
_PIECE_BYTES: Final = 16_384
LOCK_CLASS: Final = 1115847290  # 0x42757A7A, "Buzz"
_ALONE: Final = f"SELECT pg_advisory_xact_lock({LOCK_CLASS}, {Lane.SCHEMA.value}), pg_current_xact_id()::text"
_IN_LANE: Final = f"""
    SELECT pg_advisory_xact_lock_shared({LOCK_CLASS}, {Lane.SCHEMA.value}), pg_advisory_xact_lock({LOCK_CLASS}, $1),
        pg_current_xact_id()::text"""

# A session in the midst of an exchange (asyncpg asks for a statement's types before it sends the values) counts as
# active, not as idle, and `statement_timeout` does nothing while it waits for its client. Roles see the activity of
# their own sessions, and may end them.
SILENT_OWNERS: Final = f"""
    SELECT pg_terminate_backend(owner.pid) FROM pg_stat_activity AS owner
    WHERE owner.datname = current_database() AND owner.pid <> pg_backend_pid() AND owner.wait_event = 'ClientRead'
        AND owner.state_change < clock_timestamp() - interval '{IDLE_SECONDS} seconds'
        AND owner.pid IN (
            SELECT held.pid FROM pg_locks AS held
            WHERE held.locktype = 'advisory' AND held.classid = {LOCK_CLASS} AND held.granted
                AND held.objid IN ({", ".join(str(lane.value) for lane in Lane)})
        )"""
"""Ends the sessions that hold a lane and whose node has sent nothing for ``IDLE_SECONDS``."""


class PostgresTransaction:
    """Statements on one connection between BEGIN and COMMIT, each with a limit of ``seconds``."""

    def __init__(self, connection: Connection, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds

    async def fetch(self, sql: str, *parameters: Value) -> list[Row]:
        with translated():
            return rows(await self._connection.fetch(numbered(sql), *storable(parameters), timeout=self._seconds))

    async def execute(self, sql: str, *parameters: Value) -> int:
        with translated():
            status = await self._connection.execute(numbered(sql), *storable(parameters), timeout=self._seconds)
            return changed_rows(status)

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        with translated():
            for piece in _pieces(rows):
                await self._connection.executemany(numbered(sql), piece, timeout=self._seconds)


class LaneLocks:
    """Runs one transaction of each lane at a time on this node. Waiting tasks hold no connection and no lock."""

    def __init__(self) -> None:
        self._turns = {lane: asyncio.Lock() for lane in Lane}

    @asynccontextmanager
    async def turn(self, lane: Lane) -> AsyncIterator[None]:
        """Wait for this node's turn in the lane. Raises StorageUnavailable after the lane's time limit."""
        turn = self._turns[lane]
        try:
            async with asyncio.timeout(_SECONDS[lane]):
                await turn.acquire()
        except TimeoutError as error:
            raise StorageUnavailable(f"others have been writing to the {lane.name.lower()} for too long") from error
        try:
            yield
        finally:
            turn.release()


async def begin(
    connection: Connection, lane: Lane, *, pooled: bool, end_silent_owners: Callable[[], Awaitable[None]]
) -> tuple[PostgresTransaction, str]:
    """Begin a transaction that has the lane to itself; returns it, and its number for :func:`commit`.

    ``pooled``: a pooler is in between, so that the transaction must not rely on settings of the session.
    ``end_silent_owners`` runs ``SILENT_OWNERS`` on another connection; it is called while the lane is waited for.
    """
    seconds = _SECONDS[lane]
    patience = seconds + _MARGIN_SECONDS
    with translated():
        await connection.execute(_opening(seconds, pooled=pooled), timeout=patience)
        # A schema step excludes all other transactions, also those of nodes of the previous release: this is their only
        # lock.
        arguments = (_ALONE,) if lane is Lane.SCHEMA else (_IN_LANE, lane.value)
        async with _looking(end_silent_owners):
            *_, number = await connection.fetchrow(*arguments, timeout=patience)
    return PostgresTransaction(connection, patience), number


@asynccontextmanager
async def _looking(end_silent_owners: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Look for silent owners again and again until the block ends."""

    async def look() -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with suppress(StorageError):
                await end_silent_owners()

    looking = asyncio.create_task(look(), name="postgres: silent owners")
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait([looking])


async def alone(connection: Connection, seconds: float, statement: Callable[[Connection], Awaitable[T]]) -> T:
    """Run one statement in a transaction of its own that brings its settings with it.

    Behind a pooler a single statement would have the settings that somebody else may have left on the connection.
    Raises the driver's errors, and what :func:`commit` raises.
    """
    await connection.execute(_opening(max(1, round(seconds)), pooled=True), timeout=seconds + _MARGIN_SECONDS)
    try:
        result = await statement(connection)
    except BaseException:
        await roll_back(connection)
        raise
    await commit(connection)
    return result


def _opening(seconds: int, *, pooled: bool) -> str:
    """Return the statements that begin a transaction, with the settings that it needs, for this transaction only."""
    limits = (
        f"BEGIN; SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS}s';"
        f" SET LOCAL statement_timeout = '{seconds}s'"
    )
    return f"{limits}; SELECT {FOR_TRANSACTION}" if pooled else limits


async def commit(connection: Connection) -> None:
    """Commit a transaction. Raises OutcomeUnknown, StorageConflict, StorageUnavailable."""
    with committing():
        status = await connection.execute("COMMIT")
    if status != "COMMIT":
        raise StorageConflict("a statement of the transaction had failed: it was rolled back as a whole")


async def roll_back(connection: Connection) -> None:
    """Roll a transaction back; if that fails, close the connection, which rolls it back too.

    It never raises, so that the original error is not replaced.
    """
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await connection.execute("ROLLBACK")
    except DRIVER_ERRORS:
        drop(connection)
    except asyncio.CancelledError:
        drop(connection)
        raise


async def resolve(error: OutcomeUnknown, status: Callable[[], Awaitable[str | None]]) -> None:
    """Find out whether a commit without an answer succeeded; returns if it did.

    ``status`` asks the server (``pg_xact_status``). Raises StorageUnavailable if nothing was stored, and ``error`` if
    the server does not say so in RESOLVE_SECONDS.
    """
    ends, wait = time.monotonic() + RESOLVE_SECONDS, 0.05
    while True:
        try:
            found = await status()
        except StorageUnavailable:
            found = "in progress"
        except StorageError:
            found = None  # the number is of another server, or too old
        if found == "committed":
            return
        if found == "aborted":
            raise StorageUnavailable("the connection was lost before the commit: nothing was stored") from error
        if found is None or time.monotonic() + wait > ends:
            raise error
        await asyncio.sleep(wait)
        wait = min(2 * wait, 0.5)


def _pieces(rows: Sequence[Sequence[Value]]) -> Iterator[list[list[Value]]]:
    """Split the rows into pieces that are small enough to be sent at once.

    The driver sends all of a piece before it waits. A node that froze half-way through a long one would keep its locks:
    the server counts a transaction as idle only between complete exchanges.
    """
    piece: list[list[Value]] = []
    room = _PIECE_BYTES
    for row in rows:
        size = 32 + sum(4 * len(each) if isinstance(each, str | bytes) else 16 for each in row)
        if piece and size > room:
            yield piece
            piece, room = [], _PIECE_BYTES
        piece.append(storable(row))
        room -= size
    if piece:
        yield piece
