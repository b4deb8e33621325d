"""The decider's looks: the first one at all registrations, the later ones at what is new in the log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest

from protocol.activity import ActivityType
from protocol.push import WakeFor
from server.live.hub import Hub
from server.push import decider
from server.push.decider import Decider
from server.push.dispatcher import Dispatcher
from server.push.outcome import Wake
from server.push.rules import PushTimes
from storage.contract import Posting
from storage.push.registrations import NewRegistration, PushStore, Registration
from storage.sqlite.database import SqliteDatabase
from storage.sqlite.log import SqliteActivityLog
from tests.harness.sqlite import migrated_sqlite

NOW, JANE, PEOPLE = 1_000_000, 99, range(1, 7)
TIMES = PushTimes(10, 900)


class Queue(Dispatcher):
    """Keeps what is offered, and sends nothing."""

    def __init__(self, database: SqliteDatabase) -> None:
        super().__init__(database, {}, TIMES, lambda: NOW)
        self.offered: list[int] = []
        self.has_room = True

    def offer(self, wake: Wake) -> bool:
        assert wake.reason is WakeFor.MESSAGE
        if self.has_room:
            self.offered.append(wake.registration.person_id)
        return self.has_room


class Nobody(Hub):
    """A hub without sessions."""

    def __init__(self) -> None:
        pass

    def sessions_of(self, party: int) -> tuple[()]:  # type: ignore[override]
        return ()


class Parts:
    """A decider of several nodes' kind, with its database, and what its looks have read."""

    def __init__(self, database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log = SqliteActivityLog(database)
        self.queue = Queue(database)
        self.decider = Decider(database, self.log, Nobody(), self._elsewhere, self.queue, TIMES, lambda: NOW, 30)
        self.pages = 0
        page = PushStore.after

        async def counted(store: PushStore, key: tuple[int, str, str], limit: int) -> list[Registration]:
            self.pages += 1
            return await page(store, key, limit)

        monkeypatch.setattr(PushStore, "after", counted)

    @staticmethod
    async def _elsewhere(people: Collection[int]) -> dict[int, set[str]]:
        return {}

    async def write(self, *receivers: int) -> None:
        """Store a message to each, as another node does: this one hears nothing of it."""
        kind = ActivityType.chat_message
        await self.log.append([Posting(kind, JANE, person, JANE, None, "hello", None, NOW) for person in receivers])

    async def look(self) -> list[int]:
        self.queue.offered.clear()
        await self.decider._look()
        return self.queue.offered


@pytest.fixture
async def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Parts]:
    database = await migrated_sqlite(tmp_path / "buzz.db")
    try:
        async with database.transaction() as transaction:
            rows = [(person, "A") for person in (*PEOPLE, JANE)]
            await transaction.execute_many("INSERT INTO person (id, first_name) VALUES (?, ?)", rows)
        for person in PEOPLE:
            await PushStore(database).register(
                NewRegistration(person, "phone", "fcm", f"token {person}", "{}", 1, 0, 1, 1, 0)
            )
        made = Parts(database, monkeypatch)
        yield made
        await made.log.close()
    finally:
        await database.close()


async def test_the_first_look_is_at_all_and_the_next_at_what_is_new_in_the_log(parts: Parts) -> None:
    await parts.write(1, 2)
    assert await parts.look() == [1, 2]
    assert parts.pages, "nothing counts the pages: this test can't fail"
    parts.pages = 0
    assert await parts.look() == []
    await parts.write(4, 6)
    assert sorted(await parts.look()) == [4, 6]
    assert await parts.look() == []
    assert parts.pages == 0


async def test_after_something_was_let_go_all_are_looked_at(parts: Parts) -> None:
    await parts.look()
    parts.queue.has_room = False
    await parts.write(3)
    assert await parts.look() == []
    parts.queue.has_room = True
    assert await parts.look() == [3]


async def test_too_much_that_is_new_makes_the_look_one_at_all(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decider, "MAX_NEW", 2)
    await parts.look()
    parts.pages = 0
    await parts.write(1, 2)
    assert sorted(await parts.look()) == [1, 2]
    assert parts.pages == 0
    await parts.write(3, 4, 5)
    assert await parts.look() == [1, 2, 3, 4, 5]
    assert parts.pages


async def test_now_and_then_all_are_looked_at(parts: Parts) -> None:
    await parts.look()
    parts.pages = 0
    parts.decider._all_at = 0.0
    await parts.look()
    assert parts.pages
