"""Pushes for calls: one query for many calls, and nobody polls for a slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from server.push.calls import SLOTS, UrgentPushes
from server.push.outcome import PushAnswer, PushResult, Wake
from storage.push.registrations import NewRegistration, PushStore, Registration
from storage.sqlite.database import SqliteDatabase
from tests.harness.sqlite import migrated_sqlite

PEOPLE = range(1, 101)


class Service:
    """A push service. While ``open`` is not set it answers nothing; ``most``: how many pushes it had at once."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.taken: list[tuple[int, str | None]] = []
        self.here = self.most = 0
        self.changed = asyncio.Condition()

    def lane(self, registration: Registration) -> str:
        return "one"

    async def send(self, wake: Wake) -> PushAnswer:
        self.here += 1
        self.most = max(self.most, self.here)
        await self._tell()
        await self.open.wait()
        self.here -= 1
        self.taken.append((wake.registration.person_id, wake.registration.call_id))
        await self._tell()
        return PushAnswer(PushResult.ACCEPTED)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60), self.changed:
            await self.changed.wait_for(condition)

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    opened = await migrated_sqlite(tmp_path / "buzz.db")
    try:
        store = PushStore(opened)
        for person in PEOPLE:
            await store.register(NewRegistration(person, "phone", "fcm", f"token {person}", "{}", 1, 0, 1, 1, 0))
        yield opened
    finally:
        await opened.close()


def urgent(database: SqliteDatabase, service: Service, *, shared: bool = False) -> UrgentPushes:
    return UrgentPushes(database, {"fcm": service}, lambda *_: None, lambda *_: None, shared=shared)


@pytest.mark.parametrize("shared", [False, True])
async def test_calls_that_ring_together_are_read_together(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    service, statements = Service(), list[str]()
    service.open.set()
    fetch, returning = database.fetch, database.returning

    async def counted_fetch(sql: str, *values: object) -> object:
        statements.append(sql)
        return await fetch(sql, *values)  # type: ignore[arg-type]

    async def counted_returning(sql: str, *values: object) -> object:
        statements.append(sql)
        return await returning(sql, *values)  # type: ignore[arg-type]

    monkeypatch.setattr(database, "fetch", counted_fetch)
    monkeypatch.setattr(database, "returning", counted_returning)
    pushes = urgent(database, service, shared=shared)
    for person in PEOPLE:
        pushes.ring(person, f"CA{person}")
    await service.until(lambda: len(service.taken) == len(PEOPLE))
    assert sorted(service.taken) == [(person, f"CA{person}") for person in PEOPLE]
    assert len(statements) == (2 if shared else 1)
    await pushes.stop()


async def test_two_calls_of_one_person_in_one_batch_are_both_pushed(database: SqliteDatabase) -> None:
    service = Service()
    service.open.set()
    pushes = urgent(database, service, shared=True)
    for call in ("CA1", "CA2"):
        pushes.ring(1, call)
    await service.until(lambda: len(service.taken) == 2)
    assert sorted(service.taken, key=str) == [(1, "CA1"), (1, "CA2")]
    await pushes.stop()


async def test_calls_beyond_the_slots_leave_as_soon_as_others_were_answered(
    database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service()
    pushes = urgent(database, service)
    for person in PEOPLE:
        pushes.ring(person, f"CA{person}")
    await service.until(lambda: service.here == SLOTS // 2)
    timers = list[float]()
    loop = asyncio.get_running_loop()
    call_later = loop.call_later
    monkeypatch.setattr(loop, "call_later", lambda wait, *rest, **more: timers.append(wait) or call_later(wait, *rest))
    service.open.set()
    await service.until(lambda: len(service.taken) == len(PEOPLE))
    assert service.most == SLOTS // 2, "a service that is not known yet has half of the slots"
    assert not [wait for wait in timers if 0 < wait < 1], "somebody polls"
    await pushes.stop()
