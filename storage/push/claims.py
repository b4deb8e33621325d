"""Which node sends a push: a registration is leased by one conditional update, and its marks move with the result.

A lease that has expired (its holder died) is taken over, and then the first holder can no longer change the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from storage.bulk import in_chunks
from storage.database import Database, Transaction
from storage.push.registrations import Registration

_CHUNK: Final = 256
Key = tuple[int, str, str]
"""The key of a registration."""
Ringing = tuple[int, str]
"""A person and the id of a call that rings for them."""


class PushClaim(NamedTuple):
    """A registration as it was read, to be leased only if nothing has changed that decides whether a push is due."""

    person_id: int
    device_id: str
    kind: str
    pushed_id: int
    unanswered: int
    cleared: int
    registered_at_ms: int


class PushMarks(NamedTuple):
    """What a finished push leaves in its row. The names are the columns of ``storage/sql/0027_push.sql``."""

    person_id: int
    device_id: str
    kind: str
    pushed_id: int
    pushed_at_ms: int | None
    received_at_push: int
    unanswered: int
    answered_at_ms: int | None
    cleared: int
    failures: int
    given_up_id: int
    attempts: int
    last_result: str
    again_at_ms: int | None


def claim_of(registration: Registration) -> PushClaim:
    """Return the claim on a registration as it was read."""
    r = registration
    return PushClaim(*r.key, r.pushed_id, r.unanswered, r.cleared, r.registered_at_ms)


async def take(
    database: Database, claims: Sequence[PushClaim], lease: str, now_ms: int, until_ms: int
) -> set[tuple[int, str, str]]:
    """Lease registrations under the name ``lease``; returns the keys of those that were taken.

    Each is looked at again when the lease has run out: its holder has died.
    """
    taken: set[tuple[int, str, str]] = set()
    # In one order on every node, so that two batches do not wait for each other's rows.
    for chunk in in_chunks(sorted(claims), _CHUNK):
        values = [value for each in chunk for value in each]
        rows = await database.returning(_take_sql(len(chunk)), lease, until_ms, until_ms, *values, now_ms, lease)
        taken.update((person, device, kind) for person, device, kind in rows)
    return taken


async def finish(database: Database, done: Sequence[tuple[str, PushMarks]]) -> int:
    """Store the results of pushes, each with its lease, and release these; a row whose lease was lost is left alone."""
    changed = 0
    for chunk in in_chunks(sorted(done, key=lambda each: each[1][:3]), _CHUNK):
        values = [value for lease, marks in chunk for value in (*marks, lease)]
        changed += await database.execute(_finish_sql(len(chunk)), *values)
    return changed


async def settle(database: Database, done: Sequence[PushMarks], now_ms: int) -> None:
    """Store marks of registrations that nobody holds a lease of."""
    lease = "settled"
    claimed = [(marks.person_id, marks.device_id, marks.kind) for marks in done]
    async with database.transaction() as transaction:
        await transaction.execute_many(_SETTLE, [(lease, *key, now_ms) for key in claimed])
    await finish(database, [(lease, marks) for marks in done])


async def delete(database: Database, lease: str, key: tuple[int, str, str]) -> bool:
    """Delete a registration whose address is gone; False if the lease was lost: it was registered anew."""
    sql = "DELETE FROM push_registration WHERE person_id = ? AND device_id = ? AND kind = ? AND lease = ?"
    return await database.execute(sql, *key, lease) > 0


async def ring(
    database: Database, calls: Sequence[tuple[int, str]]
) -> dict[tuple[int, str], set[tuple[int, str, str]]]:
    """Note that calls (person, call id) are pushed to the devices of these people, one call of each person.

    Returns for each call the registrations for which this was new.
    """
    found: dict[Ringing, set[Key]] = {call: set() for call in calls}
    for chunk in in_chunks(sorted(calls), _CHUNK):
        of_person = dict(chunk)
        values = [value for call in chunk for value in call]
        for person, device, kind in await database.returning(_ring_sql(len(chunk)), *values):
            found[person, of_person[person]].add((person, device, kind))
    return found


async def reclaim(transaction: Transaction) -> int:
    """End every lease; returns how many. Correct only if no other process uses this database."""
    return await transaction.execute(
        "UPDATE push_registration SET lease = NULL, lease_until_ms = 0, again_at_ms = NULL WHERE lease IS NOT NULL"
    )


def _values(types: Sequence[str], rows: int) -> str:
    """Return a VALUES list. The casts of its first row tell PostgreSQL the types of the whole list."""
    typed = ", ".join(f"CAST(? AS {each})" for each in types)
    plain = f"({', '.join('?' * len(types))})"
    return ", ".join([f"({typed})", *[plain] * (rows - 1)])


_CLAIM_TYPES: Final = ("BIGINT", "TEXT", "TEXT", "BIGINT", "BIGINT", "BIGINT", "BIGINT")
_MARK_TYPES: Final = (
    *("BIGINT", "TEXT", "TEXT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT", "BIGINT"),
    *("BIGINT", "TEXT", "BIGINT", "TEXT"),
)
_SMALL: Final = ("unanswered", "cleared", "failures", "attempts")


def _take_sql(rows: int) -> str:
    # Safe to repeat: a row that this lease has already is returned again.
    return f"""
        UPDATE push_registration SET lease = ?, lease_until_ms = ?, again_at_ms = ?, attempts = attempts + 1
        FROM (VALUES {_values(_CLAIM_TYPES, rows)}) AS v
        WHERE person_id = v.column1 AND device_id = v.column2 AND kind = v.column3 AND pushed_id = v.column4
            AND unanswered = v.column5 AND cleared = v.column6 AND registered_at_ms = v.column7
            AND (lease_until_ms <= ? OR lease = ?)
        RETURNING person_id, device_id, kind"""


def _finish_sql(rows: int) -> str:
    sets = ", ".join(
        f"{name} = {f'CAST(v.column{number} AS INTEGER)' if name in _SMALL else f'v.column{number}'}"
        for number, name in enumerate(PushMarks._fields, start=1)
        if number > 3
    )
    return f"""
        UPDATE push_registration SET {sets}, lease = NULL, lease_until_ms = 0
        FROM (VALUES {_values(_MARK_TYPES, rows)}) AS v
        WHERE person_id = v.column1 AND device_id = v.column2 AND kind = v.column3
            AND lease = v.column{len(_MARK_TYPES)}"""


def _ring_sql(calls: int) -> str:
    return f"""
        UPDATE push_registration SET call_id = v.column2
        FROM (VALUES {_values(("BIGINT", "TEXT"), calls)}) AS v
        WHERE person_id = v.column1 AND wake_calls = 1 AND (call_id IS NULL OR call_id <> v.column2)
        RETURNING person_id, device_id, kind"""


_SETTLE: Final = """
    UPDATE push_registration SET lease = ? WHERE person_id = ? AND device_id = ? AND kind = ? AND lease_until_ms <= ?"""
