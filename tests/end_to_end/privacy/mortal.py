"""A database that dies with its process: at a chosen moment every use of it ends; what was not committed is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from storage.database import Database, Dialect, Row, Transaction, Value


class Killed(BaseException):
    """The process is gone. No handler in the server takes this for a failure that it could deal with."""


class Mortal:
    """Counts every moment between two steps (each statement, before and after each commit) and dies at one of them."""

    def __init__(self, database: Database, die_at: int | None = None) -> None:
        self._database = database
        self._die_at = die_at
        self.points = 0
        self.dead = False

    @property
    def dialect(self) -> Dialect:
        return self._database.dialect

    def point(self) -> None:
        self.points += 1
        self.dead = self.dead or self.points == self._die_at
        if self.dead:
            raise Killed

    async def fetch(self, sql: str, *parameters: Value) -> list[Row]:
        self.point()
        return await self._database.fetch(sql, *parameters)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        self.point()
        async with self._database.transaction() as transaction:
            yield _MortalTransaction(self, transaction)
            self.point()
        self.point()

    async def ping(self) -> None:
        self.point()

    async def close(self) -> None:
        """Whoever opened the database closes it."""


class _MortalTransaction:
    def __init__(self, mortal: Mortal, transaction: Transaction) -> None:
        self._mortal = mortal
        self._transaction = transaction

    async def fetch(self, sql: str, *parameters: Value) -> list[Row]:
        self._mortal.point()
        return await self._transaction.fetch(sql, *parameters)

    async def execute(self, sql: str, *parameters: Value) -> int:
        self._mortal.point()
        return await self._transaction.execute(sql, *parameters)

    async def execute_many(self, sql: str, rows: Sequence[Sequence[Value]]) -> None:
        self._mortal.point()
        await self._transaction.execute_many(sql, rows)
