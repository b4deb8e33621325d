"""The live path without sockets: real log, hub, catch-up readers and SQLite, where a test decides what happens when.

Every call of the store stops at two gates, before and after it; the test opens them one by one. So a commit can be on
disk and not yet in the hub, or a page read and not yet delivered, for as long as the test needs.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from protocol.activity import Activity, ActivityType
from protocol.codec import JSON, MSGPACK
from server.live.catch_up import CatchUp
from server.live.hub import Hub
from server.live.log import Log, Submission
from server.live.parties import Parties
from server.live.session_states import SessionState
from server.runtime.telemetry import Metrics
from storage.contract import ROW_BYTES, Commit, Page, Posting, Range, Result, Stored
from storage.directory.changes import DirectoryChange
from storage.errors import OutcomeUnknown, StorageUnavailable
from storage.sqlite.database import SqliteDatabase
from storage.sqlite.log import SqliteActivityLog
from storage.sqlite.reads import SMALL_BYTES
from tests.harness.people import database_path
from tests.harness.session_states import TracedSession, Transition, replayed
from tests.harness.sessions import FakeWire, session

T = TypeVar("T")
Membership = tuple[int, tuple[int, ...]]
"""(moment, parties): what a session's person was a party to from that moment on."""


class Gate(NamedTuple):
    """Where a call of the log waits, before or after its work; the calls are numbered as they begin."""

    call: int
    opened: asyncio.Future[bool]


class GatedLog(SqliteActivityLog):
    """The real log behind gates. With ``wait_at_gates`` False nothing stops."""

    def __init__(self, database: SqliteDatabase, on_commit: Callable[[Commit], None]) -> None:
        super().__init__(database)
        self._on_commit = on_commit
        self._calls = itertools.count()
        # In the order in which the calls began: threads may finish in another, and a plan must be reproducible.
        self.gates: list[Gate] = []
        self.wait_at_gates = True
        self.working = 0
        self._worked = asyncio.Event()

    async def append(self, batch: Sequence[Posting]) -> Commit:
        call = next(self._calls)
        if not await self._gate(call):
            raise StorageUnavailable("the disk is full, says the test")
        commit = await self._work(super().append(batch))
        self._on_commit(commit)
        if not await self._gate(call):
            raise OutcomeUnknown("the answer is lost, says the test")
        return commit

    async def read(self, ranges: Sequence[Range]) -> list[Page[Activity]]:
        call = next(self._calls)
        await self._gate(call)
        pages = await self._work(super().read(ranges))
        await self._gate(call)
        return pages

    def open(self, index: int, well: bool = True) -> None:
        """Let one waiting call continue; not ``well``: a commit fails, or its answer is lost."""
        if self.gates:
            self.gates.pop(index % len(self.gates)).opened.set_result(well)

    async def settle(self) -> None:
        """Run until every task waits: at a gate, or for work."""
        while True:
            for _ in range(20):
                await asyncio.sleep(0)
            if not self.working:
                return
            self._worked.clear()
            await self._worked.wait()

    async def _gate(self, call: int) -> bool:
        if not self.wait_at_gates:
            return True
        gate = Gate(call, asyncio.get_running_loop().create_future())
        bisect.insort(self.gates, gate, key=lambda each: each.call)
        return await gate.opened

    async def _work(self, trip: Awaitable[T]) -> T:
        self.working += 1
        try:
            return await trip
        finally:
            self.working -= 1
            self._worked.set()


class RecordingWire(FakeWire):
    """Keeps only the ids of the activities that were written."""

    def __init__(self, room: int | None) -> None:
        super().__init__(room)
        self.received: list[int] = []

    def write(self, frames: list[bytes]) -> None:
        super().write(frames)
        self.received += self.ids
        self.writes.clear()


@dataclass
class Reader:
    """One session, its start, and what its person was a party to since."""

    session: TracedSession
    wire: RecordingWire
    start: int
    since: int
    memberships: list[Membership] = field(default_factory=list)
    checked: int = 0
    decided: int = 0
    expected: SessionState = SessionState.OPENING

    def __post_init__(self) -> None:
        self.decided = self.start

    @property
    def cursor(self) -> int:
        return self.session.cursor


class LivePath:
    """The parts, connected as in ``server.app``, and the model that they are compared with."""

    def __init__(self, database: SqliteDatabase, ring_size: int) -> None:
        self.database = database
        self.moment = 0
        self.committed: dict[int, tuple[Activity, int]] = {}
        self.readers: list[Reader] = []
        self.answers: list[Result | Exception] = []
        self.deliveries = 0
        self.transitions: Counter[Transition] = Counter()
        self.store = GatedLog(database, self._on_commit)
        self.hub = Hub("epoch", 0, ring_size, max_per_person=10_000)
        self.parties = Parties(database)
        self.log = Log(self.store, self.hub, Metrics())
        self.catch_up = CatchUp(self.hub, self.store, self.parties, slice_seconds=0)
        self.hub.catch_up_with(self.catch_up.add)
        self.parties.subscribe(self._membership, self.hub.people)
        self._tasks = [asyncio.create_task(self.catch_up.run(), name=f"reader {n}") for n in range(2)]

    @classmethod
    async def open(cls, data_dir: Path, people: Sequence[int], companies: Sequence[int], ring_size: int) -> LivePath:
        """Open it on a data directory with these people and companies (keys); their names are in memory."""
        path = cls(await SqliteDatabase.open(database_path(data_dir), readers=2), ring_size)
        await path.parties.load([*people, *companies])
        for person in people:
            await path.parties.companies_of(person)
        return path

    # --- what may happen ----------------------------------------------------------------------------------------

    async def connect(self, person: int, start: int | None, *, room: int | None, binary: bool, page: int) -> Reader:
        """Open a session at this cursor (None: the head); its socket accepts ``room`` writes."""
        while (companies := self.parties.known_companies(person)) is None:
            await self.parties.companies_of(person)
        self.moment += 1
        wire = RecordingWire(room)
        opened = session(
            person,
            *companies,
            wire=wire,
            codec=MSGPACK if binary else JSON,
            on_closed=self.hub.remove,
            page_bytes=page * (SMALL_BYTES + ROW_BYTES),
            kind=TracedSession,
        )
        assert isinstance(opened, TracedSession)
        began = self.hub.head if start is None else min(start, self.hub.head)
        reader = Reader(opened, wire, began, self.moment, [(self.moment, opened.parties)])
        wire.drained = lambda: self.hub.resume(opened)
        self.readers.append(reader)
        self.hub.add(opened)
        self.hub.start(opened, start)
        return reader

    def disconnect(self, reader: Reader) -> None:
        self.readers.remove(reader)
        reader.session.ended()
        self.check(reader)
        self._check_state(reader, 0)
        self.deliveries += len(reader.wire.received)

    def send(self, sender: int, receiver: int) -> None:
        """Append to the log, without the checks of permission."""
        posting = Posting(
            ActivityType.chat_message, sender, receiver, abs(sender), None, "x", str(uuid.uuid4()), 1_720_181_685_000
        )
        names = self.parties.shown(sender), self.parties.shown(receiver)
        self.log.submit(Submission(posting, *names, self.answers.append))

    async def set_member(self, company: int, person: int, member: bool) -> None:
        sql = (
            "INSERT INTO member (company_id, person_id) VALUES (?, ?) ON CONFLICT DO NOTHING"
            if member
            else "DELETE FROM member WHERE company_id = ? AND person_id = ?"
        )
        async with self.database.transaction() as transaction:
            await transaction.execute(sql, company, person)
        await self.parties.apply(DirectoryChange(members=(person,)))

    # --- what must hold -----------------------------------------------------------------------------------------

    def check(self, reader: Reader) -> None:
        """Check that it received exactly what its person is a party to in (start, cursor], in order, no gap, no repeat.

        If the membership changed between an activity's commit and its delivery, both results are correct.
        """
        received = reader.wire.received
        reached = self.hub.head if reader.session.live else reader.cursor
        fresh = received[reader.checked :]
        last = received[reader.checked - 1] if reader.checked else reader.start
        assert all(a < b for a, b in zip([last, *fresh], fresh, strict=False)), (last, fresh)
        assert not fresh or fresh[-1] <= reached, (fresh, reached)
        # What was delivered stays delivered: only what is new since the last check is checked.
        for id in range(reader.decided + 1, reached + 1):
            activity, at = self.committed[id]
            memberships = self._memberships(reader, at)
            concerned = [activity.sender in parties or activity.receiver in parties for parties in memberships]
            if id in fresh:
                assert any(concerned), f"{id} is none of theirs"
            else:
                assert not all(concerned), f"{id} is missing in {fresh} of {reader.decided}..{reached}"
        reader.checked, reader.decided = len(received), max(reader.decided, reached)

    def check_all(self) -> None:
        listed = Counter(self.catch_up._list)
        for reader in self.readers:
            self.check(reader)
            self._check_state(reader, listed[reader.session])

    def _check_state(self, reader: Reader, places: int) -> None:
        """Check that the session is in the state that the table gives for its events, and that other parts agree."""
        opened = reader.session
        reader.expected, taken = replayed(reader.expected, opened)
        self.transitions.update(taken)
        assert opened.state is reader.expected, f"{opened.state}, but the table leads to {reader.expected}"
        assert places == (opened.state is SessionState.LISTED), f"{opened.state}, and {places} times on the list"
        assert (self.hub.get(opened.id) is None) == opened.closed

    async def let_through(self) -> None:
        """Let everything through that waits at a gate, or arrives at one meanwhile."""
        self.store.wait_at_gates = False
        while self.store.gates:
            self.store.open(0)
        await self.store.settle()
        self.store.wait_at_gates = True

    async def finish(self) -> None:
        """Open all gates and let all readers read: all get everything and are live."""
        self.store.wait_at_gates = False
        while self.store.gates:
            self.store.open(0)
        for reader in self.readers:
            reader.wire.drain(None)
        await self.log.close()
        while not all(reader.session.live for reader in self.readers):
            await self.store.settle()
        await self.store.settle()
        self.check_all()
        self.deliveries += sum(len(reader.wire.received) for reader in self.readers)
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self.parties.close()
        await self.store.close()
        await self.database.close()

    @staticmethod
    def _memberships(reader: Reader, at: int) -> list[tuple[int, ...]]:
        begun = max(reader.since, at)
        before = [parties for moment, parties in reader.memberships if moment <= begun]
        return [before[-1], *(parties for moment, parties in reader.memberships if moment > begun)]

    def _on_commit(self, commit: Commit) -> None:
        self.moment += 1
        for result in commit.results:
            assert isinstance(result, Stored)
            self.committed[result.activity.id] = (result.activity, self.moment)

    def _membership(self, person: int, companies: tuple[int, ...]) -> None:
        self.moment += 1
        for opened in self.hub.sessions_of(person):
            self.hub.follow(opened, (person, *companies))
        for reader in self.readers:
            if reader.session.caller.person == person:
                reader.memberships.append((self.moment, reader.session.parties))
