"""The cache of existing parties, their names and memberships, for the most frequent operations.

Every activity that is sent has its two parties' names: they are kept encoded, so that adding one to a frame is a copy.
Every credential of a person is valid only while the person is in the directory: that and their companies are one entry.
The rows of the directory's changes say what is stale; they are read from storage (:meth:`Parties.poll`) after each
change by this node, on another node's notice, and every second. With several nodes everything is also read again after
``fresh_seconds``: a node of an older release, or an operator's own SQL, changes the tables without writing such rows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable

import msgspec

from protocol.names import CompanyName, Name, PersonName, nameless
from server.live.read_through import ReadThrough
from storage.database import Database
from storage.directory import changes as directory_changes
from storage.directory.changes import DirectoryChange
from storage.directory.names import read_memberships, read_names

FRESH_SECONDS = 30.0
"""With several nodes: how long a name or a membership is believed though nothing says that it changed."""

_CAPACITY = 100_000
"""Names, and as many memberships; about 600 bytes each at most."""

_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()

_TOLD_AT_ONCE = 200
"""Live people who are told of a change before the event loop has its turn."""

MembershipCallback = Callable[[int, tuple[int, ...] | None], None]
"""Called with a person and their companies' keys; None: the person is in the directory no longer."""


class PartyName(msgspec.Struct, frozen=True, gc=False):
    """A party's ``sendable``/``receivable`` object, encoded once in both codecs, to be embedded unchanged."""

    key: int
    json: msgspec.Raw
    msgpack: msgspec.Raw

    @property
    def name(self) -> Name:
        """The name as a value; decoded each time, as few answers need it and many parties are kept."""
        if self.key > 0:
            return msgspec.json.decode(self.json, type=PersonName)
        return msgspec.json.decode(self.json, type=CompanyName)

    @classmethod
    def of(cls, name: Name) -> PartyName:
        return cls(name.key, msgspec.Raw(_json.encode(name)), msgspec.Raw(_msgpack.encode(name)))


class Parties:
    """The cache of names and memberships. One for each node; bounded."""

    def __init__(
        self,
        database: Database,
        *,
        fresh_seconds: float | None = None,
        capacity: int = _CAPACITY,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._names: ReadThrough[PartyName] = ReadThrough(
            "names", self._read_names, capacity=capacity, now=now, fresh_seconds=fresh_seconds
        )
        self.get: Callable[[int], PartyName | None] = self._names.get
        """Return the party, or None: it does not exist, or it was not loaded yet. Called at every send, so directly."""
        self._companies: ReadThrough[tuple[int, ...]] = ReadThrough(
            "memberships", self._read_companies, capacity=capacity, now=now, fresh_seconds=fresh_seconds
        )
        self._version = -1
        self._polling = asyncio.Lock()
        self._subscribers: list[tuple[MembershipCallback, Callable[[], Collection[int]]]] = []

    async def load(self, keys: Iterable[int]) -> None:
        """Load these parties, in one query for those that are missing; then :meth:`get` returns all."""
        await self._names.load(keys)

    def shown(self, key: int) -> PartyName:
        """Return the party as :meth:`get` does, or its id with null names if it is no longer in the directory."""
        return self._names.get(key) or PartyName.of(nameless(key))

    async def exists(self, key: int) -> bool:
        """Return whether the directory has this party."""
        await self.load((key,))
        return self.get(key) is not None

    def is_known(self, person_id: int) -> bool:
        """Return whether the directory has this person, without waiting; False also if that is not known now."""
        return self._companies.get(person_id) is not None

    def is_gone(self, person_id: int) -> bool:
        """Return whether the directory is known not to have this person, without waiting."""
        return self._companies.knows(person_id) and self._companies.get(person_id) is None

    async def find_person(self, person_id: int) -> None:
        """Load whether the directory has this person: then one of the two methods above returns True."""
        while not self._companies.knows(person_id):
            await self._companies.load((person_id,))

    async def companies_of(self, person_id: int) -> tuple[int, ...]:
        """Return a person's companies: party keys (negative), sorted. None if the person is not in the directory."""
        await self.find_person(person_id)
        return self._companies.get(person_id) or ()

    def known_companies(self, person_id: int) -> tuple[int, ...] | None:
        """Return a person's companies without waiting; None if not known now, or the person is not in the directory.

        A session that is added to the live ones in the same step as this call misses no change: its subscriber gets
        every later one.
        """
        return self._companies.get(person_id)

    def subscribe(self, callback: MembershipCallback, live: Callable[[], Collection[int]]) -> None:
        """Call ``callback(person_id, companies)`` when the companies of a person in ``live()`` may have changed."""
        self._subscribers.append((callback, live))

    async def poll(self) -> None:
        """Drop what the directory's changes have made stale since the last poll, and call subscribers.

        Raises StorageUnavailable; then the next poll begins at the same change.
        """
        async with self._polling:
            version, change = await directory_changes.since(self._database, self._version)
            if change is not None:
                await self.apply(change)
            self._version = version

    async def apply(self, change: DirectoryChange) -> None:
        """Drop what a change has made stale, and call subscribers for the people that it may affect."""
        self._names.drop(change.names)
        self._companies.drop(change.members)
        await self._tell(change.members)

    async def reload_live(self) -> None:
        """Read the memberships of everybody with a session again, to find changes without a notice."""
        before = {person: self._companies.get(person) for _, live in self._subscribers for person in live()}
        self._companies.drop(before)
        await self._companies.load(before)
        await self._tell([person for person, companies in before.items() if self._companies.get(person) != companies])

    async def close(self) -> None:
        """Finish the running reads."""
        await self._names.close()
        await self._companies.close()

    async def _tell(self, members: Iterable[int] | None) -> None:
        for callback, live in self._subscribers:
            people = live()
            concerned = list(people) if members is None else [person for person in members if person in people]
            await self._companies.load(concerned)
            for number, person in enumerate(concerned, 1):
                # Dropped again meanwhile: that call notifies the subscribers.
                if self._companies.knows(person):
                    callback(person, self._companies.get(person))
                if number % _TOLD_AT_ONCE == 0:
                    await asyncio.sleep(0)

    async def _read_names(self, keys: Collection[int]) -> dict[int, PartyName]:
        return {key: PartyName.of(name) for key, name in (await read_names(self._database, keys)).items()}

    async def _read_companies(self, person_ids: Collection[int]) -> dict[int, tuple[int, ...]]:
        return await read_memberships(self._database, person_ids)
