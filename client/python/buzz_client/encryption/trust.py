"""Decides which devices of a person are trusted, from the published keys, what was known, and the user's decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from buzz_client.encryption.keys import device_tag
from buzz_client.encryption.primitives import IDENTITY_BYTES, SEALING_PUBLIC_BYTES
from buzz_client.encryption.statements import (
    IDENTITY_ALGORITHM,
    SEALING_ALGORITHM,
    KeyText,
    Link,
    Statement,
    read_statement,
)


class Standing(StrEnum):
    """What this device thinks of another one. Only for a trusted one anything is sealed, and only its messages open."""

    TRUSTED = "trusted"
    WAITING = "waiting"
    """Not linked: the user has not decided yet."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A key as the server lists it. Times are Unix seconds; ``revoked_at`` None: it is in force."""

    public_key: bytes
    algorithm: str
    device_id: str
    statement: Statement
    updated_at: int
    revoked_at: int | None


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A device of a person. ``removed_at`` None: it is in use. ``accepted_at``: when the user accepted it, if they did.

    ``sealing``: its sealing key, if it has one that is signed by it; ``sealing_expires_at``: until when that is good.
    """

    tag: bytes
    device_id: str
    identity: bytes
    standing: Standing
    removed_at: int | None = None
    accepted_at: int | None = None
    sealing: bytes | None = None
    sealing_expires_at: int = 0

    @property
    def reads(self) -> bool:
        """Whether it may read what is sent now."""
        return self.standing is Standing.TRUSTED and self.removed_at is None

    def may_have_sent(self, at: int) -> bool:
        """Return whether it was in use at that time."""
        return self.removed_at is None or at <= self.removed_at


@dataclass(frozen=True, slots=True)
class KnownPerson:
    """A person, as this device knows them. ``root``: the identity that the safety number is made from."""

    person_id: int
    root: bytes
    devices: tuple[KnownDevice, ...]
    compared: bool = False
    """Whether the user has compared the safety number with this root."""

    def device(self, tag: bytes) -> KnownDevice | None:
        """Return the device with this tag."""
        return next((device for device in self.devices if device.tag == tag), None)

    def named(self, device_id: str) -> KnownDevice | None:
        """Return the device with this id that is in use."""
        return next((each for each in self.devices if each.device_id == device_id and each.removed_at is None), None)

    @property
    def waiting(self) -> tuple[KnownDevice, ...]:
        """The devices about which the user has to decide."""
        return tuple(each for each in self.devices if each.standing is Standing.WAITING and each.removed_at is None)

    def with_device(self, changed: KnownDevice) -> KnownPerson:
        """Return the person with this device in place of the one with its tag."""
        others = tuple(each for each in self.devices if each.tag != changed.tag)
        return replace(self, devices=(*others, changed))

    def accept(self, tag: bytes, now: int) -> KnownPerson:
        """Return the person after the user accepted a device.

        If it is the only one in use, it is the new root, and the safety number has to be compared again.
        """
        device = self.device(tag)
        if device is None:
            return self
        only = not any(each.reads for each in self.devices if each.tag != tag)
        person = self.with_device(replace(device, standing=Standing.TRUSTED, accepted_at=now))
        if not only or person.root == device.identity:
            return person
        return replace(person, root=device.identity, compared=False)

    def refuse(self, tag: bytes) -> KnownPerson:
        """Return the person after the user refused a device."""
        device = self.device(tag)
        return self if device is None else self.with_device(replace(device, standing=Standing.REFUSED))


@dataclass(frozen=True, slots=True)
class Alarm:
    """A device that nobody vouches for: the user has to decide before it can read anything.

    ``changed``: a trusted device with this id had another key before. ``returned``: it had been removed.
    """

    person_id: int
    device_id: str
    tag: bytes
    changed: bool
    returned: bool


@dataclass(frozen=True, slots=True)
class _Identity:
    """A published identity: the newest row of one key, and when it was last removed, if ever."""

    tag: bytes
    key: PublishedKey
    removed_at: int | None

    @property
    def in_force(self) -> bool:
        return self.key.revoked_at is None


def published_key(row: Mapping[str, object], times: Mapping[str, int | None], key: bytes) -> PublishedKey | None:
    """Return a row of ``GET public-key/<person>``; None if it is no key of a device that seals."""
    statement, device_id, algorithm = read_statement(row.get("statement")), row.get("device_id"), row.get("algorithm")
    length = {IDENTITY_ALGORITHM: IDENTITY_BYTES, SEALING_ALGORITHM: SEALING_PUBLIC_BYTES}.get(str(algorithm))
    if statement is None or not isinstance(device_id, str) or len(key) != length:
        return None
    return PublishedKey(key, str(algorithm), device_id, statement, times["updated_at"] or 0, times["revoked_at"])


def review(
    person_id: int, known: KnownPerson | None, published: Sequence[PublishedKey], now: int, own: bytes | None = None
) -> tuple[KnownPerson | None, tuple[Alarm, ...]]:
    """Compare what a person has published with what was known; return what is known now, and the alarms to raise.

    At the first contact the person's root is taken from what the server says: whoever wants to be sure compares the
    safety number. ``own`` is this device's tag, if it is the person's own device: it trusts itself.
    """
    identities = _identities(person_id, published)
    if known is None:
        root = _first_root(person_id, [each for each in identities if each.tag != own])
        if root is None:
            return None, ()
        known = KnownPerson(person_id, root, ())
        trusted = {root}
    else:
        trusted = {each.identity for each in known.devices if each.standing is Standing.TRUSTED} | {known.root}
    linked = _linked(person_id, identities, trusted, _links_end(known, identities))
    devices, alarms = [], []
    for identity in identities:
        device, alarm = _judged(person_id, known, identity, linked, own)
        devices.append(_with_sealing_key(person_id, device, published, now))
        alarms += [alarm] if alarm else []
    listed = {device.tag for device in devices}
    gone = (replace(each, removed_at=each.removed_at or now) for each in known.devices if each.tag not in listed)
    return replace(known, devices=(*devices, *gone)), tuple(alarms)


def _identities(person_id: int, published: Iterable[PublishedKey]) -> list[_Identity]:
    found: dict[bytes, _Identity] = {}
    for key in published:
        about = KeyText(person_id, key.device_id, IDENTITY_ALGORITHM, key.public_key)
        if key.algorithm != IDENTITY_ALGORITHM or not key.statement.good(about, key.public_key, 0):
            continue
        tag = device_tag(person_id, key.device_id, key.public_key)
        before = found.get(tag)
        times = [at for at in (key.revoked_at, before.removed_at if before else None) if at is not None]
        newest = before.key if before and (before.in_force or key.revoked_at is not None) else key
        found[tag] = _Identity(tag, newest, max(times, default=None))
    return list(found.values())


def _link(person_id: int, identity: _Identity) -> Link | None:
    """Return the identity's link if it is well signed, and not from before the device was removed."""
    link = identity.key.statement.link
    about = KeyText(person_id, identity.key.device_id, IDENTITY_ALGORITHM, identity.key.public_key)
    if link is None or not link.good(about):
        return None
    returned = identity.in_force and identity.removed_at is not None and link.at < identity.removed_at
    return None if returned else link


def _links_end(known: KnownPerson, identities: Iterable[_Identity]) -> dict[bytes, int]:
    """Return until when the links of devices count that were removed, and not accepted after that."""
    ends = {each.identity: each.removed_at for each in known.devices if each.removed_at is not None}
    for identity in identities:
        before = known.device(identity.tag)
        accepted_at = (before.accepted_at or 0) if before else 0
        if identity.removed_at is not None and accepted_at < identity.removed_at:
            ends[identity.key.public_key] = identity.removed_at
        elif identity.in_force:
            ends.pop(identity.key.public_key, None)
    return ends


def _linked(
    person_id: int, identities: Sequence[_Identity], trusted: set[bytes], ends: Mapping[bytes, int]
) -> set[bytes]:
    """Return the tags of the identities that a trusted one has linked, directly or over others.

    A removed device's links count if they are from before its removal, as ``ends`` says, or from after the link with
    which it came back.
    """
    good, linked, came_back = set(trusted), set[bytes](), dict[bytes, int]()

    def counts(link: Link) -> bool:
        return link.at <= ends.get(link.signer, link.at) or link.at >= came_back.get(link.signer, link.at + 1)

    links = {each.tag: (each, link) for each in identities if (link := _link(person_id, each)) is not None}
    grown = True
    while grown:
        new = [
            (identity, link)
            for identity, link in links.values()
            if identity.tag not in linked and link.signer in good and counts(link)
        ]
        linked |= {identity.tag for identity, _ in new}
        good |= {identity.key.public_key for identity, _ in new}
        came_back |= {identity.key.public_key: link.at for identity, link in new if identity.in_force}
        grown = bool(new)
    return linked


def _first_root(person_id: int, identities: Sequence[_Identity]) -> bytes | None:
    """Return the identity from which most devices in use are linked; of several the one that was published first."""
    by_key = {each.key.public_key: each for each in identities}
    counts: dict[bytes, int] = {}
    for identity in (each for each in identities if each.in_force):
        root = _root_of(person_id, identity, by_key)
        counts[root] = counts.get(root, 0) + 1
    order = {key: (-count, by_key[key].key.updated_at, key) for key, count in counts.items()}
    return min(order, key=order.__getitem__, default=None)


def _root_of(person_id: int, identity: _Identity, by_key: Mapping[bytes, _Identity]) -> bytes:
    seen = set[bytes]()
    while identity.key.public_key not in seen:
        seen.add(identity.key.public_key)
        link = _link(person_id, identity)
        signer = by_key.get(link.signer) if link else None
        if signer is None:
            break
        identity = signer
    return identity.key.public_key


def _judged(
    person_id: int, known: KnownPerson, identity: _Identity, linked: set[bytes], own: bytes | None
) -> tuple[KnownDevice, Alarm | None]:
    before = known.device(identity.tag)
    returned = _returned(identity, before)
    standing = _standing(known, identity, before, returned=returned, vouched=identity.tag in (*linked, own))
    device = KnownDevice(
        identity.tag,
        identity.key.device_id,
        identity.key.public_key,
        standing,
        None if identity.in_force else identity.removed_at,
        before.accepted_at if before else None,
    )
    was_waiting = before is not None and before.standing is Standing.WAITING
    if standing is not Standing.WAITING or was_waiting or not identity.in_force:
        return device, None
    others = (each for each in known.devices if each.tag != device.tag and each.standing is Standing.TRUSTED)
    changed = any(each.device_id == device.device_id for each in others)
    return device, Alarm(person_id, device.device_id, device.tag, changed, returned)


def _returned(identity: _Identity, before: KnownDevice | None) -> bool:
    """Return whether the device was removed and is in use again, and the user has not accepted that."""
    accepted_at = (before.accepted_at or 0) if before else 0
    return identity.in_force and identity.removed_at is not None and accepted_at < identity.removed_at


def _standing(
    known: KnownPerson, identity: _Identity, before: KnownDevice | None, *, returned: bool, vouched: bool
) -> Standing:
    if before is not None and before.standing is Standing.REFUSED:
        return Standing.REFUSED
    if vouched or (identity.key.public_key == known.root and not returned):
        return Standing.TRUSTED
    if before is None or returned:
        return Standing.WAITING
    return before.standing


def _with_sealing_key(person_id: int, device: KnownDevice, published: Iterable[PublishedKey], now: int) -> KnownDevice:
    """Return the device with its sealing key, if one is in force and signed by the device's identity."""
    for key in published:
        if (key.algorithm, key.device_id, key.revoked_at) != (SEALING_ALGORITHM, device.device_id, None):
            continue
        about = KeyText(person_id, key.device_id, SEALING_ALGORITHM, key.public_key)
        if key.statement.good(about, device.identity, now):
            return replace(device, sealing=key.public_key, sealing_expires_at=key.statement.expires_at)
    return device
