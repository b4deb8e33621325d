"""Transactions of several statements on PostgreSQL, and what becomes of one whose node falls silent.

A transaction has its **lane** to itself (``storage.database.Lane``), behind an advisory lock that goes with its commit:
the stores are written once for both databases, look first and then write, and on SQLite there is one writer as well.
Such a lock is held over round trips, which a frozen or cut-off node can stretch. So that no other node waits for long:

1. The server ends a transaction that has been idle for ``IDLE_SECONDS``, and takes its locks away with it.
2. A node brings one transaction of a lane at a time to the server; its others wait inside the node, where they hold
   nothing. So the waits for a node that is frozen do not add up: they are one.
3. Each statement has a time limit, on the server and, a second later, here.

A commit that got no answer is looked up by the transaction's number.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from storage.database import Lane, Row, Value
from storage.errors import OutcomeUnknown, StorageConflict, StorageError, StorageUnavailable
from storage.postgresql.connections import CONNECT_SECONDS, Connection, drop
from storage.postgresql.dialect import changed_rows, numbered, rows, storable
from storage.postgresql.errors import DRIVER_ERRORS, committing, translated

IDLE_SECONDS: Final = 1
"""How long a transaction may wait for its node's next statement."""
RESOLVE_SECONDS: Final = 5.0
"""How long the outcome of a commit that got no answer is looked for."""
_SECONDS: Final = {Lane.SUBJECTS: 5, Lane.DIRECTORY: 30, Lane.LOG: 600, Lane.SCHEMA: 24 * 3_600}
"""By lane, the limit of a statement and of the wait for the lane: an import may be in the way; all that a person ever
wrote is erased by one statement; a schema step takes as long as it takes."""
_MARGIN_SECONDS: Final = 1
"""The server gives up first, and says so: then nothing is left in doubt."""
_PIECE_BYTES: Final = 16_384
_CLASS: Final = 1115847290  # 0x42757A7A, "Buzz"
_ALONE: Final = f"SELECT pg_advisory_xact_lock({_CLASS}, {Lane.SCHEMA.value}), pg_current_xact_id()::text"
_IN_LANE: Final = f"""
    SELECT pg_advisory_xact_lock_shared({_CLASS}, {Lane.SCHEMA.value}), pg_advisory_xact_lock({_CLASS}, $1),
        pg_current_xact_id()::text"""


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


class Turns:
    """One transaction of each lane at a time on this node. Who waits for a turn holds no connection and no lock."""

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


async def begin(connection: Connection, lane: Lane) -> tuple[PostgresTransaction, str]:
    """Begin a transaction that has the lane to itself; returns it, and its number for :func:`commit`."""
    seconds = _SECONDS[lane]
    patience = seconds + _MARGIN_SECONDS
    with translated():
        await connection.execute(
            f"BEGIN; SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS}s';"
            f" SET LOCAL statement_timeout = '{seconds}s'",
            timeout=patience,
        )
        # A schema step shuts everybody else out, nodes of the release before too: their one lock is this one.
        arguments = (_ALONE,) if lane is Lane.SCHEMA else (_IN_LANE, lane.value)
        *_, number = await connection.fetchrow(*arguments, timeout=patience)
    return PostgresTransaction(connection, patience), number


async def commit(connection: Connection) -> None:
    """End a transaction well. Raises OutcomeUnknown, StorageConflict, StorageUnavailable."""
    with committing():
        status = await connection.execute("COMMIT")
    if status != "COMMIT":
        raise StorageConflict("a statement of the transaction had failed: it was rolled back as a whole")


async def roll_back(connection: Connection) -> None:
    """Undo a transaction; a connection that can't even do that is dropped, which undoes it as well.

    It never raises over the error that made it necessary.
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
    """Find out what became of a commit that got no answer: returns if it is done.

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
            found = None  # the number is of another server, or of long ago
        if found == "committed":
            return
        if found == "aborted":
            raise StorageUnavailable("the connection was lost before the commit: nothing was stored") from error
        if found is None or time.monotonic() + wait > ends:
            raise error
        await asyncio.sleep(wait)
        wait = min(2 * wait, 0.5)


def _pieces(rows: Sequence[Sequence[Value]]) -> Iterator[list[list[Value]]]:
    """The rows in pieces that are small enough to leave in one go.

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
