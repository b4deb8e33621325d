"""A person's devices: noted when they say hello, listed, named, and signed out."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final

import structlog

from protocol.activity import rfc3339
from protocol.answers import DeviceAnswer, DeviceKey
from protocol.encryption import MAX_DEVICE_ID_CHARACTERS
from protocol.errors import ApiError, ErrorCode
from protocol.events import EventName
from server.auth.contract import Caller
from server.live.events import Events
from server.live.hub import Hub
from server.live.session import Session
from server.runtime.limits import Buckets
from server.runtime.tasks import OnDemand
from server.services.keys import Keys
from storage.accounts import AccountStore, KnownDevice, SeenDevice, remove_device
from storage.database import Database, Transaction
from storage.directory.keys import KeyStore, PublicKey, revoke_of_device
from storage.errors import StorageError
from storage.push.registrations import remove_of_device

NOTED_EVERY_MS: Final = 3_600_000
"""A device that says hello again with the same token is stored again after so long."""
MAX_CLIENT_CHARACTERS: Final = 100
SIGN_OUTS_AT_ONCE: Final = 16
SIGN_OUT_EVERY_SECONDS: Final = 60.0
"""A person may sign out so many devices at once, then one in so many seconds: every node remembers each for long."""
_REMEMBERED: Final = 50_000
_logger = structlog.get_logger("devices")

SignOut = Callable[[Transaction, int, str, str | None], Awaitable[None]]
"""Revokes what a person's device uses, and a token by its id: (transaction, person, device, token id)."""
Apply = Callable[[], Awaitable[None]]
"""Applies on this node the revocations that were committed."""
Elsewhere = Callable[[int], Collection[str]]
"""Returns the ids of a person's devices that have a session on another node, as far as it is known here."""


class Devices:
    """The devices of people. ``elsewhere``: see :data:`Elsewhere`; ``now_ms``: the wall clock in milliseconds."""

    def __init__(
        self,
        database: Database,
        keys: Keys,
        sign_out: SignOut,
        apply: Apply,
        events: Events,
        hub: Hub,
        elsewhere: Elsewhere,
        now_ms: Callable[[], int],
    ) -> None:
        self._database = database
        self._accounts = AccountStore(database)
        self._keys = KeyStore(database)
        self._published = keys
        self._sign_out = sign_out
        self._apply = apply
        self._events = events
        self._hub = hub
        self._elsewhere = elsewhere
        self._now_ms = now_ms
        self._noted: dict[tuple[int, str], tuple[str, int]] = {}
        self._waiting: dict[tuple[int, str], SeenDevice] = {}
        self._writer = OnDemand("seen devices", self._write)
        self._removals: Buckets[int] = Buckets(1 / SIGN_OUT_EVERY_SECONDS, SIGN_OUTS_AT_ONCE)

    # --- noting -------------------------------------------------------------------------------------------------

    def said_hello(self, session: Session, client: Any) -> None:
        """Store, soon and together with others, that the session's device was seen. Sessions without a name are not."""
        if session.device_id is None:
            return
        key, now_ms = (session.caller.person, session.device_id), self._now_ms()
        token_id, noted_at_ms = self._noted.get(key, ("", 0))
        if token_id == session.caller.token_id and 0 <= now_ms - noted_at_ms < NOTED_EVERY_MS:
            return
        caller = session.caller
        self._waiting[key] = SeenDevice(*key, client_text(client), caller.token_id, now_ms, caller.issued_at_ms)
        self._writer.wake()

    async def close(self) -> None:
        """Store what still waits."""
        await self._writer.finish()

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, {}
            try:
                new = await self._accounts.note_seen(list(batch.values()))
            except StorageError as error:  # the next hello of each stores it
                _logger.warning("seen devices can't be stored", reason=str(error), devices=len(batch))
                return
            for key, device in batch.items():
                self._noted[key] = (device.token_id, device.seen_at_ms)
            while len(self._noted) > _REMEMBERED:
                del self._noted[next(iter(self._noted))]
            for device in new:
                added = {
                    "device_id": device.device_id,
                    "client": device.client,
                    "added_at": rfc3339(device.seen_at_ms),
                }
                self._events.publish((device.person_id,), EventName.DEVICE_ADDED, added)

    # --- what people do -----------------------------------------------------------------------------------------

    async def devices(self, person_id: int) -> list[DeviceAnswer]:
        """Return the person's devices, the one that connected last first. Raises StorageUnavailable."""
        known = await self._accounts.known_devices(person_id)
        keys = [each.key for each in await self._keys.keys(person_id) if each.key.revoked_at_ms is None]
        live = {session.device_id for session in self._hub.sessions_of(person_id)} | set(self._elsewhere(person_id))
        return [_shown(device, keys, live) for device in known]

    async def rename(self, person_id: int, device_id: str, name: str | None) -> None:
        """Give a device a name, or take it away. Raises ApiError(not_found) and StorageUnavailable."""
        if not await self._accounts.name_device(person_id, device_id, name):
            raise _no_device(device_id)

    async def remove(self, caller: Caller, device_id: str) -> None:
        """Sign a device out: its sessions end on every node, its keys are revoked, the person's others are told.

        Its last token is revoked, unless the caller uses the same one. The device can sign in again with a token that
        is issued later. All of that is one transaction: what is removed is what was signed out, and nothing of a device
        that signs in again. Raises ApiError(not_found, rate_limited) and StorageUnavailable.
        """
        person_id = caller.person
        if device_id not in {device.device_id for device in await self._accounts.known_devices(person_id)}:
            raise _no_device(device_id)
        if wait := self._removals.take(person_id):
            raise ApiError(ErrorCode.RATE_LIMITED, "Too Many Requests: you have signed out too many devices.", wait)
        async with self._database.transaction() as transaction:
            removed = await remove_device(transaction, person_id, device_id)
            if removed is None:  # another request has signed it out meanwhile
                raise _no_device(device_id)
            await remove_of_device(transaction, person_id, device_id)
            revoked = await revoke_of_device(transaction, person_id, device_id, self._now_ms())
            token_id = removed.token_id if removed.token_id != caller.token_id else None
            await self._sign_out(transaction, person_id, device_id, token_id)
        await self._applied()
        self._noted.pop((person_id, device_id), None)
        self._events.publish((person_id,), EventName.DEVICE_REMOVED, {"device_id": device_id})
        await self._published.tell_revoked(person_id, revoked)
        _logger.info("device signed out", keys=len(revoked))

    async def _applied(self) -> None:
        try:
            await self._apply()
        except StorageError as error:  # what follows must happen all the same; revocations are read every second
            _logger.warning("a device that was signed out ends a little later", reason=str(error))


def client_text(client: Any) -> str | None:
    """Return what ``hello`` said of the client's program as one short line; None if it said nothing."""
    if client is None:
        return None
    if isinstance(client, dict) and isinstance(client.get("name"), str):
        text = f"{client['name']} {client.get('version', '')}".strip()
    else:
        text = client if isinstance(client, str) else json.dumps(client, ensure_ascii=False, default=str)
    return text[:MAX_CLIENT_CHARACTERS] or None


def _shown(device: KnownDevice, keys: list[PublicKey], live: Collection[str | None]) -> DeviceAnswer:
    return DeviceAnswer(
        device_id=device.device_id,
        name=device.name,
        client=device.client,
        added_at=None if device.added_at_ms is None else rfc3339(device.added_at_ms),
        seen_at=rfc3339(device.seen_at_ms),
        live=device.device_id in live,
        received_id=device.received_id,
        keys=tuple(
            DeviceKey(key.algorithm, key.fingerprint, rfc3339(key.updated_at_ms))
            for key in keys
            if key.device_id == device.device_id
        ),
    )


def _no_device(device_id: str) -> ApiError:
    shown = device_id[:MAX_DEVICE_ID_CHARACTERS]
    return ApiError(ErrorCode.NOT_FOUND, f"Not Found: you have no device with the id {json.dumps(shown)}.")
