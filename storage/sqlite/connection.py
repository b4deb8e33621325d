"""Connections to SQLite files: apsw's, with the copy of SQLite that apsw brings along.

A process must open a database file with one copy of SQLite only. Python's ``sqlite3`` module brings another copy, and
the locks of a file belong to the process: when one copy closes the file, the locks of the other are gone
(https://sqlite.org/howtocorrupt.html#multiple_copies_of_sqlite_linked_into_the_same_application). So everything here
that opens a file uses :func:`connect`, and ``ruff`` refuses an import of ``sqlite3``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, cast

import apsw

from storage.database import Row, Value

Error = apsw.Error

BUSY_TIMEOUT_SECONDS: Final = 5.0
_STATEMENTS_CACHED: Final = 256
_READ_WRITE: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE

CONFLICTS: Final = (apsw.ConstraintError, apsw.MismatchError)
"""A constraint of the schema refused the write."""
FAILURES: Final = (
    apsw.AbortError,
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.FullError,
    apsw.IOError,
    apsw.InterruptError,
    apsw.LockedError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    apsw.ReadOnlyError,
    apsw.SQLError,
    apsw.SchemaChangeError,
)
"""The statement could not be run now: what Python's ``sqlite3`` module calls an OperationalError."""


class DriverCursor(Iterator[Row], Protocol):
    """The rows of a statement."""

    def fetchone(self) -> Any:
        """Return the next row, None after the last one."""
        ...

    def fetchall(self) -> list[Row]: ...


class DriverConnection(Protocol):
    """What is used of apsw's connection. It has no method that begins or ends a transaction: that is SQL."""

    @property
    def in_transaction(self) -> bool: ...

    def execute(self, sql: str, parameters: Sequence[Value] | Mapping[str, Value] = (), /) -> DriverCursor: ...

    def executemany(self, sql: str, rows: Iterable[Sequence[Value]], /) -> DriverCursor: ...

    def changes(self) -> int:
        """Return how many rows the latest INSERT, UPDATE or DELETE changed."""
        ...

    def backup(self, name: str, source: DriverConnection, source_name: str, /) -> apsw.Backup: ...

    def close(self) -> None: ...


def library_version() -> tuple[int, ...]:
    """Return the version of SQLite that is used, as three numbers."""
    return tuple(int(part) for part in apsw.sqlite_lib_version().split("."))


def connect(path: Path, *, read_only: bool = False, timeout_seconds: float = BUSY_TIMEOUT_SECONDS) -> DriverConnection:
    """Open a database file; it is created unless ``read_only``. Raises :data:`Error`.

    No statement begins a transaction by itself. A connection that is ``read_only`` can't write, checkpoint or create
    the file. ``timeout_seconds``: how long a statement waits for a lock.
    """
    flags = apsw.SQLITE_OPEN_READONLY if read_only else _READ_WRITE
    connection = apsw.Connection(str(path), flags=flags, statementcachesize=_STATEMENTS_CACHED)
    connection.set_busy_timeout(round(timeout_seconds * 1_000))
    return cast(DriverConnection, connection)
