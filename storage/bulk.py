"""Writes many rows, and reads many ids, in few steps of the database.

apsw releases the interpreter lock around each step of a statement, and then waits to get it back: under load that is up
to milliseconds for each row of an ``executemany``, with the write lock held. A statement with hundreds of rows is
one step. The number of rows is a power of two, so that a database prepares ten statements instead of hundreds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from functools import lru_cache
from typing import Final, TypeVar

from storage.database import Transaction, Value

T = TypeVar("T")

_MAX_ROWS: Final = 1_024
"""Of at most seven columns: both databases take some 32,000 parameters."""


async def insert(transaction: Transaction, into: str, rows: Sequence[Sequence[Value]], conflict: str) -> None:
    """Insert rows: ``into`` is a table with its columns, ``conflict`` what comes after the values.

    No two rows may have the same key: PostgreSQL can update a row only once in a statement.
    """
    for chunk in _powers_of_two(rows):
        sql = _insert_sql(into, len(chunk[0]), len(chunk), conflict)
        await transaction.execute(sql, *(value for row in chunk for value in row))


async def for_ids(transaction: Transaction, statement: str, ids: Sequence[int], *before: Value) -> None:
    """Run a statement that has ``{ids}`` for its last parameters, a list of ids; ``before`` are those before it."""
    for chunk in in_chunks(ids, _MAX_ROWS):
        await transaction.execute(statement.format(ids=marks(chunk)), *before, *chunk)


def in_chunks(values: Sequence[T], size: int = _MAX_ROWS) -> Iterator[Sequence[T]]:
    """Return ``values`` in chunks of at most ``size``; the last chunk repeats its last value up to a power of two."""
    for start in range(0, len(values), size):
        chunk = values[start : start + size]
        missing = (1 << (len(chunk) - 1).bit_length()) - len(chunk)
        yield [*chunk, *([chunk[-1]] * missing)]


def marks(values: Sized) -> str:
    """Return a question mark for each of the values, for a list in SQL."""
    return ", ".join("?" * len(values))


@lru_cache(maxsize=256)
def _insert_sql(into: str, width: int, rows: int, conflict: str) -> str:
    row = f"({', '.join('?' * width)})"
    return f"INSERT INTO {into} VALUES {', '.join([row] * rows)} {conflict}"


def _powers_of_two(rows: Sequence[Sequence[Value]]) -> Iterator[Sequence[Sequence[Value]]]:
    start, size = 0, _MAX_ROWS
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        yield rows[start : start + size]
        start += size
