"""The invariant of socket.md under any interleaving, by a state machine on the real parts and a real SQLite.

For every session, at every moment: what it has received is exactly what its person is a party to with ids in
(start, cursor], in increasing order, no gap, no repeat.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from structlog.testing import capture_logs

from tests.harness.live_path import LivePath
from tests.harness.people import ACME, BOB, CAROL, GLOBEX, JANE, copy_directory, make_directory

T = TypeVar("T")
PEOPLE = (JANE, BOB, CAROL)
PARTIES = (*PEOPLE, -ACME, -GLOBEX)
ROOM = st.one_of(st.none(), st.integers(1, 4))


@lru_cache(maxsize=1)
def template() -> Path:
    """The directory, made once; kept until the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="buzz-template-")
    _kept.append(folder)
    return make_directory(Path(folder.name) / "data")


_kept: list[tempfile.TemporaryDirectory[str]] = []


class Sessions(RuleBasedStateMachine):
    """Sessions come at any cursor, stall, wake and go, while commits and pages stop wherever the machine likes."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="buzz-invariant-")
        self.loop = asyncio.new_event_loop()
        self.path: LivePath

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        with capture_logs():  # commits that fail on purpose
            return self.loop.run_until_complete(coroutine)

    def settle(self) -> None:
        self.run(self.path.store.settle())

    @initialize(ring_size=st.sampled_from([1, 2, 3, 8]), history=st.integers(0, 30), readers=st.integers(1, 4))
    def begin(self, ring_size: int, history: int, readers: int) -> None:
        async def begun() -> None:
            self.path = await LivePath.open(data_dir, PEOPLE, PARTIES[len(PEOPLE) :], ring_size)
            for number in range(history):
                self.path.send(PARTIES[number % 5], PARTIES[number // 5 % 5])
            await self.path.let_through()
            for number in range(readers):
                await self.path.connect(PEOPLE[number % 3], number * 3, room=3 - number or None, binary=False, page=2)

        data_dir = copy_directory(template(), Path(self.folder.name))
        self.run(begun())

    @rule(person=st.sampled_from(PEOPLE), start=st.one_of(st.none(), st.integers(0, 40)), room=ROOM,
          binary=st.booleans(), page=st.sampled_from([1, 2, 5, 100]))  # fmt: skip
    @precondition(lambda self: len(self.path.readers) < 8)
    def connect(self, person: int, start: int | None, room: int | None, binary: bool, page: int) -> None:
        self.run(self.path.connect(person, start, room=room, binary=binary, page=page))
        self.settle()

    @rule(pairs=st.lists(st.tuples(st.sampled_from(PARTIES), st.sampled_from(PARTIES)), min_size=1, max_size=6))
    def send(self, pairs: list[tuple[int, int]]) -> None:
        async def sent() -> None:
            for sender, receiver in pairs:
                self.path.send(sender, receiver)

        self.run(sent())
        self.settle()

    @rule(indexes=st.lists(st.integers(0, 3), min_size=1, max_size=6))
    @precondition(lambda self: self.path.store.gates)
    def go_on(self, indexes: list[int]) -> None:
        for index in indexes:
            self.path.store.open(index)
            self.settle()

    @rule(indexes=st.lists(st.integers(0, 3), min_size=1, max_size=6))
    @precondition(lambda self: self.path.store.gates)
    def go_on_again(self, indexes: list[int]) -> None:
        self.go_on(indexes)

    @rule(index=st.integers(0, 9))
    @precondition(lambda self: self.path.store.gates)
    def fail_a_commit_that_has_not_begun(self, index: int) -> None:
        self.path.store.open(index, well=False)
        self.settle()

    @rule(index=st.integers(0, 9))
    @precondition(lambda self: self.path.readers)
    def stall(self, index: int) -> None:
        self.path.readers[index % len(self.path.readers)].wire.paused = True

    @rule(index=st.integers(0, 9), room=ROOM)
    @precondition(lambda self: self.path.readers)
    def wake(self, index: int, room: int | None) -> None:
        async def woken() -> None:
            self.path.readers[index % len(self.path.readers)].wire.drain(room)

        self.run(woken())
        self.settle()

    @rule(index=st.integers(0, 9), again=st.booleans(), room=ROOM)
    @precondition(lambda self: self.path.readers)
    def cut(self, index: int, again: bool, room: int | None) -> None:
        async def gone() -> None:
            reader = self.path.readers[index % len(self.path.readers)]
            self.path.disconnect(reader)
            if again:
                last = reader.wire.received[-1] if reader.wire.received else reader.start
                person, binary = reader.session.caller.person, reader.session.codec.binary
                await self.path.connect(person, last, room=room, binary=binary, page=1)

        self.run(gone())
        self.settle()

    @rule(company=st.sampled_from([ACME, GLOBEX]), person=st.sampled_from(PEOPLE), member=st.booleans())
    def change_membership(self, company: int, person: int, member: bool) -> None:
        self.run(self.path.set_member(company, person, member))
        self.settle()

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "path"):
            self.path.check_all()

    def teardown(self) -> None:
        try:
            if hasattr(self, "path"):
                self.run(self.path.finish())
        finally:
            self.loop.close()
            self.folder.cleanup()


TestSessions = Sessions.TestCase
TestSessions.settings = settings(
    max_examples=30,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    database=None,
)
