"""Receipts: a sender learns that a message has reached a device of the person that it was for.

A device confirms everything up to an id (``received``). When it is the first of its person's devices to do so for some
messages, the live sessions of their senders get one ``receipt`` each. Receipts are collected for a second. They are
live events, so one can be missed: ``GET conversations`` always has the newest state. A repeated one does no harm,
because it says "everything up to this id".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Final

import structlog

from protocol.activity import Activity, ActivityType, Party
from protocol.events import EventName
from server.live.events import Events
from server.live.hub import Hub
from server.live.read_through import ReadThrough
from server.runtime.tasks import OnDemand
from storage.accounts import AccountStore, people_without_receipts, set_receipts
from storage.contract import ActivityLog, Range
from storage.database import Database
from storage.errors import StorageError

EVERY_SECONDS: Final = 1.0
LOOKED_BACK: Final = 1_000
"""Ids before the confirmed one that are looked at, if this node does not know what the person had confirmed before."""
READS_A_ROUND: Final = 16
"""People whose messages are read from the log in one round; the others' senders learn it by ``GET conversations``."""
_REMEMBERED: Final = 50_000
_FRESH_SECONDS: Final = 30.0
"""How long another node's change of a person's choice is not seen."""
_logger = structlog.get_logger("receipts")


class Receipts:
    """Tells senders what has been delivered, and keeps who wants no receipts."""

    def __init__(self, database: Database, store: ActivityLog, hub: Hub, events: Events) -> None:
        self._database = database
        self._accounts = AccountStore(database)
        self._store = store
        self._hub = hub
        self._events = events
        self._told: dict[int, int] = {}
        self._waiting: dict[int, int] = {}
        self._worker = OnDemand("receipts", self._work)
        self._closing = asyncio.Event()
        self._off: ReadThrough[bool] = ReadThrough(
            "receipts", self._read_off, capacity=100_000, now=time.monotonic, fresh_seconds=_FRESH_SECONDS,
            absent_seconds=_FRESH_SECONDS,
        )  # fmt: skip

    def received(self, person_id: int, id: int) -> None:
        """Note that a device of the person has stored everything up to ``id``. Never waits."""
        if id > self._told.get(person_id, 0):
            self._waiting[person_id] = max(id, self._waiting.get(person_id, 0))
            self._worker.wake()

    async def close(self) -> None:
        """Tell what still waits."""
        self._closing.set()
        await self._worker.finish()
        await self._off.close()

    async def enabled(self, person_id: int) -> bool:
        """Return whether the person sends and gets receipts. Raises StorageUnavailable."""
        await self._off.load((person_id,))
        return self._off.get(person_id) is None

    async def enable(self, person_id: int, enabled: bool) -> None:
        """Turn a person's receipts on or off. Other nodes follow within half a minute. Raises StorageUnavailable."""
        await set_receipts(self._database, person_id, enabled)
        self._off.drop((person_id,))

    async def delivered(self, person_id: int, parties: Collection[int]) -> dict[int, int]:
        """Return for each of these people the newest id that a device of theirs has confirmed; 0 if none.

        Companies, and people without receipts, are left out; everybody is if ``person_id`` has none.
        """
        people = {party for party in parties if party > 0}
        await self._off.load((person_id, *people))
        if self._off.get(person_id) is not None:
            return {}
        shown = [person for person in people if self._off.get(person) is None]
        found = await self._accounts.highest_received(shown)
        return {person: found.get(person, 0) for person in shown}

    # --- telling ------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, {}
            try:
                await self._tell(batch)
            except StorageError as error:  # live events are best effort
                _logger.warning("receipts could not be sent", reason=str(error), people=len(batch))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), EVERY_SECONDS)

    async def _tell(self, batch: Mapping[int, int]) -> None:
        reached = await self._reached(batch)
        for person, id in batch.items():
            self._told.pop(person, None)  # the dictionary's order is that of the last use
            self._told[person] = id
        while len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]
        await self._off.load({party for pair in reached for party in pair if party > 0})
        for (sender, person), id in reached.items():
            if self._off.get(person) is None and (sender < 0 or self._off.get(sender) is None):
                by = Party.of_key(person)
                data = {"by": {"type": by.type.value, "id": by.id}, "id": id}
                self._events.publish((sender,), EventName.RECEIPT, data)

    async def _reached(self, batch: Mapping[int, int]) -> dict[tuple[int, int], int]:
        """Return the newest message of each (sender, person) that has reached the person now for the first time."""
        after = {person: self._told.get(person, max(0, id - LOOKED_BACK)) for person, id in batch.items()}
        ring = self._hub.ring
        found: dict[tuple[int, int], int] = {}
        # In one pass, however many people have confirmed something.
        for entry in ring.since(max(ring.start, min(after.values()))):
            row = entry.activity
            _take(found, after, batch, row.type, row.sender, row.receiver, row.id)
        older = [person for person in batch if after[person] < ring.start][:READS_A_ROUND]
        for person, rows in zip(older, await self._older(older, after, batch, ring.start), strict=True):
            for row in rows:
                _take(found, {person: after[person]}, batch, row.type, row.sender, row.receiver, row.id)
        return found

    async def _older(
        self, people: Iterable[int], after: Mapping[int, int], batch: Mapping[int, int], ring_start: int
    ) -> list[list[Activity]]:
        ranges = [
            Range((person,), after[person], min(batch[person], ring_start) + 1, LOOKED_BACK, newest_first=True)
            for person in people
        ]
        return [page.rows for page in await self._store.read(ranges)] if ranges else []

    async def _read_off(self, people: Collection[int]) -> Mapping[int, bool]:
        return dict.fromkeys(await people_without_receipts(self._database, people), True)


def _take(
    found: dict[tuple[int, int], int],
    after: Mapping[int, int],
    until: Mapping[int, int],
    kind: int,
    sender: int,
    receiver: int,
    id: int,
) -> None:
    """Add a message to what has reached its receiver, if it is one that they have confirmed now."""
    if kind == ActivityType.chat_message and sender != receiver and after.get(receiver, id) < id <= until[receiver]:
        key = (sender, receiver)
        found[key] = max(id, found.get(key, 0))
