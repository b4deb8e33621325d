"""Queues of rows that become due and are leased: recordings to fetch, copies to delete at Twilio, webhooks to send.

A worker takes the row that has been due longest, by one conditional update that sets the name of its lease and when
that ends: two workers, on one node or several, never have the same row at once. A lease that has expired (its holder
died) is taken over, and then the first holder can no longer change the row. So work is done at least once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from storage.database import Reader, Transaction, Value

T = TypeVar("T")

_CANDIDATES: Final = 4
"""Rows tried for one lease: others may take some of them between the look and the update."""


class Taken(NamedTuple, Generic[T]):
    """A row that is leased now. ``more``: other rows seem to be due as well."""

    row: T
    more: bool


@dataclass(frozen=True, slots=True)
class LeaseQueue(Generic[T]):
    """A table with the columns ``due_at_ms``, ``lease`` and ``lease_until_ms``.

    ``key``: the columns of its primary key. ``row`` builds the leased value from the values of ``columns``.
    """

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    row: Callable[..., T]

    async def take(
        self, transaction: Transaction, lease: str, now_ms: int, until_ms: int, only: str = "TRUE", *values: Value
    ) -> Taken[T] | None:
        """Lease the row that has been due longest, under the name ``lease``; None if none is due.

        ``only`` is a condition on the row, with its values.
        """
        key = ", ".join(self.key)
        due = await transaction.fetch(
            f"""SELECT {key} FROM {self.table} WHERE due_at_ms <= ? AND lease_until_ms <= ? AND {only}
                ORDER BY due_at_ms, {key} LIMIT {_CANDIDATES}""",
            now_ms,
            now_ms,
            *values,
        )
        for position, candidate in enumerate(due, start=1):
            rows = await transaction.fetch(
                f"""UPDATE {self.table} SET lease = ?, lease_until_ms = ?
                    WHERE {self._is_it} AND due_at_ms <= ? AND lease_until_ms <= ?
                    RETURNING {", ".join(self.columns)}""",
                lease,
                until_ms,
                *candidate,
                now_ms,
                now_ms,
            )
            if rows:
                return Taken(self.row(*rows[0]), position < len(due))
        return None

    async def release(self, transaction: Transaction, lease: str, *key: Value) -> bool:
        """Release the lease without a change of the due time; False, and nothing changed, if the lease was lost."""
        released = await transaction.execute(
            f"UPDATE {self.table} SET lease = NULL, lease_until_ms = 0 WHERE {self._is_it} AND lease = ?", *key, lease
        )
        return released > 0

    async def postpone(self, transaction: Transaction, lease: str, due_at_ms: int, *key: Value) -> bool:
        """Release the lease with a new due time and count the failure; False if the lease was lost."""
        postponed = await transaction.execute(
            f"""UPDATE {self.table}
                SET lease = NULL, lease_until_ms = 0, failures = failures + 1, due_at_ms = ?
                WHERE {self._is_it} AND lease = ?""",
            due_at_ms,
            *key,
            lease,
        )
        return postponed > 0

    async def finish(self, transaction: Transaction, lease: str, *key: Value) -> bool:
        """Delete the row because its work is done; False if the lease was lost."""
        return await transaction.execute(f"DELETE FROM {self.table} WHERE {self._is_it} AND lease = ?", *key, lease) > 0

    async def reclaim(self, transaction: Transaction) -> int:
        """End every lease; returns how many. Correct only if no other process uses this database."""
        return await transaction.execute(
            f"UPDATE {self.table} SET lease = NULL, lease_until_ms = 0 WHERE lease IS NOT NULL"
        )

    async def next_due_ms(self, reader: Reader, now_ms: int) -> int | None:
        """Return when the next row that is not due yet becomes due; None if there is none."""
        ((due_at_ms,),) = await reader.fetch(f"SELECT MIN(due_at_ms) FROM {self.table} WHERE due_at_ms > ?", now_ms)
        found: int | None = due_at_ms
        return found

    @property
    def _is_it(self) -> str:
        return " AND ".join(f"{column} = ?" for column in self.key)
