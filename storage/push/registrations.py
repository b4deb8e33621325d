"""Push registrations: where each device can be woken, and how far its pushes have come.

A registration is a cursor over the log. Three marks say what is due: ``pushed_id`` (a push about everything up to here
was accepted), the device's ``received_id`` (it has stored everything up to there), and the person's newest activity.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from storage.bulk import in_chunks, marks
from storage.database import Database, Row, Transaction
from storage.signed_out import refuse_signed_out

MAX_REGISTRATIONS: Final = 16
"""Of one person: the one that was registered longest ago is forgotten first, as apps register at every start."""
_CHUNK: Final = 512


class NewRegistration(NamedTuple):
    """What a device registers. ``head`` is the log's newest id: older activities wake nobody."""

    person_id: int
    device_id: str
    kind: str
    address: str
    details: str
    wake_messages: int
    wake_reactions: int
    wake_calls: int
    registered_at_ms: int
    head: int


class Registration(NamedTuple):
    """A registration with all that is stored about it (see its table); ``received_id`` is the device's."""

    person_id: int
    device_id: str
    kind: str
    address: str
    details: str
    wake_messages: int
    wake_reactions: int
    wake_calls: int
    registered_at_ms: int
    pushed_id: int
    pushed_at_ms: int | None
    received_at_push: int
    unanswered: int
    answered_at_ms: int | None
    cleared: int
    failures: int
    given_up_id: int
    attempts: int
    last_result: str | None
    again_at_ms: int | None
    call_id: str | None
    lease_until_ms: int
    received_id: int

    @property
    def key(self) -> tuple[int, str, str]:
        """Its primary key."""
        return self.person_id, self.device_id, self.kind

    @property
    def was_heard(self) -> bool:
        """Whether the device has confirmed something since it was last pushed."""
        return self.received_id > self.received_at_push

    @property
    def silent(self) -> int:
        """How many pushes the device has left unanswered."""
        return 0 if self.was_heard else self.unanswered


class PushStore:
    """The registrations of one database. Raises StorageUnavailable when a later try may work."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, new: NewRegistration, issued_at_ms: int | None = None) -> Registration:
        """Store a registration. If another device or person had the same address, it is theirs no more.

        One that exists keeps its marks, unless its address has changed, and counts as heard of. ``issued_at_ms``: when
        the device's credential was issued. Raises SignedOut if the device was signed out after that.
        """
        async with self._database.transaction() as transaction:
            await refuse_signed_out(transaction, new.person_id, new.device_id, issued_at_ms)
            await transaction.execute(_TAKE_AWAY, new.kind, new.address, new.person_id, new.device_id)
            await transaction.execute(_REGISTER, *new[:-1], new.head)
            await transaction.execute(_FORGET_OLDEST, new.person_id, new.person_id)
            rows = await transaction.fetch(f"{_SELECT} WHERE {_OF_KEY}", new.person_id, new.device_id, new.kind)
        return Registration(*rows[0])

    async def of_person(self, person_id: int) -> list[Registration]:
        """Return a person's registrations, by device and kind."""
        sql = f"{_SELECT} WHERE r.person_id = ? ORDER BY r.device_id, r.kind"
        return _read(await self._database.fetch(sql, person_id))

    async def remove(self, person_id: int, device_id: str, kind: str | None) -> int:
        """Delete a device's registration of this kind, or all of them; returns how many."""
        sql = "DELETE FROM push_registration WHERE person_id = ? AND device_id = ?"
        if kind is None:
            return await self._database.execute(sql, person_id, device_id)
        return await self._database.execute(f"{sql} AND kind = ?", person_id, device_id, kind)

    async def remove_gone(self, registration: Registration) -> int:
        """Delete a registration whose address is gone, unless it was registered anew meanwhile."""
        sql = f"DELETE FROM push_registration WHERE {_KEY} AND address = ? AND registered_at_ms = ?"
        return await self._database.execute(sql, *registration.key, registration.address, registration.registered_at_ms)

    async def of_parties(self, parties: Collection[int]) -> list[Registration]:
        """Return the registrations of people (positive) and of all members of companies (negative)."""
        found: dict[tuple[int, str, str], Registration] = {}
        for chunk in in_chunks([party for party in parties if party > 0], _CHUNK):
            sql = f"{_SELECT} WHERE r.person_id IN ({marks(chunk)})"
            found.update((each.key, each) for each in _read(await self._database.fetch(sql, *chunk)))
        for chunk in in_chunks([-party for party in parties if party < 0], _CHUNK):
            members = f"SELECT m.person_id FROM member m WHERE m.company_id IN ({marks(chunk)})"
            sql = f"{_SELECT} WHERE r.person_id IN ({members})"
            found.update((each.key, each) for each in _read(await self._database.fetch(sql, *chunk)))
        return list(found.values())

    async def after(self, key: tuple[int, str, str], limit: int) -> list[Registration]:
        """Return registrations in the order of their keys, after ``key``."""
        sql = f"{_SELECT} WHERE ({_KEYS}) > (?, ?, ?) ORDER BY {_KEYS} LIMIT ?"
        return _read(await self._database.fetch(sql, *key, limit))

    async def to_look_at(self, now_ms: int, after: tuple[int, int, str, str], limit: int) -> list[Registration]:
        """Return registrations whose ``again_at_ms`` has come, the longest ago first.

        ``after``: the time and key of the last one of the page before.
        """
        rows = await self._database.fetch(_TO_LOOK_AT, now_ms, now_ms, *after, limit)
        return _read(rows)

    async def count(self) -> dict[str, int]:
        """Return how many registrations there are of each kind."""
        rows = await self._database.fetch("SELECT kind, count(*) FROM push_registration GROUP BY kind")
        return {kind: int(number) for kind, number in rows}

    async def never_woken(self, limit: int) -> list[Registration]:
        """Return registrations with a push that was not answered, the longest ago first."""
        sql = f"{_SELECT} WHERE r.pushed_at_ms IS NOT NULL AND r.answered_at_ms IS NULL ORDER BY r.pushed_at_ms LIMIT ?"
        return _read(await self._database.fetch(sql, limit))

    async def unanswered(self, devices: Sequence[tuple[int, str]]) -> list[Registration]:
        """Return those of these devices' registrations that wait for the answer to a push."""
        found: list[Registration] = []
        for chunk in in_chunks(sorted({person for person, _ in devices}), _CHUNK):
            sql = f"{_SELECT} WHERE r.person_id IN ({marks(chunk)}) AND r.unanswered > 0 AND r.answered_at_ms IS NULL"
            found += _read(await self._database.fetch(sql, *chunk))
        wanted = set(devices)
        return [each for each in found if each.key[:2] in wanted]

    async def answered(self, registration: Registration, at_ms: int) -> bool:
        """Store when a device first confirmed something after its push; False if that was stored before."""
        sql = f"UPDATE push_registration SET answered_at_ms = ? WHERE {_KEY} AND answered_at_ms IS NULL"
        return await self._database.execute(sql, at_ms, *registration.key) > 0

    async def look_no_more(self, keys: Sequence[tuple[int, str, str]], now_ms: int) -> None:
        """Clear the ``again_at_ms`` that has come of registrations for which nothing is due."""
        sql = f"UPDATE push_registration SET again_at_ms = NULL WHERE {_KEY} AND again_at_ms <= ?"
        async with self._database.transaction() as transaction:
            await transaction.execute_many(sql, [(*key, now_ms) for key in keys])

    async def erase_person(self, person_id: int) -> int:
        """Delete a person's registrations; returns how many."""
        return await self._database.execute("DELETE FROM push_registration WHERE person_id = ?", person_id)

    async def clamp(self, head_id: int) -> int:
        """Lower the marks to the log's head after history was lost. Returns how many were lowered."""
        sql = "UPDATE push_registration SET pushed_id = ?, received_at_push = 0 WHERE pushed_id > ?"
        return await self._database.execute(sql, head_id, head_id)


async def remove_of_device(transaction: Transaction, person_id: int, device_id: str) -> int:
    """Delete a device's registrations inside a transaction that does more; returns how many."""
    sql = "DELETE FROM push_registration WHERE person_id = ? AND device_id = ?"
    return await transaction.execute(sql, person_id, device_id)


def _read(rows: Sequence[Row]) -> list[Registration]:
    return [Registration(*row) for row in rows]


_COLUMNS: Final = ", ".join(f"r.{name}" for name in Registration._fields[:-1])
_SELECT: Final = f"""SELECT {_COLUMNS}, COALESCE(d.received_id, 0) FROM push_registration r
    LEFT JOIN device d ON d.person_id = r.person_id AND d.device_id = r.device_id"""
_KEY: Final = "person_id = ? AND device_id = ? AND kind = ?"
_KEYS: Final = "r.person_id, r.device_id, r.kind"
_TO_LOOK_AT: Final = f"""{_SELECT}
    WHERE r.again_at_ms <= ? AND r.lease_until_ms <= ?
        AND (r.again_at_ms, r.person_id, r.device_id, r.kind) > (?, ?, ?, ?)
    ORDER BY r.again_at_ms, r.person_id, r.device_id, r.kind LIMIT ?"""
_OF_KEY: Final = "r.person_id = ? AND r.device_id = ? AND r.kind = ?"
_TAKE_AWAY: Final = """
    DELETE FROM push_registration WHERE kind = ? AND address = ? AND NOT (person_id = ? AND device_id = ?)"""
_SAME: Final = "push_registration.address = excluded.address"
_REGISTER: Final = f"""
    INSERT INTO push_registration (person_id, device_id, kind, address, details, wake_messages, wake_reactions,
        wake_calls, registered_at_ms, pushed_id, received_at_push, unanswered, cleared, failures, given_up_id, attempts,
        lease_until_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, 0, 0)
    ON CONFLICT (person_id, device_id, kind) DO UPDATE SET
        pushed_id = CASE WHEN {_SAME} THEN push_registration.pushed_id ELSE excluded.pushed_id END,
        address = excluded.address, details = excluded.details, wake_messages = excluded.wake_messages,
        wake_reactions = excluded.wake_reactions, wake_calls = excluded.wake_calls,
        registered_at_ms = excluded.registered_at_ms, unanswered = 0, failures = 0, given_up_id = 0, attempts = 0,
        again_at_ms = NULL, lease = NULL, lease_until_ms = 0"""
_FORGET_OLDEST: Final = f"""
    DELETE FROM push_registration WHERE person_id = ? AND (device_id, kind) IN (
        SELECT device_id, kind FROM push_registration WHERE person_id = ?
        ORDER BY registered_at_ms DESC, device_id, kind LIMIT 1000 OFFSET {MAX_REGISTRATIONS})"""
