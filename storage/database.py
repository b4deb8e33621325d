"""The contract between the stores and the two databases: reading, and all-or-nothing writing.

Subject stores (``storage/directory/``, ``storage/privacy/`` and others) are written once, in SQL that is valid in both
dialects, against these two protocols. Placeholders are ``?``; the PostgreSQL driver numbers them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum
from typing import Any, Literal, Protocol

Value = int | float | str | bytes | bool | None
Row = tuple[Any, ...]
Dialect = Literal["sqlite", "postgresql"]


class Lane(Enum):
    """What a transaction writes.

    Transactions of one lane run one after another, so that what one reads stays true until it commits. No table is
    written in two lanes. ``SUBJECTS`` is for all tables without a lane of their own; ``DIRECTORY`` includes numbers and
    service codes, because an import writes them together, for many seconds. During ``SCHEMA`` no other transaction runs
    in any lane.
    """

    SCHEMA = 1
    SUBJECTS = 2
    DIRECTORY = 3
    LOG = 4


class Transaction(Protocol):
    """One open transaction. It sees its own writes; others see them only after it has committed."""

    async def fetch(self, sql: str, *parameters: Value) -> list[Row]:
        """Run one statement and return its rows (``RETURNING`` too)."""
        ...

    async def execute(self, sql: str, *parameters: Value) -> int:
        """Run one statement and return how many rows it changed."""
        ...

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        """Run one statement once for each row of parameters, in one round trip."""
        ...


class Database(Protocol):
    """A database that holds one Buzz. Raises only what ``storage/errors.py`` lists."""

    @property
    def dialect(self) -> Dialect: ...

    async def fetch(self, sql: str, *parameters: Value) -> list[Row]:
        """Read committed rows. Never waits for a writer."""
        ...

    async def execute(self, sql: str, *parameters: Value) -> int:
        """Run one statement as a transaction of its own, durably; returns how many rows it changed.

        It waits for no lane. It must be safe to run twice, because it is repeated when its answer was lost.
        """
        ...

    async def returning(self, sql: str, *parameters: Value) -> list[Row]:
        """Run a statement with ``RETURNING`` likewise; returns its rows."""
        ...

    def transaction(self, lane: Lane = Lane.SUBJECTS) -> AbstractAsyncContextManager[Transaction]:
        """Commit everything inside the block together, durably, when it ends; nothing if the block raises.

        Await nothing but statements inside: a transaction that is idle for a second is rolled back.
        """
        ...

    async def ping(self) -> None:
        """Raise StorageUnavailable unless the database answers."""
        ...

    async def close(self) -> None: ...


Reader = Database | Transaction
"""What reads: committed rows, or those of the transaction as they stand in it."""
