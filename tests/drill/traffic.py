"""People who talk without pause over all nodes of a cluster, and a look afterwards at what each of them got."""

from __future__ import annotations

import asyncio
import itertools
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from protocol.activity import Activity
from tests.harness.peer import Peer, chat
from tests.harness.people import CROWD
from tests.harness.world import World

PEOPLE = CROWD[:10]
_PATIENCE_SECONDS = 60.0


class Traffic:
    """Everybody sends to somebody at random, one message after another. What is refused is sent again, unchanged."""

    def __init__(self, worlds: Sequence[World]) -> None:
        self.worlds = worlds
        self.peers: dict[int, Peer] = {}
        self.acknowledged: dict[str, int] = {}
        self.counts: Counter[str] = Counter()
        self._talking = True

    async def open(self) -> None:
        """One session for each person, spread over the nodes."""
        for person, world in zip(PEOPLE, itertools.cycle(self.worlds), strict=False):
            self.peers[person] = await world.join(person, last=0)

    async def talk(self) -> None:
        """Talk until :meth:`hush`."""
        await asyncio.gather(*(self._talk(person) for person in self.peers))

    def hush(self) -> None:
        self._talking = False

    async def _talk(self, person: int) -> None:
        while self._talking:
            receiver = random.choice([other for other in self.peers if other != person])
            await self._send(person, chat(person, receiver, message_id=str(uuid.uuid4())))
            await asyncio.sleep(random.random() * 0.01)

    async def _send(self, person: int, activity: dict[str, Any]) -> None:
        while True:
            answer = await self.peers[person].post(activity)
            if answer["type"] == "ack":
                first = self.acknowledged.setdefault(activity["message_id"], answer["id"])
                self.counts["contradicted"] += first != answer["id"]
                return
            if answer["code"] not in ("unavailable", "rate_limited"):
                raise AssertionError(f"a send was refused: {answer}")
            self.counts["sent again"] += 1
            await asyncio.sleep(0.05)

    # --- afterwards ---------------------------------------------------------------------------------------------

    async def settle(self) -> list[Activity]:
        """Wait until everybody has what is theirs (or patience ends); returns the whole log."""
        rows = await self._log()
        ends = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        for person, peer in self.peers.items():
            wanted = {row.id for row in rows if person in (row.sender, row.receiver)}
            left = ends - asyncio.get_running_loop().time()
            with suppress(AssertionError):
                await peer.until_ids(*wanted, seconds=max(0.1, left))
        return rows

    async def _log(self) -> list[Activity]:
        rows: list[Activity] = []
        more = True
        while more:
            page, more = await self.worlds[0].node.store.tail(rows[-1].id if rows else 0, 10_000)
            rows += page
        return rows

    def judge(self, rows: Sequence[Activity]) -> dict[str, int]:
        """What must all be 0."""
        stored = Counter(row.message_id for row in rows)
        ids = {row.message_id: row.id for row in rows}
        found = {
            "acknowledged and lost": sum(ids.get(key) != id for key, id in self.acknowledged.items()),
            "stored twice": sum(count - 1 for count in stored.values()),
            "acknowledged with two ids": self.counts["contradicted"],
            "missed": 0,
            "doubled or reordered": 0,
            "sessions closed": sum(peer.closed for peer in self.peers.values()),
        }
        for person, peer in self.peers.items():
            wanted = [row.id for row in rows if person in (row.sender, row.receiver)]
            found["missed"] += len(set(wanted) - set(peer.ids))
            found["doubled or reordered"] += sum(later <= earlier for earlier, later in itertools.pairwise(peer.ids))
            found["doubled or reordered"] += len(set(peer.ids) - set(wanted))
        return found


@asynccontextmanager
async def talking(worlds: Sequence[World]) -> AsyncIterator[Traffic]:
    """Traffic for as long as the block runs, and settled after it."""
    traffic = Traffic(worlds)
    await traffic.open()
    talk = asyncio.create_task(traffic.talk(), name="traffic")
    try:
        yield traffic
        traffic.hush()
        await talk
    finally:
        talk.cancel()
        await asyncio.gather(talk, return_exceptions=True)
