"""Buzz numbers: the pool, and the person who has each.

Two unique constraints (person, number) ensure "exactly one" under every race; the statements here only decide who is
first. A released number rests for some time before it is free again.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from protocol.match_key import match_key, own_key
from storage.ahead import CLOCKS_APART_MS
from storage.bulk import in_chunks, marks
from storage.database import Database, Lane, Reader, Row, Transaction
from storage.errors import StorageConflict

REST_MS: Final = 60 * 24 * 3_600_000
"""A released number is given to nobody for 60 days."""


class NumberState(StrEnum):
    """The state of a number; the table in 0003_telephony.sql explains each."""

    FREE = "free"
    RESERVED = "reserved"
    ALLOCATED = "allocated"
    RESTING = "resting"


class BuzzNumber(NamedTuple):
    """One row. ``e164`` is None only while reserved; ``until_ms`` ends a reservation's lease or a number's rest."""

    allocation_id: str
    e164: str | None
    state: NumberState
    person_id: int | None
    provider_id: str | None
    until_ms: int | None


class Reservation(NamedTuple):
    """The right to get one person a number. ``taken_over``: an earlier attempt did not finish."""

    allocation_id: str
    taken_over: bool


class NumberStore:
    """The numbers of one Buzz. Raises StorageUnavailable when nothing was changed and a later try may work."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_person(self, person_id: int) -> BuzzNumber | None:
        """Return the person's number, or their reservation; None if they have neither."""
        rows = await self._database.fetch(f"{_SELECT} WHERE person_id = ?", person_id)
        return _number(rows[0]) if rows else None

    async def take(self, person_id: int, now_ms: int) -> str | None:
        """Give the person a free (or rested) number; returns the one they have already, or None if there is none.

        The person's reservation, if any, is deleted.
        """
        while True:
            try:
                async with self._database.transaction(Lane.DIRECTORY) as transaction:
                    return await _take(transaction, person_id, now_ms)
            except StorageConflict:
                # Another heartbeat of the same person came first, here or on another node.
                found = await self.of_person(person_id)
                if found is not None and found.e164 is not None:
                    return found.e164

    async def reserve(self, person_id: int, now_ms: int, lease_ms: int) -> Reservation | None:
        """Claim the right to get this person a number from a provider.

        A reservation whose lease has run out (its holder crashed) is taken over under the same id, so that what was
        bought for it can be found. None: another attempt is running, or the person has a number.
        """
        wanted_id = secrets.token_hex(16)
        async with self._database.transaction(Lane.DIRECTORY) as transaction:
            rows = await transaction.fetch(
                """INSERT INTO buzz_number (id, state, person_id, until_ms, changed_at_ms)
                   VALUES (?, 'reserved', ?, ?, ?)
                   ON CONFLICT (person_id) DO UPDATE
                   SET until_ms = excluded.until_ms, changed_at_ms = excluded.changed_at_ms
                   WHERE buzz_number.state = 'reserved'
                   AND (buzz_number.until_ms <= excluded.changed_at_ms OR buzz_number.until_ms > ?)
                   RETURNING id""",
                wanted_id,
                person_id,
                now_ms + lease_ms,
                now_ms,
                # No lease is that long: a fast clock wrote it, and it would end too late by as much as the clock was
                # fast.
                now_ms + lease_ms + CLOCKS_APART_MS,
            )
        return Reservation(rows[0][0], taken_over=rows[0][0] != wanted_id) if rows else None

    async def confirm(self, allocation_id: str, e164: str, provider_id: str | None, now_ms: int) -> str | None:
        """Assign the number that was bought for a reservation to its person. Returns the number that the person has.

        If the reservation no longer exists (fulfilled by another attempt, or the person was erased), a number that is
        not in use goes to the pool instead of being lost; then the result may be None.
        """
        async with self._database.transaction(Lane.DIRECTORY) as transaction:
            changed = await transaction.execute(
                """UPDATE buzz_number
                   SET state = 'allocated', e164 = ?, match_key = ?, provider_id = ?, until_ms = NULL,
                       changed_at_ms = ?
                   WHERE id = ? AND state = 'reserved'""",
                e164,
                own_key(e164),
                provider_id,
                now_ms,
                allocation_id,
            )
            if changed:
                return e164
            rows = await transaction.fetch("SELECT e164 FROM buzz_number WHERE id = ?", allocation_id)
            await transaction.execute(_ADD, secrets.token_hex(16), e164, own_key(e164), provider_id, now_ms)
        return rows[0][0] if rows else None

    async def cancel(self, allocation_id: str) -> None:
        """Delete a reservation; only if the provider has certainly sold nothing for it."""
        async with self._database.transaction(Lane.DIRECTORY) as transaction:
            await transaction.execute("DELETE FROM buzz_number WHERE id = ? AND state = 'reserved'", allocation_id)

    async def add(self, e164s: Iterable[str], now_ms: int) -> int:
        """Add numbers to the pool; numbers that are in it stay unchanged. Returns how many are new."""
        rows = [(secrets.token_hex(16), e164, own_key(e164), None, now_ms) for e164 in e164s]
        async with self._database.transaction(Lane.DIRECTORY) as transaction:
            before = await _count(transaction)
            await transaction.execute_many(_ADD, rows)
            return await _count(transaction) - before

    async def add_fictional(self, e164s: Iterable[str], now_ms: int) -> int:
        """Add numbers as :meth:`add` does, except those that people in the directory call from (development only)."""
        candidates = list(e164s)
        sql = f"SELECT e164 FROM phone WHERE {_KEY} IN ({marks(candidates)})"
        used = {match_key(e164) for (e164,) in await self._database.fetch(sql, *map(match_key, candidates))}
        return await self.add([each for each in candidates if match_key(each) not in used], now_ms)

    async def release(self, person_id: int, now_ms: int) -> str | None:
        """Release the person's number, which then rests. Returns the number, or None if they had none."""
        async with self._database.transaction(Lane.DIRECTORY) as transaction:
            return await release(transaction, person_id, now_ms)

    async def counts(self) -> dict[NumberState, int]:
        """Return how many numbers are in each state."""
        rows = await self._database.fetch("SELECT state, COUNT(*) FROM buzz_number GROUP BY state")
        found = {NumberState(state): count for state, count in rows}
        return {state: found.get(state, 0) for state in NumberState}

    async def list(self, limit: int, after: str = "") -> list[BuzzNumber]:
        """Return the numbers after ``after``, in order: a page of at most ``limit``."""
        rows = await self._database.fetch(f"{_SELECT} WHERE e164 > ? ORDER BY e164 LIMIT {int(limit)}", after)
        return [_number(row) for row in rows]


async def release(transaction: Transaction, person_id: int, now_ms: int) -> str | None:
    """Release the person's number inside a transaction that does more (erasure). A reservation is deleted."""
    await transaction.execute(_DROP_RESERVATION, person_id)
    rows = await transaction.fetch(f"{_REST} WHERE person_id = ? RETURNING e164", now_ms + REST_MS, now_ms, person_id)
    return rows[0][0] if rows else None


class ImportedNumber(NamedTuple):
    """A ``kind: number`` line: a number for the pool, or (with ``person_id``) one that this person has."""

    e164: str
    person_id: int | None = None


async def imported(reader: Reader, keys: Sequence[str]) -> dict[str, ImportedNumber]:
    """Return the free and assigned numbers with these match keys, by match key, in the form of import lines."""
    found: dict[str, ImportedNumber] = {}
    for chunk in in_chunks(keys):
        sql = f"SELECT e164, person_id FROM buzz_number WHERE {_KEY} IN ({marks(chunk)})"
        for e164, person_id in await reader.fetch(f"{sql} AND state IN ('free', 'allocated')", *chunk):
            found[match_key(e164)] = ImportedNumber(e164, person_id)
    return found


async def known(reader: Reader, keys: Sequence[str]) -> set[str]:
    """Return those of these match keys that have a number in the pool: free, assigned or resting."""
    found: set[str] = set()
    for chunk in in_chunks(keys):
        sql = f"SELECT {_KEY} FROM buzz_number WHERE {_KEY} IN ({marks(chunk)})"
        found |= {key for (key,) in await reader.fetch(sql, *chunk)}
    return found


async def conflicts(reader: Reader, lines: Sequence[ImportedNumber]) -> dict[str, str]:
    """Return the lines that can't be stored: the number, and why. It may be another person's, or resting."""
    given = {match_key(line.e164): line for line in lines if line.person_id is not None}
    found: dict[str, str] = {}
    for chunk in in_chunks(list(given)):
        sql = f"SELECT {_KEY}, state, person_id FROM buzz_number WHERE {_KEY} IN ({marks(chunk)})"
        for key, state, person_id in await reader.fetch(sql, *chunk):
            if state == NumberState.RESTING:
                found[given[key].e164] = "the number was released and still rests"
            elif state == NumberState.ALLOCATED and person_id != given[key].person_id:
                found[given[key].e164] = "the number is another person's"
    return found


async def put_many(transaction: Transaction, lines: Sequence[ImportedNumber], now_ms: int) -> None:
    """Store imported lines without conflicts. A person's previous number is released and rests.

    A person's number that is stored in another form is changed to the form of its line. Raises StorageConflict if two
    lines give one person two numbers, or one number to two people.
    """
    given = [line for line in lines if line.person_id is not None]
    await transaction.execute_many(_DROP_RESERVATION, [(line.person_id,) for line in given])
    await transaction.execute_many(
        f"{_REST} WHERE person_id = ? AND {_KEY} <> ?",
        [(now_ms + REST_MS, now_ms, line.person_id, match_key(line.e164)) for line in given],
    )
    await transaction.execute_many(
        _GIVE, [(secrets.token_hex(16), line.e164, own_key(line.e164), line.person_id, now_ms) for line in given]
    )
    pool = [line.e164 for line in lines if line.person_id is None]
    await transaction.execute_many(_ADD, [(secrets.token_hex(16), e164, own_key(e164), None, now_ms) for e164 in pool])
    # On PostgreSQL a heartbeat on another node may have come between the check and the write.
    wrong = await conflicts(transaction, given)
    if wrong:
        raise StorageConflict("; ".join(f"{e164}: {why}" for e164, why in wrong.items()))


async def release_many(transaction: Transaction, person_ids: Sequence[int], now_ms: int) -> None:
    """Release the numbers of people who were removed, so that they rest, and delete their reservations."""
    await transaction.execute_many(_DROP_RESERVATION, [(person_id,) for person_id in person_ids])
    await transaction.execute_many(
        f"{_REST} WHERE person_id = ?", [(now_ms + REST_MS, now_ms, person_id) for person_id in person_ids]
    )


async def remove_many(transaction: Transaction, e164s: Sequence[str], now_ms: int) -> None:
    """Apply imported deletions: a free number is removed from the pool, a person's is released and rests."""
    await transaction.execute_many(
        "DELETE FROM buzz_number WHERE e164 = ? AND state = 'free'", [(each,) for each in e164s]
    )
    await transaction.execute_many(
        f"{_REST} WHERE e164 = ? AND state = 'allocated'", [(now_ms + REST_MS, now_ms, each) for each in e164s]
    )


_SELECT: Final = "SELECT id, e164, state, person_id, provider_id, until_ms FROM buzz_number"
_REST: Final = "UPDATE buzz_number SET state = 'resting', person_id = NULL, until_ms = ?, changed_at_ms = ?"
_KEY: Final = "COALESCE(match_key, e164)"
"""What a number is compared by: the unique index ``buzz_number_line`` is on it."""

_ADD: Final = """
    INSERT INTO buzz_number (id, e164, match_key, provider_id, state, changed_at_ms) VALUES (?, ?, ?, ?, 'free', ?)
    ON CONFLICT DO NOTHING"""
_GIVE: Final = f"""
    INSERT INTO buzz_number (id, e164, match_key, state, person_id, changed_at_ms) VALUES (?, ?, ?, 'allocated', ?, ?)
    ON CONFLICT ({_KEY}) DO UPDATE
    SET state = 'allocated', e164 = excluded.e164, match_key = excluded.match_key, person_id = excluded.person_id,
        until_ms = NULL, changed_at_ms = excluded.changed_at_ms
    WHERE buzz_number.state = 'free' OR buzz_number.person_id = excluded.person_id"""
_TAKE: Final = """
    UPDATE buzz_number SET state = 'allocated', person_id = ?, until_ms = NULL, changed_at_ms = ?
    WHERE id = ? AND state IN ('free', 'resting')
    RETURNING e164"""
_FREE: Final = "SELECT id FROM buzz_number WHERE state = 'free' ORDER BY e164 LIMIT 1"
_RESTED: Final = "SELECT id FROM buzz_number WHERE state = 'resting' AND until_ms <= ? ORDER BY until_ms LIMIT 1"
_DROP_RESERVATION: Final = "DELETE FROM buzz_number WHERE person_id = ? AND state = 'reserved'"


async def _take(transaction: Transaction, person_id: int, now_ms: int) -> str | None:
    have = await transaction.fetch("SELECT e164 FROM buzz_number WHERE person_id = ? AND e164 IS NOT NULL", person_id)
    while not have:
        free = await transaction.fetch(_FREE) or await transaction.fetch(_RESTED, now_ms)
        if not free:
            return None
        await transaction.execute(_DROP_RESERVATION, person_id)
        # On PostgreSQL another node may have taken it since: then no row is returned, and the next one is tried.
        have = await transaction.fetch(_TAKE, person_id, now_ms, free[0][0])
    e164: str = have[0][0]
    return e164


async def _count(transaction: Transaction) -> int:
    [(count,)] = await transaction.fetch("SELECT COUNT(*) FROM buzz_number")
    return int(count)


def _number(row: Row) -> BuzzNumber:
    allocation_id, e164, state, person_id, provider_id, until_ms = row
    return BuzzNumber(allocation_id, e164, NumberState(state), person_id, provider_id, until_ms)
