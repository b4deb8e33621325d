"""What this device knows of people's devices: fetched from the server, reviewed, and stored."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from buzz_client.activity import Activity, Party
from buzz_client.encryption import records
from buzz_client.encryption.encoding import BadForm, from_base64
from buzz_client.encryption.errors import KeysChanged
from buzz_client.encryption.key_store import KeyStore
from buzz_client.encryption.keys import DeviceKeys
from buzz_client.encryption.message import Place
from buzz_client.encryption.own_device import OwnDevice
from buzz_client.encryption.sealing import Readers
from buzz_client.encryption.statements import IDENTITY_ALGORITHM
from buzz_client.encryption.trust import (
    Alarm,
    KnownDevice,
    KnownPerson,
    PublishedKey,
    Standing,
    published_key,
    review,
)
from buzz_client.errors import HttpError
from buzz_client.http import BuzzHttp

_PERSON = "person/"
_SYNC = "sync"
_MAX_KEY_CHARACTERS = 4_096
# For how long the members of a company, and what is known of their keys, are believed.
_MEMBERS_SECONDS = 60
# A change gets its time before it is stored: one with an earlier time may be stored after one that is known already.
_OVERLAP_SECONDS = 60


@dataclass(frozen=True, slots=True)
class PersonChange:
    """What a look at a person's keys has changed."""

    before: KnownPerson | None
    person: KnownPerson
    added: tuple[KnownDevice, ...]
    removed: tuple[KnownDevice, ...]
    alarms: tuple[Alarm, ...]


class People:
    """Everybody whose keys this device has seen. ``seen``: the newest activity that is known to exist."""

    def __init__(
        self,
        store: KeyStore,
        own: OwnDevice,
        http: BuzzHttp,
        now: Callable[[], int],
        changed: Callable[[PersonChange], None],
    ) -> None:
        self._store = store
        self._own = own
        self._http = http
        self._now = now
        self._changed = changed
        self._looking = asyncio.Lock()
        self._members: dict[int, tuple[float, tuple[int, ...]]] = {}
        self._fetched_at: dict[int, float] = {}
        self._asked_for: Counter[int] = Counter()
        self.seen = 0

    # --- what is known ---------------------------------------------------------------------------------------------

    def known(self, person_id: int) -> KnownPerson | None:
        """Return what is known of a person."""
        row = self._store.get(f"{_PERSON}{person_id}")
        return None if row is None or row["person"] is None else records.person_of(row["person"])

    def everybody(self) -> list[KnownPerson]:
        """Return everybody that is known."""
        rows = self._store.under(_PERSON).values()
        return [records.person_of(row["person"]) for row in rows if row["person"] is not None]

    async def find(self, person_id: int) -> KnownPerson | None:
        """Return what is known of a person, or can be found out.

        Raises HttpError, aiohttp.ClientError or TimeoutError if the server can't tell now.
        """
        known = self.known(person_id)
        if known is None:
            await self.refresh(person_id)
        return known or self.known(person_id)

    async def sender(self, activity: Activity, tag: bytes) -> KnownDevice | None:
        """Return the device with this tag if it is the sender's; None if it is not theirs.

        A device that is not known, that nobody has vouched for yet, or that had been removed by then is looked for on
        the server, once for all activities that exist by then: somebody may have linked it since.
        """
        self.seen = max(self.seen, activity.id)
        at = int(activity.created_at.timestamp())
        for person_id in await self.people_of(activity.sender):
            known = self.known(person_id)
            found = known.device(tag) if known else None
            decided = found is not None and found.standing is not Standing.WAITING and found.may_have_sent(at)
            if not decided and self._looked(person_id) < activity.id:
                await self.refresh(person_id)
                known = self.known(person_id)
                found = known.device(tag) if known else None
            if found is not None:
                return found
        return None

    async def people_of(self, party: Party) -> tuple[int, ...]:
        """Return the people behind a party: the person, or a company's members."""
        if party.kind == "person":
            return (party.id,)
        at, members = self._members.get(party.id, (float("-inf"), ()))
        loop = asyncio.get_running_loop()
        if loop.time() - at >= _MEMBERS_SECONDS:
            members = await self._members_of(party.id)
            self._members[party.id] = (loop.time(), members)
        return members

    async def _members_of(self, company_id: int) -> tuple[int, ...]:
        try:
            return tuple(await self._http.company_members(company_id))
        except HttpError as error:
            if error.status == 404:
                return ()
            raise

    def forget_members(self) -> None:
        """Ask again for the members of companies."""
        self._members.clear()

    async def readers(self, place: Place, *, first: bool) -> tuple[Readers, frozenset[bytes]]:
        """Return the devices that should read a message, other than this one; and the tags of the receiver's.

        ``first``: it is this device's first message to them. Raises KeysChanged if the user has to look at a device of
        somebody else first.
        """
        mine = await self._readers_of(Party.parse(place.sender), first=first)
        theirs = await self._readers_of(Party.parse(place.receiver), first=first)
        devices = {each.tag: each for each in (*mine, *theirs) if each.tag != self._own.keys.tag}
        now = self._now()
        sealing = {tag: each.sealing for tag, each in devices.items() if each.sealing and now < each.sealing_expires_at}
        return Readers(frozenset(devices), sealing), frozenset(each.tag for each in theirs)

    async def _readers_of(self, party: Party, *, first: bool) -> list[KnownDevice]:
        found: list[KnownDevice] = []
        for person_id in await self.people_of(party):
            if self._is_told_of(person_id, party, first=first):
                person = await self.find(person_id)
            else:
                await self.refresh(person_id)
                person = self.known(person_id)
            if person is None:
                continue
            # Of the person's own devices the user is told, and writes on: nothing is sealed for a waiting one.
            if person.waiting and person_id != self._own.keys.person_id:
                raise KeysChanged(person_id, tuple((each.device_id, each.tag) for each in person.waiting))
            found += [each for each in person.devices if each.reads]
        return found

    def _is_told_of(self, person_id: int, party: Party, *, first: bool) -> bool:
        """Return whether the keys that are known of this person can be believed.

        The server tells of changes to those who have talked with the person, not with a company that they work for.
        """
        if person_id == self._own.keys.person_id:
            return True
        fetched_at = self._fetched_at.get(person_id, float("-inf"))
        recently = asyncio.get_running_loop().time() - fetched_at < _MEMBERS_SECONDS
        return recently if party.kind == "company" else not first

    # --- decisions of the user -------------------------------------------------------------------------------------

    def change(self, person_id: int, change: Callable[[KnownPerson], KnownPerson]) -> KnownPerson:
        """Store a decision about a known person, and return what is known now. Raises KeyError for another one."""
        row = self._store.get(f"{_PERSON}{person_id}")
        if row is None or row["person"] is None:
            raise KeyError(person_id)
        person = change(records.person_of(row["person"]))
        self._store.write({f"{_PERSON}{person_id}": {**row, "person": records.person_row(person)}})
        return person

    def trust_root(self, person_id: int, root: bytes, tag: bytes, at: int) -> None:
        """Trust the device with this tag as it was at that time, and take this identity as the person's root.

        The time is that of its link: if the device was removed since, that counts.
        """
        at = min(at, self._now())

        def trusting(person: KnownPerson) -> KnownPerson:
            device = person.device(tag)
            trusted = device is not None and device.standing is Standing.TRUSTED
            found = person if trusted else person.accept(tag, at)
            return replace(found, root=root, compared=person.compared and person.root == root)

        self.change(person_id, trusting)

    # --- looking at the server -------------------------------------------------------------------------------------

    async def refresh(self, person_id: int) -> list[PublishedKey]:
        """Fetch a person's keys, review and store them; return what is published."""
        self._asked_for[person_id] += 1
        try:
            return await self._refresh(person_id)
        finally:
            self._asked_for[person_id] -= 1

    def follows(self, person_id: int) -> bool:
        """Return whether a change of this person's keys matters: they are known, or are being asked for."""
        return self._asked_for[person_id] > 0 or self.known(person_id) is not None

    async def _refresh(self, person_id: int) -> list[PublishedKey]:
        async with self._looking:
            seen, at = self.seen, asyncio.get_running_loop().time()
            published = _published(await self._fetch(person_id))
            row = self._store.get(f"{_PERSON}{person_id}") or {"person": None, "seen": 0}
            before = None if row["person"] is None else records.person_of(row["person"])
            person, alarms = self._review(person_id, before, published)
            stored = None if person is None else records.person_row(person)
            if row != (after := {"person": stored, "seen": max(seen, row["seen"])}):
                self._store.write({f"{_PERSON}{person_id}": after})
            self._fetched_at[person_id] = at
            if person is not None:
                self._tell(before, person, alarms)
            return published

    async def sync(self) -> None:
        """Look at the keys that have changed since the last time, of everybody that is known."""
        since = self._store.get(_SYNC)
        if since is None:
            return
        newest, changed = since, set()
        async for key in self._http.changed_keys(_before(since, _OVERLAP_SECONDS)):
            changed.add(key["person_id"])
            newest = max(newest, key["updated_at"], key["revoked_at"] or "")
        for person in self.everybody():
            if person.person_id in changed:
                await self.refresh(person.person_id)
        self.synced_at(newest)

    @property
    def syncing(self) -> bool:
        """Whether there is a time from which on changes are followed."""
        return self._store.get(_SYNC) is not None

    def synced_at(self, since: str) -> None:
        """Store the server's time (RFC 3339) up to which all changes are known."""
        self._store.write({_SYNC: since}, durable=False)

    def _looked(self, person_id: int) -> int:
        row = self._store.get(f"{_PERSON}{person_id}")
        return 0 if row is None else int(row["seen"])

    def _review(
        self, person_id: int, before: KnownPerson | None, published: Sequence[PublishedKey]
    ) -> tuple[KnownPerson | None, tuple[Alarm, ...]]:
        now, keys = self._now(), self._own.keys
        if person_id != keys.person_id:
            return review(person_id, before, published, now)
        others = published if before else _with_earlier_replaced(keys, published, now)
        person, alarms = review(person_id, before, others, now, keys.tag)
        if person is not None:
            return person, alarms
        # The person's first device is their root.
        return review(person_id, KnownPerson(person_id, keys.identity, ()), others, now, keys.tag)

    async def _fetch(self, person_id: int) -> list[Any]:
        try:
            return list(await self._http.public_keys(person_id))
        except HttpError as error:
            if error.status == 404:
                return []
            raise

    def _tell(self, before: KnownPerson | None, person: KnownPerson, alarms: tuple[Alarm, ...]) -> None:
        was = {each.tag: each for each in before.devices} if before else {}
        added = tuple(each for each in person.devices if each.removed_at is None and _was_away(was.get(each.tag)))
        removed = tuple(
            each for each in person.devices if each.removed_at is not None and not _was_away(was.get(each.tag))
        )
        if before != person or alarms:
            self._changed(PersonChange(before, person, added, removed, alarms))


def _was_away(device: KnownDevice | None) -> bool:
    return device is None or device.removed_at is not None


def _published(rows: Sequence[Any]) -> list[PublishedKey]:
    found = []
    for row in rows:
        try:
            key = from_base64(row["public_key"], _MAX_KEY_CHARACTERS)
            times = {name: _unix_seconds(row[name]) for name in ("updated_at", "revoked_at")}
        except (BadForm, KeyError, TypeError, ValueError):
            continue
        if (one := published_key(row, times, key)) is not None:
            found.append(one)
    return found


def _with_earlier_replaced(keys: DeviceKeys, published: Sequence[PublishedKey], now: int) -> list[PublishedKey]:
    """Return the keys as they are when this device has published its own.

    An earlier identity of this device is not in use then: it has lost the secret. What it has linked may be in use.
    """

    def is_replaced(key: PublishedKey) -> bool:
        own = key.algorithm == IDENTITY_ALGORITHM and key.device_id == keys.device_id
        return own and key.public_key != keys.identity and key.revoked_at is None

    return [replace(key, revoked_at=now) if is_replaced(key) else key for key in published]


def _before(time: str, seconds: int) -> str:
    return (datetime.fromisoformat(time) - timedelta(seconds=seconds)).isoformat()


def _unix_seconds(text: str | None) -> int | None:
    return None if text is None else int(datetime.fromisoformat(text).astimezone(UTC).timestamp())
