"""The contract between the stores and the two databases: reading, and all-or-nothing writing.

Subject stores (``storage/directory/``, ``storage/privacy/`` and others) are written once, in SQL that both dialects
take, against these two protocols. Placeholders are ``?``; the PostgreSQL driver numbers them.
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
    """What a transaction writes: those of one lane run one after another, so that what is looked up stays so.

    No table is written in two lanes. ``SUBJECTS`` is for everything that has no other; ``DIRECTORY`` has numbers and
    service codes too, which an import writes with it, for many seconds. During ``SCHEMA`` nobody else is in any lane.
    """

    SCHEMA = 1
    SUBJECTS = 2
    DIRECTORY = 3
    LOG = 4


class Transaction(Protocol):
    """One transaction under way. It sees its own writes; nobody else does until it has ended well."""

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

        It waits for no lane. It must be one that may be run twice: it is, when its answer was lost.
        """
        ...

    async def returning(self, sql: str, *parameters: Value) -> list[Row]:
        """The same for a statement with ``RETURNING``: its rows."""
        ...

    def transaction(self, lane: Lane = Lane.SUBJECTS) -> AbstractAsyncContextManager[Transaction]:
        """Everything inside commits together, durably, when the block ends; nothing does if it raises.

        Go from statement to statement without waiting for anything else: one that is idle for a second is undone.
        """
        ...

    async def ping(self) -> None:
        """Raise StorageUnavailable unless the database answers."""
        ...

    async def close(self) -> None: ...


Reader = Database | Transaction
"""What reads: committed rows, or those of the transaction as they stand in it."""
