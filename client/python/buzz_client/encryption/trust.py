"""Decides which devices of a person are trusted, from the published keys, what was known, and the user's decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf
from typing import NamedTuple

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


class _Vouched(NamedTuple):
    """A well signed link of a device. ``until``: when the device was removed after that; None: it counts now."""

    link: Link
    until: int | None


@dataclass(frozen=True, slots=True)
class _Identity:
    """A published identity: the newest row of one key, since when it was published, and when it was last removed.

    ``links``: those of all its rows.
    """

    tag: bytes
    key: PublishedKey
    since: int
    removed_at: int | None
    links: tuple[_Vouched, ...] = ()

    @property
    def in_force(self) -> bool:
        return self.key.revoked_at is None

    @property
    def current(self) -> Link | None:
        """The link that counts for the newest row. One from before the device was removed does not, once it is back."""
        return next((each.link for each in self.links if (each.until is None) == self.in_force), None)

    def was_in_use(self, at: int) -> bool:
        """Return whether the device was in use at that time: not removed yet, or linked again."""
        again = self.current if self.in_force else None
        return self.removed_at is None or at <= self.removed_at or (again is not None and again.at <= at)


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
        root = _first_root([each for each in identities if each.tag != own])
        if root is None:
            return None, ()
        known = KnownPerson(person_id, root, ())
        trusted = {root}
    else:
        trusted = {each.identity for each in known.devices if each.standing is Standing.TRUSTED} | {known.root}
    linked = _linked(identities, trusted, _links_end(known, identities))
    devices, alarms = [], []
    for identity in identities:
        device, alarm = _judged(person_id, known, identity, linked, own)
        devices.append(_with_sealing_key(person_id, device, published, now))
        alarms += [alarm] if alarm else []
    listed = {device.tag for device in devices}
    gone = (replace(each, removed_at=each.removed_at or now) for each in known.devices if each.tag not in listed)
    return replace(known, devices=(*devices, *gone)), tuple(alarms)


def _identities(person_id: int, published: Iterable[PublishedKey]) -> list[_Identity]:
    rows: dict[bytes, list[PublishedKey]] = {}
    for key in published:
        about = KeyText(person_id, key.device_id, IDENTITY_ALGORITHM, key.public_key)
        if key.algorithm == IDENTITY_ALGORITHM and key.statement.good(about, key.public_key, 0):
            rows.setdefault(device_tag(person_id, key.device_id, key.public_key), []).append(key)
    return [_identity(person_id, tag, keys) for tag, keys in rows.items()]


def _identity(person_id: int, tag: bytes, rows: Sequence[PublishedKey]) -> _Identity:
    """Return the identity of these rows: the one in force first, then the newest first."""
    newest = next((row for row in rows if row.revoked_at is None), rows[0])
    removed_at = max((row.revoked_at for row in rows if row.revoked_at is not None), default=None)
    about = KeyText(person_id, newest.device_id, IDENTITY_ALGORITHM, newest.public_key)
    links = []
    for row in (newest, *(row for row in rows if row is not newest)):
        link, until = row.statement.link, row.revoked_at
        if link is None or not link.good(about):
            continue
        if until is None and removed_at is not None and link.at <= removed_at:
            until = removed_at
        links.append(_Vouched(link, until))
    return _Identity(tag, newest, min(row.updated_at for row in rows), removed_at, tuple(links))


def _links_end(known: KnownPerson, identities: Iterable[_Identity]) -> dict[bytes, int]:
    """Return until when the links of devices count that were removed, and not accepted after that."""
    ends = {each.identity: each.removed_at for each in known.devices if each.removed_at is not None}
    for identity in identities:
        before = known.device(identity.tag)
        accepted_at = (before.accepted_at or 0) if before else 0
        if identity.removed_at is not None and accepted_at <= identity.removed_at:
            ends[identity.key.public_key] = identity.removed_at
        elif identity.in_force:
            ends.pop(identity.key.public_key, None)
    return ends


def _linked(identities: Sequence[_Identity], trusted: set[bytes], ends: Mapping[bytes, int]) -> set[bytes]:
    """Return the tags of the identities that a trusted one has linked, directly or over others.

    A removed device's links count if they are from before its removal, as ``ends`` says, or from after the link with
    which it came back: also while nobody has linked it again.
    """
    linked = set[bytes]()
    may_link: dict[bytes, list[tuple[float, float]]] = {key: [(-inf, ends.get(key, inf))] for key in trusted}

    def counts(link: Link) -> bool:
        return any(first <= link.at <= last for first, last in may_link.get(link.signer, ()))

    left = [(identity, vouched) for identity in identities for vouched in identity.links]
    while counting := [each for each in left if counts(each[1].link)]:
        left = [each for each in left if each not in counting]
        for identity, (link, until) in counting:
            since = -inf if identity.removed_at is None or until is not None else link.at
            may_link.setdefault(identity.key.public_key, []).append((since, inf if until is None else until))
            if until is None or not identity.in_force:
                linked.add(identity.tag)
    return linked


def _first_root(identities: Sequence[_Identity]) -> bytes | None:
    """Return the identity that was published first, of those from which a device in use is linked.

    A device that was removed and came back without a new link may be a thief's: neither it nor what it has linked since
    counts for it, if there is any other device in use.
    """
    by_key = {each.key.public_key: each for each in identities}
    in_use = [each for each in identities if each.in_force]
    counting = [each for each in in_use if each.removed_at is None or each.current]
    roots = {_root_of(identity, by_key) for identity in counting or in_use}
    return min(roots, key=lambda key: (by_key[key].since, key), default=None)


def _root_of(identity: _Identity, by_key: Mapping[bytes, _Identity]) -> bytes:
    """Return where a device's links lead to, each from before the one that it made."""
    seen, at = set[bytes](), inf
    while identity.key.public_key not in seen:
        seen.add(identity.key.public_key)
        link = next((each.link for each in identity.links if each.link.at <= at), None)
        signer = by_key.get(link.signer) if link else None
        if link is None or signer is None or not signer.was_in_use(link.at):
            break
        identity, at = signer, link.at
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
    return identity.in_force and identity.removed_at is not None and accepted_at <= identity.removed_at


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
