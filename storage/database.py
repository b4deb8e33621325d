"""The contract between the stores and the two databases: reading, and all-or-nothing writing.

Subject stores (``storage/directory.py`` and its siblings) are written once, in SQL that both dialects take, against
these two protocols. Placeholders are ``?``; the PostgreSQL driver numbers them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

Value = int | float | str | bytes | bool | None
Row = tuple[Any, ...]
Dialect = Literal["sqlite", "postgresql"]


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

    async def fetch_each(self, sql: str, parameters: Sequence[Sequence[Value]]) -> list[list[Row]]:
        """Read for many parameter lists in one round trip: one list of rows for each, in order."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Everything inside commits together, durably, when the block ends; nothing does if it raises."""
        ...

    async def ping(self) -> None:
        """Raise StorageUnavailable unless the database answers."""
        ...

    async def close(self) -> None: ...
