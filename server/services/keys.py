"""Encryption data and public keys; when a person's key changes, their partners are notified at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import structlog

from protocol.activity import rfc3339
from protocol.encryption import (
    ChangedKeyAnswer,
    EncryptionAnswer,
    EncryptionData,
    NewPublicKey,
    PublicKeyAnswer,
    fingerprint,
)
from protocol.errors import ApiError, ErrorCode, InvalidToken
from protocol.events import EventName
from server.auth.contract import SIGNED_OUT, Caller
from server.live.events import Events
from server.live.parties import Parties
from server.runtime.limits import Buckets
from storage.directory.keys import (
    MAX_KEYS_IN_FORCE,
    ChangedKey,
    Encryption,
    KeyPosition,
    KeyPublication,
    KeyStore,
    ListedKey,
    PublicKey,
    first_changes,
)
from storage.errors import StorageUnavailable
from storage.signed_out import SignedOut

_logger = structlog.get_logger("keys")
CHANGES_AT_ONCE = 128
CHANGE_EVERY_SECONDS = 6.0
"""A person may change so many keys at once (twice what can be in force), then one in so many seconds: everybody they
have talked with is told of each."""


class Keys:
    """What people publish for end-to-end encryption. Every method raises StorageUnavailable."""

    def __init__(self, store: KeyStore, people: Parties, events: Events, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._people = people
        self._events = events
        self._now_ms = now_ms
        self._changes: Buckets[int] = Buckets(1 / CHANGE_EVERY_SECONDS, CHANGES_AT_ONCE)

    async def encryption(self, person_id: int) -> EncryptionAnswer:
        """Return the person's own data. Raises ApiError(not_found) if it was never set."""
        found = await self._store.encryption(person_id)
        if found is None:
            raise ApiError(ErrorCode.NOT_FOUND, "Not Found: no encryption data has been put yet.")
        return EncryptionAnswer(found.hash, found.e2e_id, rfc3339(found.updated_at_ms))

    async def put_encryption(self, person_id: int, data: EncryptionData) -> EncryptionAnswer:
        """Replace the person's data. Raises ApiError(rate_limited)."""
        self._take(person_id)
        now_ms = self._now_ms()
        await self._store.put_encryption(person_id, Encryption(data.hash, data.e2e_id, now_ms))
        return EncryptionAnswer(data.hash, data.e2e_id, rfc3339(now_ms))

    async def keys(self, person_id: int, after: KeyPosition | None, limit: int) -> list[ListedKey]:
        """Return keys of a person after a position, revoked ones too. Raises ApiError(not_found) without a person."""
        if not await self._people.exists(person_id):
            raise ApiError(ErrorCode.NOT_FOUND, f"Not Found: there is no person:{person_id}.")
        return await self._store.keys(person_id, after, limit)

    async def changed(self, person_id: int, after: tuple[int, str], limit: int) -> list[ChangedKey]:
        """Return the keys that were added or revoked after a time (milliseconds) and id, in that order.

        They are the person's own, and those of everybody whom they, or a company of theirs, have talked with.
        """
        found = await self._store.changed([person_id], after, limit)
        for party in (person_id, *await self._people.companies_of(person_id)):
            async for parties in self._store.partner_pages(party):
                people = [key for key in parties if key > 0]
                found = first_changes([*found, *await self._store.changed(people, after, limit)], limit)
        return found

    async def publish(self, caller: Caller, new: NewPublicKey) -> PublicKeyAnswer:
        """Put a key in force and notify those who have talked with the person, and the person's other devices.

        The same key again changes nothing. Raises ApiError: conflict if too many are in force, rate_limited; and
        InvalidToken if the key's device was signed out after the caller's credential was issued.
        """
        person_id = caller.person
        self._take(person_id)
        key = PublicKey(
            new.public_key,
            new.algorithm.value,
            new.device_id,
            fingerprint(new.public_key),
            self._now_ms(),
            None,
            new.statement,
        )
        try:
            result = await self._store.publish(person_id, key, caller.issued_at_ms)
        except SignedOut:
            raise InvalidToken(SIGNED_OUT) from None
        if not isinstance(result, KeyPublication):
            raise ApiError(
                ErrorCode.CONFLICT,
                f"Conflict: at most {MAX_KEYS_IN_FORCE} keys can be in force; replace the key of an existing device.",
            )
        if result.changed:
            await self._tell(person_id, {**_event(person_id, result.key), "previous_fingerprint": result.previous})
        return shown_key(result.key)

    def _take(self, person_id: int) -> None:
        wait = self._changes.take(person_id)
        if wait:
            raise ApiError(ErrorCode.RATE_LIMITED, "Too Many Requests: you have changed your keys too often.", wait)

    async def tell_revoked(self, person_id: int, keys: Iterable[PublicKey]) -> None:
        """Tell the person's devices, and those who have talked with them, that these keys are no longer in force."""
        for key in keys:
            await self._tell(person_id, {**_event(person_id, key), "previous_fingerprint": None})

    async def _tell(self, person_id: int, data: Mapping[str, Any]) -> None:
        # A key for an additional device is announced too, because an attacker could use one to listen in unnoticed.
        self._events.publish((person_id,), EventName.KEY_CHANGED, data)
        try:
            async for parties in self._store.partner_pages(person_id):
                self._events.publish(parties, EventName.KEY_CHANGED, data)
        except StorageUnavailable as error:
            # The change is stored. Who was not told now learns of it from the heartbeat.
            _logger.warning("not everybody was told of a changed key", person_id=person_id, reason=str(error))


def _event(person_id: int, key: PublicKey) -> dict[str, Any]:
    """Return the data of ``key.changed``, without the key itself: whoever needs it reads it."""
    shown = {"person_id": person_id, **msgspec.to_builtins(shown_key(key))}
    del shown["public_key"], shown["statement"]
    if key.revoked_at_ms is None:
        del shown["revoked_at"]
    return shown


def shown_change(found: ChangedKey) -> ChangedKeyAnswer:
    """Return a changed key as in ``GET public-key?since=``."""
    return ChangedKeyAnswer(person_id=found.person_id, **msgspec.to_builtins(shown_key(found.key)))


def shown_key(key: PublicKey) -> PublicKeyAnswer:
    """Return a public key as it is shown."""
    return PublicKeyAnswer(
        public_key=key.public_key,
        algorithm=key.algorithm,
        device_id=key.device_id,
        fingerprint=key.fingerprint,
        updated_at=rfc3339(key.updated_at_ms),
        revoked_at=None if key.revoked_at_ms is None else rfc3339(key.revoked_at_ms),
        statement=key.statement,
    )
