"""Revoked credentials, and the newest activity that each device has confirmed as stored.

Tokens themselves are not stored: they are signed, and a node reads storage only to learn which ones are revoked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from storage.ahead import CLOCKS_APART_MS
from storage.bulk import in_chunks, insert, marks
from storage.database import Database, Transaction
from storage.signed_out import signed_out_times

MAX_DEVICES: Final = 64
"""Of one person: a bound against a client that invents device ids. The one heard longest ago is forgotten first."""
REVOCATIONS_KEPT_MS: Final = 366 * 86_400_000
"""How long a revocation is kept after what it is about has expired: a clock may have been fast, and is set right."""
_DELETED_AT_ONCE: Final = 100


class Revocation(NamedTuple):
    """One row: a token by its id, or all tokens that a person was given until ``revoked_at_ms``.

    With a ``device_id``: only where this device of the person uses them.

    ``version`` rises with every revocation; rows become visible in its order. After ``expires_at_ms`` every token that
    the row revokes has expired anyway.
    """

    version: int
    token_id: str | None
    person_id: int | None
    revoked_at_ms: int
    expires_at_ms: int
    device_id: str | None = None


class Device(NamedTuple):
    """One device of a person: it has stored everything up to ``received_id``, and last connected at ``seen_at_ms``."""

    person_id: int
    device_id: str
    received_id: int
    seen_at_ms: int


class ReceivedMark(NamedTuple):
    """What a device has confirmed, with a token that was issued at ``issued_at_ms``; ``seen_at_ms``: when."""

    person_id: int
    device_id: str
    received_id: int
    seen_at_ms: int
    issued_at_ms: int


class SeenDevice(NamedTuple):
    """A device that has said hello: the program that it runs, and the id of the token that it used.

    ``issued_at_ms``: when the token was issued.
    """

    person_id: int
    device_id: str
    client: str | None
    token_id: str
    seen_at_ms: int
    issued_at_ms: int


class KnownDevice(NamedTuple):
    """One of a person's devices, with everything that is stored about it.

    ``added_at_ms`` is None if it was added by an earlier release.
    """

    device_id: str
    name: str | None
    client: str | None
    added_at_ms: int | None
    seen_at_ms: int
    received_id: int
    token_id: str | None


class AccountStore:
    """Revocations and devices. Raises StorageUnavailable when nothing was stored and a later try may work."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def revoke(
        self,
        *,
        token_id: str | None = None,
        person_id: int | None = None,
        device_id: str | None = None,
        revoked_at_ms: int,
        expires_at_ms: int,
    ) -> Revocation:
        """Record a revocation durably. Exactly one of ``token_id`` and ``person_id`` is given.

        ``device_id``: only of this device of the person.

        Some of the revocations that expired long ago are deleted in the same transaction, so that the table stays
        small.
        """
        if (token_id is None) == (person_id is None):
            raise ValueError("revoke either a token or a person")
        given = (token_id, person_id, revoked_at_ms, expires_at_ms, device_id)
        gone_ms = revoked_at_ms - REVOCATIONS_KEPT_MS
        if self._database.dialect == "postgresql":
            # One statement, in no lane: it waits only for other revocations.
            [(version,)] = await self._database.returning(_REVOKE, gone_ms, *given)
            return Revocation(version, *given)
        async with self._database.transaction() as transaction:
            await transaction.execute(f"DELETE FROM revocation WHERE version IN ({_GONE})", gone_ms)
            return await _revoke(transaction, Revocation(0, *given))

    async def revocations_after(self, version: int, now_ms: int) -> list[Revocation]:
        """Return the revocations newer than ``version`` that have not expired at ``now_ms``, in order of version."""
        rows = await self._database.fetch(
            "SELECT version, token_id, person_id, revoked_at_ms, expires_at_ms, device_id FROM revocation"
            " WHERE version > ? AND expires_at_ms > ? ORDER BY version",
            version,
            now_ms,
        )
        return [Revocation(*row) for row in rows]

    async def save_received(self, received: Sequence[ReceivedMark]) -> None:
        """Store how far devices have received, many in one transaction. An id below the stored one changes nothing.

        A device that was signed out after its token was issued is left out. If a person has more than MAX_DEVICES, the
        devices that connected longest ago are deleted.
        """
        async with self._database.transaction() as transaction:
            signed_out = await signed_out_times(transaction, {each.person_id for each in received})
            newest: dict[tuple[int, str], tuple[int, int]] = {}
            for mark in received:
                key = mark.person_id, mark.device_id
                if mark.issued_at_ms > signed_out.get(key, _NEVER):
                    id, seen_at_ms = newest.get(key, (0, 0))
                    newest[key] = max(id, mark.received_id), max(seen_at_ms, mark.seen_at_ms)
            rows = [(*key, *marked) for key, marked in sorted(newest.items())]
            await insert(transaction, _DEVICE_RECEIVED, rows, _MOVE_FORWARD)
            await _forget_oldest(transaction, {person for person, *_ in rows})

    async def note_seen(self, devices: Sequence[SeenDevice]) -> list[SeenDevice]:
        """Store that devices have said hello, many in one transaction. Returns those that were not known.

        A device is given at most once. One that was signed out after its token was issued is left out. If a person has
        more than MAX_DEVICES, the ones that connected longest ago are deleted.
        """
        async with self._database.transaction() as transaction:
            signed_out = await signed_out_times(transaction, {each.person_id for each in devices})
            seen = [d for d in devices if d.issued_at_ms > signed_out.get((d.person_id, d.device_id), _NEVER)]
            known: set[tuple[int, str]] = set()
            for chunk in in_chunks(sorted({device.person_id for device in seen})):
                sql = f"SELECT person_id, device_id FROM device WHERE person_id IN ({marks(chunk)})"
                known.update((person, device) for person, device in await transaction.fetch(sql, *chunk))
            rows = [(d.person_id, d.device_id, 0, d.seen_at_ms, d.client, d.token_id, d.seen_at_ms) for d in seen]
            await insert(transaction, _DEVICE_SEEN, rows, _SEEN_AGAIN)
            new = [device for device in seen if (device.person_id, device.device_id) not in known]
            await _forget_oldest(transaction, {device.person_id for device in new})
        return new

    async def known_devices(self, person_id: int) -> list[KnownDevice]:
        """Return a person's devices with everything stored about them, the one that connected last first."""
        rows = await self._database.fetch(f"{_KNOWN} WHERE person_id = ? {_LAST_FIRST}", person_id)
        return [KnownDevice(*row) for row in rows]

    async def name_device(self, person_id: int, device_id: str, name: str | None) -> bool:
        """Set or remove a device's name. Returns False if the person has no such device."""
        sql = "UPDATE device SET name = ? WHERE person_id = ? AND device_id = ?"
        return await self._database.execute(sql, name, person_id, device_id) > 0

    async def highest_received(self, person_ids: Collection[int]) -> dict[int, int]:
        """Return for each of these people the newest id that one of their devices has confirmed; 0 is left out."""
        found: dict[int, int] = {}
        for chunk in in_chunks(list(person_ids)):
            sql = (
                f"SELECT person_id, MAX(received_id) FROM device WHERE person_id IN ({marks(chunk)}) GROUP BY person_id"
            )
            found.update((person, id) for person, id in await self._database.fetch(sql, *chunk) if id)
        return found

    async def devices(self, person_id: int) -> list[Device]:
        """Return a person's devices, the one that connected last first."""
        rows = await self._database.fetch(
            f"SELECT person_id, device_id, received_id, seen_at_ms FROM device WHERE person_id = ? {_LAST_FIRST}",
            person_id,
        )
        return [Device(*row) for row in rows]

    async def received_ids(self, devices: Collection[tuple[int, str]]) -> dict[tuple[int, str], int]:
        """Return the newest id that each device (person id, device id) has confirmed; devices without one are left
        out.
        """
        found: dict[tuple[int, str], int] = {}
        for chunk in in_chunks(list(devices), _CHUNK):
            # The casts tell PostgreSQL the types of the whole list.
            typed = ", ".join(["(CAST(? AS BIGINT), CAST(? AS TEXT))", *["(?, ?)"] * (len(chunk) - 1)])
            rows = await self._database.fetch(
                "SELECT person_id, device_id, received_id FROM device"
                f" WHERE (person_id, device_id) IN (VALUES {typed})",
                *(value for device in chunk for value in device),
            )
            found |= {(person_id, device_id): received_id for person_id, device_id, received_id in rows}
        return found

    async def clamp_received(self, head_id: int) -> int:
        """Lower every device's received id to the log's head after history was lost. Returns how many were lowered."""
        async with self._database.transaction() as transaction:
            return await transaction.execute(
                "UPDATE device SET received_id = ? WHERE received_id > ?", head_id, head_id
            )

    async def erase_person(self, person_id: int) -> int:
        """Delete a person's devices; returns how many. Revocations stay, so that the person's tokens remain invalid."""
        await self._database.execute("DELETE FROM receipts_off WHERE person_id = ?", person_id)
        return await self._database.execute("DELETE FROM device WHERE person_id = ?", person_id)


async def people_without_receipts(database: Database, person_ids: Collection[int]) -> set[int]:
    """Return those of these people who neither send nor get receipts."""
    found: set[int] = set()
    for chunk in in_chunks(list(person_ids)):
        rows = await database.fetch(f"SELECT person_id FROM receipts_off WHERE person_id IN ({marks(chunk)})", *chunk)
        found.update(person for (person,) in rows)
    return found


async def set_receipts(database: Database, person_id: int, enabled: bool) -> None:
    """Turn a person's receipts on or off."""
    if enabled:
        await database.execute("DELETE FROM receipts_off WHERE person_id = ?", person_id)
    else:
        sql = "INSERT INTO receipts_off (person_id) VALUES (?) ON CONFLICT (person_id) DO NOTHING"
        await database.execute(sql, person_id)


async def sign_out(
    transaction: Transaction,
    person_id: int,
    device_id: str,
    token_id: str | None,
    *,
    revoked_at_ms: int,
    expires_at_ms: int,
) -> None:
    """Revoke what a device of the person uses, and a token by its id, inside a transaction that does more.

    Other revocations wait from here until it ends, so these are its last statements.
    """
    await _revoke(transaction, Revocation(0, None, person_id, revoked_at_ms, expires_at_ms, device_id))
    if token_id is not None:
        await _revoke(transaction, Revocation(0, token_id, None, revoked_at_ms, expires_at_ms))


async def _revoke(transaction: Transaction, new: Revocation) -> Revocation:
    """Store a revocation with the next version, whatever version ``new`` has."""
    [(version,)] = await transaction.fetch("UPDATE revocation_counter SET version = version + 1 RETURNING version")
    row = new._replace(version=version)
    await transaction.execute(
        "INSERT INTO revocation (version, token_id, person_id, revoked_at_ms, expires_at_ms, device_id)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        *row,
    )
    return row


async def _forget_oldest(transaction: Transaction, people: Collection[int]) -> None:
    """Delete the devices beyond MAX_DEVICES of each of these people, the ones that connected longest ago."""
    for chunk in in_chunks(sorted(people)):
        for (person,) in await transaction.fetch(_CROWDED.format(people=marks(chunk)), *chunk):
            await transaction.execute(_FORGET_OLDEST, person, person)


async def remove_device(transaction: Transaction, person_id: int, device_id: str) -> KnownDevice | None:
    """Delete a device inside a transaction that does more. Returns what was stored, or None if there was none."""
    mine = "WHERE person_id = ? AND device_id = ?"
    rows = await transaction.fetch(f"{_KNOWN} {mine}", person_id, device_id)
    await transaction.execute(f"DELETE FROM device {mine}", person_id, device_id)
    return KnownDevice(*rows[0]) if rows else None


_GONE: Final = f"SELECT version FROM revocation WHERE expires_at_ms < ? LIMIT {_DELETED_AT_ONCE}"
# SQLite has one writer and needs no SKIP LOCKED. Rows that another transaction is deleting now are skipped.
_REVOKE: Final = f"""
    WITH gone AS (DELETE FROM revocation WHERE version IN ({_GONE} FOR UPDATE SKIP LOCKED)),
    taken AS (UPDATE revocation_counter SET version = version + 1 RETURNING version)
    INSERT INTO revocation (version, token_id, person_id, revoked_at_ms, expires_at_ms, device_id)
    SELECT version, CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS TEXT) FROM taken
    RETURNING version"""
_NEVER: Final = -1
_DEVICE_RECEIVED: Final = "device (person_id, device_id, received_id, seen_at_ms)"
_MOVE_FORWARD: Final = f"""
    ON CONFLICT (person_id, device_id) DO UPDATE SET
        received_id = CASE WHEN excluded.received_id > device.received_id
                           THEN excluded.received_id ELSE device.received_id END,
        seen_at_ms = CASE WHEN excluded.seen_at_ms > device.seen_at_ms
                            OR device.seen_at_ms - excluded.seen_at_ms > {CLOCKS_APART_MS}
                          THEN excluded.seen_at_ms ELSE device.seen_at_ms END"""

_LAST_FIRST: Final = "ORDER BY seen_at_ms DESC, device_id"
_KNOWN: Final = "SELECT device_id, name, client, added_at_ms, seen_at_ms, received_id, token_id FROM device"
_DEVICE_SEEN: Final = "device (person_id, device_id, received_id, seen_at_ms, client, token_id, added_at_ms)"
_SEEN_AGAIN: Final = """
    ON CONFLICT (person_id, device_id) DO UPDATE
    SET seen_at_ms = excluded.seen_at_ms, client = excluded.client, token_id = excluded.token_id"""
_CROWDED: Final = f"""
    SELECT person_id FROM device WHERE person_id IN ({{people}}) GROUP BY person_id HAVING COUNT(*) > {MAX_DEVICES}"""
_CHUNK: Final = 512
"""Devices asked about in one statement."""
_FORGET_OLDEST = f"""
    DELETE FROM device WHERE person_id = ? AND device_id IN (
        SELECT device_id FROM device WHERE person_id = ?
        ORDER BY seen_at_ms DESC, device_id LIMIT 1000 OFFSET {MAX_DEVICES})"""
