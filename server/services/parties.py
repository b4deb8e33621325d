"""Names and membership for the hot path: every activity that goes out shows who its two parties are.

Names are kept ready encoded, so that putting one into a frame costs a copy. The directory service says what has changed
(:class:`DirectoryChange`); with several nodes a notice of it may be lost, so there everything is also read again after
``fresh_seconds``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import msgspec

from protocol.names import Name, nameless
from server.services.read_through import ReadThrough
from storage.database import Database
from storage.names import read_memberships, read_names

FRESH_SECONDS = 30.0
"""With several nodes: how long a name or a membership is believed without hearing of it."""

_CAPACITY = 100_000
"""Names, and as many memberships; about 600 bytes each at most."""

_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()

MembershipCallback = Callable[[int, tuple[int, ...]], None]


class PartyName(msgspec.Struct, frozen=True, gc=False):
    """Who a party is: the ``sendable``/``receivable`` object, encoded once in both codecs for embedding as it is."""

    key: int
    json: msgspec.Raw
    msgpack: msgspec.Raw

    @classmethod
    def of(cls, name: Name) -> PartyName:
        return cls(name.key, msgspec.Raw(_json.encode(name)), msgspec.Raw(_msgpack.encode(name)))


class DirectoryChange(NamedTuple):
    """What one change of the directory makes stale, on every node. None stands for everything (a huge import).

    ``names``: keys of parties that came, went or are called otherwise. ``members``: people whose companies changed.
    """

    names: tuple[int, ...] | None = ()
    members: tuple[int, ...] | None = ()


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
        self._companies: ReadThrough[tuple[int, ...]] = ReadThrough(
            "memberships", self._read_companies, capacity=capacity, now=now, fresh_seconds=fresh_seconds
        )
        self._subscribers: list[tuple[MembershipCallback, Callable[[], Collection[int]]]] = []

    async def load(self, keys: Iterable[int]) -> None:
        """Make these parties known, in one query for those that are not yet; then :meth:`get` answers for all."""
        await self._names.load(keys)

    def get(self, key: int) -> PartyName | None:
        """The party, or None: it does not exist, or it was not loaded yet."""
        return self._names.get(key)

    def shown(self, key: int) -> PartyName:
        """As :meth:`get`, and the bare id with null names for a party that is no longer in the directory."""
        return self._names.get(key) or PartyName.of(nameless(key))

    async def exists(self, key: int) -> bool:
        """Whether the directory has this party."""
        await self.load((key,))
        return self.get(key) is not None

    async def companies_of(self, person_id: int) -> tuple[int, ...]:
        """The companies that a person is a member of: party keys (negative), sorted."""
        while (companies := self._companies.get(person_id)) is None:
            await self._companies.load((person_id,))
        return companies

    def known_companies(self, person_id: int) -> tuple[int, ...] | None:
        """The same without waiting; None if it is not known now.

        A session that is put among the live ones in the step in which this answered misses no change: any later one
        comes to its subscriber.
        """
        return self._companies.get(person_id)

    def subscribe(self, callback: MembershipCallback, live: Callable[[], Collection[int]]) -> None:
        """Call ``callback(person_id, companies)`` when the companies of somebody in ``live()`` may have changed."""
        self._subscribers.append((callback, live))

    def invalidate(self, keys: Iterable[int] | None) -> None:
        """Forget the names of these parties (None: of all)."""
        self._names.drop(keys)

    async def apply(self, change: DirectoryChange) -> None:
        """Forget what a change has made stale, and tell subscribers of the memberships it may have changed.

        Called after the commit: by the directory service on its own node, by the bus on every other.
        """
        self._names.drop(change.names)
        self._companies.drop(change.members)
        await self._tell(change.members)

    async def look_again(self) -> None:
        """Read the memberships of everybody who is live again: mends a lost notice. For the periodic look."""
        before = {person: self._companies.get(person) for _, live in self._subscribers for person in live()}
        self._companies.drop(before)
        await self._companies.load(before)
        await self._tell([person for person, companies in before.items() if self._companies.get(person) != companies])

    async def close(self) -> None:
        """Finish the reads under way."""
        await self._names.close()
        await self._companies.close()

    async def _tell(self, members: Iterable[int] | None) -> None:
        for callback, live in self._subscribers:
            people = live()
            concerned = list(people) if members is None else [person for person in members if person in people]
            await self._companies.load(concerned)
            for person in concerned:
                companies = self._companies.get(person)
                if companies is not None:
                    callback(person, companies)

    async def _read_names(self, keys: Collection[int]) -> dict[int, PartyName]:
        return {key: PartyName.of(name) for key, name in (await read_names(self._database, keys)).items()}

    async def _read_companies(self, person_ids: Collection[int]) -> dict[int, tuple[int, ...]]:
        return await read_memberships(self._database, person_ids)
