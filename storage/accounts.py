"""Revoked credentials, and the newest activity that each device has confirmed as stored.

Tokens themselves are not stored: they are signed, and a node reads storage only to learn which ones are revoked.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

from storage.ahead import CLOCKS_APART_MS
from storage.bulk import in_chunks
from storage.database import Database

MAX_DEVICES: Final = 64
"""Of one person: a bound against a client that invents device ids. The one heard longest ago is forgotten first."""
REVOCATIONS_KEPT_MS: Final = 366 * 86_400_000
"""How long a revocation is kept after what it is about has expired: a clock may have been fast, and is set right."""
_DELETED_AT_ONCE: Final = 100


class Revocation(NamedTuple):
    """One row: a token by its id, or all tokens that a person was given until ``revoked_at_ms``.

    ``version`` rises with every revocation; rows become visible in its order. After ``expires_at_ms`` every token that
    the row revokes has expired anyway.
    """

    version: int
    token_id: str | None
    person_id: int | None
    revoked_at_ms: int
    expires_at_ms: int


class Device(NamedTuple):
    """One device of a person: it has stored everything up to ``received_id``, and last connected at ``seen_at_ms``."""

    person_id: int
    device_id: str
    received_id: int
    seen_at_ms: int


class AccountStore:
    """Revocations and devices. Raises StorageUnavailable when nothing was stored and a later try may work."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def revoke(
        self, *, token_id: str | None = None, person_id: int | None = None, revoked_at_ms: int, expires_at_ms: int
    ) -> Revocation:
        """Record a revocation durably. Exactly one of ``token_id`` and ``person_id`` is given.

        Some of the revocations that expired long ago are deleted in the same transaction, so that the table stays
        small.
        """
        if (token_id is None) == (person_id is None):
            raise ValueError("revoke either a token or a person")
        given = (token_id, person_id, revoked_at_ms, expires_at_ms)
        gone_ms = revoked_at_ms - REVOCATIONS_KEPT_MS
        if self._database.dialect == "postgresql":
            # One statement: it waits only for other revocations, each of which is one statement too.
            [(version,)] = await self._database.returning(_REVOKE, gone_ms, *given)
            return Revocation(version, *given)
        async with self._database.transaction() as transaction:
            await transaction.execute(f"DELETE FROM revocation WHERE version IN ({_GONE})", gone_ms)
            [(version,)] = await transaction.fetch(
                "UPDATE revocation_counter SET version = version + 1 RETURNING version"
            )
            row = Revocation(version, *given)
            await transaction.execute(
                "INSERT INTO revocation (version, token_id, person_id, revoked_at_ms, expires_at_ms)"
                " VALUES (?, ?, ?, ?, ?)",
                *row,
            )
        return row

    async def revocations_after(self, version: int, now_ms: int) -> list[Revocation]:
        """Return the revocations newer than ``version`` that have not expired at ``now_ms``, in order of version."""
        rows = await self._database.fetch(
            "SELECT version, token_id, person_id, revoked_at_ms, expires_at_ms FROM revocation"
            " WHERE version > ? AND expires_at_ms > ? ORDER BY version",
            version,
            now_ms,
        )
        return [Revocation(*row) for row in rows]

    async def save_received(self, devices: Sequence[Device]) -> None:
        """Store how far devices have received, many in one transaction. An id below the stored one changes nothing.

        If a person has more than MAX_DEVICES, the devices that connected longest ago are deleted.
        """
        people = sorted({device.person_id for device in devices})
        async with self._database.transaction() as transaction:
            await transaction.execute_many(_SAVE_RECEIVED, devices)
            await transaction.execute_many(_FORGET_OLDEST, [(person, person) for person in people])

    async def devices(self, person_id: int) -> list[Device]:
        """Return a person's devices, the one that connected last first."""
        rows = await self._database.fetch(
            "SELECT person_id, device_id, received_id, seen_at_ms FROM device WHERE person_id = ?"
            " ORDER BY seen_at_ms DESC, device_id",
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
        return await self._database.execute("DELETE FROM device WHERE person_id = ?", person_id)


_GONE: Final = f"SELECT version FROM revocation WHERE expires_at_ms < ? LIMIT {_DELETED_AT_ONCE}"
# SQLite has one writer and needs no SKIP LOCKED. Rows that another transaction is deleting now are skipped.
_REVOKE: Final = f"""
    WITH gone AS (DELETE FROM revocation WHERE version IN ({_GONE} FOR UPDATE SKIP LOCKED)),
    taken AS (UPDATE revocation_counter SET version = version + 1 RETURNING version)
    INSERT INTO revocation (version, token_id, person_id, revoked_at_ms, expires_at_ms)
    SELECT version, CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT) FROM taken
    RETURNING version"""
_SAVE_RECEIVED = f"""
    INSERT INTO device (person_id, device_id, received_id, seen_at_ms) VALUES (?, ?, ?, ?)
    ON CONFLICT (person_id, device_id) DO UPDATE SET
        received_id = CASE WHEN excluded.received_id > device.received_id
                           THEN excluded.received_id ELSE device.received_id END,
        seen_at_ms = CASE WHEN excluded.seen_at_ms > device.seen_at_ms
                            OR device.seen_at_ms - excluded.seen_at_ms > {CLOCKS_APART_MS}
                          THEN excluded.seen_at_ms ELSE device.seen_at_ms END"""

_CHUNK: Final = 512
"""Devices asked about in one statement."""
_FORGET_OLDEST = f"""
    DELETE FROM device WHERE person_id = ? AND device_id IN (
        SELECT device_id FROM device WHERE person_id = ?
        ORDER BY seen_at_ms DESC, device_id LIMIT 1000 OFFSET {MAX_DEVICES})"""
