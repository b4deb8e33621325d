"""Decides who is woken: from the rows, at a commit, at the times that rows and sessions say, and at each look.

On the path of a send nothing is written or read: a commit is only noted here (:meth:`Decider.committed`). A moment
later one task reads the registrations of the parties concerned, what waits for them, and who has a session.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from time import monotonic
from typing import Final

import structlog

from protocol.activity import ActivityType
from server.live.hub import Hub
from server.live.ring import Entry
from server.push.dispatcher import Dispatcher
from server.push.rules import MAX_UNKNOWN, News, PushDecision, PushTimes, can_be_due, due, settled
from server.push.waiting import NONE, WaitingReader
from server.runtime.turns import Turns
from storage.bulk import in_chunks
from storage.contract import ActivityLog
from storage.database import Database
from storage.errors import StorageError
from storage.push.claims import settle
from storage.push.reads import parties_since
from storage.push.registrations import PushStore, Registration

GATHER_SECONDS: Final = 0.2
"""How long commits are gathered before the registrations of their parties are read."""
LOOK_AGAIN_SECONDS: Final = 1.0
"""How often the registrations are read whose own time has come."""
PAGE: Final = 500
LONGEST_TURN_SECONDS: Final = 0.001
"""How long deciding keeps the event loop before it gives way."""
MAX_GATHERED: Final = 100_000
"""Parties with news that wait to be read; beyond it all registrations are looked at instead."""
MAX_TIMES: Final = 100_000
RETRY_SECONDS: Final = 1.0
LOOK_AGAIN_AFTER_SECONDS: Final = 10.0
LOOK_AT_ALL_SECONDS: Final = 600.0
"""How often a look is at all registrations, in case that something was overlooked."""
MAX_NEW: Final = 200_000
"""New activities of which a look reads the parties; beyond it all registrations are looked at instead."""
_READ: Final = ActivityType.chat_read_indicator
_logger = structlog.get_logger("push")

Elsewhere = Callable[[Collection[int]], Awaitable[dict[int, set[str]]]]
"""Asks the other nodes which devices of these people have a session there."""


class Decider:
    """One for each node. ``look_seconds``: how often it looks for what nobody has pushed; None: only at the start.

    With several nodes another one may have died before it pushed what it had committed, so the looks go on. The first
    one is at all registrations. A later one is at those whose parties have something in the log since the look before:
    a push that another node has leased or failed at has its own time in its row.
    """

    def __init__(
        self,
        database: Database,
        log: ActivityLog,
        hub: Hub,
        elsewhere: Elsewhere,
        dispatcher: Dispatcher,
        times: PushTimes,
        now_ms: Callable[[], int],
        look_seconds: float | None = None,
    ) -> None:
        self._store = PushStore(database)
        self._database = database
        self._log = log
        self._reader = WaitingReader(database, log)
        self._hub = hub
        self._elsewhere = elsewhere
        self._dispatcher = dispatcher
        self._times = times
        self._now_ms = now_ms
        self._look_seconds = look_seconds
        self._commits: list[Sequence[Entry]] = []
        self._noted = 0
        self._later: list[tuple[int, int]] = []
        self._confirming: set[int] = set()
        self._news = asyncio.Event()
        self._look_at = 0.0
        self._looked_to: int | None = None
        self._all_at = 0.0
        self._again_at = 0.0
        self.rounds = 0

    def committed(self, entries: Sequence[Entry]) -> None:
        """Note a commit. Never waits, and costs the same however many devices are registered."""
        if entries:
            self._noted += len(entries)
            if self._noted > MAX_GATHERED:
                self._commits.clear()
                self._noted = 0
                self._look_at_all(0.0)
            self._commits.append(entries)
            self._news.set()

    def session_left(self, person: int | None) -> None:
        """Note that a session of a person has ended: what its device has not confirmed is pushed now.

        None: a node has gone, with all of its sessions.
        """
        concerned = self._confirming if person is None else self._confirming & {person}
        if concerned:
            for each in concerned:
                heapq.heappush(self._later, (0, each))
            self._again_at = 0.0
            self._news.set()

    def look_again(self) -> None:
        """Look at all registrations in a while: something that is due was let go."""
        self._look_at_all(monotonic() + LOOK_AGAIN_AFTER_SECONDS)
        self._news.set()

    def _look_at_all(self, at: float) -> None:
        self._looked_to = None
        self._look_at = min(self._look_at, at)

    async def run(self) -> None:
        """Work until cancelled. If storage can't be used, everything is looked at again."""
        while True:
            try:
                await self._step()
            except StorageError as error:
                _logger.warning("cannot find out who is to be woken", reason=str(error))
                self._look_at_all(0.0)
                await asyncio.sleep(RETRY_SECONDS)

    async def _step(self) -> None:
        try:
            async with asyncio.timeout(max(0.0, min(self._again_at, self._look_at) - monotonic())):
                await self._news.wait()
            await asyncio.sleep(GATHER_SECONDS)
        except TimeoutError:
            pass
        self._news.clear()
        await self._take_commits()
        self.rounds += 1
        if monotonic() >= self._again_at:
            started = monotonic()
            await self._at_their_times()
            # A backlog that is read anew each time may take a tenth of the time at most.
            self._again_at = monotonic() + max(LOOK_AGAIN_SECONDS, 10 * (monotonic() - started))
        if monotonic() >= self._look_at:
            started, self._look_at = monotonic(), float("inf")
            await self._look()
            if self._look_seconds is not None:
                # The same: a look may read all registrations, however many there are.
                next_at = monotonic() + max(self._look_seconds, 10 * (monotonic() - started))
                self._look_at = min(self._look_at, next_at)

    async def _take_commits(self) -> None:
        commits, self._commits, self._noted = self._commits, [], 0
        parties, readers, turns = set[int](), set[int](), Turns(LONGEST_TURN_SECONDS)
        for entries in commits:
            for entry in entries:
                parties.update(entry.parties)
                if entry.activity.type == _READ:
                    readers.add(entry.activity.sender)
            await turns.give()
        if parties:
            await self._decide(await self._store.of_parties(parties), readers)

    async def _at_their_times(self) -> None:
        now_ms = self._now_ms()
        people = set[int]()
        while self._later and self._later[0][0] <= now_ms:
            people.add(heapq.heappop(self._later)[1])
        self._confirming -= people
        if people:
            await self._decide(await self._store.of_parties(people), ())
        after = (0, 0, "", "")
        while page := await self._store.to_look_at(now_ms, after, PAGE):
            idle = await self._decide([each for each in page if not self._dispatcher.knows(each.key)], ())
            if idle:
                await self._store.look_no_more(idle, now_ms)
            after = (page[-1].again_at_ms or 0, *page[-1].key)

    async def _look(self) -> None:
        """Look at what is new in the log since the look before, or at every registration."""
        head, before = (await self._log.state()).head, self._looked_to
        # At once: if something is let go from here on, the next look is at all.
        self._looked_to = head
        if before is not None and before <= head <= before + MAX_NEW and monotonic() < self._all_at:
            parties = await parties_since(self._database, before, head)
            for some in in_chunks(list(parties), PAGE):
                await self._decide(await self._store.of_parties(some), None)
            return
        self._all_at = monotonic() + LOOK_AT_ALL_SECONDS
        key = (0, "", "")
        while page := await self._store.after(key, PAGE):
            await self._decide(page, None)
            key = page[-1].key

    # --- deciding -----------------------------------------------------------------------------------------------------

    async def _decide(
        self, registrations: Sequence[Registration], readers: Collection[int] | None
    ) -> list[tuple[int, str, str]]:
        """Queue what is due. Returns the registrations for which nothing is due, and nothing will be by itself.

        ``readers``: people (and companies) who have read something; None: anybody may have.
        """
        now_ms, turns = self._now_ms(), Turns(LONGEST_TURN_SECONDS)
        idle: list[tuple[int, str, str]] = []
        for start in range(0, len(registrations), PAGE):
            some = [
                each
                for each in registrations[start : start + PAGE]
                if can_be_due(each, now_ms, self._times, after_read=_has_read(each, readers))
            ]
            news = await self._reader.newest(some)
            await self._settle([each for each in some if each.attempts >= MAX_UNKNOWN], news, now_ms)
            some = [each for each in some if each.attempts < MAX_UNKNOWN]
            idle += [each.key for each in some if self._judge(each, news, now_ms, has_session=False) == PushDecision()]
            woken = [each for each in some if self._judge(each, news, now_ms, has_session=False).wake]
            awake = await self._awake({each.person_id for each in woken})
            for each in woken:
                has_session = each.device_id in awake.get(each.person_id, ())
                self._do(each, self._judge(each, news, now_ms, has_session=has_session))
                await turns.give()
        return idle

    def _judge(
        self, each: Registration, news: dict[tuple[int, str, str], News], now_ms: int, *, has_session: bool
    ) -> PushDecision:
        return due(each, news.get(each.key, NONE), now_ms, self._times, has_session=has_session)

    def _do(self, registration: Registration, found: PushDecision) -> None:
        if found.wake is not None and not self._dispatcher.offer(found.wake):
            self.look_again()
        elif found.again_at_ms is not None:
            if len(self._later) >= MAX_TIMES:
                self._look_at_all(monotonic() + self._times.confirm_seconds)
                return
            heapq.heappush(self._later, (found.again_at_ms, registration.person_id))
            self._confirming.add(registration.person_id)

    async def _settle(
        self, registrations: Iterable[Registration], news: dict[tuple[int, str, str], News], now_ms: int
    ) -> None:
        """Count pushes as sent whose senders died twice in between, before anything more is sent."""
        done = [
            settled(each, now_ms, self._times, found.id)
            for each in registrations
            if (found := news.get(each.key, NONE).waiting) is not None
        ]
        if done:
            await settle(self._database, done, now_ms)

    async def _awake(self, people: Collection[int]) -> dict[int, set[str]]:
        if not people:
            return {}
        found = {person: set(devices) for person, devices in (await self._elsewhere(people)).items()}
        for person in people:
            for session in self._hub.sessions_of(person):
                if session.device_id is not None:
                    found.setdefault(person, set()).add(session.device_id)
        return found


def _has_read(registration: Registration, readers: Collection[int] | None) -> bool:
    # A company's members are not in the row: what a member has read for it is found at the next look, or by its time.
    return readers is None or registration.person_id in readers
