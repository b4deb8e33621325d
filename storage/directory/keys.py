"""What people publish for end-to-end encryption: their provider data and their public keys, including replaced ones."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from protocol.heartbeat import LastTimes
from storage.bulk import in_chunks, marks
from storage.database import Database, Transaction, Value
from storage.directory import reads, writes
from storage.errors import StorageConflict
from storage.partners import partner_pages
from storage.signed_out import refuse_signed_out

MAX_KEYS_IN_FORCE: Final = 64
"""Devices times algorithms of one person: a bound against a client that invents device ids."""

MAX_KEYS_LISTED: Final = 1_000
"""Keys of one person that are kept and shown; of revoked ones beyond it the oldest are deleted."""
_ATTEMPTS: Final = 5


class Encryption(NamedTuple):
    """A person's data with the encryption provider."""

    hash: str
    e2e_id: str
    updated_at_ms: int


class PublicKey(NamedTuple):
    """One public key. ``device_id`` None: for all the person's devices. ``revoked_at_ms`` None: in force.

    ``statement``: base64 of what its device says about it; None: nothing.
    """

    public_key: str
    algorithm: str
    device_id: str | None
    fingerprint: str
    updated_at_ms: int
    revoked_at_ms: int | None
    statement: str | None = None


class KeyRefusal(Enum):
    """Why a key was not stored."""

    TOO_MANY = "too many keys in force"


class KeyPublication(NamedTuple):
    """The result of publishing a key.

    ``previous``: the fingerprint that it replaced. ``changed`` is False if it was in force already.
    """

    key: PublicKey
    previous: str | None
    changed: bool


class KeyPosition(NamedTuple):
    """Where a list of a person's keys continues: after this key. Those in force come first, then the newest first."""

    revoked: bool
    updated_at_ms: int
    id: str


class ListedKey(NamedTuple):
    """A key in the list of a person's keys, and its position there."""

    position: KeyPosition
    key: PublicKey


class ChangedKey(NamedTuple):
    """A key that was added or revoked at ``changed_at_ms``, and the person who has it."""

    changed_at_ms: int
    id: str
    person_id: int
    key: PublicKey


class KeyStore:
    """People's encryption data and public keys. Raises StorageUnavailable when nothing was changed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def encryption(self, person_id: int) -> Encryption | None:
        rows = await self._database.fetch(
            "SELECT hash, e2e_id, updated_at_ms FROM encryption WHERE person_id = ?", person_id
        )
        return Encryption(*rows[0]) if rows else None

    async def put_encryption(self, person_id: int, data: Encryption) -> None:
        await self._database.execute(_PUT_ENCRYPTION, person_id, *data)

    async def keys(
        self, person_id: int, after: KeyPosition | None = None, limit: int = MAX_KEYS_LISTED
    ) -> list[ListedKey]:
        """Return the person's keys after a position, those in force first, then the newest first."""
        where, values = _after(after)
        sql = f"{_SELECT_LISTED} WHERE person_id = ? {where} {_ORDER} LIMIT ?"
        rows = await self._database.fetch(sql, person_id, *values, limit)
        return [_listed(id, _public_key(row)) for id, *row in rows]

    async def changed(self, person_ids: Sequence[int], after: tuple[int, str], limit: int) -> list[ChangedKey]:
        """Return these people's keys that were added or revoked after a time (milliseconds) and id, in that order."""
        found: list[ChangedKey] = []
        for chunk in in_chunks(person_ids):
            sql = _CHANGED.format(people=marks(chunk))
            rows = await self._database.fetch(sql, *chunk, after[0], after[0], after[1], limit)
            found += [ChangedKey(changed, id, person, _public_key(row)) for changed, id, person, *row in rows]
            found = first_changes(found, limit)
        return found

    def partner_pages(self, party: int) -> AsyncIterator[list[int]]:
        """Yield the keys of all parties that this party has talked with, a bounded number at a time."""
        return partner_pages(self._database, party)

    async def publish(
        self, person_id: int, key: PublicKey, issued_at_ms: int | None = None
    ) -> KeyPublication | KeyRefusal:
        """Put a key in force; the key that it replaces (same device and algorithm) is revoked at the same time.

        The heartbeat of everybody who has talked with the person names the time of the change from then on.
        ``issued_at_ms``: when the device's credential was issued. Raises SignedOut if the device was signed out after
        that.
        """
        for attempt in range(_ATTEMPTS):
            try:
                async with self._database.transaction() as transaction:
                    await refuse_signed_out(transaction, person_id, key.device_id, issued_at_ms)
                    published = await _publish(transaction, person_id, key)
                    if isinstance(published, KeyPublication) and published.changed:
                        await _note_all(transaction, person_id, key.updated_at_ms)
                    return published
            except StorageConflict:
                # The same device published on another node at the same moment: that key is now the one to replace.
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    async def clear(self, person_id: int) -> None:
        """Delete the person's encryption data (a development tool). Public keys stay: others use them to encrypt."""
        await self._database.execute("DELETE FROM encryption WHERE person_id = ?", person_id)


def first_changes(found: Iterable[ChangedKey], limit: int) -> list[ChangedKey]:
    """Return the first of these changes in their order, each once: one person may be found in several ways."""
    return sorted(set(found))[:limit]


async def revoke_of_device(transaction: Transaction, person_id: int, device_id: str, at_ms: int) -> list[PublicKey]:
    """Revoke the keys of a device inside a transaction that does more; returns them as they are now."""
    slot = "person_id = ? AND device_id = ? AND revoked_at_ms IS NULL"
    rows = await transaction.fetch(f"{_SELECT_KEYS} WHERE {slot}", person_id, device_id)
    if not rows:
        return []
    await transaction.execute(f"UPDATE public_key SET revoked_at_ms = ? WHERE {slot}", at_ms, person_id, device_id)
    await _note_all(transaction, person_id, at_ms)
    return [_public_key(row)._replace(revoked_at_ms=at_ms) for row in rows]


async def erase(transaction: Transaction, person_id: int) -> None:
    """Delete everything that the person published, inside a transaction that does more."""
    await transaction.execute("DELETE FROM encryption WHERE person_id = ?", person_id)
    await transaction.execute("DELETE FROM public_key WHERE person_id = ?", person_id)


_PUT_ENCRYPTION: Final = """
    INSERT INTO encryption (person_id, hash, e2e_id, updated_at_ms) VALUES (?, ?, ?, ?)
    ON CONFLICT (person_id) DO UPDATE
    SET hash = excluded.hash, e2e_id = excluded.e2e_id, updated_at_ms = excluded.updated_at_ms"""
_COLUMNS: Final = "public_key, algorithm, device_id, fingerprint, updated_at_ms, revoked_at_ms, statement"
_SELECT_KEYS: Final = f"SELECT {_COLUMNS} FROM public_key"
_SELECT_LISTED: Final = f"SELECT id, {_COLUMNS} FROM public_key"
_REVOKED: Final = "CASE WHEN revoked_at_ms IS NULL THEN 0 ELSE 1 END"
_ORDER: Final = f"ORDER BY {_REVOKED}, updated_at_ms DESC, id"
_NEWEST_FIRST: Final = f"{_ORDER} LIMIT {MAX_KEYS_LISTED}"
_BEYOND: Final = f"""AND ({_REVOKED} > ?
    OR ({_REVOKED} = ? AND (updated_at_ms < ? OR (updated_at_ms = ? AND id > ?))))"""
_CHANGED_AT: Final = "CASE WHEN revoked_at_ms > updated_at_ms THEN revoked_at_ms ELSE updated_at_ms END"
_CHANGED: Final = f"""
    SELECT {_CHANGED_AT} AS changed, id, person_id, {_COLUMNS} FROM public_key
    WHERE person_id IN ({{people}}) AND ({_CHANGED_AT} > ? OR ({_CHANGED_AT} = ? AND id > ?))
    ORDER BY changed, id LIMIT ?"""
_DELETE_OLDEST: Final = f"""
    DELETE FROM public_key WHERE person_id = ? AND revoked_at_ms IS NOT NULL AND id IN (
        SELECT id FROM public_key WHERE person_id = ? {_NEWEST_FIRST} OFFSET {MAX_KEYS_LISTED})"""
_INSERT_KEY: Final = """
    INSERT INTO public_key (id, person_id, public_key, algorithm, device_id, fingerprint, updated_at_ms, statement)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_SLOT: Final = "person_id = ? AND device_id = ? AND algorithm = ? AND revoked_at_ms IS NULL"


def _after(position: KeyPosition | None) -> tuple[str, tuple[Value, ...]]:
    if position is None:
        return "", ()
    revoked, updated_at_ms, id = int(position.revoked), position.updated_at_ms, position.id
    return _BEYOND, (revoked, revoked, updated_at_ms, updated_at_ms, id)


def _listed(id: str, key: PublicKey) -> ListedKey:
    return ListedKey(KeyPosition(key.revoked_at_ms is not None, key.updated_at_ms, id), key)


async def _publish(transaction: Transaction, person_id: int, key: PublicKey) -> KeyPublication | KeyRefusal:
    slot = (person_id, key.device_id or "", key.algorithm)
    rows = await transaction.fetch(f"{_SELECT_KEYS} WHERE {_SLOT}", *slot)
    current = _public_key(rows[0]) if rows else None
    if current is not None and current.fingerprint == key.fingerprint:
        if key.statement in (None, current.statement):
            return KeyPublication(current, None, changed=False)
        # A device that was linked after its key was published: its key is the same, what is said about it is new.
        await transaction.execute(
            f"UPDATE public_key SET statement = ?, updated_at_ms = ? WHERE {_SLOT}",
            key.statement,
            key.updated_at_ms,
            *slot,
        )
        return KeyPublication(key, current.fingerprint, changed=True)
    if current is None and await _in_force(transaction, person_id) >= MAX_KEYS_IN_FORCE:
        return KeyRefusal.TOO_MANY
    await transaction.execute(f"UPDATE public_key SET revoked_at_ms = ? WHERE {_SLOT}", key.updated_at_ms, *slot)
    await transaction.execute(
        _INSERT_KEY,
        secrets.token_hex(16),
        person_id,
        key.public_key,
        key.algorithm,
        key.device_id or "",
        key.fingerprint,
        key.updated_at_ms,
        key.statement,
    )
    await transaction.execute(_DELETE_OLDEST, person_id, person_id)
    return KeyPublication(key, current.fingerprint if current else None, changed=True)


async def _note_all(transaction: Transaction, person_id: int, at_ms: int) -> None:
    """Move the heartbeat's time of the person, and of everybody who has talked with them."""
    await _note(transaction, (person_id,), at_ms)
    async for parties in partner_pages(transaction, person_id):
        await _note(transaction, parties, at_ms)


async def _note(transaction: Transaction, parties: Sequence[int], at_ms: int) -> None:
    members = await reads.members(transaction, [-key for key in parties if key < 0])
    people = {key for key in parties if key > 0} | {person for _, person in members}
    await writes.touch(transaction, LastTimes(key_update=at_ms), sorted(people), at_ms)


async def _in_force(transaction: Transaction, person_id: int) -> int:
    sql = "SELECT COUNT(*) FROM public_key WHERE person_id = ? AND revoked_at_ms IS NULL"
    [(count,)] = await transaction.fetch(sql, person_id)
    return int(count)


def _public_key(row: Sequence[Any]) -> PublicKey:
    public_key, algorithm, device_id, fingerprint, updated_at_ms, revoked_at_ms, statement = row
    return PublicKey(public_key, algorithm, device_id or None, fingerprint, updated_at_ms, revoked_at_ms, statement)
