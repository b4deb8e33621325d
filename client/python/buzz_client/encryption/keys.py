"""A device's own keys: its identity, and its sealing keys, which are replaced every 30 days."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

from buzz_client.encryption.encoding import framed
from buzz_client.encryption.primitives import SEED_BYTES, Random, identity_public, sealing_public

DAY_SECONDS = 86_400
SEALING_KEY_SECONDS = 30 * DAY_SECONDS
"""How long a sealing key is the newest."""
KEPT_SECONDS = 30 * DAY_SECONDS
"""How long its secret is kept after that."""
TAG_BYTES = 16


def device_tag(person_id: int, device_id: str, identity: bytes) -> bytes:
    """Return the 16 bytes that name a device in messages: nobody else's device can have the same."""
    return hashlib.sha256(framed("buzz device v1", person_id, device_id, identity)).digest()[:TAG_BYTES]


@dataclass(frozen=True)
class SealingKey:
    """The secret of a sealing key. ``replaced_at``: since when it is no longer the newest; None: it is.

    It has no slots: its public key is kept, once it was worked out.
    """

    seed: bytes
    created_at: int
    replaced_at: int | None = None

    @property
    def expires_at(self) -> int:
        """Until when others may seal for it: a device that was offline so long can still open that."""
        return self.created_at + SEALING_KEY_SECONDS + KEPT_SECONDS

    @cached_property
    def public(self) -> bytes:
        """Its public key, of 1,216 bytes."""
        return sealing_public(self.seed)


@dataclass(frozen=True)
class DeviceKeys:
    """The secrets of a device. ``sealing``: the newest first. Times are Unix seconds.

    It has no slots: what is worked out from the secrets for every message is kept.
    """

    person_id: int
    device_id: str
    identity_seed: bytes
    sealing: tuple[SealingKey, ...]

    @classmethod
    def create(cls, person_id: int, device_id: str, now: int, random: Random) -> DeviceKeys:
        """Return the keys of a new device."""
        return cls(person_id, device_id, random(SEED_BYTES), (SealingKey(random(SEED_BYTES), now),))

    @cached_property
    def identity(self) -> bytes:
        """The public key of the device identity."""
        return identity_public(self.identity_seed)

    @cached_property
    def tag(self) -> bytes:
        """The device's name in messages."""
        return device_tag(self.person_id, self.device_id, self.identity)

    def rotated(self, now: int, random: Random) -> DeviceKeys:
        """Return the keys with a new sealing key if the newest is 30 days old, and without those kept long enough."""
        newest, *older = self.sealing
        if now - newest.created_at >= SEALING_KEY_SECONDS:
            older = [replace(newest, replaced_at=now), *older]
            newest = SealingKey(random(SEED_BYTES), now)
        kept = (key for key in older if now - (key.replaced_at or 0) < KEPT_SECONDS)
        return replace(self, sealing=(newest, *kept))
