"""This device's own keys in the key store: made once, replaced in time, and what is published of them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

from buzz_client.answers import KeyAlgorithm
from buzz_client.encryption import records
from buzz_client.encryption.encoding import to_base64
from buzz_client.encryption.key_store import KeyStore
from buzz_client.encryption.keys import DeviceKeys
from buzz_client.encryption.statements import IDENTITY_ALGORITHM, NEVER, SEALING_ALGORITHM, KeyText, Statement
from buzz_client.encryption.trust import KnownPerson
from buzz_client.errors import BuzzError

_ROW = "device"


@dataclass(frozen=True, slots=True)
class Publication:
    """A key to publish, as ``PUT public-key`` takes it."""

    public_key: str
    algorithm: KeyAlgorithm
    device_id: str
    statement: str


class OwnDevice:
    """The keys of this device. ``extras``: what the identity's statement says besides its signature."""

    def __init__(self, store: KeyStore, keys: DeviceKeys, extras: dict[str, Any]) -> None:
        self._store = store
        self.keys = keys
        self.extras = extras
        self._publications: tuple[Publication, Publication] | None = None

    @classmethod
    def open(cls, store: KeyStore, person_id: int, device_id: str, now: int) -> OwnDevice:
        """Load this device's keys, or make them if there are none.

        Raises BuzzError if the keys in the store are another person's or device's.
        """
        row = store.get(_ROW)
        if row is None:
            extras = records.extras_row(None, None, None, None)
            row = {"keys": records.keys_row(DeviceKeys.create(person_id, device_id, now, os.urandom)), "extras": extras}
            store.write({_ROW: row})
        keys = records.keys_of(row["keys"])
        if (keys.person_id, keys.device_id) != (person_id, device_id):
            raise BuzzError(
                f"these keys are of person {keys.person_id}, device {keys.device_id!r}: "
                "use one key store for each person and device"
            )
        return cls(store, keys, records.extras_of(row["extras"]))

    @property
    def seeds(self) -> tuple[bytes, ...]:
        """The seeds of the sealing keys that are kept, the newest first."""
        return tuple(key.seed for key in self.keys.sealing)

    @property
    def about(self) -> KeyText:
        """What a statement about this device's identity is about."""
        return KeyText(self.keys.person_id, self.keys.device_id, IDENTITY_ALGORITHM, self.keys.identity)

    def is_linked_to(self, person: KnownPerson | None) -> bool:
        """Return whether this device is its person's root, or has taken a link."""
        return self.extras["link"] is not None or (person is not None and person.root == self.keys.identity)

    @property
    def linked_at(self) -> int:
        """When this device was linked the last time, by the clock of the device that did it; 0: it was not."""
        link = self.extras["link"]
        return 0 if link is None else int(link.at)

    def rotate(self, now: int) -> bool:
        """Replace the sealing key if it is old, and forget what was kept long enough. Returns whether one is new."""
        newest = self.keys.sealing[0]
        rotated = self.keys.rotated(now, os.urandom)
        if rotated != self.keys:
            self._write(rotated, self.extras)
        return self.keys.sealing[0] != newest

    def say(self, **extras: Any) -> None:
        """Change what the identity's statement says besides its signature."""
        self._write(self.keys, {**self.extras, **extras})

    def publications(self) -> tuple[Publication, Publication]:
        """Return what is to be published: the identity and the newest sealing key, each with its statement."""
        # Asked for at every connection; the signatures are the same until the keys or the extras change.
        if self._publications is None:
            self._publications = self._signed()
        return self._publications

    def _signed(self) -> tuple[Publication, Publication]:
        newest = self.keys.sealing[0]
        identity = replace(Statement.make(self.about, self.keys.identity_seed, NEVER), **self.extras)
        about = KeyText(self.keys.person_id, self.keys.device_id, SEALING_ALGORITHM, newest.public)
        sealing = Statement.make(about, self.keys.identity_seed, newest.expires_at)
        return (
            _publication(IDENTITY_ALGORITHM, self.about, identity),
            _publication(SEALING_ALGORITHM, about, sealing),
        )

    def _write(self, keys: DeviceKeys, extras: dict[str, Any]) -> None:
        self._store.write({_ROW: {"keys": records.keys_row(keys), "extras": records.extras_row(**extras)}})
        self.keys, self.extras = keys, extras
        self._publications = None


def _publication(algorithm: KeyAlgorithm, about: KeyText, statement: Statement) -> Publication:
    return Publication(to_base64(about.public_key), algorithm, about.device_id, statement.encoded())
