"""`SealedMessages`: end-to-end encryption for a `BuzzClient`. Pass one as ``encryption``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from buzz_client.activity import Activity
from buzz_client.cursor import CursorStore, Position
from buzz_client.encrypting import Deliver
from buzz_client.encryption.encoding import to_base64
from buzz_client.encryption.incoming import Incoming, readable
from buzz_client.encryption.key_store import KeyStore
from buzz_client.encryption.linking_devices import Linking, LinkStart
from buzz_client.encryption.outgoing import Outgoing
from buzz_client.encryption.own_device import OwnDevice
from buzz_client.encryption.patience import Patience
from buzz_client.encryption.people import People, PersonChange
from buzz_client.encryption.safety import safety_number
from buzz_client.encryption.trust import KnownDevice, KnownPerson, PublishedKey
from buzz_client.errors import BuzzError
from buzz_client.http import BuzzHttp
from buzz_client.outbox import Ack

SEALED_TYPES = frozenset({"chat_message", "chat_reaction_emoji"})
"""The types of activities whose ``message`` is sealed."""
_LOOK_AGAIN_SECONDS = 3_600.0
# A server that does not give back what was published must not keep this device publishing.
_MAX_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Me:
    """This device. ``linked``: it is the person's first device, or a trusted one has linked it.

    ``alone``: it is not linked, and no other device is in use that could link it.
    """

    person_id: int
    device_id: str
    tag: bytes
    identity: bytes
    linked: bool
    alone: bool


@dataclass(frozen=True, slots=True)
class _Parts:
    own: OwnDevice
    people: People
    outgoing: Outgoing
    incoming: Incoming
    linking: Linking


class SealedMessages:
    """Seals what a client sends and opens what it gets, with the keys in ``keys``.

    The client must have a ``device_id``. ``buzz.encryption`` is this object; its methods can be used once ``ready`` is
    set. Events that it adds to ``buzz.on``: ``encryption.person`` (``person_id``, ``waits``: the user has to look at a
    device before anything is sealed for this person; ``devices``: the (device id, tag) of each such device, as for
    `accept`; ``added`` and ``removed``: device ids), ``encryption.own_device``
    (``device_id``, ``tag``: a new device of this person was added, was it them?), ``encryption.link_code`` (``code``:
    what a device shows that is being linked), ``encryption.link_ended`` (``why``: without a link) and
    ``encryption.linked`` (``device_id``, ``by``).
    """

    def __init__(self, keys: KeyStore, now: Callable[[], float] = time.time) -> None:
        self._store = keys
        self._clock = now
        self._http: BuzzHttp | None = None
        self._emit: Callable[[str, Any], None] = lambda name, data: None
        self._parts: _Parts | None = None
        self._patience = Patience()
        self._begun = asyncio.Event()
        self._following = asyncio.Lock()
        self._head_id = 0
        self._stale: set[int] = set()
        # The connections are counted: what was asked on one says nothing about what changed before the next.
        self._connection = self._looked_on = 0
        self._connected = False
        self._asked = asyncio.Event()
        self._current = asyncio.Event()
        self.ready = asyncio.Event()
        """Set when this device's keys are published."""

    # --- what the client calls -------------------------------------------------------------------------------------

    def attach(self, http: BuzzHttp, emit: Callable[[str, Any], None]) -> None:
        """Learn how to reach the server. Raises BuzzError if another client uses this object."""
        if self._http is not None:
            raise BuzzError("this encryption is used by another client: make one for each")
        self._http, self._emit = http, emit

    def live(self, person_id: int, device_id: str, head_id: int) -> None:
        """Handle a new connection: publish what is missing, and look at what has changed."""
        if self._parts is None:
            self._parts = self._load(person_id, device_id)
        self._head_id = head_id
        self._connection += 1
        self._connected = True
        self._asked.clear()
        self._current.clear()
        self._begun.set()

    def lost(self) -> None:
        """Handle the end of the connection: nothing is sealed before the next one has said what has changed."""
        self._connected = False
        self._current.clear()

    def event(self, name: str, data: Mapping[str, Any]) -> None:
        """Handle a live event of the server."""
        if self._parts is None:
            return
        own = self._parts.own.keys.person_id
        if name == "directory.changed":
            self._parts.people.forget_members()
        elif name in ("device.added", "device.removed"):
            self._stale.add(own)
        elif name == "key.changed" and (self._parts.people.follows(data["person_id"]) or data["person_id"] == own):
            self._stale.add(data["person_id"])
        if self._stale:
            self._current.clear()
            self._begun.set()

    async def run(self) -> None:
        """Publish and follow keys until cancelled."""
        while True:
            in_time = await self._wait(_LOOK_AGAIN_SECONDS if self.ready.is_set() else None)
            stale, self._stale = self._stale, set()
            if not in_time or self._looked_on != self._connection:
                await self._patience.keep_trying(self._begin)
                self.ready.set()
                stale.discard(self._needed().own.keys.person_id)
            if stale:
                await self._patience.keep_trying(lambda stale=stale: self._look_at(stale))  # type: ignore[misc]
            if self._connected and self._looked_on == self._connection and not self._stale:
                self._current.set()

    def end(self, error: BuzzError) -> None:
        """Handle the end of the session: waiting calls get this error."""
        self._patience.end(error)

    async def send(self, activity: Mapping[str, Any], deliver: Deliver) -> Ack:
        """Seal the activity's ``message``, if its type has a text, and send it. Raises SealingRefused."""
        if activity.get("type") not in SEALED_TYPES or not isinstance(activity.get("message"), str):
            return await deliver(activity)
        await self._patience.until(self.ready)
        parts = self._needed()
        if parts.own.rotate(self._now()):
            await self._patience.keep_trying(self._begin)
        return await parts.outgoing.send(activity, deliver)

    async def open(self, activity: Activity) -> Activity:
        """Return the activity with ``text``, or with ``unopened``: why it can't be read."""
        if activity.type not in SEALED_TYPES or activity.message is None:
            return activity
        parts = self._needed()
        # What has changed while there was no connection counts for what arrives on this one.
        await self._patience.until(self._asked)
        return readable(activity, await self._patience.keep_trying(lambda: parts.incoming.open(activity)))

    def keeping(self, store: CursorStore) -> CursorStore:
        """Return a cursor store whose position is never ahead of the stored keys."""
        return _KeepingCursor(store, self)

    def kept(self, position: Position) -> None:
        """Delete the texts of what the app has handled."""
        if self._parts is not None:
            self._parts.incoming.handled(position.last_activity_id)

    def flush(self) -> None:
        """Make the stored keys survive a power failure."""
        self._store.flush()

    # --- what an app uses ------------------------------------------------------------------------------------------

    @property
    def me(self) -> Me:
        """This device."""
        parts = self._needed()
        keys = parts.own.keys
        person = parts.people.known(keys.person_id)
        linked = parts.own.is_linked_to(person)
        alone = not linked and person is not None and not parts.linking.could_link(person)
        return Me(keys.person_id, keys.device_id, keys.tag, keys.identity, linked, alone)

    def people(self) -> list[KnownPerson]:
        """Return everybody whose keys are known."""
        return self._needed().people.everybody()

    def person(self, person_id: int) -> KnownPerson | None:
        """Return what is known of a person."""
        return self._needed().people.known(person_id)

    async def look_up(self, person_id: int) -> KnownPerson | None:
        """Return what is known of a person, or can be found out from the server. Raises HttpError, aiohttp errors."""
        return await self._needed().people.find(person_id)

    def safety_number(self, person_id: int) -> str:
        """Return the 60 digits that both people see, in groups of five.

        Raises BuzzError if the person's keys are not known.
        """
        mine = self._known(self._needed().own.keys.person_id)
        theirs = self._known(person_id)
        return safety_number((mine.person_id, mine.root), (theirs.person_id, theirs.root))

    def mark_compared(self, person_id: int) -> None:
        """Remember that the user has compared the safety number, until the person's root changes."""
        self._known(person_id)
        self._decided(self._needed().people.change(person_id, lambda person: replace(person, compared=True)))

    def accept(self, person_id: int, tag: bytes) -> None:
        """The user has looked at a device and accepts it: it can read and write from now on."""
        self._has(person_id, tag)
        now = self._now()
        self._decided(self._needed().people.change(person_id, lambda person: person.accept(tag, now)))

    def refuse(self, person_id: int, tag: bytes) -> None:
        """The user has looked at a device and refuses it: nothing is sealed for it."""
        self._has(person_id, tag)
        self._decided(self._needed().people.change(person_id, lambda person: person.refuse(tag)))

    async def start_linking(self) -> LinkStart:
        """Ask, on a new device, to be linked by another one of this person."""
        return await self._needed().linking.start()

    async def cancel_linking(self) -> None:
        """End the attempt, on either side."""
        await self._needed().linking.cancel()

    async def link_offers(self) -> list[KnownDevice]:
        """Return the devices of this person that ask to be linked."""
        return await self._needed().linking.offers()

    async def answer_link(self, tag: bytes) -> None:
        """Answer a device that asks: it then shows a code. Raises LinkRefused."""
        await self._needed().linking.answer(tag)

    async def confirm_link(self, tag: bytes, code: str) -> None:
        """Link the device that shows this code of six digits. Raises LinkRefused."""
        await self._needed().linking.confirm(tag, code)

    async def scan_link(self, picture: str) -> str:
        """Link the device that shows the picture with this text; return its device id. Raises LinkRefused."""
        return await self._needed().linking.scan(picture)

    async def become_root(self) -> None:
        """Make this device the person's first one again, if no other one is in use that could link it (``me.alone``).

        Ask the user before: those who talk with this person see that the keys have changed, have to accept this device,
        and compare the safety number again. Raises LinkRefused.
        """
        linking = self._needed().linking
        await linking.become_root()
        self._decided(self._known(self._needed().own.keys.person_id))

    # ---------------------------------------------------------------------------------------------------------------

    def _load(self, person_id: int, device_id: str) -> _Parts:
        if self._http is None:
            raise BuzzError("pass this encryption to a client first")
        own = OwnDevice.open(self._store, person_id, device_id, self._now())
        people = People(self._store, own, self._http, self._now, self._changed)
        outgoing = Outgoing(self._store, own, people, self._now, self._patience, self._current)
        linking = Linking(own, people, self._http, self._now, self._follow, self._emit)
        return _Parts(own, people, outgoing, Incoming(self._store, own, people), linking)

    def _needed(self) -> _Parts:
        if self._parts is None:
            raise BuzzError("there is no session yet: use the client with `async with`")
        return self._parts

    async def _begin(self) -> None:
        """Publish this device's keys, and look at everything that has changed while there was no connection."""
        parts, connection = self._needed(), self._connection
        try:
            parts.people.seen = max(parts.people.seen, self._head_id)
            parts.own.rotate(self._now())
            await self._follow()
            await parts.people.sync()
            parts.people.forget_members()
            self._looked_on = connection
        finally:
            # If it failed, what arrives is opened with what is known; if the connection has ended, the next one asks.
            if connection == self._connection and (self._connected or self._looked_on == connection):
                self._asked.set()

    async def _follow(self) -> list[PublishedKey]:
        """Fetch this person's keys, look at them, and publish what the server does not have; return what it has."""
        parts = self._needed()
        async with self._following:
            for _ in range(_MAX_ROUNDS):
                published = await parts.people.refresh(parts.own.keys.person_id)
                parts.linking.look(published)
                # What was published is looked at once more.
                if not await self._publish(parts, published):
                    break
            return published

    async def _publish(self, parts: _Parts, published: list[PublishedKey]) -> bool:
        """Publish the keys that are not among these in this form. Returns whether there were any."""
        assert self._http is not None
        there = {
            (to_base64(row.public_key), row.device_id, row.statement.encoded())
            for row in published
            if row.revoked_at is None
        }
        published_at = None
        for each in parts.own.publications():
            if (each.public_key, each.device_id, each.statement) not in there:
                stored = await self._http.put_public_key(
                    each.public_key, each.algorithm, each.device_id, each.statement
                )
                published_at = stored["updated_at"]
        if published_at is not None and not parts.people.syncing:
            parts.people.synced_at(published_at)
        return published_at is not None

    async def _look_at(self, people: set[int]) -> None:
        parts = self._needed()
        for person_id in sorted(people):
            if person_id == parts.own.keys.person_id:
                await self._follow()
            else:
                await parts.people.refresh(person_id)

    def _changed(self, change: PersonChange) -> None:
        person_id = change.person.person_id
        own = self._needed().own.keys
        if person_id == own.person_id:
            for alarm in change.alarms:
                if alarm.tag != own.tag:
                    self._emit("encryption.own_device", {"device_id": alarm.device_id, "tag": alarm.tag})
        self._tell(change.person, change.added, change.removed)

    def _decided(self, person: KnownPerson) -> None:
        self._tell(person, (), ())

    def _tell(self, person: KnownPerson, added: Sequence[KnownDevice], removed: Sequence[KnownDevice]) -> None:
        self._emit(
            "encryption.person",
            {
                "person_id": person.person_id,
                "waits": bool(person.waiting),
                "devices": tuple((each.device_id, each.tag) for each in person.waiting),
                "added": [each.device_id for each in added],
                "removed": [each.device_id for each in removed],
            },
        )

    def _known(self, person_id: int) -> KnownPerson:
        person = self._needed().people.known(person_id)
        if person is None:
            raise BuzzError(f"the keys of person {person_id} are not known on this device")
        return person

    def _has(self, person_id: int, tag: bytes) -> None:
        if self._known(person_id).device(tag) is None:
            raise BuzzError(f"person {person_id} has no device with this tag")

    def _now(self) -> int:
        return int(self._clock())

    async def _wait(self, seconds: float | None) -> bool:
        """Wait for a connection or an event. Returns False if there was none in this time."""
        try:
            async with asyncio.timeout(seconds):
                await self._begun.wait()
        except TimeoutError:
            return False
        self._begun.clear()
        return True


class _KeepingCursor:
    """A cursor store that saves a position only when the keys up to it are safe."""

    def __init__(self, store: CursorStore, sealed: SealedMessages) -> None:
        self._store = store
        self._sealed = sealed

    def load(self) -> Position | None:
        """Return the last stored position."""
        return self._store.load()

    def save(self, position: Position) -> None:
        """Store the keys, then this position."""
        self._sealed.flush()
        self._store.save(position)
        self._sealed.kept(position)
